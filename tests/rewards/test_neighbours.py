"""Files of rewards with modules beside them: imported in every process, never mixed up, and part of their hash."""

import pickle
import sys

import pytest

from rewards.catalog import REWARDS, resolve_reward
from rewards.running.loading import code_of
from rewards.running.sources import public_rewards
from rewards.running.workers import WorkerPool

OWN = """
import shared_rules
from inner.deep import twice

def pays(completions, **kwargs):
    from lately import one  # only when it is called
    return [twice(shared_rules.WORTH) + one for _ in completions]

async def waits(prompts, completions, **kwargs): ...
def _hidden(completions): ...
def of_text(text): ...
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])

    def make(folder, worth):
        texts = {"own": OWN, "shared_rules": f"WORTH = {worth}", "lately": "one = 1", "unused": "", "rewards": "1 / 0",
                 "inner/__init__": "", "inner/deep": f"def twice(value):\n    return 2 * value * {worth}"}  # fmt: skip
        (tmp_path / folder / "inner").mkdir(parents=True)
        for name, text in texts.items():
            (tmp_path / folder / f"{name}.py").write_text(text, encoding="utf-8")
        return tmp_path / folder / "own.py"

    return make


def test_what_is_beside_a_file_is_imported_here_and_in_workers_of_two_folders(write, monkeypatch, tmp_path):
    old, new = write("old", 1), write("new", 3)
    monkeypatch.chdir(tmp_path / "old")
    rewards = [resolve_reward(f"{file}:pays") for file in (old, new, old)]
    assert [each(prompts=["?"], completions=["x"]) for each in rewards] == [[3], [19], [3]]
    with WorkerPool(pickle.loads(pickle.dumps(rewards[1]))) as pool:
        assert pool.map([["x", "y"]], timeout=30.0)[0].value == [19, 19]
    assert resolve_reward("repetition").__module__.startswith("rewards.")  # ours, beside a file of that name


def test_the_hash_of_a_reward_is_that_of_its_file_and_of_what_it_imports_from_its_folder(write):
    file = write("mine", 1)
    before = code_of(f"{file}:pays", None, REWARDS)
    assert {*before.files} == {"own.py", "shared_rules.py", "lately.py", "inner/__init__.py", "inner/deep.py"}
    (file.parent / "unused.py").write_text("changed = 1", encoding="utf-8")
    assert code_of("own.py:pays", file.parent, REWARDS) == before
    (file.parent / "inner/deep.py").write_text("def twice(value):\n    return value\n", encoding="utf-8")
    assert code_of(f"{file}:pays", None, REWARDS).sha256 != before.sha256
    assert {*code_of("accuracy", None, REWARDS).files} == {"accuracy.py"}
    assert public_rewards(file) == ["pays", "waits"]
