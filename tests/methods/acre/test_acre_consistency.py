"""ACRE with consistency: the second pass is as it was, and letters and golds of a completion keep their meaning."""

import random
import re

import pytest
from rollouts_of_acre import letters, texts

from align.experimental.consistency.answers import IDS, MASK, ConsistentACREConfig
from align.experimental.consistency.rules import KNOWN, other_wording
from rewards.scoring.families import Family, FamilyError, find_families

QUESTION = {"id": "q", "question": "Which metal rusts?", "options": ["iron", "gold"], "answer": 0}


def own(make):
    return [Family("own", "own", make)]


def render(question, options):
    return f"{question} {options}"


@pytest.mark.by_day("letters")
@pytest.mark.parametrize("form", [letters, texts], ids=["letters", "texts"])
def test_the_second_pass_is_as_without_it(tmp_path, form):
    """The first step draws, asks and rewards before any weight has moved; only its loss has one more part."""
    logs = {}
    for coef in (0.0, 1.0):
        trainer = form(
            tmp_path / str(coef), max_steps=1, consistency_coef=coef, consistency_families=["distractor"],
            skip_without_advantage="off",
        )  # fmt: skip
        trainer.train()
        logs[coef] = trainer.state.log_history[0]
    own = {name for name in logs[1.0] if name.startswith("consistency/")}
    assert own == {"consistency/divergence", "consistency/changed"}
    timed = {"acre/second_pass_seconds", "acre/second_pass_share", "step_time", "loss", "grad_norm"}
    same = set(logs[0.0]) - timed
    assert logs[0.0]["acre/asked_again"] > 0
    assert {name: logs[0.0][name] for name in same} == {name: logs[1.0][name] for name in same}
    assert 0 < logs[1.0]["consistency/divergence"] < 0.7
    assert logs[1.0]["consistency/changed"] == 1


def test_a_question_is_put_in_other_words_and_its_options_stay(tmp_path):
    trainer = letters(tmp_path, max_steps=1, consistency_coef=1.0, consistency_families=["misleading_hint"])
    batches = []
    inner = trainer._compute_loss
    trainer._compute_loss = lambda model, inputs: batches.append(inputs) or inner(model, inputs)
    trainer.train()
    (batch,) = batches
    decode = trainer._tokenizer.decode
    for row in range(len(batch[IDS])):
        clean = decode(batch["prompt_ids"][row][batch["prompt_mask"][row].bool()])
        other = decode(batch[IDS][row][batch[MASK][row].bool()])
        question, _, options = clean.partition("\n")
        assert other.startswith(f"{question}\n")
        assert other.endswith(f"\n{options}")
        assert re.search(r"most people say|A friend told me|I think the answer", other)


def test_a_hint_needs_a_wrong_option_and_a_family_changes_the_question_alone():
    families = find_families(KNOWN, known=KNOWN)
    drawn = {other_wording(families, QUESTION, random.Random(seed), render) for seed in range(20)}
    assert len(drawn) > 3
    assert all(text.endswith("['iron', 'gold']") for text in drawn)
    assert other_wording(own(lambda version, rng: version), QUESTION, random.Random(0), render) is None
    assert other_wording(own(lambda version, rng: None), QUESTION, random.Random(0), render) is None
    for broken in (
        lambda version, rng: version._replace(options=["gold", "iron"], answer=1, permutation=(1, 0)),
        lambda version, rng: version._replace(answer=1, question="Which does not?"),
    ):
        with pytest.raises(FamilyError, match="Family `own`, row 'q': it changed options or the answer"):
            other_wording(own(broken), QUESTION, random.Random(0), render)
    with pytest.raises(FamilyError, match="must return a text, a Version, or None here"):
        other_wording(own(lambda version, rng: ("a", "b")), QUESTION, random.Random(0), render)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"consistency_families": ["option_order"]}, "Use whitespace or distractor or misleading_hint"),
        ({"consistency_families": ["misleading_hint"], "families": ["distractor"]}, "Use whitespace or distractor,"),
    ],
)
def test_families_that_would_move_letters_are_refused(tmp_path, settings, words):
    with pytest.raises(ValueError, match=words):
        ConsistentACREConfig(output_dir=str(tmp_path), bf16=False, use_cpu=True, answer_reward="x", **settings)


@pytest.mark.slow
@pytest.mark.nightly  # rows that nothing changes: test_consistent_answers.py
def test_a_family_that_maps_the_answer_is_not_compared(tmp_path, capfd):
    (tmp_path / "mine.py").write_text("def rename(row, rng):\n    return row['prompt'].replace('Ann', 'Bob'), 'Bob'\n")
    trainer = texts(tmp_path, max_steps=1, consistency_coef=1.0, consistency_families=[f"{tmp_path}/mine.py:rename"])
    trainer.train()
    assert trainer.state.log_history[0]["consistency/changed"] == 0
    assert "it changed the answer 'Ann' to 'Bob'" in capfd.readouterr().err
