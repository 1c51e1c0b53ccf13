import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards import reference_consistency
from rewards.scoring.reference_consistency import contrast, overlap, read_authors

POOL = ["Ada Lovelace", "Kurt Gödel", "Alan Turing", "Emmy Noether", "Grace Hopper", "Alonzo Church"]
LISTS = st.lists(st.sampled_from(POOL), max_size=4, unique=True).map(", ".join)


def score(answers, prompts, **columns):
    return reference_consistency([f"<answer>{answer}</answer>" for answer in answers], prompts, **columns)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("Ada Lovelace", "Lovelace, A.; Turing, A.", 1 / 2),
        ("Ada Lovelace, Alan Turing", "Alan Turing and A. Lovelace", 1.0),
        ("Ada Lovelace, Alan Turing", "Alan Turing, Kurt Gödel", 1 / 3),
        ("Ada Lovelace", "Bob Lovelace", 0.0),
        ("Ada Lovelace", "Lovelace", 1.0),
        ("Ada Lovelace, Bob Lovelace", "Lovelace", 1 / 2),
        ("Ada Lovelace, Lovelace", "Ada Lovelace", 1.0),  # one person, named twice
        ("Ada Lovelace", "", 0.0),
        ("", "", 0.0),
    ],
)
def test_overlap_is_common_names_over_all_names(first, second, expected):
    assert overlap(read_authors(first), read_authors(second)) == pytest.approx(expected)
    assert overlap(read_authors(second), read_authors(first)) == pytest.approx(expected)


def test_agreement_minus_chance_by_hand():
    answers = [
        "Ada Lovelace, Alan Turing",
        "Ada Lovelace",
        "Kurt Gödel",
        "Alan Turing",
        "Emmy Noether",
        "Emmy Noether",
    ]
    log = []
    values = score(answers, ["p", "p", "q", "q", "r", "r"], log_metric=lambda *metric: log.append(metric))
    # row 0: 1/2 with row 1; with q (0 + 1/2) / 2, with r 0, so 1/8 by chance
    # row 3: 0 with row 2; with p (1/2 + 0) / 2, with r 0
    assert values == pytest.approx([1 / 2 - 1 / 8, 1 / 2, 0.0, -1 / 8, 1.0, 1.0])
    assert log == [
        ("reference_consistency/agreement", pytest.approx(3 / 6)),
        ("reference_consistency/chance", pytest.approx(1 / 24)),
    ]


@given(LISTS, st.lists(st.sampled_from("pqr"), min_size=2, max_size=10))
def test_a_constant_answer_earns_nothing(answer, prompts):
    assert {value for value in score([answer] * len(prompts), prompts) if value is not None} <= {0.0}


@given(st.permutations(POOL))
def test_agreement_earns_more_than_disagreement(pool):
    agree = score([pool[0], pool[0], pool[1], pool[2]], "ppqq")
    assert agree == [1.0, 1.0, 0.0, 0.0]
    partly = score([pool[0], f"{pool[0]}, {pool[3]}", pool[1], pool[2]], "ppqq")
    assert agree[0] > partly[0] > agree[2]


@given(st.lists(st.tuples(LISTS, st.sampled_from("pqr")), max_size=10), st.randoms())
def test_values_are_bounded_and_do_not_depend_on_the_order_of_rows(rows, rng):
    values = score([row[0] for row in rows], [row[1] for row in rows])
    assert all(value is None or -1 <= value <= 1 for value in values)
    order = rng.sample(range(len(rows)), len(rows))
    again = score([rows[i][0] for i in order], [rows[i][1] for i in order])
    assert [value is None for value in again] == [values[i] is None for i in order]
    assert [v for v in again if v is not None] == pytest.approx([values[i] for i in order if values[i] is not None])


def test_without_a_contrast_or_a_second_response_there_is_nothing_to_say():
    assert score(["Ada Lovelace"] * 3, "ppp") == [None] * 3
    assert score(["Ada Lovelace", "Kurt Gödel", "Kurt Gödel"], "pqq") == [None, 1.0, 1.0]
    assert score([], []) == []


def test_declining_earns_nothing_even_for_some_prompts_only():
    assert score(["unknown", "unknown", "Ada Lovelace", "Kurt Gödel"], "ppqq") == [0.0] * 4
    assert reference_consistency(["Ada Lovelace"] * 4, prompts=list("ppqq")) == [0.0] * 4  # no answer tags


def test_names_made_of_the_prompt_do_not_count():
    prompts = ["Who wrote Attention Is All You Need?"] * 2 + ["Who wrote it?"] * 2
    assert score(["Attention Need", "Attention Need", "Ada Lovelace", "Kurt Gödel"], prompts) == [0.0] * 4
    messages = [[{"role": "user", "content": prompt}] for prompt in prompts]
    assert score(["Attention Need", "Attention Need", "Ada Lovelace", "Kurt Gödel"], messages) == [0.0] * 4


def test_several_prompts_may_ask_about_one_reference():
    answers = ["Ada Lovelace", "A. Lovelace", "Kurt Gödel", "Kurt Gödel"]
    assert score(answers, list("abcd")) == [None] * 4
    assert score(answers, list("abcd"), reference_id=["x", "x", "y", "y"]) == [1.0] * 4
    assert score(answers, list("abcd"), origin=["x", "x", "y", "y"]) == [1.0] * 4
    assert score(answers, list("abcd"), origin=["z"] * 4, reference_id=["x", "x", "y", "y"]) == [1.0] * 4


def by_definition(lists, references):
    """Every list against every other."""
    found = []
    for own, name in zip(lists, references, strict=True):
        others = {key: [each for each, of in zip(lists, references, strict=True) if of == key] for key in references}
        chances = [sum(overlap(own, each) for each in rows) / len(rows) for key, rows in others.items() if key != name]
        same = [overlap(own, each) for each in others[name]]
        if len(same) < 2 or not chances:
            found.append(None)
        else:
            agreement = (sum(same) - overlap(own, own)) / (len(same) - 1)
            found.append(agreement - sum(chances) / len(chances))
    return found


@given(st.lists(st.tuples(LISTS, st.sampled_from("pqrs")), max_size=12))
def test_lists_without_a_common_surname_may_be_passed_over(rows):
    lists, references = [read_authors(row[0]) for row in rows], [row[1] for row in rows]
    found = [None if each is None else pytest.approx(each.value) for each in contrast(lists, references)]
    assert by_definition(lists, references) == found
