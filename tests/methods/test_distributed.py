"""Every method in two processes; one launch trains all cases, because its imports cost more than their steps."""

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import torch
from fsdp_on_cpus import WORDS
from peft import AutoPeftModelForSequenceClassification
from sharded_cases import REWARD_MODELS
from sharded_run import PROBE
from started import WITHOUT_VLLM, launch, with_tests
from tiny import tiny_model, tiny_reward_model, tiny_tokenizer, tiny_vl_model_and_processor
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForSequenceClassification

from align.data.pairs.pairwise import label_ids

pytestmark = pytest.mark.slow
RUN = Path(__file__).with_name("sharded_run.py")
# METHOD-WEIGHTS-MODEL
FULL = (
    "acre-full-tied",
    "rrpo-full-tied",
    "rrpo-full-untied",
    "crome-full-reward",
    "crome_pairwise-full-tied",
    "deconfound-full-reward",
)
SEEN = ("acre_images", "rrpo_images", "acre_videos", "rrpo_videos", "sft_videos")
SHOWN = tuple(f"{method}-full-vision" for method in SEEN if find_spec("torchvision"))
IMAGES, VIDEOS = SHOWN[:2], SHOWN[2:]
TEXT = ("acre_text-full-tied",)
TOOLS = ("acre_tools-full-tied",)  # no ZeRO-3, under which TRL's own loop of turns meets itself in no rank
STREAMS = ("rrpo_stream-full-tied", "crome_stream-full-reward")  # DDP; each ends within the second step
GRPO = ("grpo-full-tied", "grpo-lora-untied")
ADAPTERS = ("rrpo-lora-tied", "crome-lora-reward")  # ZeRO-3; of a policy, and with the head of a reward model
# Adapters, and an output head of its own, are the same to DDP whatever is trained. One of the two streams stays.
RARE_IN_DDP = ("rrpo-full-untied", GRPO[1], STREAMS[1], *VIDEOS)
DDP = tuple(case for case in ("sft-full-tied", *FULL, *TEXT, *TOOLS, *GRPO, *STREAMS) if case not in RARE_IN_DDP)
# Without SFT on videos: under FSDP2 TRL has other gradients for vision-language models, with images too.
FSDP = ("sft-full-tied", *FULL, *ADAPTERS, *SHOWN[:4], *TEXT)
SELDOM = ("rrpo-full-untied", "rrpo-lora-tied", *IMAGES[1:], *TEXT)  # under ZeRO-3
ZERO3 = tuple(case for case in ("sft-full-tied", *FULL, *ADAPTERS, *IMAGES, GRPO[0]) if case not in SELDOM)
# What ZeRO-3 does to these it does to those above, too.
RARE = (
    *SELDOM,
    *(case for case in (each.replace("-full-", "-lora-") for each in FULL) if case not in ADAPTERS),
    GRPO[1],
    *VIDEOS,
)
USUAL = tuple(dict.fromkeys((*DDP, *ZERO3)))
UNUSUAL = tuple(dict.fromkeys(case for case in (*RARE, *RARE_IN_DDP) if case not in USUAL))
STAGES = {"ddp_cpu": 0, "zero2_cpu": 2, "zero3_cpu": 3, "fsdp2": 0}
NEEDS_DEEPSPEED = pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs the extra `deepspeed`")
LAUNCHES = (
    ("ddp_cpu", DDP, ()),
    ("ddp_cpu", RARE_IN_DDP, (pytest.mark.nightly,)),
    # Between the two that stay: no sharded gradients that ZeRO-3 has not, and whole weights as in DDP.
    ("zero2_cpu", (*FULL, *TOOLS, *GRPO, *VIDEOS), (NEEDS_DEEPSPEED, pytest.mark.nightly)),
    ("zero3_cpu", ZERO3, (NEEDS_DEEPSPEED,)),
    ("zero3_cpu", RARE, (NEEDS_DEEPSPEED, pytest.mark.nightly)),
    ("fsdp2", FSDP, (pytest.mark.nightly,)),
)
LOGGED = {
    "rrpo": ["loss", "grad_norm", "rrpo/kl_chosen", "rewards/margins"],
    "crome": ["loss", "grad_norm", "accuracy", "crome/tie_margin", "crome/margin_preference"],
    "grpo": ["loss", "grad_norm", "reward", "entropy"],
    "sft": ["loss", "grad_norm", "mean_token_accuracy"],
    "deconfound": ["loss", "grad_norm", "deconfound/mse", "deconfound/correlation_age", "deconfound/target_age"],
}


