import copy

import pytest
import torch
from datasets import Dataset, Image
from pair_recipe import as_messages
from peft import LoraConfig
from scenes import COLOURS, square
from tiny import tiny_vl_model_and_processor
from trained import logged
from trl import DPOConfig, DPOTrainer
from trl.data_utils import prepare_multimodal_messages

from align.methods.rrpo.config import RRPOConfig
from align.methods.rrpo.trainer import RRPOTrainer

PIL = pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
pytest.importorskip("torchvision", reason="needs the extra `vision`")
FAMILIES = ["qwen2_5_vl", "idefics3"]
LANGUAGE_MODEL = r".*(language_model|text_model).*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
LORA = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
SMALL = {
    "bf16": False,
    "use_cpu": True,
    "report_to": "none",
    "save_strategy": "no",
    "disable_tqdm": True,
    "max_steps": 2,
    "gradient_checkpointing": False,
    "per_device_train_batch_size": 4,
    "learning_rate": 1e-2,
    "logging_steps": 1,
    "max_length": None,
}
both_families = pytest.mark.parametrize("family", FAMILIES)
# Which family it is and what is trained do not meet anywhere in the code: each of them once.
both_in_turn = pytest.mark.parametrize(
    ("family", "peft_config"), [("qwen2_5_vl", None), ("idefics3", LORA)], ids=["qwen2_5_vl-full", "idefics3-lora"]
)


def pair(i, images=1):
    """A pair of which only the colours differ, about one image or two; the second one is not square."""
    right, wrong = (list(COLOURS)[(i + k) % 4] for k in range(2))
    row = {"prompt": f"q{i}?", "chosen": f"It is {right}, yes.", "rejected": f"It is {wrong}, yes."}
    return as_messages(row) | {"images": [square(right), square(wrong).crop((0, 0, 40, 28))][:images]}


def make_dataset(rows):
    return Dataset.from_list(rows).cast_column("images", [Image()])


def make_rows(count=8):
    return [pair(i, images=1 + i % 2) for i in range(count)]


def make_trainer(tmp_path, family, rows=None, *, trainer=RRPOTrainer, peft_config=None, eval_dataset=None, **settings):
    model, processor = tiny_vl_model_and_processor(family=family)
    config = RRPOConfig if trainer is RRPOTrainer else DPOConfig
    return trainer(
        model,
        None if peft_config else copy.deepcopy(model),
        args=config(**SMALL | {"output_dir": str(tmp_path)} | settings),
        train_dataset=rows if isinstance(rows, Dataset) else make_dataset(rows or make_rows()),
        eval_dataset=eval_dataset,
        processing_class=processor,
        peft_config=peft_config,
    )


def first_batch(trainer):
    return next(iter(trainer.get_train_dataloader()))


def marked_texts(trainer):
    """What the collator marks of every row, the chosen responses first."""
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(trainer.train_dataset))])
    marked = zip(batch["input_ids"], batch["span_mask"].bool(), strict=True)
    return [trainer.processing_class.tokenizer.decode(ids[mask]) for ids, mask in marked]


@pytest.mark.by_day("qwen2_5_vl-full")
@both_in_turn
def test_two_steps_change_the_weights_and_move_away_from_the_reference(tmp_path, family, peft_config):
    trainer = make_trainer(tmp_path, family, peft_config=peft_config)
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad}
    trainer.train()
    assert logged(trainer)[0] == pytest.approx(0.693147, abs=1e-5)  # the policy starts at the reference
    assert logged(trainer, "rrpo/kl_chosen")[1] > 0.01
    changed = {name for name, p in trainer.model.named_parameters() if name in before and not p.equal(before[name])}
    assert any("vision" in name or "visual" in name for name in changed)
    assert len(changed) > len(before) / 2


@pytest.mark.by_day("idefics3")
@both_families
def test_marks_stand_on_the_words_of_the_responses_only(tmp_path, family):
    rows = [pair(0), pair(1, images=2), pair(2), pair(3)]
    tagged = as_messages({"prompt": "q?", "chosen": "It <MASK>is red</MASK>, yes.", "rejected": "It is blue, yes."})
    given = {"chosen_spans": [[0, 2]], "rejected_spans": []}
    rows = [rows[0] | {"chosen_spans": None, "rejected_spans": None}, rows[1] | given, tagged | {"images": [square()]}]
    trainer = make_trainer(tmp_path, family, rows)
    assert marked_texts(trainer) == ["red", "It", "is red", "green", "", ""]


def test_token_diff_marks_single_tokens(tmp_path):
    row = as_messages({"prompt": "q?", "chosen": "no 15.", "rejected": "no 17."}) | {"images": [square()]}
    trainer = make_trainer(tmp_path, "qwen2_5_vl", [row], diff_unit="token")
    assert marked_texts(trainer) == ["5", "7"]


@pytest.mark.by_day("qwen2_5_vl")
@both_families
def test_tokens_of_images_are_never_scored(tmp_path, family):
    trainer = make_trainer(tmp_path, family)
    batch = first_batch(trainer)
    is_image = batch["input_ids"] == trainer.processing_class.image_token_id
    assert is_image.any(-1).all()
    responses = batch["completion_mask"][:, 1:].bool()
    assert not (responses & is_image[:, 1:]).any()
    assert responses.any()


