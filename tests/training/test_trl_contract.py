"""The private names of TRL that this project leans on; a failure says what to read again when TRL changes."""

import inspect
import re
from functools import cache
from importlib import import_module
from importlib.metadata import requires
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace

import pytest
import trl
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from tiny import tiny_vl_model_and_processor
from transformers import Trainer
from tree import ALIGN
from trl import DPOTrainer, GRPOTrainer, RewardTrainer, SFTTrainer
from trl.generation.vllm_generation import VLLMGeneration
from trl.trainer.dpo_trainer import DataCollatorForVisionPreference
from trl.trainer.utils import add_fused_lm_head

from align.checks.trl_hooks import hook_table, moved_hooks, source_hash
from align.methods.rrpo import spans
from align.methods.sft import trainer as sft
from align.models.transcripts.stopping import StoppedByEnvironments
from align.training.output_head import _logit_scale, check_fused_head

source_of = cache(inspect.getsource)  # which parses the file of a class each time
TABLE = hook_table()
HASHED = {
    (file, name): told
    for part in ("hooks", "leans")
    for file, own in TABLE[part].items()
    for name, told in own.items()
}


def owner(file):
    return import_module("trl." + file.removesuffix(".py").replace("/", "."))


@pytest.mark.parametrize(("file", "name"), HASHED, ids=lambda value: value.rpartition("/")[2])
def test_hook_is_the_one_that_the_trainers_were_written_for(file, name):
    known, _, duty = HASHED[file, name].partition(" ")
    assert attrgetter(name)(owner(file))
    assert source_hash(file, name) == known, (
        f"TRL {trl.__version__} changed {name}, which {duty}; read it again, then what overrides or calls it, and put "
        "its new hash into align/checks/trl_hooks.yaml."
    )


def test_the_bound_is_the_newest_trl_that_the_table_was_tested_with():
    (bound,) = {line.specifier for line in map(Requirement, requires("truealign")) if line.name == "trl"}
    major, minor = map(int, TABLE["tested"].split("."))
    assert bound == SpecifierSet(f">=1.16,<{major}.{minor + 1}")
    assert trl.__version__ in bound


def test_every_private_method_of_trl_that_a_trainer_overrides_is_among_the_hooks():
    names = [each.name for each in ALIGN if each.name.startswith("align.methods.")]
    found = {each for name in names for each in vars(import_module(name)).values() if inspect.isclass(each)}
    ours = [each for each in found if each.__module__.startswith("align.") and issubclass(each, Trainer)]
    wrong, hooks = [], {(owner(file).__name__, name) for file, own in TABLE["hooks"].items() for name in own}
    for trainer in (*ours, type("Stopped", (StoppedByEnvironments, GRPOTrainer), {})):
        parent = next((each for each in trainer.__mro__ if each.__module__.startswith("trl.")), Trainer)
        ours_in = [each for each in trainer.__mro__ if each.__module__.startswith("align.")]
        own = {name for each in ours_in for name in vars(each) if re.match("_[a-z]", name)}
        overridden = {name for name in own & vars(parent).keys() if callable(vars(parent)[name])}
        named = {(parent.__module__, f"{parent.__name__}.{name}") for name in overridden}
        wrong += [] if parent is Trainer else named - hooks
    assert wrong == []
    assert len(ours) > 6


def test_trainers_still_keep_what_is_read():
    assert list(moved_hooks(lambda file: file in TABLE["reads"])) == []


def test_a_reward_trainer_logs_accuracy_and_margin_once_a_step_and_scores_chosen_answers_first():
    source = source_of(RewardTrainer.compute_loss)
    for text in ('["accuracy"].append', '["margin"].append', "rewards_chosen, rewards_rejected = torch.chunk("):
        assert source.count(text) == 1, (
            f"TRL {trl.__version__} changed RewardTrainer.compute_loss; read the trainer of reward pairs again."
        )


def test_pairs_with_images_are_not_prepared_and_their_responses_are_tokenised_alone():
    assert "skip_prepare_dataset = self._is_vision_dataset" in source_of(DPOTrainer.__init__)
    source = source_of(DataCollatorForVisionPreference.torch_call)
    for text in ("text=chosens,", "text=rejecteds,", 'example["images"] for example in examples] * 2'):
        assert text in source, f"TRL {trl.__version__} collates pairs with images otherwise; read spans.py again."


def test_rows_with_images_are_read_by_the_columns_that_their_collators_are_given():
    for trainer, columns in ((DPOTrainer, spans.COLUMNS), (SFTTrainer, sft.COLUMNS)):
        source = source_of(trainer._set_signature_columns_if_needed)
        listed = source.partition("if self._is_vision_dataset")[2].partition("else:")[0]
        assert re.findall(r'"(\w+)"', listed) == [*columns]


