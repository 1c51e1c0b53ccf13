import pytest
import torch
from datasets import Dataset
from pair_recipe import fact_pairs
from pair_trainer import QUIET, make_trainer
from tiny import tiny_tokenizer, tiny_vl_model_and_processor
from trained import logged, weights
from trl import DPOConfig

from align.errors import DataError
from align.methods.rrpo.config import RRPOConfig
from align.methods.rrpo.trainer import RRPOTrainer

TOKENIZER = tiny_tokenizer()


def test_marked_tokens_are_the_differing_words(tmp_path, tiny_model_folder):
    for rows in (fact_pairs(4), fact_pairs(4, messages=True)):
        trainer = make_trainer(tmp_path, tiny_model_folder, rows)
        for row, given in zip(trainer.train_dataset, rows, strict=True):
            for side in ("chosen", "rejected"):
                marks, ids = row[f"{side}_span_mask"], row[f"{side}_ids"]
                text = given[side] if isinstance(given[side], str) else given[side][0]["content"]
                assert TOKENIZER.decode([i for i, mark in zip(ids, marks, strict=True) if mark]) == text[6:8]


def test_offsets_come_before_tags_and_tags_before_the_diff(tmp_path, tiny_model_folder):
    rows = [
        {"prompt": "a", "chosen": "red cat", "rejected": "red dog", "chosen_spans": [[0, 3]], "rejected_spans": []},
        {"prompt": "b", "chosen": "<MASK>a red</MASK> cat", "rejected": "a red <MASK>dog</MASK>"},
        {"prompt": "c", "chosen": "red cat", "rejected": "red dog"},
    ]
    trainer = make_trainer(tmp_path, tiny_model_folder, rows)
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


def test_token_diff_marks_single_tokens(tmp_path, tiny_model_folder):
    rows = [{"prompt": "a", "chosen": "no 15.", "rejected": "no 17."}]
    trainer = make_trainer(tmp_path, tiny_model_folder, rows, diff_unit="token")
    assert trainer.train_dataset[0]["chosen_span_mask"] == [0, 0, 0, 0, 1, 0, 0]  # the end of the text is a token


PLAIN = {"prompt": "a", "chosen": "so it is red", "rejected": "so it is blue"}
NO_SPANS = {"chosen_spans": None, "rejected_spans": None}  # a column that some rows use
NOTHING = PLAIN | {"chosen_spans": [], "rejected_spans": []}


def test_pairs_with_nothing_to_mark_are_left_out_and_counted(tmp_path, tiny_model_folder):
    trainer = make_trainer(tmp_path, tiny_model_folder, [NOTHING, PLAIN | NO_SPANS, PLAIN | NO_SPANS])
    assert len(trainer.train_dataset) == 2
    assert trainer.num_left_out == {"train": 1}


def test_pairs_with_nothing_to_mark_can_be_kept_as_dpo(tmp_path, tiny_model_folder):
    trainer = make_trainer(tmp_path, tiny_model_folder, [NOTHING, PLAIN | NO_SPANS], on_missing_spans="whole")
    assert all(trainer.train_dataset[0]["chosen_span_mask"])
    assert trainer.num_left_out == {"train": 0}


def test_marks_behind_max_length_do_not_count(tmp_path, tiny_model_folder):
    trainer = make_trainer(tmp_path, tiny_model_folder, [PLAIN, PLAIN | {"chosen": "mauve it is"}], max_length=8)
    assert trainer.num_left_out == {"train": 1}
    with pytest.raises(DataError, match="No pair of the train dataset has a marked token within `max_length` = 8"):
        make_trainer(tmp_path, tiny_model_folder, [PLAIN], max_length=8)


def test_a_bad_row_is_named(tmp_path, tiny_model_folder):
    rows = [PLAIN, PLAIN | {"rejected": "so it is red"}]
    with pytest.raises(DataError, match="train dataset, row 2, column `rejected`: chosen and rejected are equal"):
        make_trainer(tmp_path, tiny_model_folder, rows)


def test_a_slow_tokenizer_is_refused(tmp_path, tiny_model_folder, monkeypatch):
    monkeypatch.setattr(type(TOKENIZER), "is_fast", property(lambda self: False))
    with pytest.raises(DataError, match="needs a fast tokenizer"):
        make_trainer(tmp_path, tiny_model_folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss_type": ["ipo"]}, "`loss_type` must stay"),
        ({"precompute_ref_log_probs": True}, "whole distribution"),
        ({"kl_coef": -1.0}, "`kl_coef` must be at least 0"),
        ({"spans": "some"}, "spans"),
    ],
)
def test_settings_without_meaning_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        RRPOConfig(**QUIET, output_dir=str(tmp_path), **settings)


def test_a_dpo_config_is_refused(tmp_path, tiny_model_folder):
    with pytest.raises(TypeError, match="must be an RRPOConfig, got DPOConfig"):
        RRPOTrainer(
            tiny_model_folder,
            args=DPOConfig(**QUIET, output_dir=str(tmp_path)),
            train_dataset=Dataset.from_list([PLAIN]),
        )


def test_kl_holds_the_shared_tokens(tmp_path, tiny_model_folder):
    changes = []
    for kl_coef in (0.0, 0.5):
        trainer = make_trainer(tmp_path, tiny_model_folder, max_steps=7, kl_coef=kl_coef)
        trainer.train()
        assert logged(trainer, "rewards/margins")[-1] > 0.1
        changes.append(logged(trainer, "rrpo/kl_chosen")[-1])
    assert changes[1] < 0.5 * changes[0]


def test_what_is_logged(tmp_path, tiny_model_folder):
    trainer = make_trainer(
        tmp_path, tiny_model_folder, eval_rows=fact_pairs(6, seed=1), eval_strategy="steps", eval_steps=2
    )
    trainer.train()
    names = ("kl_chosen", "kl_chosen_per_token", "logp_change_chosen", "logp_change_rejected", "logp_change_shared")
    for name in (*(f"rrpo/{name}" for name in names), "rewards/accuracies", "rewards/margins"):
        assert len(logged(trainer, name)) == 2, name
        assert len(logged(trainer, f"eval_{name}")) == 1, name
    response = len("It is 12, yes.") + 1
    assert logged(trainer, "rrpo/marked_share") == pytest.approx([2 / response] * 2)
    first = {name: logged(trainer, f"rrpo/{name}")[0] for name in names}
    assert first == pytest.approx(dict.fromkeys(names, 0.0), abs=1e-5)  # the policy starts at the reference
    per_token = [x / response for x in logged(trainer, "rrpo/kl_chosen")]
    assert logged(trainer, "rrpo/kl_chosen_per_token") == pytest.approx(per_token)


def test_bf16_and_checkpointing_train(tmp_path, tiny_model_folder):
    trainer = make_trainer(tmp_path, tiny_model_folder, bf16=True, gradient_checkpointing=True, max_steps=2)
    before = weights(trainer)
    trainer.train()
    exact = make_trainer(tmp_path, tiny_model_folder, max_steps=2)
    exact.train()
    assert logged(trainer) == pytest.approx(logged(exact), rel=0.05)
    assert not torch.equal(before, weights(trainer))


def test_a_vision_language_model_trains_on_text(tmp_path):
    model, processor = tiny_vl_model_and_processor()
    ref_model, _ = tiny_vl_model_and_processor()
    trainer = make_trainer(
        tmp_path, model, fact_pairs(8, messages=True), ref_model=ref_model, processing_class=processor, max_length=256
    )
    trainer.train()
    assert len(logged(trainer)) == 2
    assert logged(trainer, "rrpo/kl_chosen")[-1] > 0
