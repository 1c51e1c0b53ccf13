import pytest

from align.methods.acre.outcomes import SecondText, TextRow, text_metrics, text_table
from rewards.scoring.families import ChangedPrompt

SAME, MAPPED = ChangedPrompt("p", "Ann", "noise"), ChangedPrompt("p", "Bob", "names")


def row(right, *second, has_version=True):
    return TextRow("Ann", "t", "Ann" if right else "Eve", right, has_version, second)


ROWS = [
    row(True, SecondText(SAME, "Ann", True)),
    row(True, SecondText(MAPPED, "Ann", False)),
    row(False, SecondText(MAPPED, "Bob", True)),
    row(False, SecondText(SAME, " eve.", False)),  # wrong twice in the same words
    row(False, SecondText(SAME, "Kim", False)),
    row(False, SecondText(MAPPED, "Eve", False)),  # nobody knows who Eve became
    row(True, SecondText(SAME, "?", None)),  # the reward could not say
    row(True, has_version=False),
    row(None, has_version=None)._replace(answer=None),
]


def test_metrics_by_hand():
    means = {name: sum(values) / len(values) for name, values in text_metrics(ROWS).items()}
    assert means == {
        "acre/first_right": pytest.approx(4 / 9),
        "acre/no_answer": pytest.approx(1 / 9),
        "acre/asked_again": pytest.approx(7 / 9),
        "acre/has_version": pytest.approx(7 / 8),
        "acre/second_unread": pytest.approx(1 / 7),
        "acre/outcome_both": pytest.approx(1 / 6),
        "acre/outcome_first_only": pytest.approx(1 / 6),
        "acre/outcome_second_only": pytest.approx(1 / 6),
        "acre/outcome_neither": pytest.approx(3 / 6),
        "acre/consistency_rate": pytest.approx(2 / 5),
    }


def test_verdicts_for_rewards():
    expected = [[True], [False], [True], [False], [False], [False], [True], [True], None]
    assert [each.second_right() for each in ROWS] == expected


def test_the_table_shows_golds_that_changed_only():
    assert text_table(ROWS[0]) == {
        "trace": "t", "first_answer": "Ann", "second_texts": "Ann", "family": "noise", "second_gold": None,
        "outcome": "both",
    }  # fmt: skip
    both = ROWS[1]._replace(second=(SecondText(SAME, None, None), *ROWS[1].second))
    assert text_table(both)["second_texts"] == "- | Ann"
    assert text_table(both)["second_gold"] == "Ann | Bob"
    assert (text_table(both)["family"], text_table(both)["outcome"]) == ("noise names", "first_only")
    assert set(text_table(ROWS[-1]).values()) == {"t", None}