def test_the_fused_head_knows_every_change_of_logits_that_trl_knows():
    ours = source_of(check_fused_head) + source_of(_logit_scale)
    theirs = source_of(add_fused_lm_head)
    names = set(re.findall(r'getattr\(text_config, "(\w*logit\w*|\w*multiplier\w*)"', theirs))
    names -= {"output_router_logits"}  # asks a mixture-of-experts model for more, changes no logit
    assert len(names) >= 5
    assert {name for name in names if f'"{name}"' not in ours} == set(), (
        "TRL's fused head reads a setting that changes the logits; add it to align/training/output_head.py."
    )


def test_rewards_are_calculated_after_the_rollout_and_before_the_loss():
    source = source_of(GRPOTrainer._generate_and_score_completions)
    assert source.index("self._generate(") < source.index("self._calculate_rewards(")


def test_every_call_of_a_tool_goes_through_the_dict_of_its_row_and_what_it_raises_is_shown():
    source = source_of(GRPOTrainer._tool_call_loop)
    for text in (
        "sync_tool_dict = self._sync_tool_dicts[idx_with_tool]",
        "if name in sync_tool_dict:",
        'sync_tool_dict[name](**function["arguments"])',
        'result = {"error": str(e)}',
        "content = result if isinstance(result, list) else str(result)",
    ):
        assert text in source, f"TRL {trl.__version__} calls tools otherwise; read the rollouts with tools again."


def test_tokens_of_results_stand_behind_those_of_the_turn_and_the_loop_may_be_entered_again():
    """What second answers behind a result need: where that begins in the tokens, and turns that can go on from it."""
    source, told = source_of(GRPOTrainer._tool_call_loop), f"TRL {trl.__version__} goes on behind results otherwise."
    assert "suffix_ids = self._get_tool_suffix_ids(tool_messages)" in source, told
    assert "tool_mask[idx_with_tool] += [0] * tool_length + [1] * post_tool_length" in source, told
    assert "iteration_num < self.max_tool_calling_iterations" in source, told
    assert "return tool_mask, completions, completion_ids, logprobs" in source, told
    assert "if logprobs is not None:" in source, told
    assert "return prompt_ids, completion_ids, tool_mask, completions" in source_of(GRPOTrainer._generate), told


def test_the_model_reads_results_of_rows_in_their_order_and_a_turn_without_tokens_ends_its_row():
    """What `StoppedByEnvironments` needs: rows that wait end in a result, in the list that the loop was given."""
    source, told = source_of(GRPOTrainer._tool_call_loop), f"TRL {trl.__version__} asks behind results otherwise."
    appended, taken_back, asked, empty = (
        source.index(text)
        for text in (
            "completions[idx_with_tool].append(tool_message)",
            "del completions[idx_with_tool][completions_len_before[idx] :]",
            "self._generate_single_turn(",
            "if post_tool_completions[idx]:",
        )
    )
    assert appended < taken_back < asked < empty, told
    assert "self._tool_call_loop(" in source_of(GRPOTrainer._generate), told


def test_environments_are_reset_before_completions_are_generated_and_their_methods_are_looked_up_on_the_class():
    source = source_of(GRPOTrainer._generate_and_score_completions)
    order = ["self._sync_tool_dicts = []", "environment.reset(**reset_kwargs)", "self._generate(prompts)"]
    places = [source.index(text) for text in order]
    assert places == sorted(places)
    looked_up = "inspect.getmembers(type(instance), predicate=inspect.isfunction)"
    assert looked_up in source_of(GRPOTrainer.__init__)


def test_the_batches_of_a_generation_are_kept_at_once_and_read_one_by_one():
    """What `SkipZeroAdvantage` needs: it packs batches as TRL keeps them, and what TRL reads then are these."""
    source, told = source_of(GRPOTrainer._prepare_inputs), f"TRL {trl.__version__} hands batches on otherwise."
    kept, read = "self._buffered_inputs = [", "self._buffered_inputs[self._step % self.args.steps_per_generation]"
    assert source.index(kept) < source.index(read), told
    assert source_of(GRPOTrainer).count("self._buffered_inputs =") == 2, told  # the other is None, before the first


def test_pending_metrics_are_averaged_over_rows_of_all_ranks():
    source = source_of(GRPOTrainer._generate_and_score_completions)
    assert "[sum(values), len(values)]" in source, (
        "TRL changed how metrics of reward functions are averaged over ranks; rates of a second pass are sum / count."
    )


def test_a_probe_sets_what_samplers_read():
    assert "GenerationConfig(**generation_kwargs, disable_compile=True)" in source_of(GRPOTrainer.__init__)
    for read in ("top_k = self.top_k", "generation_kwargs.update(self.generation_kwargs)"):
        assert read in source_of(VLLMGeneration.generate), f"TRL {trl.__version__} reads other settings; see Probed."


def test_a_prompt_without_images_is_told_apart_by_none():
    source = source_of(GRPOTrainer._tokenize_prompts)
    assert "images.append(prompt_images if prompt_images else None)" in source, (
        f"TRL {trl.__version__} changed what it says of prompts without images; generate_with_images may go."
    )
    assert source_of(GRPOTrainer._generate).rstrip().endswith("extra_fields, images, tool_images"), (
        f"TRL {trl.__version__} returns other things from GRPOTrainer._generate; read generate_with_images again."
    )


