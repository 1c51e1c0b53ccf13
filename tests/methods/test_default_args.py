"""Trainers without `args`, as TRL's take none."""

from functools import partial

import pytest
from tiny import tiny_model, tiny_tokenizer
from trl import DPOTrainer, GRPOTrainer, RewardTrainer, SFTTrainer

from align import ACRETrainer, CromeTrainer, GuardedGRPOTrainer, RRPOTrainer
from align.methods.acre.config import ACREConfig
from align.methods.crome.config import CromeConfig
from align.methods.grpo.config import GRPOConfig
from align.methods.rrpo.config import RRPOConfig
from align.methods.sft.config import SFTConfig
from align.methods.sft.trainer import CountedSFTTrainer
from align.training.as_in_trl import with_args

TRAINERS = [
    (RRPOTrainer, DPOTrainer, RRPOConfig, "RRPO"),
    (CromeTrainer, RewardTrainer, CromeConfig, "Crome"),
    (CountedSFTTrainer, SFTTrainer, SFTConfig, "SFT"),
    (ACRETrainer, GRPOTrainer, ACREConfig, "ACRE"),
]


@pytest.mark.parametrize(("trainer", "parent", "config", "name"), TRAINERS)
def test_a_trainer_without_args_has_the_defaults_of_its_method(trainer, parent, config, name):
    on_cpu = partial(config, use_cpu=True, bf16=False)  # a default of TRL's is bf16, which needs a GPU
    given, named = with_args(parent.__init__, trainer, ("someone/tiny",), {"processing_class": "p"}, on_cpu)
    made = dict(zip(("model",), given, strict=False)) | named
    config_made = next(each for each in (*given, *named.values()) if isinstance(each, config))
    assert config_made.output_dir == f"tiny-{name}"
    assert made["model"] == "someone/tiny"
    assert "p" in (*given, *named.values())


@pytest.mark.parametrize(("trainer", "config"), [(each[0], each[2]) for each in TRAINERS])
def test_trl_says_where_its_defaults_do_not_fit_the_machine(trainer, config):
    tokenizer = tiny_tokenizer()
    model = tiny_model(vocabulary=len(tokenizer))
    more = {"reward_funcs": ["r"], "render_prompt": str} if trainer is ACRETrainer else {}
    with pytest.raises(ValueError, match="use_cpu"):
        trainer(model=model, processing_class=tokenizer, **more)
    with pytest.raises(TypeError, match=f"`args` must be an? {config.__name__}, got dict"):
        trainer(model=model, args={}, processing_class=tokenizer, **more)


def test_guarded_grpo_takes_a_config_of_trl_and_no_names_of_tools(tmp_path):
    with pytest.raises(TypeError, match="`args` must be a GRPOConfig, got dict"):
        GuardedGRPOTrainer("unused", [len], args={})
    args = GRPOConfig(str(tmp_path), use_cpu=True, bf16=False, tools=["./mine.py:search"])
    with pytest.raises(ValueError, match=r"got \['./mine.py:search'\]. Give `tools` to the trainer"):
        GuardedGRPOTrainer("unused", [len], args)
