"""RRPO on every form of pairs that TRL's DPO reads, on streams, and on mixtures of experts."""

import pytest
import torch
from forms_of_rows import PAIRS, QUIET, data_set, stream, talk, tokenizer
from tiny import tiny_model
from trained import logged, weights
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM, set_seed
from trl import DPOConfig, DPOTrainer

from align.errors import DataError
from align.methods.rrpo.config import RRPOConfig
from align.methods.rrpo.trainer import RRPOTrainer

NEUTRAL = {"spans": "whole", "kl_coef": 0.0}
NEARLY = {"spans": "whole", "kl_coef": 1e-12}


def trained(folder, rows, *, trainer=RRPOTrainer, model=tiny_model, evaluated=None, **settings):
    config = RRPOConfig if trainer is RRPOTrainer else DPOConfig
    rows = data_set(rows) if isinstance(rows, list) else rows
    made = trainer(
        model(),
        model(),
        args=config(**QUIET | {"output_dir": str(folder)} | settings),
        train_dataset=rows,
        eval_dataset=evaluated,
        processing_class=tokenizer(),
    )
    made.train()
    return made


def mixture():
    """Builds a mixture of four experts whose load-balancing loss counts."""
    set_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "moe_intermediate_size": 16, "head_dim": 8, "vocab_size": 128}
    heads = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0}
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "output_router_logits": True, "router_aux_loss_coef": 0.1}
    return Qwen3MoeForCausalLM(Qwen3MoeConfig(**sizes, **heads, **experts, initializer_range=0.1, eos_token_id=1))


@pytest.mark.by_day("messages", "prompt inside parts", "tool turns")
@pytest.mark.parametrize("form", PAIRS)
def test_neutral_rrpo_is_dpo_and_marked_rrpo_learns_on_every_form(tmp_path, form):
    evaluated = data_set(PAIRS[form]) if form == "messages" else None  # rows of an evaluation are read as these are
    ours, theirs = (
        trained(tmp_path, PAIRS[form], trainer=trainer, evaluated=evaluated, **settings)
        for trainer, settings in ((RRPOTrainer, NEUTRAL), (DPOTrainer, {}))
    )
    assert logged(ours) == logged(theirs)
    assert len(logged(ours)) == 2  # the first is that of equal models
    if evaluated:
        assert ours.evaluate()["eval_loss"] == theirs.evaluate()["eval_loss"]
    marked = trained(tmp_path, PAIRS[form])
    assert logged(marked)[1] < 0.69
    for row in marked.train_dataset:
        for side in ("chosen", "rejected"):
            ids = [i for i, mark in zip(row[f"{side}_ids"], row[f"{side}_span_mask"], strict=True) if mark]
            assert tokenizer().decode(ids).isdigit()  # of "It is 61." and the like only the number differs


def test_a_stream_is_learnt_from_as_its_rows_in_memory_are(tmp_path):
    ours = trained(tmp_path, stream(PAIRS["parts"]), evaluated={"a": stream(talk()), "b": data_set(talk())})
    theirs = trained(tmp_path, PAIRS["messages"], evaluated=data_set(PAIRS["messages"]))
    assert logged(ours) == logged(theirs)
    found, wanted = ours.evaluate(), theirs.evaluate()["eval_loss"]
    assert found["eval_a_loss"] == found["eval_b_loss"] == ours.evaluate(stream(talk()))["eval_loss"] == wanted


def test_rows_of_a_stream_that_cannot_be_used_are_told_and_counted(tmp_path, capsys):
    rows = talk(chosen_spans=None, rejected_spans=None)
    equal, unmarked = (
        dict(rows[0]) | {"rejected": rows[0]["chosen"]},
        rows[1] | {"chosen_spans": [], "rejected_spans": []},
    )
    made = trained(tmp_path, stream([equal, *rows, unmarked]), max_steps=4)  # four rows in two batches, twice around
    said = capsys.readouterr().err
    assert said.count("train dataset, row 1, column `rejected`: chosen and rejected are equal") == 1
    assert "rows of the train dataset that were read, " in said
    assert "have no marked token within `max_length` = 500: left out." in said
    assert made.num_left_out["train"] == 2  # each counts once
    with pytest.raises(
        DataError, match=r"No pair of the train dataset .* 2 cannot be used: left out. train dataset, row 1"
    ):
        trained(tmp_path, stream([equal, equal]))
    with pytest.raises(DataError, match=r"row 1, column `images`: the row has images and the first rows have none"):
        made._marker(tokenizer(), made.args, "train")(rows[0] | {"images": ["a.png"]}, 0)
    with pytest.raises(ValueError, match=r"A streamed `train_dataset` has no length .* Set `max_steps`."):
        trained(tmp_path, stream(rows), max_steps=-1)


def test_the_load_balancing_loss_of_a_mixture_is_that_of_dpo(tmp_path):
    theirs = trained(tmp_path, PAIRS["messages"], trainer=DPOTrainer, model=mixture)
    neutral, nearly = (trained(tmp_path, PAIRS["messages"], model=mixture, **each) for each in (NEUTRAL, NEARLY))
    assert logged(neutral) == logged(theirs)
    assert logged(nearly, "aux_loss") == pytest.approx(logged(theirs, "aux_loss"), rel=1e-4)
    assert logged(nearly) == pytest.approx(logged(theirs), rel=1e-4)
    assert torch.allclose(weights(nearly), weights(theirs), atol=1e-3)
    without = trained(tmp_path, PAIRS["messages"], model=mixture, router_aux_loss_coef=0.0, max_steps=1, **NEARLY)
    assert logged(without)[0] < logged(nearly)[0] - 0.1
