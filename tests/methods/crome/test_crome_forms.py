"""Crome on every form of pairs that TRL's reward trainer reads, and on streams."""

import pytest
from datasets import IterableDataset
from forms_of_rows import PAIRS, QUIET, data_set, stream, talk, tokenizer
from tiny import tiny_model, tiny_reward_model
from trained import logged
from trl import RewardConfig, RewardTrainer

from align.errors import DataError
from align.methods.crome.config import CromeConfig
from align.methods.crome.trainer import CromeTrainer


def trained(folder, rows, *, trainer=CromeTrainer, evaluated=None, **settings):
    config = CromeConfig if trainer is CromeTrainer else RewardConfig
    rows = data_set(rows) if isinstance(rows, list) else rows
    made = trainer(
        tiny_model() if settings.get("model_type") == "pairwise" else tiny_reward_model(),
        args=config(**QUIET | {"output_dir": str(folder)} | settings),
        train_dataset=rows,
        eval_dataset=evaluated,
        processing_class=tokenizer(),
    )
    made.train()
    return made


def sourced(rows):
    """Makes every other pair a tie."""
    return [row | {"tie": i % 2 == 1, "source": ("preference", "paraphrase")[i % 2]} for i, row in enumerate(rows)]


@pytest.mark.by_day("messages", "prompt inside parts", "tool turns")
@pytest.mark.parametrize("form", PAIRS)
def test_crome_without_ties_is_the_reward_trainer_and_learns_from_ties_on_every_form(tmp_path, form):
    one, alone = {"max_steps": 1}, {"share_prompts": "off"}
    ours = trained(tmp_path, PAIRS[form], **one, **alone)
    theirs = trained(tmp_path, PAIRS[form], trainer=RewardTrainer, **one)
    assert logged(ours) == logged(theirs)
    assert len(logged(ours)) == 1
    tied = trained(tmp_path, sourced(PAIRS[form]), **one)
    assert logged(tied, "crome/tie_share") == [0.5]
    assert logged(tied, "crome/accuracy_preference")
    assert 0 < logged(trained(tmp_path, sourced(PAIRS[form]), model_type="pairwise", **one))[0] < 1.2


def test_crome_without_ties_is_evaluated_as_the_reward_trainer_and_with_ties_by_source(tmp_path):
    rows = PAIRS["messages"]
    ours = trained(tmp_path, rows, evaluated=data_set(rows), share_prompts="off")
    theirs = trained(tmp_path, rows, trainer=RewardTrainer, evaluated=data_set(rows))
    assert logged(ours) == logged(theirs)
    assert ours.evaluate()["eval_loss"] == theirs.evaluate()["eval_loss"]
    found = ours.evaluate(data_set(sourced(rows)))
    assert found["eval_crome/tie_share"] == 0.5
    assert "eval_crome/accuracy_preference" in found


def test_a_pairwise_model_reads_the_text_of_parts(tmp_path):
    ids = [trained(tmp_path, PAIRS[form], model_type="pairwise", max_steps=1).train_dataset["chosen_ids"]
           for form in ("messages", "parts", "prompt inside parts")]  # fmt: skip
    assert list(ids[0]) == list(ids[1]) == list(ids[2])


@pytest.mark.by_day("scalar")
@pytest.mark.parametrize("model_type", ["scalar", "pairwise"])
def test_a_stream_is_learnt_from_as_its_rows_in_memory_are(tmp_path, model_type):
    rows = sourced(talk())
    ours = trained(tmp_path, stream(rows), evaluated={"a": stream(rows), "b": data_set(rows)}, model_type=model_type)
    theirs = trained(tmp_path, rows, evaluated=data_set(rows), model_type=model_type)
    assert logged(ours) == logged(theirs)
    found, wanted = ours.evaluate(), theirs.evaluate()["eval_loss"]
    assert found["eval_a_loss"] == found["eval_b_loss"] == ours.evaluate(stream(rows))["eval_loss"] == wanted
    assert logged(ours, "crome/accuracy_preference") == logged(theirs, "crome/accuracy_preference")


def test_margins_that_some_rows_of_a_stream_have_are_read(tmp_path):
    rows = [row | ({} if row["tie"] or i == 0 else {"margin": 3.0}) for i, row in enumerate(sourced(talk()))]
    whole = [row | {"margin": row.get("margin", 0.0)} for row in rows]
    ours = trained(tmp_path, IterableDataset.from_generator(lambda: iter(rows)), evaluated=data_set(whole))
    theirs = trained(tmp_path, whole)
    assert logged(ours) == logged(theirs) != logged(trained(tmp_path, stream(sourced(talk()))))
    with pytest.raises(DataError, match="row 1, column `margin`: the margin is not a finite number"):
        trained(tmp_path, stream([rows[0] | {"margin": "much"}]))


def test_ties_and_margins_of_rows_in_memory_are_read_by_the_rules_of_a_stream(tmp_path):
    rows = [row | {"margin": None if row["tie"] else 3.0} for row in sourced(talk())]
    assert logged(trained(tmp_path, rows)) == logged(trained(tmp_path, stream(rows)))
    told = (("tie", "false", "`tie` is neither true nor false"), ("margin", float("nan"), "the margin is not"))
    for column, value, rule in told:
        with pytest.raises(DataError, match=f"row 1, column `{column}`: {rule}"):
            trained(tmp_path, [row | {column: value} for row in sourced(talk())])


def test_rows_of_a_stream_that_cannot_be_used_are_told_and_counted(tmp_path, capsys):
    rows = sourced(talk())
    odd, long = rows[0] | {"source": "paraphrase"}, rows[0] | {"chosen": [{"role": "assistant", "content": "a" * 600}]}
    made = trained(tmp_path, stream([odd, long, *rows]))
    said = capsys.readouterr().err
    assert "train dataset, row 1, column `tie`: a pair of the source paraphrase has no order" in said
    assert "1 cannot be used" in said
    assert "1 are longer than `max_length` = 500: left out." in said
    assert made.num_left_out["train"] == 2
    with pytest.raises(DataError, match=r"No pair of the train dataset can be used. Of 1 rows .* row 1"):
        trained(tmp_path, stream([odd]))
