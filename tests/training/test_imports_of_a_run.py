"""What a run's libraries import as they are loaded, and that nothing is missing afterwards."""

import inspect

import pytest
from accelerate.utils import other
from started import ROOT, start

HEAVY = ["vllm", "bitsandbytes", "sklearn", "scipy.stats", "scipy.optimize", "deepspeed"]
LOADED = f"""
import sys
from importlib.util import find_spec
from align.training.imports import load_libraries

load_libraries(without_vllm=True)
from trl import GRPOTrainer
from accelerate.utils import extract_model_from_parallel
from transformers import GPT2Config, GPT2LMHeadModel
import torch

extract_model_from_parallel(GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=4, n_head=1, vocab_size=8)))
print("loaded", *[name for name in {HEAVY} if name in sys.modules])
"""
USED = """
from transformers.data import metrics
from transformers.generation import candidate_generator
from transformers.loss.loss_for_object_detection import linear_sum_assignment
from trl.import_utils import is_vllm_available
print("vllm", is_vllm_available() == (find_spec("vllm") is not None))
print("curve", candidate_generator.roc_curve([0, 1], [0.2, 0.4])[1].tolist())
print("f1", metrics.f1_score([0, 1], [0, 1]), metrics.pearsonr([0, 1, 2], [0, 2, 4])[0].round(6))
print("pairs", linear_sum_assignment([[1, 0], [0, 1]])[1].tolist())
import peft.helpers, sklearn.metrics.pairwise, scipy.stats
print("real", sklearn.metrics.accuracy_score([1], [1]), scipy.stats.norm.cdf(0), type(sklearn.metrics).__name__)
if find_spec("bitsandbytes"):
    print("bnb", callable(peft.helpers.bnb.functional.dequantize_4bit))
"""


def said(script):
    result = start("-c", script)
    assert result.returncode == 0, result.stderr
    return dict(line.partition(" ")[::2] for line in result.stdout.splitlines())


@pytest.mark.slow
def test_what_a_run_does_not_use_is_not_loaded():
    assert said(LOADED) == {"loaded": ""}


@pytest.mark.slow
@pytest.mark.nightly  # packages of others that change when they are installed anew
def test_what_was_left_out_is_there_when_it_is_used():
    found = said(LOADED + USED)
    assert found["loaded"] == ""
    assert found["curve"] == "[0.0, 1.0, 1.0]"
    assert found["f1"] == "1.0 1.0"
    assert found["pairs"] == "[1, 0]"
    assert found["real"] == "1.0 0.5 module"
    assert found["vllm"] == "True"
    assert found.get("bnb", "True") == "True"


def test_accelerate_asks_for_deepspeed_only_to_know_its_engines():
    """What a run answers with whether DeepSpeed is loaded: without it, no model is one of its engines."""
    source = inspect.getsource(other)
    assert source.count("is_deepspeed_available()") == 1
    asked = inspect.getsource(other.extract_model_from_parallel).partition("if is_deepspeed_available():")[2]
    lines = [line.strip() for line in asked.splitlines() if line.strip()]
    assert lines[:2] == ["from deepspeed import DeepSpeedEngine", "options += (DeepSpeedEngine,)"]


def test_data_that_cannot_be_read_is_told_of_before_torch_is_loaded(tmp_path):
    recipe = ROOT / "recipes" / "sft" / "quickstart.yaml"
    words = ["-X", "importtime", "-m", "align", "train", str(recipe), "--output_dir", str(tmp_path / "run")]
    result = start(*words, "--dataset.path", str(tmp_path / "none.jsonl"))
    assert result.returncode == 1
    assert "none.jsonl" in result.stderr
    assert "Checking the data" in result.stderr
    imported = {line.split("|")[-1].strip() for line in result.stderr.splitlines() if line.startswith("import time")}
    assert imported & {"torch", "transformers"} == set()
    assert "align.services.train" in imported