@pytest.mark.by_day("idefics3")
@both_families
def test_policy_and_reference_read_all_that_the_processor_makes(tmp_path, family):
    trainer = make_trainer(tmp_path, family)
    batch = first_batch(trainer)
    read = []
    for model in (trainer.model, trainer.ref_model):
        model.register_forward_pre_hook(lambda _, args, kwargs: read.append(kwargs), with_kwargs=True)
    trainer.compute_loss(trainer.model, batch)
    images = {"qwen2_5_vl": {"image_grid_thw", "mm_token_type_ids"}, "idefics3": {"pixel_attention_mask"}}[family]
    names = {"input_ids", "attention_mask", "pixel_values", *images}
    assert names == set(batch) - {"completion_mask", "span_mask"}
    read = [kwargs for kwargs in read if "pixel_values" in kwargs]  # without what is tried on texts
    assert len(read) == 2
    for kwargs in read:
        assert set(kwargs) - {"scored", "reference"} == {*names, "use_cache"}
        assert kwargs["use_cache"] is False


@pytest.mark.by_day("idefics3")
@both_families
def test_neutral_settings_equal_dpo_to_the_last_bit(tmp_path, family):
    runs = [
        make_trainer(tmp_path, family, gradient_checkpointing=True, **settings)
        for settings in ({"spans": "whole", "kl_coef": 0.0}, {"trainer": DPOTrainer})
    ]
    for trainer in runs:
        trainer.train()
    assert logged(runs[0]) == logged(runs[1])
    assert len(logged(runs[0])) == 2
    for ours, theirs in zip(runs[0].model.parameters(), runs[1].model.parameters(), strict=True):
        assert ours.equal(theirs)


@pytest.mark.slow
@pytest.mark.nightly  # the loss by hand, and texts in test_rrpo_trainer_loss.py
@both_in_turn
def test_whole_spans_and_hardly_any_kl_follow_dpo(tmp_path, family, peft_config):
    runs = [
        make_trainer(tmp_path, family, peft_config=peft_config, **settings)
        for settings in ({"spans": "whole", "kl_coef": 1e-12}, {"trainer": DPOTrainer})
    ]
    for trainer in runs:
        trainer.train()
    assert logged(runs[0]) == pytest.approx(logged(runs[1]), abs=1e-5)
    theirs = {key for line in runs[1].state.log_history for key in line} - {"train_runtime", "train_loss"}
    for key in sorted(key for key in theirs if "per_second" not in key and key not in ("total_flos", "grad_norm")):
        assert logged(runs[0], key) == pytest.approx(logged(runs[1], key), abs=1e-3), key


def terms_by_hand(trainer, row, side):
    """Reads one response in one plain forward pass of each model: log-ratio of its colour, and its KL."""
    processor, messages = trainer.processing_class, prepare_multimodal_messages(row["prompt"], images=row["images"])
    prompt = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    full = processor.apply_chat_template(messages + prepare_multimodal_messages(row[side]), tokenize=False)
    read = {"images": [row["images"]], "return_tensors": "pt", "add_special_tokens": False}
    inputs = processor(text=[full], **read)
    start = processor(text=[prompt], **read)["input_ids"].shape[1]
    log_probs = trainer.model(**inputs).logits[0, start - 1 : -1].log_softmax(-1)
    with torch.no_grad():
        if trainer.ref_model is None:
            with trainer.model.disable_adapter():
                ref_logits = trainer.model(**inputs).logits
        else:
            ref_logits = trainer.ref_model(**inputs).logits
    ref_log_probs = ref_logits[0, start - 1 : -1].log_softmax(-1)
    ids = inputs["input_ids"][0, start:]
    text = processor.tokenizer.decode(ids)
    colour = row[side][0]["content"].split()[2].strip(",")
    place = text.index(colour)  # a token is a character, but for the special ones behind
    spoken = torch.arange(place, place + len(colour))
    ratio = (log_probs - ref_log_probs)[spoken, ids[spoken]].sum()
    kl = (ref_log_probs.exp() * (ref_log_probs - log_probs)).sum()
    return ratio, kl, len(ids)


@both_in_turn
def test_the_loss_is_the_one_computed_by_hand(tmp_path, family, peft_config):
    rows = make_rows(4)
    trainer = make_trainer(tmp_path, family, rows, peft_config=peft_config, max_steps=1, kl_coef=0.1, beta=0.5)
    trainer.train()  # away from the reference
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(4)])
    losses, lengths = [], []
    for row in rows:
        (chosen, kl, length), (rejected, _, _) = (terms_by_hand(trainer, row, side) for side in ("chosen", "rejected"))
        losses.append(-torch.nn.functional.logsigmoid(0.5 * (chosen - rejected)) + 0.1 * kl)
        lengths.append(length)
    assert trainer.compute_loss(trainer.model, batch).item() == pytest.approx(
        torch.stack(losses).mean().item(), abs=1e-5
    )
    assert abs(losses[0].item() - 0.693147) > 1e-3
    assert batch["completion_mask"].sum(-1)[:4].tolist() == pytest.approx(lengths, abs=1)
