"""The blocks of `docs/how-to/guard-elsewhere.md`: each is a file that is called as its framework calls it.

None of the three packages is installed beside this project; where one is, its own loader and caller are used.
Elsewhere `RECORDED` has the call of each, from the public sources that `docs/explanation/guards-and-alarms.md` names.
"""

import importlib.util
import sys
import threading
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import pytest
from in_time import whatever_the_speed
from pages import write_files
from started import ROOT, modules_after

PAGE = ROOT / "docs" / "how-to" / "guard-elsewhere.md"
OWN = """
import time

def right(completions, answer, bonus=0.0, **kwargs):
    return [None if right is None else bonus + float(right in text) for right, text in zip(answer, completions)]

def stuck(completions, answer, **kwargs):
    if "hang" in completions:
        time.sleep(600)
    return right(completions, answer)

async def awaited(completions, answer, **kwargs):
    return right(completions, answer)

def exact(completions, answer, prompts, **kwargs):
    return [float(text == f"it is {right}" and prompt == "2 + 2?")
            for text, right, prompt in zip(completions, answer, prompts)]

def levelled(completions, level, **kwargs):
    return [float(each) for each in level]

def ranked(completions, **kwargs):
    return [float(place) for place, _ in enumerate(completions)]

ranked.whole_batch = True
"""
INSTALLED = [name for name in ("verl", "openrlhf", "swift") if find_spec(name)]
TEXTS = ["it is 4", "hang", "it is 5"]
PROMPT = "2 + 2?"


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads a file of the page as frameworks do; `line` stands where it names its reward."""
    if "swift" not in INSTALLED:
        swift = ModuleType("swift.rewards")
        swift.ORM, swift.orms = type("ORM", (), {"__init__": lambda self, args=None, **_: None}), {}
        monkeypatch.setitem(sys.modules, "swift.rewards", swift)
        monkeypatch.setitem(sys.modules, "swift", ModuleType("swift"))

    def loaded(framework, line='"mine.py:right"', timeout=60):
        write_files(PAGE, tmp_path)
        (tmp_path / "mine.py").write_text(OWN)
        path = tmp_path / f"{framework}_reward.py"
        text = path.read_text()
        assert text.count('"mine.py:right"') == text.count("timeout=60") == 1
        path.write_text(text.replace('"mine.py:right"', line).replace("timeout=60", f"timeout={timeout}"))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return loaded


def call_verl(module):
    """verl 0.9.0: `get_custom_reward_fn` of verl/trainer/ppo/reward.py, called in threads by its naive manager."""
    compute = module.compute_score
    if "verl" in INSTALLED:
        from omegaconf import OmegaConf
        from verl.trainer.ppo.reward import get_custom_reward_fn

        named = {"reward": {"custom_reward_function": {"path": module.__file__, "name": "compute_score"}}}
        compute = get_custom_reward_fn(OmegaConf.create(named))
    found = {}

    def score(text):
        extra_info = {"num_turns": None, "prompt": PROMPT, "answer": "2 + 2 is 4", "level": 3}
        found[text] = compute(data_source="sums", solution_str=text, ground_truth="4", extra_info=extra_info)

    threads = [threading.Thread(target=score, args=[text]) for text in TEXTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[text]["score"] for text in TEXTS], [found[text]["invalid"] for text in TEXTS]


def call_openrlhf(module):
    """OpenRLHF 0.11.0: `_fetch_rewards_via_func` of openrlhf/utils/agent.py, and what the generator keeps of it."""
    func = module.reward_func
    if "openrlhf" in INSTALLED:
        from openrlhf.utils.agent import SingleTurnAgentExecutor

        func = SingleTurnAgentExecutor(module.__file__).reward_func
    found = [func([f"{PROMPT}{text} \n<|im_end|>\n"], [PROMPT], ["4"]) for text in TEXTS]
    assert all(each["rewards"] is each["scores"] for each in found)
    invalid = [each["extra_logs"]["invalid"].flatten()[0].item() for each in found]
    return [each["rewards"].item() for each in found], invalid


def call_swift(module, **given):
    """ms-swift 4.5.2: `compute_rewards_per_func` of swift/rl_core, with rows as its `to_reward_row` makes them."""
    batch = {
        "messages": [[{"role": "user", "content": PROMPT}, {"role": "assistant", "content": text}] for text in TEXTS],
        "prompt_id": ["p"] * 3,
        "finish_reason": ["stop"] * 3,
        "rollout_infos": [{}] * 3,
        "response_token_ids": [[1, 2]] * 3,
        "solution": ["4"] * 3,
        "level": [3.0] * 3,
        "channels": ["main"],  # of the batch, and no column
    }
    values = module.orms["guarded"](args=None)(TEXTS, trainer_state=SimpleNamespace(global_step=1), **batch | given)
    return [value or 0.0 for value in values], [float(value is None) for value in values]


RECORDED = {"verl": call_verl, "openrlhf": call_openrlhf, "swift": call_swift}


@pytest.mark.slow
@pytest.mark.parametrize("framework", RECORDED)
@whatever_the_speed(2.0, 20.0, 100.0)
def test_a_file_is_called_as_by_its_framework_and_a_hang_costs_its_row(load, framework, caplog, seconds):
    module = load(framework, '"mine.py:stuck"', seconds)
    assert RECORDED[framework](module) == ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    module.guarded.close()
    assert "row 1, timeout" in caplog.text or "row 0, timeout" in caplog.text


@pytest.mark.parametrize(
    ("framework", "line", "values"),
    [
        *((framework, '"mine.py:exact"', [1.0, 0.0, 0.0]) for framework in RECORDED),
        *((framework, '"mine.py:awaited"', [1.0, 0.0, 0.0]) for framework in RECORDED),
        *((framework, '"mine.py:right", {"bonus": 0.5}', [1.5, 0.5, 0.5]) for framework in RECORDED),
        *((framework, '"mine.py:levelled"', [3.0, 3.0, 3.0]) for framework in ("verl", "swift")),
        ("swift", '"mine.py:ranked"', [0.0, 1.0, 2.0]),
    ],
)
def test_a_reward_is_named_in_one_line_with_its_settings(load, framework, line, values):
    module = load(framework, line)
    assert RECORDED[framework](module) == (values, [0.0] * 3)
    module.guarded.close()


def test_a_reward_that_compares_a_batch_is_refused_where_rows_come_one_by_one(load):
    with pytest.raises(ValueError, match=r"`ranked` compares the completions of a batch .* is asked about one"):
        load("verl", '"mine.py:ranked"').compute_score("sums", "it is 4", "4")


def test_a_row_without_an_opinion_is_zero_and_not_invalid(load):
    assert load("verl").compute_score("sums", "it is 4", None) == {"score": 0.0, "acc": 0.0, "invalid": 0.0}


def test_a_file_needs_no_library_of_the_larger_sizes(load):
    path = load("verl").__file__
    assert modules_after(f"import runpy; runpy.run_path({path!r})") & {"torch", "trl", "transformers"} == set()
