"""`align rewards export`: each file is called as its framework calls it.

Of the five packages (verl, OpenRLHF, ms-swift, verifiers, prime-rl) at most verifiers is installed beside this
project; where one is, its own loader and caller are used. Elsewhere the files meet what was recorded from the public
sources that they name: `RECORDED` has the call of each, and stands in for the classes that a file derives from or
hands itself to.
"""

import asyncio
import importlib.util
import json
import sys
import threading
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from pydantic import BaseModel
from some_recipes import PROMPTS
from typer.testing import CliRunner

from align.cli.app import app
from align.services.export import FRAMEWORKS, export_reward
from align.tools.environments import Rubric, rows_of
from align.tools.guarded import Limits

OWN = """
import time

def right(completions, answer, bonus=0.0, **kwargs):
    if "hang" in completions:
        time.sleep(60)
    return [None if right is None else bonus + float(right in text) for right, text in zip(answer, completions)]

async def awaited(completions, answer, **kwargs):
    return [float(right in text) for right, text in zip(answer, completions)]

def ranked(completions, **kwargs):
    return [float(place) for place, _ in enumerate(completions)]

ranked.whole_batch = True

def plain(completions, **kwargs):
    return [float(len(text)) for text in completions]

def picky(completions, facts, level=1, **kwargs):
    return [float(fact in text) for fact, text in zip(facts, completions)]
"""
INSTALLED = [name for name in ("verl", "openrlhf", "swift", "verifiers") if find_spec(name)]
ENVIRONMENTS = Path(__file__).parents[1] / "methods" / PROMPTS / "environments"
TEXTS = ["it is 4", "hang", "it is 5"]
PROMPT = "2 + 2?"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(OWN)
    return tmp_path


def run(*words):
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["rewards", "export", *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())


def loaded(path, monkeypatch, **modules):
    """Loads a file as frameworks do, with stand-ins for modules of theirs that are not installed."""
    for name, module in modules.items():
        if name.partition("__")[0] not in INSTALLED:
            monkeypatch.setitem(sys.modules, name.replace("__", "."), module)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def module_with(name, **names):
    module = ModuleType(name)
    vars(module).update(names)
    return module


