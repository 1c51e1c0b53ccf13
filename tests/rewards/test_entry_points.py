import pickle
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from align.cli.app import app
from rewards.catalog import resolve_reward

MODULE = '''
"""Rewards of another package."""


def politeness(completions, words=("please",), **kwargs):
    return [float(any(word in text for word in words)) for text in completions]


class Brevity:
    __name__ = "brevity"

    def __init__(self, limit=10):
        self.limit = limit

    def __call__(self, completions, **kwargs):
        texts = [each if isinstance(each, str) else each[-1]["content"] for each in completions]
        return [float(len(text) <= self.limit) for text in texts]


def make_shouting(factor=1.0):
    def shouting(completions, **kwargs):
        return [factor * text.isupper() for text in completions]

    return shouting
'''
POINTS = """[truealign.rewards]
politeness = polite_rewards:politeness
brevity = polite_rewards:Brevity
shouting = polite_rewards:make_shouting
gone = polite_rewards:gone
accuracy = polite_rewards:politeness
"""


def install(folder, name, points):
    """Leaves a distribution in a folder as an installer does."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)


@pytest.fixture
def polite(tmp_path, monkeypatch):
    install(tmp_path, "polite-rewards", POINTS)
    (tmp_path / "polite_rewards.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("polite_rewards", None)


def test_a_package_ships_rewards_by_name(polite):
    assert resolve_reward("politeness")(["Yes, please", "No"]) == [1.0, 0.0]
    bound = resolve_reward("politeness", {"words": ["thanks"]})
    assert (bound(["Yes, please", "No thanks"]), bound.__name__) == ([0.0, 1.0], "politeness")
    brevity = resolve_reward("brevity", {"limit": 3})
    assert (brevity(["abc", "abcd"]), brevity.__name__) == ([1.0, 0.0], "brevity")


def test_a_built_in_name_stays_what_it_is(polite):
    assert type(resolve_reward("accuracy")).__module__ == "rewards.scoring.accuracy"


def test_shipped_rewards_pickle_into_a_new_process(polite):
    given = [("politeness", {}), ("politeness", {"words": ["a"]}), ("brevity", {}), ("shouting", {})]
    rewards = [resolve_reward(name, kwargs) for name, kwargs in given]
    (polite / "rewards.pickle").write_bytes(pickle.dumps([pickle.dumps(reward) for reward in rewards]))
    code = (
        "import pickle; each = pickle.load(open('rewards.pickle', 'rb'))\n"
        "print([pickle.loads(reward)(['A', 'b']) for reward in each])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=polite, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([reward(["A", "b"]) for reward in rewards])


def test_what_is_shipped_twice_or_cannot_be_loaded_is_an_error_that_names_the_package(polite):
    install(polite, "rude-rewards", "[truealign.rewards]\npoliteness = rude_rewards:politeness\n")
    with pytest.raises(ValueError, match=r"'politeness' is shipped by several .* of polite-.* of rude-rewards"):
        resolve_reward("politeness")
    with pytest.raises(ValueError, match=r"'gone': loading polite_rewards:gone of polite-rewards failed"):
        resolve_reward("gone")
    with pytest.raises(ValueError, match=r"Unknown reward 'brevty'.*mean 'brevity'.*group `truealign.rewards`"):
        resolve_reward("brevty")


def test_they_are_listed_and_checked_by_the_commands(polite):
    listed = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["rewards", "list"]).output
    assert "polite_rewards:Brevity, shipped by polite-rewards" in listed
    assert listed.count("accuracy ") == 1 + listed.count("_accuracy "), "the built-in one counts"
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["rewards", "check", "brevity"])
    assert (result.exit_code, "brevity answers" in result.output) == (0, True), result.output
