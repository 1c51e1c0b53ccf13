"""The private names of TRL that this project leans on; a failure says what to read again when TRL changes."""

import inspect

import pytest
import trl
from trl import GRPOTrainer
from trl.generation.vllm_generation import VLLMGeneration

HOOKS = {
    (GRPOTrainer, "_calculate_rewards"): ["self", "inputs", "prompts", "completions", "completion_ids_list"],
    (GRPOTrainer, "_tokenize_prompts"): ["self", "prompts"],
    (GRPOTrainer, "_log_completion_extra"): ["self", "column", "values"],
    (GRPOTrainer, "log"): ["self", "logs", "start_time"],
    (VLLMGeneration, "_init_vllm"): ["self"],
    (VLLMGeneration, "sync_weights"): ["self"],
    (VLLMGeneration, "_iter_named_params"): ["self"],
}


@pytest.mark.parametrize(("owner", "name"), HOOKS, ids=lambda value: getattr(value, "__name__", value))
def test_hook_has_the_signature_the_trainers_were_written_for(owner, name):
    found = list(inspect.signature(getattr(owner, name)).parameters)
    assert found == HOOKS[owner, name], (
        f"TRL {trl.__version__} changed {owner.__name__}.{name}{found}; read it again, then align/trainers and "
        f"align/generation/vllm_engine.py."
    )


@pytest.mark.parametrize("attribute", ["_pending_metrics", "_metrics", "_tokenizer", "vllm_generation"])
def test_trainer_still_keeps_what_is_read(attribute):
    assert f"self.{attribute}" in inspect.getsource(GRPOTrainer), (
        f"TRL {trl.__version__} no longer sets GRPOTrainer.{attribute}, which align/trainers/acre.py reads."
    )


def test_rewards_are_calculated_after_the_rollout_and_before_the_loss():
    source = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    assert source.index("self._generate(") < source.index("self._calculate_rewards(")


def test_pending_metrics_are_averaged_over_rows_of_all_ranks():
    source = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    assert "[sum(values), len(values)]" in source, (
        "TRL changed how metrics of reward functions are averaged over ranks; ACRE's rates rely on sum / count."
    )
