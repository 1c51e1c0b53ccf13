import asyncio
import inspect
import pickle
import subprocess
import sys

import pytest

from rewards.catalog import resolve_reward
from rewards.reading.responses import ResponseFormat
from rewards.scoring.consistency import AnswerConsistency

FILE = '''
"""Rewards of a user."""

FACTOR = 2.0


def longer(completions, answer, bonus=0.0, **kwargs):
    return [len(text) * FACTOR + bonus for text in completions]


async def awaited(completions, bonus=0.0, **kwargs):
    return [bonus for _ in completions]


class Constant:
    __name__ = "constant"

    def __init__(self, value, scale=1.0):
        if value < 0:
            raise ValueError(f"`value` must be at least 0, got {value}.")
        self.value = value * scale

    def __call__(self, completions, **kwargs):
        return [self.value for _ in completions]

    def needs_second_answer(self, first_is_correct):
        return first_is_correct


def make(value=3.0):
    return Constant(value)


def one_by_one(completion):
    return 1.0


class NeedsExtra:
    def __init__(self):
        raise ImportError("`NeedsExtra` needs some-package, which is not installed.")


def broken_factory():
    return 3
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "scores.py").write_text(FILE)
    return tmp_path


def test_built_in_rewards_get_their_settings_and_the_recipes_tags():
    tags = ResponseFormat("reason", "final")
    reward = resolve_reward("answer_consistency", {"both": 2.0, "first_only": 1.0}, response_format=tags)
    assert isinstance(reward, AnswerConsistency)
    assert (reward.both, reward.first_only, reward.second_only, reward.response_format) == (2.0, 1.0, 0.2, tags)
    assert resolve_reward("format", response_format=tags)(["<reason>a</reason><final>B</final>"]) == [1.0]


def test_a_dotted_path_is_imported():
    reward = resolve_reward("trl.rewards.think_format_reward")
    assert reward([[{"role": "assistant", "content": "<think>a</think>b"}]]) == [1.0]
    assert resolve_reward("rewards.scoring.accuracy.accuracy")(["Answer: A"], [["x", "y"]], [0]) == [1.0]
    punishment = resolve_reward(
        "trl.rewards.get_soft_overlong_punishment", {"max_completion_len": 4, "soft_punish_cache": 0}
    )
    assert punishment(completion_ids=[[1] * 5]) == [-1]


def test_a_function_in_a_file_is_found_from_the_base_folder_then_from_the_current_one(folder, monkeypatch):
    assert resolve_reward("mine/scores.py:longer", base_dir=folder)(["ab"], [0]) == [4.0]
    monkeypatch.chdir(folder)
    assert resolve_reward("mine/scores.py:longer", base_dir=folder / "elsewhere")(["ab"], [0]) == [4.0]
    assert resolve_reward(f"{folder}/mine/scores.py:longer")(["ab"], [0]) == [4.0]


def test_two_files_of_one_name_do_not_meet(folder):
    (folder / "scores.py").write_text("def longer(completions, **kwargs):\n    return [-1.0]\n")
    assert resolve_reward("scores.py:longer", base_dir=folder)(["ab"]) == [-1.0]
    assert resolve_reward("mine/scores.py:longer", base_dir=folder)(["ab"], [0]) == [4.0]


def test_a_plain_function_is_bound_to_its_settings_and_keeps_its_name_and_columns(folder):
    reward = resolve_reward("mine/scores.py:longer", {"bonus": 1.0}, base_dir=folder)
    assert reward(completions=["ab"], answer=[0], id=["x"]) == [5.0]
    assert reward.__name__ == "longer"
    assert list(inspect.signature(reward).parameters) == ["completions", "answer", "kwargs"]


def test_a_coroutine_function_stays_one(folder):
    reward = resolve_reward("mine/scores.py:awaited", {"bonus": 1.0}, base_dir=folder)
    assert inspect.iscoroutinefunction(reward.__call__)
    assert asyncio.run(reward(completions=["ab"])) == [1.0]


def test_classes_and_factories_are_called_with_their_settings(folder):
    reward = resolve_reward("mine/scores.py:Constant", {"value": 2, "scale": 3}, base_dir=folder)
    assert reward(completions=["ab"]) == [6]
    assert reward.__name__ == "constant"
    assert reward.needs_second_answer(True)
    assert not hasattr(reward, "anything_else")
    assert resolve_reward("mine/scores.py:make", base_dir=folder)(["ab"]) == [3.0]


def test_file_rewards_pickle_into_a_process_that_has_not_seen_the_file(folder):
    given = [("longer", {"bonus": 1.0}), ("longer", {}), ("Constant", {"value": 5.0})]
    rewards = [resolve_reward(f"mine/scores.py:{name}", kwargs, base_dir=folder) for name, kwargs in given]
    (folder / "rewards.pickle").write_bytes(pickle.dumps([pickle.dumps(reward) for reward in rewards]))
    code = (
        "import pickle; rewards = map(pickle.loads, pickle.load(open('rewards.pickle', 'rb')))\n"
        "print([(reward(completions=['ab'], answer=[0]), reward.__name__) for reward in rewards])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    expected = [(reward(completions=["ab"], answer=[0]), reward.__name__) for reward in rewards]
    assert done.stdout.strip() == str(expected)


@pytest.mark.parametrize(
    ("spec", "kwargs", "message"),
    [
        (
            "acuracy",
            {},
            r"Unknown reward 'acuracy'.*accuracy, answer_agreement, answer_consistency, code.*mean 'accuracy'",
        ),
        ("rewards.scoring.accuracy.acuracy", {}, r"has no 'acuracy'. Did you mean 'accuracy'"),
        ("no_such_package.reward", {}, r"importing 'no_such_package' failed with ModuleNotFoundError"),
        ("rewards.scoring.consistency.OUTCOMES", {}, r"is a tuple, not a function"),
        ("mine/absent.py:longer", {}, r"there is no such file. Tried .*absent.py"),
        ("mine/scores.py", {}, r"must be written `path/to/file.py:function`"),
        ("mine/scores:longer", {}, r"must be written `path/to/file.py:function`"),
        ("mine/scores.py:longest", {}, r"has no 'longest'. Did you mean 'longer'"),
        (
            "mine/scores.py:longer",
            {"bonsu": 1},
            r"no setting 'bonsu'. It accepts: answer, bonus. Did you mean 'bonus'",
        ),
        ("mine/scores.py:Constant", {}, r"missing a required argument: 'value'. Set it under `reward_kwargs`"),
        ("mine/scores.py:one_by_one", {}, r"argument: 'completion'.*if it is the reward, let it take `completions`"),
        ("mine/scores.py:NeedsExtra", {}, r"NeedsExtra': `NeedsExtra` needs some-package"),
        (
            "mine/scores.py:Constant",
            {"valeu": 1},
            r"no setting 'valeu'. It accepts: value, scale. Did you mean 'value'",
        ),
        ("mine/scores.py:Constant", {"value": -1}, r"`value` must be at least 0, got -1"),
        ("mine/scores.py:broken_factory", {}, r"called as a factory.*returned int"),
        ("mine/scores.py:FACTOR", {}, r"is a float, not a function"),
        ("length", {}, r"Reward 'length': missing a required argument: 'max_length'"),
        ("answer_consistency", {"first_olny": 1}, r"no setting 'first_olny'.*Did you mean 'first_only'"),
        ("answer_consistency", {"both": 0.1}, r"Reward 'answer_consistency': `both` must be at least `first_only`"),
    ],
)
def test_a_spec_or_setting_that_does_not_fit_is_an_error_that_says_what_would(folder, spec, kwargs, message):
    with pytest.raises(ValueError, match=message):
        resolve_reward(spec, kwargs, base_dir=folder)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f(:\n", r"SyntaxError.*line 1"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("import no_such\n", "ModuleNotFoundError"),
    ],
)
def test_a_file_that_cannot_be_loaded_says_why_each_time(tmp_path, source, message):
    (tmp_path / "bad.py").write_text(source)
    for _ in range(2):
        with pytest.raises(ValueError, match=message):
            resolve_reward("bad.py:f", base_dir=tmp_path)
