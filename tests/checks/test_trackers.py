import pytest

from align.checks.needs import check_trackers
from align.recipe.recipe import load_recipe

KEYS = ("WANDB_API_KEY", "WANDB_MODE", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL", "NETRC")


@pytest.fixture
def nobody(tmp_path, monkeypatch):
    """A user whom wandb does not know."""
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("report_to", ["none", "tensorboard", ["trackio"]])
def test_other_trackers_need_no_key(tiny_recipe, nobody, report_to):
    assert check_trackers(load_recipe(tiny_recipe(report_to=report_to))) == []


def test_wandb_without_a_key_is_said_before(tiny_recipe, nobody, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="needs the extra `wandb`")
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
    (nobody / "wandb").mkdir()
    (nobody / "wandb" / "settings").write_text("[default]\nmode = offline\n")  # as `wandb offline` does
    assert check_trackers(recipe) == []
    (nobody / "wandb" / "settings").unlink()
    host = wandb.Settings().base_url.partition("://")[2]
    (nobody / ".netrc").write_text(f"machine {host} login user password {'x' * 40}\n")
    (nobody / ".netrc").chmod(0o600)
    assert check_trackers(recipe) == []