def test_a_video_goes_where_an_image_goes():
    """What `score_with_videos` and `ShowsVideos` need: an item of a row that only the processor opens."""
    scored, generated = (
        source_of(each) for each in (GRPOTrainer._generate_and_score_completions, VLLMGeneration.generate)
    )
    for text in (
        'images = [example.get("images") for example in inputs]',
        "self.processing_class(images=images, text=prompts_text, padding=True",
        "num_images = [len(img_list) if img_list else 0 for img_list in images]",
        'self._logs["images"].extend(gather_object(images))',
    ):
        assert text in scored, f"TRL {trl.__version__} reads images otherwise; read score_with_videos again."
    assert 'row["multi_modal_data"] = {"image": img_list if len(img_list) > 1 else img_list[0]}' in generated
    assert "self.llm.generate(vllm_prompts, sampling_params=sampling_params" in generated
    assert 'generation_kwargs["suppress_tokens"] = [model.config.image_token_id]' in source_of(GRPOTrainer)
    assert "rows_per_image = image_grid_thw.prod(dim=-1)" in source_of(GRPOTrainer._get_per_token_logps_and_entropies)
    assert "images=images,\n            text=prompts," in source_of(DataCollatorForVisionPreference.torch_call)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_the_part_of_a_model_that_places_videos_is_given_all_by_name(family):
    """What the hook of `read_renamed` and `place_in_time` need."""
    model, _ = tiny_vl_model_and_processor(family=family)
    (body,) = [module for module in model.modules() if hasattr(type(module), "get_rope_index")]
    assert {"pixel_values", "pixel_values_videos", "image_grid_thw", "video_grid_thw", "mm_token_type_ids"} <= set(
        inspect.signature(body.forward).parameters
    )
    assert "self.get_rope_index(" in inspect.getsource(type(body))
    assert "self.model.get_rope_index(" in inspect.getsource(type(model))  # before generation


def test_an_engine_is_asked_once_for_prompts_without_tools():
    source = source_of(GRPOTrainer._generate_single_turn), source_of(GRPOTrainer._generate)
    asks = "self.vllm_generation.generate(\n                prompts=prompt_ids,\n                images=images,"
    assert asks in source[0]
    assert (source[0].count(".generate(\n"), source[1].count("self._generate_single_turn(")) == (2, 1), (
        f"TRL {trl.__version__} asks its engine otherwise; asked_with hands it the prompts of one call of _generate."
    )


VISION_MODELS = {
    "qwen2_vl": "Qwen2VLModel",
    "qwen2_5_vl": "Qwen2_5_VLModel",
    "qwen3_vl": "Qwen3VLModel",
    "idefics3": "Idefics3Model",
    "smolvlm": "SmolVLMModel",
    "lfm2_vl": "Lfm2VlModel",
    "llava_next": "LlavaNextModel",
    "internvl": "InternVLModel",
    "gemma3": "Gemma3Model",
}


@pytest.mark.parametrize("family", VISION_MODELS)
def test_vision_models_ask_themselves_for_the_features_of_their_images(family):
    module = import_module(f"transformers.models.{family}.modeling_{family}")
    forward = source_of(getattr(module, VISION_MODELS[family]).forward)
    assert "self.get_image_features(" in forward, (
        f"{family} no longer calls get_image_features, so align/models/second_pass/image_memo.py saves it no work."
    )


@pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs the extra `deepspeed`")
def test_deepspeed_marks_the_weights_of_a_sharded_model():
    source = Path(find_spec("deepspeed").origin).parent / "runtime" / "zero" / "partition_parameters.py"
    assert "param.ds_id = " in source.read_text(), "second_pass/image_memo.py no longer knows ZeRO-3 by `ds_id`."


def test_the_loop_of_calls_reads_nothing_of_a_trainer_that_transcripts_do_not_have():
    """`align.models.transcripts.tokens` runs TRL's loop with a small object in the trainer's place."""
    from align.models.policies.asking import Decoding
    from align.models.transcripts.tokens import TokenTranscripts

    names = ("_tokenize_prompts", "_tool_call_loop", "_get_tool_suffix_ids")
    read = {name for each in names for name in re.findall(r"self\.(\w+)", source_of(getattr(GRPOTrainer, each)))}
    of_images_and_engines = {
        "_image_pad_token_id",
        "_video_pad_token_id",
        "vllm_mode",
        "vllm_generation",
        "async_loop",
    }
    engine = object.__new__(TokenTranscripts)
    engine.policy, engine._template, engine._kwargs = SimpleNamespace(tokenizer=None, window=8), None, {}
    loop = engine._loop([], [], Decoding(), 1)
    assert {name for name in read if not hasattr(loop, name)} <= of_images_and_engines
    assert "super()._prepare_inputs" in source_of(GRPOTrainer._tool_call_loop), "where tools return images, only"
