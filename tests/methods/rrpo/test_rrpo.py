import random

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from tiny import tiny_model, tiny_tokenizer, tiny_vl_model_and_processor
from trained import logged, weights
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    ModernBertDecoderConfig,
    ModernBertDecoderForCausalLM,
    MptConfig,
    MptForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    set_seed,
)
from trl import DPOConfig, DPOTrainer

from align.errors import DataError
from align.methods.rrpo.config import RRPOConfig
from align.methods.rrpo.loss import rrpo_loss, span_log_ratio, tdpo_loss, token_kl
from align.methods.rrpo.trainer import RRPOTrainer

TOKENIZER = tiny_tokenizer()
QUIET = {"bf16": False, "use_cpu": True, "report_to": "none", "save_strategy": "no", "disable_tqdm": True}
NEUTRAL = {"spans": "whole", "kl_coef": 0.0}
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": None,
}
LORA = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")


def make_rows(count=16, seed=0, *, messages=False):
    rng = random.Random(seed)
    rows = []
    for i in range(count):
        right, wrong = rng.sample(range(10, 99), 2)
        prompt, chosen, rejected = f"q{i}?", f"It is {right}, yes.", f"It is {wrong}, yes."
        if messages:
            prompt = [{"role": "user", "content": prompt}]
            chosen, rejected = ([{"role": "assistant", "content": text}] for text in (chosen, rejected))
        rows.append({"prompt": prompt, "chosen": chosen, "rejected": rejected})
    return rows


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """The reference model is loaded from the policy's path."""
    folder = tmp_path_factory.mktemp("rrpo") / "model"
    tiny_model(vocabulary=len(TOKENIZER)).save_pretrained(folder)
    return str(folder)


def make_trainer(
    tmp_path,
    model,
    rows=None,
    *,
    trainer=RRPOTrainer,
    ref_model=None,
    peft_config=None,
    eval_rows=None,
    processing_class=TOKENIZER,
    **settings,
):
    base = QUIET | {
        "output_dir": str(tmp_path),
        "max_steps": 5,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "max_length": 64,
    }
    config = RRPOConfig if issubclass(trainer, RRPOTrainer) else DPOConfig
    return trainer(
        model,
        ref_model,
        args=config(**base | settings),
        train_dataset=Dataset.from_list(rows or make_rows()),
        eval_dataset=Dataset.from_list(eval_rows) if eval_rows else None,
        processing_class=processing_class,
        peft_config=peft_config,
    )


@pytest.mark.parametrize(
    "settings",
    [{}, {"gradient_checkpointing": False, "gradient_accumulation_steps": 2}, {"loss_type": ["ipo"], "beta": 0.3}],
    ids=["default", "accumulated", "other loss"],
)
def test_neutral_settings_equal_dpo_to_the_last_bit(tmp_path, model_folder, settings):
    ours = make_trainer(tmp_path, model_folder, **NEUTRAL | settings)
    ours.train()
    theirs = make_trainer(tmp_path, model_folder, trainer=DPOTrainer, **settings)
    theirs.train()
    assert logged(ours) == logged(theirs)
    assert len(logged(ours)) == 5
    assert torch.equal(weights(ours), weights(theirs))


@pytest.mark.parametrize("peft_config", [None, LORA], ids=["full", "lora"])
def test_whole_spans_and_hardly_any_kl_follow_dpo(tmp_path, model_folder, peft_config):
    ours = make_trainer(tmp_path, model_folder, spans="whole", kl_coef=1e-12, peft_config=peft_config)
    ours.train()
    theirs = make_trainer(tmp_path, model_folder, trainer=DPOTrainer, peft_config=peft_config)
    theirs.train()
    assert logged(ours) == pytest.approx(logged(theirs), abs=1e-5)
    for key in ("rewards/chosen", "rewards/rejected", "rewards/margins", "logps/chosen", "num_tokens"):
        assert logged(ours, key) == pytest.approx(logged(theirs, key), abs=1e-3), key
    torch.testing.assert_close(weights(ours), weights(theirs), atol=1e-4, rtol=0)


