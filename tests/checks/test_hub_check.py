import pytest
from hub_api import asked_by, local_hub

from align.checks.needs import check_hub
from align.recipe.recipe import load_recipe


@pytest.fixture
def hub():
    with local_hub() as running:
        yield running


@pytest.fixture
def pushing(tiny_recipe):
    return lambda **changes: load_recipe(tiny_recipe(push_to_hub=True, **changes))


def test_a_run_that_pushes_nothing_asks_nobody(tiny_recipe):
    assert check_hub(load_recipe(tiny_recipe())) == []


def test_pushing_needs_a_token(pushing, tmp_path, monkeypatch):
    asked_by(monkeypatch, "http://127.0.0.1:9")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    (finding,) = check_hub(pushing())
    assert finding.level == "error"
    assert "`push_to_hub: true` needs an account of the hub. Run `hf auth login`" in finding.text


def test_a_token_that_may_write_is_told_where_the_model_goes(hub, pushing, monkeypatch):
    asked_by(monkeypatch, hub.address)
    (finding,) = check_hub(pushing())
    assert (finding.level, finding.text) == ("ok", "Model, tokenizer and card go to me/run, as me.")
    assert hub.asked == ["GET /api/whoami-v2"]
    assert hub.repositories == {}


def test_a_refused_token_and_one_that_only_reads_are_told_before_training(hub, pushing, monkeypatch):
    asked_by(monkeypatch, hub.address, "hf_unknown")
    (finding,) = check_hub(pushing())
    assert (finding.level, finding.text) == ("error", (
        f"`push_to_hub: true`: {hub.address} refused the token. Make one that may write, and run `hf auth login`, or "
        "set the variable HF_TOKEN."
    ))  # fmt: skip
    hub.tokens["hf_reader"] = "read"
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    (finding,) = check_hub(pushing())
    assert (finding.level, "the token of me may only read" in finding.text) == ("error", True)


def test_a_hub_that_cannot_be_reached_is_told_before_training(pushing, monkeypatch):
    asked_by(monkeypatch, "http://127.0.0.1:9")
    (finding,) = check_hub(pushing())
    assert finding.level == "error"
    assert "http://127.0.0.1:9 cannot be reached (" in finding.text
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (finding,) = check_hub(pushing())
    assert "HF_HUB_OFFLINE is set. Unset it" in finding.text


def test_another_owner_and_an_adapter_of_a_folder_are_warned_of(hub, pushing, monkeypatch):
    asked_by(monkeypatch, hub.address)
    strange, adapter = check_hub(pushing(hub_model_id="them/run", use_peft=True))
    assert (strange.level, adapter.level) == ("warning", "warning")
    assert "not known to belong to them" in strange.text
    assert "Name a repository of lab or me." in strange.text
    assert "is a folder here, which readers of the hub have not" in adapter.text


def test_a_name_that_is_none_is_refused(pushing):
    (finding,) = check_hub(pushing(hub_model_id="a/b/c"))
    assert (finding.level, "is no name of a repository" in finding.text) == ("error", True)
