"""What the canary takes from TRL's way to vLLM; `test_trl_contract.py` has the rest of what trainers lean on."""

import inspect
import re

import trl
from trl import GRPOTrainer
from trl.generation.vllm_generation import VLLMGeneration

from align.methods.rollouts.canary.trainer import PLAIN


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