def naive_losses(trainer, batch):
    """The loss of every pair from full logits."""
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    logits = trainer.model(**inputs).logits[:, :-1]
    with torch.no_grad():
        if trainer.ref_model is None:
            with trainer.model.disable_adapter():
                ref_logits = trainer.model(**inputs).logits[:, :-1]
        else:
            ref_logits = trainer.ref_model(**inputs).logits[:, :-1]
    labels, responses, spans = (batch[n][:, 1:] for n in ("input_ids", "completion_mask", "span_mask"))
    logps, ref_logps = (x.log_softmax(-1).gather(-1, labels[..., None])[..., 0] for x in (logits, ref_logits))
    ratios = span_log_ratio(logps, ref_logps, spans).chunk(2)
    kl = (token_kl(logits, ref_logits) * responses).sum(-1).chunk(2)
    coefs = {"beta": trainer.args.beta, "kl_coef": trainer.args.kl_coef}
    if trainer.args.kl_placement == "margin":
        return tdpo_loss(*ratios, *kl, **coefs)
    return rrpo_loss(*ratios, kl[0], **coefs)


@pytest.mark.parametrize("peft_config", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize(
    "settings",
    [{"kl_coef": 0.1}, {"kl_coef": 0.0}, {"kl_coef": 0.5, "kl_placement": "margin"}, {"spans": "whole"}],
    ids=["rrpo", "without kl", "tdpo", "without spans"],
)
def test_loss_and_gradient_equal_the_naive_form(tmp_path, model_folder, settings, peft_config):
    trainer = make_trainer(tmp_path, model_folder, max_steps=2, peft_config=peft_config, **settings)
    trainer.train()  # away from the reference
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    grads = []
    losses = []
    for loss in (
        trainer.compute_loss(trainer.model, dict(batch)),
        naive_losses(trainer, batch).mean(),
    ):
        trainer.model.zero_grad()
        loss.backward()
        losses.append(loss.item())
        grads.append(torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.requires_grad]))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert (grads[0] - grads[1]).norm() <= 1e-4 * grads[1].norm()
    assert grads[1].norm() > 0


def test_marked_tokens_are_the_differing_words(tmp_path, model_folder):
    for rows in (make_rows(4), make_rows(4, messages=True)):
        trainer = make_trainer(tmp_path, model_folder, rows)
        for row, given in zip(trainer.train_dataset, rows, strict=True):
            for side in ("chosen", "rejected"):
                marks, ids = row[f"{side}_span_mask"], row[f"{side}_ids"]
                text = given[side] if isinstance(given[side], str) else given[side][0]["content"]
                assert TOKENIZER.decode([i for i, mark in zip(ids, marks, strict=True) if mark]) == text[6:8]


def test_offsets_come_before_tags_and_tags_before_the_diff(tmp_path, model_folder):
    rows = [
        {"prompt": "a", "chosen": "red cat", "rejected": "red dog", "chosen_spans": [[0, 3]], "rejected_spans": []},
        {"prompt": "b", "chosen": "<MASK>a red</MASK> cat", "rejected": "a red <MASK>dog</MASK>"},
        {"prompt": "c", "chosen": "red cat", "rejected": "red dog"},
    ]
    trainer = make_trainer(tmp_path, model_folder, rows)
    marked = [
        [
            TOKENIZER.decode([i for i, mark in zip(row[f"{s}_ids"], row[f"{s}_span_mask"], strict=True) if mark])
            for s in ("chosen", "rejected")
        ]
        for row in trainer.train_dataset
    ]
    assert marked == [["red", ""], ["a red", "dog"], ["cat", "dog"]]
    text = TOKENIZER.decode(trainer.train_dataset[1]["chosen_ids"])
    assert "MASK" not in text


