import pytest

from align.checks.needs import check_trackers
from align.recipe.recipe import load_recipe

KEYS = ("WANDB_API_KEY", "WANDB_MODE", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL")


@pytest.fixture
def nobody(tmp_path, monkeypatch):
    """A user whom wandb does not know."""
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("report_to", ["none", "tensorboard", ["trackio"]])
def test_other_trackers_need_no_key(tiny_recipe, nobody, report_to):
    assert check_trackers(load_recipe(tiny_recipe(report_to=report_to))) == []


def test_wandb_without_a_key_is_said_before(tiny_recipe, nobody, monkeypatch):
    pytest.importorskip("wandb", reason="needs the extra `wandb`")
    recipe = load_recipe(tiny_recipe(report_to=["wandb", "tensorboard"]))
    (found,) = check_trackers(recipe)
    assert (found.level, found.fix) == ("warning", "wandb login")
    assert "Run `wandb login`, set the variable WANDB_API_KEY, or set WANDB_MODE=offline" in found.text
    with monkeypatch.context() as of_rank:
        of_rank.setenv("RANK", "1")
        assert check_trackers(recipe) == []
    for name, value in (("WANDB_API_KEY", "x" * 40), ("WANDB_MODE", "offline")):
        with monkeypatch.context() as known:
            known.setenv(name, value)
            assert check_trackers(recipe) == []
    (nobody / ".netrc").write_text(f"machine api.wandb.ai login user password {'x' * 40}\n")
    (nobody / ".netrc").chmod(0o600)
    assert check_trackers(recipe) == []
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org:8080")
    assert len(check_trackers(recipe)) == 1