def save_models(folder):
    size = {"vocabulary": len(tiny_tokenizer())}
    tiny_model(**size).save_pretrained(folder / "tied")
    tiny_model(**size, tie_word_embeddings=False).save_pretrained(folder / "untied")
    tiny_reward_model(**size).save_pretrained(folder / "reward")
    if IMAGES:
        tiny_vl_model_and_processor()[0].save_pretrained(folder / "vision")


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """Trains cases in two processes when first asked; returns how they ended and their folder."""

    @cache
    def train(config, cases):
        folder = tmp_path_factory.mktemp(config)
        save_models(folder)
        return launch(f"{config}.yaml", *WORDS.get(config, ()), WITHOUT_VLLM, RUN, folder, 4, *cases), folder

    return train


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    """Trains on the batch of both processes in one, when first asked; returns the folder of a case."""

    @cache
    def train(cases):
        folder = tmp_path_factory.mktemp("one")
        save_models(folder)
        result = with_tests(WITHOUT_VLLM, RUN, folder, 8, *(case for case in cases if not case.startswith("acre")))
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
        return folder

    return lambda case: train(USUAL if case in USUAL else UNUSUAL) / case


def steps_of(out):
    history = json.loads((out / "facts.json").read_text())["history"]
    return [entry for entry in history if "grad_norm" in entry]


def reloaded_logits(method, out):
    """Computes the probe's logits with the model that the run has saved."""
    classes = (AutoModelForImageTextToText if method in SEEN else AutoModelForCausalLM,) * 2
    if method in REWARD_MODELS:  # transformers 5.17 loses the score head of an adapter
        classes = AutoModelForSequenceClassification, AutoPeftModelForSequenceClassification
    model_class = classes[(out / "adapter_config.json").exists()]
    extra = {"num_labels": 1} if method in REWARD_MODELS else {}
    model = model_class.from_pretrained(out, dtype=torch.float32, **extra).eval()
    with torch.no_grad():
        logits = model(input_ids=PROBE).logits
    if method == "crome_pairwise":
        first, second = label_ids(tiny_tokenizer())
        logits = logits[:, -1, first, None] - logits[:, -1, second, None]
    return logits


@pytest.mark.parametrize(
    ("config", "cases", "case"),
    [
        pytest.param(config, cases, case, marks=marks, id=f"{config}-{case}")
        for config, cases, marks in LAUNCHES
        for case in cases
    ],
)
def test_a_method_trains_in_two_processes_and_reloads(launched, one_process, config, cases, case):
    result, folder = launched(config, cases)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    method, out = case.partition("-")[0], folder / case
    facts = json.loads((out / "facts.json").read_text())
    assert (facts["processes"], facts["backend"], facts["zero_stage"]) == (2, "gloo", STAGES[config])
    assert facts["is_sharded"] == (config in ("zero3_cpu", "fsdp2"))
    steps = steps_of(out)
    assert len(steps) == 2
    assert all(0 < entry["grad_norm"] < 1e4 for entry in steps)
    assert (out / "checkpoint-2" / "trainer_state.json").is_file()
    torch.testing.assert_close(reloaded_logits(method, out), torch.load(out / "logits.pt"), rtol=0, atol=1e-4)
    if method.startswith("acre"):
        assert_half_asked_again(steps, out)
        return
    expected = steps_of(one_process(case))
    for name in LOGGED[method.partition("_")[0]]:
        ours, right = ([entry[name] for entry in log] for log in (steps, expected))
        assert ours == pytest.approx(right, rel=1e-3, abs=1e-5), name


def assert_half_asked_again(steps, out):
    assert [entry["acre/asked_again"] for entry in steps] == [0.5, 0.5]  # all of rank 0, none of rank 1
    rows = pd.read_parquet(out / "completions" / "completions_00001.parquet")
    assert rows["outcome"].notna().sum() == 4