def call_verl(path, monkeypatch):
    """verl 0.9.0: `get_custom_reward_fn` of verl/trainer/ppo/reward.py, called in threads by its naive manager."""
    compute = loaded(path, monkeypatch).compute_score
    if "verl" in INSTALLED:
        from omegaconf import OmegaConf
        from verl.trainer.ppo.reward import get_custom_reward_fn

        named = {"reward": {"custom_reward_function": {"path": str(path), "name": "compute_score"}}}
        compute = get_custom_reward_fn(OmegaConf.create(named))
    found = {}

    def score(text):
        extra_info = {"num_turns": None, "rollout_reward_scores": {}}
        found[text] = compute(data_source="sums", solution_str=text, ground_truth="4", extra_info=extra_info)

    threads = [threading.Thread(target=score, args=[text]) for text in TEXTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {text: each["invalid"] for text, each in found.items()} == dict(zip(TEXTS, [0.0, 1.0, 0.0], strict=True))
    return [found[text]["score"] for text in TEXTS]


def call_openrlhf(path, monkeypatch):
    """OpenRLHF 0.11.0: `_fetch_rewards_via_func` of openrlhf/utils/agent.py, and what the generator keeps of it."""
    import torch

    func = loaded(path, monkeypatch).reward_func
    if "openrlhf" in INSTALLED:
        from openrlhf.utils.agent import SingleTurnAgentExecutor

        func = SingleTurnAgentExecutor(str(path)).reward_func
    queries = [f"{PROMPT}{text}<|im_end|>\n" for text in TEXTS]
    found = [func([query], [PROMPT], ["4"]) for query in queries]
    assert [each["extra_logs"]["invalid"].flatten()[0].item() for each in found] == [0.0, 1.0, 0.0]
    return [torch.tensor([each["rewards"]]).item() for each in found]


def call_swift(path, monkeypatch):
    """ms-swift 4.5.2: `compute_rewards_per_func` of swift/rl_core, with rows as its `to_reward_row` makes them."""

    class ORM:
        def __init__(self, args=None, **kwargs):
            self.args = args

    orms = {}
    loaded(path, monkeypatch, swift__rewards=module_with("swift.rewards", ORM=ORM, orms=orms))
    if "swift" in INSTALLED:
        from swift.rewards import orms
    batch = {
        "messages": [[{"role": "user", "content": PROMPT}, {"role": "assistant", "content": text}] for text in TEXTS],
        "prompt_id": ["p"] * 3,
        "finish_reason": ["stop"] * 3,
        "rollout_infos": [{}] * 3,
        "response_token_ids": [[1, 2]] * 3,
        "solution": ["4"] * 3,
    }
    values = orms["right"](args=None)(TEXTS, trainer_state=SimpleNamespace(global_step=1), **batch)
    return [0.0 if value is None and text == "hang" else value for value, text in zip(values, TEXTS, strict=True)]


def score_in_taskset(path, monkeypatch):
    """Names the function in the config of a taskset of verifiers 0.4, whose task says that 4 is right."""
    monkeypatch.syspath_prepend(str(ENVIRONMENTS))
    monkeypatch.syspath_prepend(str(path.parent))
    settings = json.dumps({"rewards": {"right": {"fn": f"{path.stem}:right"}}})
    spec = f"verifiers:vf-shop?task={settings}"
    entry = next(row["entry"] for row in rows_of(spec) if row["answer"] == "4")
    with closing(Rubric(spec, Limits(60.0))) as rubric:
        found = rubric.score([[{"role": "assistant", "content": text}] for text in TEXTS], [entry] * len(TEXTS))
    return [each.rewards["right"] for each in found]


def call_verifiers(path, monkeypatch):
    """verifiers 0.3.0: `_call_individual_reward_func` of rubrics/rubric.py, with its `score_objects`; 0.4 itself."""
    if "verifiers" in INSTALLED and not find_spec("verifiers.envs"):
        return score_in_taskset(path, monkeypatch)

    class Rubric:
        def __init__(self, funcs=None, weights=None, parser=None):
            self.funcs = funcs

    if not (is_real := "verifiers" in INSTALLED):
        monkeypatch.setitem(sys.modules, "verifiers", module_with("verifiers", Rubric=Rubric))
    rubric = loaded(path, monkeypatch).rubric
    (func,) = rubric.funcs

    def score(text):
        messages = [SimpleNamespace(model_dump=lambda: {"role": "assistant", "content": text})]
        state = {"prompt": PROMPT, "completion": messages, "answer": "4", "info": {"level": 1}}
        if is_real:
            return asyncio.run(rubric._call_individual_reward_func(func, state))
        objects = {**state, "state": state, "parser": object(), "task": None}
        return float(asyncio.run(func(**objects)))

    return [score(text) for text in TEXTS]


def call_prime_rl(path, monkeypatch):
    """prime-rl 0.8.0 with verifiers 0.3.0: tasks of `load_taskset`, and rewards as `mark` leaves them on a task."""

    class TaskData(BaseModel):
        idx: int | None = None
        prompt: str | None = None

        @property
        def prompt_text(self):
            return self.prompt

    class Task:
        def __init__(self, data, config):
            self.data, self.config = data, config

        def __class_getitem__(cls, kinds):
            return cls

    class TasksetConfig(BaseModel):
        id: str = ""
        task: dict = {}

    class Taskset:
        def __init__(self, config):
            self.config = config

        def __class_getitem__(cls, kinds):
            return cls

    names = {"TaskData": TaskData, "Task": Task, "TasksetConfig": TasksetConfig, "Taskset": Taskset, "Trace": object}
    recorded = module_with("verifiers.v1", reward=lambda func: func, **names)
    above = module_with("verifiers", v1=recorded)
    module = loaded(path, monkeypatch, verifiers=above, verifiers__v1=recorded)
    path.with_name("train.jsonl").write_text(json.dumps({"prompt": PROMPT, "answer": "4"}) + "\n\n")
    (name,) = module.__all__
    (task,) = getattr(module, name)(module.Config(path=str(path.with_name("train.jsonl")))).load()
    assert (task.data.prompt, task.data.columns) == (PROMPT, {"answer": "4"})
    return [asyncio.run(task.right(SimpleNamespace(last_reply=text))) for text in TEXTS]


RECORDED = {
    "verl": call_verl,
    "openrlhf": call_openrlhf,
    "ms-swift": call_swift,
    "verifiers": call_verifiers,
    "prime-rl": call_prime_rl,
}


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_file_scores_as_the_framework_calls_it_and_a_hang_costs_its_row(folder, monkeypatch, framework):
    code, output = run("mine.py:right", "--for", framework, "--timeout", 2)
    assert (code, output.startswith("Wrote right_")) == (0, True), output
    path = folder / f"right_{framework.replace('-', '_')}.py"
    assert FRAMEWORKS[framework].version in path.read_text()
    assert all(place in path.read_text() for place in FRAMEWORKS[framework].places.split(" and "))
    assert RECORDED[framework](path, monkeypatch) == [1.0, 0.0, 0.0]


def test_every_framework_has_its_recorded_call():
    assert list(RECORDED) == list(FRAMEWORKS)


@pytest.mark.parametrize("framework", ["verl", "ms-swift"])
def test_a_coroutine_function_needs_no_worker(folder, monkeypatch, framework):
    path = export_reward("mine.py:awaited", framework).path
    assert "workers" not in path.read_text()
    if framework == "verl":
        module = loaded(path, monkeypatch)
        assert module.compute_score("sums", "it is 4", "4") == {"score": 1.0, "acc": 1.0, "invalid": 0.0}
        return
    orms = {}
    loaded(path, monkeypatch, swift__rewards=module_with("swift.rewards", ORM=object, orms=orms))
    assert orms["awaited"]()(["it is 4", "no"], answer=["4", "4"]) == [1.0, 0.0]


def test_settings_and_a_file_elsewhere_are_found_from_where_the_file_is(folder, monkeypatch):
    out = folder / "deep" / "below" / "scored.py"
    code, output = run("mine.py:right", "--for", "verl", "--out", out, "--reward_kwargs", "{bonus: 0.5}")
    assert (code, f"reward.custom_reward_function.path={out}" in output) == (0, True), output
    assert "'../../mine.py:right', {'bonus': 0.5}" in out.read_text()
    monkeypatch.chdir(out.parent)
    assert loaded(out, monkeypatch).compute_score("sums", "it is 4", "4")["score"] == 1.5


def test_a_row_without_an_opinion_is_zero_where_the_framework_needs_a_number(folder, monkeypatch):
    module = loaded(export_reward("mine.py:right", "verl").path, monkeypatch)
    assert module.compute_score("sums", "it is 4", None) == {"score": 0.0, "acc": 0.0, "invalid": 0.0}


@pytest.mark.parametrize(
    ("spec", "words", "said"),
    [
        ("mine.py:right", [], "`answer` is `ground_truth` of verl. `bonus`: from the row"),
        ("mine.py:picky", [], "`facts` is `ground_truth` of verl. `level`: from the row"),
        ("mine.py:picky", ["--answer", "level"], "`level` is `ground_truth` of verl. `facts`: from the row"),
        ("mine.py:plain", [], "`answer` is `ground_truth` of verl."),
        ("text_accuracy", [], "`answer` is `ground_truth` of verl"),
    ],
)
def test_where_each_column_comes_from_is_said(folder, spec, words, said):
    code, output = run(spec, "--for", "verl", *words)
    assert (code, said in output) == (0, True), output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["mine.py:right", "--for", "ver"],
            "must be one of verl, openrlhf, ms-swift, verifiers, prime-rl; got",
        ),
        (["mine.py:wrong", "--for", "verl"], "has no 'wrong'"),
        (
            ["mine.py:right", "--for", "verl", "--answer", "gold"],
            "reads no such column; it reads answer, bonus",
        ),
        (
            ["mine.py:ranked", "--for", "verl"],
            "hands over one by one. Export it for ms-swift, or export a",
        ),
        (
            ["mine.py:right", "--for", "verl", "--out", "a-b.py"],
            "must be a file that Python can import, such as",
        ),
        (["mine.py:right", "--for", "verl", "--out", "mine.py"], "is there already and is not overwritten"),
        (["mine.py:right", "--for", "verl", "--timeout", "0"], "`--timeout` must be above 0"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence_and_nothing_is_written(folder, words, said):
    code, output = run(*words)
    assert (code, said in output) == (1, True), output
    assert [path.name for path in folder.glob("*.py")] == ["mine.py"]
    assert run("mine.py:ranked", "--for", "ms-swift")[0] == 0