def test_token_diff_marks_single_tokens(tmp_path, model_folder):
    rows = [{"prompt": "a", "chosen": "no 15.", "rejected": "no 17."}]
    trainer = make_trainer(tmp_path, model_folder, rows, diff_unit="token")
    assert trainer.train_dataset[0]["chosen_span_mask"] == [0, 0, 0, 0, 1, 0, 0]  # the end of the text is a token


PLAIN = {"prompt": "a", "chosen": "so it is red", "rejected": "so it is blue"}
NO_SPANS = {"chosen_spans": None, "rejected_spans": None}  # a column that some rows use
NOTHING = PLAIN | {"chosen_spans": [], "rejected_spans": []}


def test_pairs_with_nothing_to_mark_are_left_out_and_counted(tmp_path, model_folder):
    trainer = make_trainer(tmp_path, model_folder, [NOTHING, PLAIN | NO_SPANS, PLAIN | NO_SPANS])
    assert len(trainer.train_dataset) == 2
    assert trainer.num_left_out == {"train": 1}


def test_pairs_with_nothing_to_mark_can_be_kept_as_dpo(tmp_path, model_folder):
    trainer = make_trainer(tmp_path, model_folder, [NOTHING, PLAIN | NO_SPANS], on_missing_spans="whole")
    assert all(trainer.train_dataset[0]["chosen_span_mask"])
    assert trainer.num_left_out == {"train": 0}


def test_marks_behind_max_length_do_not_count(tmp_path, model_folder):
    trainer = make_trainer(tmp_path, model_folder, [PLAIN, PLAIN | {"chosen": "mauve it is"}], max_length=8)
    assert trainer.num_left_out == {"train": 1}
    with pytest.raises(DataError, match="No pair of the train dataset has a marked token within `max_length` = 8"):
        make_trainer(tmp_path, model_folder, [PLAIN], max_length=8)


def test_a_bad_row_is_named(tmp_path, model_folder):
    rows = [PLAIN, PLAIN | {"rejected": "so it is red"}]
    with pytest.raises(DataError, match="train dataset, row 2, column `rejected`: chosen and rejected are equal"):
        make_trainer(tmp_path, model_folder, rows)


def test_a_slow_tokenizer_is_refused(tmp_path, model_folder, monkeypatch):
    monkeypatch.setattr(type(TOKENIZER), "is_fast", property(lambda self: False))
    with pytest.raises(DataError, match="needs a fast tokenizer"):
        make_trainer(tmp_path, model_folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss_type": ["ipo"]}, "`loss_type` must stay"),
        ({"precompute_ref_log_probs": True}, "whole distribution"),
        ({"kl_coef": -1.0}, "`kl_coef` must be 0 or more"),
        ({"spans": "some"}, "spans"),
    ],
)
def test_settings_without_meaning_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        RRPOConfig(**QUIET, output_dir=str(tmp_path), **settings)


def test_a_dpo_config_is_refused(tmp_path, model_folder):
    with pytest.raises(TypeError, match="must be an RRPOConfig, got DPOConfig"):
        RRPOTrainer(
            model_folder, args=DPOConfig(**QUIET, output_dir=str(tmp_path)), train_dataset=Dataset.from_list([PLAIN])
        )


def test_a_streamed_data_set_is_refused(tmp_path, model_folder):
    config = RRPOConfig(**QUIET, output_dir=str(tmp_path), max_steps=1)
    data = Dataset.from_list([PLAIN]).to_iterable_dataset()
    with pytest.raises(TypeError, match=r"must be a `datasets.Dataset`, got IterableDataset"):
        RRPOTrainer(model_folder, args=config, train_dataset=data, processing_class=TOKENIZER)


def test_kl_holds_the_shared_tokens(tmp_path, model_folder):
    changes = []
    for kl_coef in (0.0, 0.5):
        trainer = make_trainer(tmp_path, model_folder, max_steps=15, kl_coef=kl_coef)
        trainer.train()
        assert logged(trainer, "rewards/margins")[-1] > 0.1
        changes.append(logged(trainer, "rrpo/kl_chosen")[-1])
    assert changes[1] < 0.5 * changes[0]


