import pytest
from hub_api import asked_by, local_hub

from align.checks.needs import check_hub
from align.recipe.recipe import load_recipe


@pytest.fixture
def hub(monkeypatch):
    with local_hub() as running:
        asked_by(monkeypatch, running.address)
        yield running


@pytest.fixture
def pushing(tiny_recipe):
    return lambda **changes: load_recipe(tiny_recipe(push_to_hub=True, **changes))


def refused(recipe):
    (finding,) = check_hub(recipe)
    assert finding.level == "error"
    assert finding.text.startswith("`push_to_hub: true` is not possible at http")
    return finding.text


def test_a_run_that_pushes_nothing_asks_nobody(hub, tiny_recipe):
    assert check_hub(load_recipe(tiny_recipe())) == []
    assert hub.asked == []


def test_a_token_that_may_write_is_told_whose_it_is(hub, pushing):
    (finding,) = check_hub(pushing())
    assert (finding.level, finding.text[-7:]) == ("ok", " as me.")
    assert hub.asked == ["GET /api/whoami-v2"]


def test_what_the_hub_would_refuse_is_told_before_training(hub, pushing, monkeypatch, tmp_path):
    assert "a/b/c is no name of a repository. Name one with `hub_model_id" in refused(pushing(hub_model_id="a/b/c"))
    assert "model, a folder of this machine. Train from a hub id" in refused(pushing(use_peft=True))
    hub.tokens["hf_reader"] = "read"
    assert "The token of me may only read" in refused(pushing(hub_token="hf_reader"))
    assert "Invalid user token" in refused(pushing(hub_token="hf_unknown"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    assert "`hf auth login`" in refused(pushing())


def test_a_hub_that_cannot_be_reached_is_told_before_training(pushing, monkeypatch):
    asked_by(monkeypatch, "http://127.0.0.1:9")
    assert "refused" in refused(pushing())
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "unset the `HF_HUB_OFFLINE`" in refused(pushing())
