import json
from types import SimpleNamespace

import numpy as np
import pytest
from scripted_subject import subject

from align.errors import DataError, UserError
from align.evaluation.asking import Asking
from align.evaluation.suite import SuiteSource
from align.evaluation.suites.references.measure import (
    QUESTION,
    TitledReference,
    area_under_curve,
    estimate_area,
    load,
    measure,
)
from align.models.policies.asking import Decoding
from rewards import reference_consistency

ASKING = Asking(Decoding(temperature=1.0, num_samples=3), options=SimpleNamespace(prompt_template=None))
ROWS = [
    TitledReference(f"t{i}", f"Study number {i}", (f"Ada {name(i)}",) if i % 2 else (), ("invented", "real")[i % 2], i)
    for name in (lambda i: "Kin" + "abcdefghij"[i % 10] * (i // 10 + 2),)
    for i in range(40)
]


def knows_half(prompt, sample):
    """Knows the authors of titles with an odd number, and makes up others every time."""
    i = int(prompt.id[1:])
    return (
        f"Answer: {ROWS[i].authors[0]}"
        if i % 2
        else f"Answer: Bob Made{'uvw'[sample]}{'abcdefghij'[i // 4]}x" + ("yz"[i // 2 % 2])
    )


def found(rule, rows=ROWS, asking=ASKING):
    measured = measure(subject(rule), rows, asking)
    return measured, {name: metric.estimate() for name, metric in measured.means.items()} | dict(measured.others)


def test_a_policy_that_knows_half_of_the_titles_is_told_from_its_inventions():
    measured, values = found(knows_half)
    assert values["reference_consistency/real"].value == 1
    assert values["reference_consistency/invented"].value == 0
    assert values["reference_consistency"].value == 0.5
    assert values["reference_agreement"].value == 0.5
    assert values["reference_chance"].value == 0
    assert values["reference_authors_right"].value == 1
    assert values["reference_authors_right"].n == 20
    assert values["reference_auc"].value == 1
    assert 0.8 < values["reference_auc"].low < 1
    assert [row["authors"] for row in measured.rows[3:6]] == ["A. Kinbb"] * 3


@pytest.mark.parametrize("said", ["Answer: Ada Lovelace, Alan Turing", "Answer: unknown", "I do not know.", ""])
def test_the_same_authors_for_everything_and_nobody_at_all_score_nothing(said):
    measured, values = found(lambda prompt, sample: said)
    unread = ["120 of 120 responses have no answer that can be read"] if "Answer" not in said else []
    assert [warning.split(", one line")[0] for warning in measured.warnings] == unread
    assert values["reference_consistency"].value == 0
    assert values["reference_auc"].value == 0.5
    assert values["reference_answered"].value == float("Ada" in said)


def test_scores_are_those_of_the_reward():
    rng = np.random.default_rng(0)
    names = ["Ada Lovelace", "Kurt Gödel", "Alan Turing", "Emmy Noether"]

    def rule(prompt, sample):
        return "Answer: " + ", ".join(rng.choice(names, size=rng.integers(0, 4), replace=False))

    measured, values = found(rule)
    texts = [row["completion"] for row in measured.rows]
    rewarded = reference_consistency(texts, prompts=[QUESTION.format(title=row["prompt"]) for row in measured.rows])
    by_title = np.array(rewarded).reshape(-1, 3).mean(axis=1)
    assert len(set(by_title.round(6))) > 10
    assert [row["reference_consistency"] for row in measured.rows[::3]] == pytest.approx(by_title.tolist())
    assert values["reference_consistency"].value == pytest.approx(by_title.mean())


def test_words_of_the_title_are_no_authors_and_a_template_of_ones_own_is_asked():
    asked = []

    def rule(prompt, sample):
        asked.append(prompt.content)
        return f"Answer: Lovelace Study, Ada Kin{prompt.id}"

    own = Asking(
        Decoding(temperature=1.0, num_samples=2),
        options=SimpleNamespace(prompt_template="Authors of {title}, {please}?"),
    )
    measured, _ = found(rule, ROWS[:3], own)
    assert asked[0] == "Authors of Study number 0, {please}?"
    assert [row["authors"] for row in measured.rows[:2]] == ["A. Kint"] * 2
    assert measured.settings == {"prompt_template": "Authors of {title}, {please}?"}


def test_the_area_by_hand_and_over_axes():
    assert area_under_curve(np.array([3.0, 1.0]), np.array([2.0, 1.0])) == pytest.approx((2 + 0.5) / 4)
    tables = np.array([[1.0, 1.0], [0.0, 2.0]]), np.array([[0.0], [1.0]])
    assert area_under_curve(*tables).tolist() == [1.0, 0.5]
    assert area_under_curve(*(table.T for table in tables), axis=0).tolist() == [1.0, 0.5]


def test_the_interval_of_the_area_covers_what_it_should():
    """Normal scores one standard deviation apart: the area is Phi(1 / sqrt 2) = 0.7602; of 20 worlds 95 % cover it."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(20):
        each = estimate_area(rng.normal(1, 1, 40), rng.normal(0, 1, 30))
        covered += each.low <= 0.7602 <= each.high
    assert covered >= 17
    assert str(estimate_area(np.array([1.0]), np.array([0.0, 0.5]))).startswith("1.00 [0.")


@pytest.mark.parametrize(
    ("rows", "template", "said"),
    [
        ([{"title": ""}], None, r"row 1, column `title`: the title is missing or empty"),
        ([{"title": "One"}, {"title": "one "}], None, r"row 2, column `title`: the title is there already .* Row 1"),
        ([{"title": "One"}], None, r"has one usable title"),
        ([{"title": "One", "authors": [3]}], None, r"column `authors`: a text is missing or empty"),
        ([{"title": "One"}], "Who?", r"`prompt_template` needs \{title\} once, got 'Who\?'"),
        ([{"name": "One"}], None, r"column `title`"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, rows, template, said):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises((DataError, UserError), match=said):
        load(SuiteSource(str(path)), SimpleNamespace(prompt_template=template))