def test_what_is_logged(tmp_path, model_folder):
    trainer = make_trainer(tmp_path, model_folder, eval_rows=make_rows(6, seed=1), eval_strategy="steps", eval_steps=5)
    trainer.train()
    names = ("kl_chosen", "kl_chosen_per_token", "logp_change_chosen", "logp_change_rejected", "logp_change_shared")
    for name in (*(f"rrpo/{name}" for name in names), "rewards/accuracies", "rewards/margins"):
        assert len(logged(trainer, name)) == 5, name
        assert len(logged(trainer, f"eval_{name}")) == 1, name
    response = len("It is 12, yes.") + 1
    assert logged(trainer, "rrpo/marked_share") == pytest.approx([2 / response] * 5)
    first = {name: logged(trainer, f"rrpo/{name}")[0] for name in names}
    assert first == pytest.approx(dict.fromkeys(names, 0.0), abs=1e-5)  # the policy starts at the reference
    per_token = [x / response for x in logged(trainer, "rrpo/kl_chosen")]
    assert logged(trainer, "rrpo/kl_chosen_per_token") == pytest.approx(per_token)


def test_bf16_and_checkpointing_train(tmp_path, model_folder):
    trainer = make_trainer(tmp_path, model_folder, bf16=True, gradient_checkpointing=True, max_steps=3)
    before = weights(trainer)
    trainer.train()
    exact = make_trainer(tmp_path, model_folder, max_steps=3)
    exact.train()
    assert logged(trainer) == pytest.approx(logged(exact), rel=0.05)
    assert not torch.equal(before, weights(trainer))


FAMILIES = {
    "soft cap (Gemma 2)": lambda size: Gemma2ForCausalLM(
        Gemma2Config(vocab_size=size, head_dim=8, final_logit_softcapping=3.0, **SMALL)
    ),
    "scaled (Granite)": lambda size: GraniteForCausalLM(GraniteConfig(vocab_size=size, logits_scaling=4.0, **SMALL)),
    "scaled (Cohere)": lambda size: CohereForCausalLM(CohereConfig(vocab_size=size, logit_scale=0.25, **SMALL)),
    "scale not used (MPT)": lambda size: MptForCausalLM(
        MptConfig(vocab_size=size, logit_scale=0.5, d_model=32, n_layers=2, n_heads=4, initializer_range=0.2)
    ),
    "head before the head (ModernBERT)": lambda size: ModernBertDecoderForCausalLM(
        ModernBertDecoderConfig(vocab_size=size, **SMALL | {"bos_token_id": 2})
    ),
    "biased head (Phi)": lambda size: PhiForCausalLM(PhiConfig(vocab_size=size, **SMALL)),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_families_that_change_their_logits_equal_the_naive_form(tmp_path, family):
    set_seed(0)
    model, ref_model = (FAMILIES[family](len(TOKENIZER)) for _ in range(2))  # a reference that is not the policy
    trainer = make_trainer(tmp_path, model, ref_model=ref_model, kl_coef=0.1)
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    assert trainer.compute_loss(trainer.model, dict(batch)).item() == pytest.approx(
        naive_losses(trainer, batch).mean().item(), abs=1e-5
    )
    assert naive_losses(trainer, batch).mean().item() != pytest.approx(0.693, abs=1e-3)


def test_a_vision_language_model_trains_on_text(tmp_path):
    model, processor = tiny_vl_model_and_processor()
    ref_model, _ = tiny_vl_model_and_processor()
    trainer = make_trainer(
        tmp_path, model, make_rows(8, messages=True), ref_model=ref_model, processing_class=processor, max_length=256
    )
    trainer.train()
    assert len(logged(trainer)) == 5
    assert logged(trainer, "rrpo/kl_chosen")[-1] > 0
