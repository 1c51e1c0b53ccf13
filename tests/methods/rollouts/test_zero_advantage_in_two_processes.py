"""Ranks with unlike numbers of completions that teach make the passes together, and ask further prompts together."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from fsdp_on_cpus import WORDS
from started import WITHOUT_VLLM, launch
from tiny import tiny_model, tiny_tokenizer

RUN = Path(__file__).with_name("zero_advantage_run.py")
NEEDS_DEEPSPEED = pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs the extra `deepspeed`")
STEPS = 7


@pytest.mark.parametrize(
    "config",
    [
        pytest.param("ddp_cpu", marks=pytest.mark.slow),
        pytest.param("zero2_cpu", marks=(pytest.mark.nightly, NEEDS_DEEPSPEED)),
        pytest.param("zero3_cpu", marks=(pytest.mark.nightly, NEEDS_DEEPSPEED)),
        pytest.param("fsdp2", marks=pytest.mark.nightly),
    ],
)
def test_the_weights_are_those_of_all_completions(tmp_path, config):
    tiny_model(vocabulary=len(tiny_tokenizer())).save_pretrained(tmp_path / "model")
    result = launch(f"{config}.yaml", *WORDS.get(config, ()), WITHOUT_VLLM, RUN, tmp_path, STEPS)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    assert json.loads((tmp_path / "apart.json").read_text()) < 1e-6
    off, auto = (
        [log for log in json.loads((tmp_path / f"{knob}.json").read_text()) if "grad_norm" in log]
        for knob in ("off", "auto")
    )
    assert [log["grad_norm"] for log in auto] == pytest.approx([log["grad_norm"] for log in off], rel=1e-5, abs=1e-7)
    shares = [log["rollouts/trained_share"] for log in auto]
    assert len(shares) == STEPS
    assert 0.0 in shares
    assert 0 < max(shares) < 1
    further = [log for log in json.loads((tmp_path / "further.json").read_text()) if "grad_norm" in log]
    one, other = json.loads((tmp_path / "calls.json").read_text())
    assert [step for step, _ in one] == [step for step, _ in other]
    for step, log in enumerate(further):
        own, others = ([prompts for when, prompts in calls if when == step][1:] for calls in (one, other))
        asked = [prompt for prompts in (*own, *others) for prompt in prompts]
        assert len(set(asked)) == len(asked) == log["rollouts/resampled_prompts"]
        assert list(map(len, own)) == list(map(len, others))
        assert len(own) == log["rollouts/resampled_rounds"]
    spent = [log["rollouts/resampled_prompts"] for log in further]
    assert max(spent) == 4  # a fifth would be of one process
    assert spent[2] == 4  # nothing had spread
