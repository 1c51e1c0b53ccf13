import json
from types import SimpleNamespace

import numpy as np
import pytest
from scripted_subject import subject

from align.errors import DataError
from align.evaluation.asking import Asking
from align.evaluation.suite import SuiteSource
from align.evaluation.suites.core_advantage.measure import CoreQuestion, core_means, load, measure
from align.models.policies.asking import Decoding

ASKING = Asking(Decoding(), options=SimpleNamespace(content_free="N/A"))
ROWS = [
    CoreQuestion(f"q{i}", f"A bird on water, number {i}?", "waterbird", ("landbird", "a bird"), "wet", i)
    for i in range(40)
]


def numbers(scores, rows=ROWS):
    found = measure(subject(scores=scores), rows, ASKING)
    return {name: metric.estimate().value for name, metric in found.means.items()}


def test_a_constant_prior_and_a_preference_for_length_are_no_core_advantage():
    """The same log-probs behind every prompt: the two margins are equal, whatever they are."""
    prior = {"waterbird": [-1.0, -1.0], "landbird": [-4.0], "a bird": [-6.0]}
    assert numbers(lambda text: prior[text.text])["core_advantage"] == 0
    by_length = numbers(lambda text: [-float(len(text.text))] * 3)
    assert by_length["core_advantage"] == 0
    assert by_length["core_preferred"] == 0.5
    assert by_length["core_margin/question"] == -3  # nine letters, against six of "a bird"


def test_a_model_that_reads_the_question_has_an_advantage_by_hand():
    def scores(text):
        behind_question = text.prompt.startswith("A bird")
        return {"waterbird": [-1.0, -2.0] if behind_question else [-3.0], "landbird": [-2.5], "a bird": [-4.0]}[
            text.text
        ]

    found = numbers(scores)
    assert found["core_margin/question"] == pytest.approx(-1.5 + 2.5)
    assert found["core_margin/content_free"] == pytest.approx(-3 + 2.5)
    assert found["core_advantage"] == pytest.approx(1.5)
    assert found["core_preferred"] == 1


def test_a_model_that_follows_the_spurious_feature_has_a_negative_one():
    found = numbers(lambda text: [-1.0] if (text.text == "landbird") == text.prompt.startswith("A bird") else [-2.0])
    assert found["core_advantage"] == -1
    assert found["core_preferred"] == 0


def test_groups_have_their_own_share():
    means = core_means(np.array([1.0, 1.0, -1.0]), np.zeros(3), ["a", "a", "b"])
    assert means["core_preferred/a"].estimate().value == 1
    assert means["core_preferred/b"].estimate().value == 0


def test_each_text_is_read_once():
    read = []
    measure(subject(scores=lambda text: read.append(text) or [-1.0]), ROWS, ASKING)
    assert len(read) == 3 * (len(ROWS) + 1)  # the content-free prompt once


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "Q?", "core": "iron", "spurious": ["Iron"]}, "a spurious option is the core one"),
        ({"question": "Q?", "core": "iron", "spurious": []}, "fewer than 1 texts"),
        ({"question": " ", "core": "iron", "spurious": "gold"}, "the question is missing or empty"),
        ({"question": "Q?", "core": 3, "spurious": "gold"}, "the option is missing or empty"),
        ({"prompt": "Q?"}, "column `question`"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path, row, said):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=said):
        load(SuiteSource(str(path)), SimpleNamespace(**{}))
