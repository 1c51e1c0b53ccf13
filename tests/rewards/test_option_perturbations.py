import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards import FAMILIES, SEEN_FAMILIES, UNSEEN_FAMILIES, can_shuffle, perturbed_rows, render_options
from rewards.scoring.perturbations import Version, make_versions

WORDS = ["iron", "gold", "zinc", "lead", "tin", "which metal", "that rusts", "is soft", "melts first", "conducts"]
QUESTIONS = st.lists(st.sampled_from(WORDS), min_size=2, max_size=6).map(lambda words: f"{' '.join(words)}?")
OPTIONS = st.lists(st.sampled_from([*WORDS, "All of the above"]), min_size=2, max_size=5, unique=True)


def render(question, options):
    return f"{question}\n{render_options(options)}" if options else question


def version(question="Which metal rusts?", options=("iron", "gold", "zinc"), answer=0):
    options = None if options is None else list(options)
    return Version(question, options, answer, None if options is None else tuple(range(len(options))))


@given(QUESTIONS, OPTIONS, st.data(), st.sampled_from(sorted(FAMILIES)), st.integers(0, 9))
def test_a_version_keeps_the_question_and_the_right_option(question, options, data, family, seed):
    answer = data.draw(st.integers(0, len(options) - 1))
    original = version(question, options, answer)
    changed = FAMILIES[family](original, random.Random(seed))
    if changed is None:
        assert family == "distractor" or (family == "option_order" and not can_shuffle(options))
        return
    assert changed != original
    assert " ".join(question.split()) in " ".join(changed.question.split())
    assert changed.options[changed.answer] == options[answer]
    assert [options[i] for i in changed.permutation] == changed.options
    assert FAMILIES[family](original, random.Random(seed)) == changed


def test_option_order_moves_the_answer_with_its_option_and_keeps_anchors():
    rng = random.Random(0)
    changed = FAMILIES["option_order"](version(options=["iron", "gold", "None of these"]), rng)
    assert (changed.options, changed.answer, changed.permutation) == (["gold", "iron", "None of these"], 1, (1, 0, 2))
    assert FAMILIES["option_order"](version(options=["iron", "Both A and C", "gold"]), rng) is None
    assert FAMILIES["option_order"](version(options=None, answer="iron"), rng) is None


def test_a_distractor_has_no_long_word_of_the_question_or_its_options():
    for seed in range(20):
        changed = FAMILIES["distractor"](
            version("Who works in a bakery or library?", ["a neighbour", "a bus"]), random.Random(seed)
        )
        sentence = changed.question.removesuffix(" Who works in a bakery or library?")
        assert not {"bakery", "library", "neighbour"} & set(sentence.lower().rstrip(".").split())
    everything = "bakery sister umbrella morning neighbour library"
    assert FAMILIES["distractor"](version(everything), random.Random(0)) is None


def test_a_misleading_hint_names_a_wrong_option_only():
    for seed in range(20):
        changed = FAMILIES["misleading_hint"](version(options=["iron", "Gold", "zinc"]), random.Random(seed))
        hint = changed.question.removeprefix("Which metal rusts?\n")
        assert ("Gold" in hint) != ("zinc" in hint)
        assert "iron" not in hint
    assert FAMILIES["misleading_hint"](version(options=["iron", " IRON "]), random.Random(0)) is None
    assert FAMILIES["misleading_hint"](version(options=None, answer="iron"), random.Random(0)) is None


@pytest.mark.parametrize("question", ["One?", "two  spaces?", "a\tb?", "line one\nline two?", "What does `x = 1` do?"])
def test_a_question_whose_layout_may_mean_something_keeps_its_spaces(question):
    assert FAMILIES["whitespace"](version(question), random.Random(0)) is None


def test_families_are_seen_or_unseen():
    assert set(SEEN_FAMILIES) | set(UNSEEN_FAMILIES) == set(FAMILIES)
    assert not set(SEEN_FAMILIES) & set(UNSEEN_FAMILIES)


ROW = {"id": "q1", "question": "Which metal rusts?", "options": ["iron", "gold"], "answer": 0, "topic": "metals"}


def test_rows_of_an_origin_stand_together_with_everything_mapped():
    other = {"question": "Which is heavy?", "options": ["lead", "cork", "air"], "answer": 0}
    rows, unchanged = perturbed_rows([ROW, other], render, list(FAMILIES), seed=3)
    assert [row["id"] for row in rows[:5]] == ["q1", *(f"q1/{family}" for family in FAMILIES)]
    assert [row["origin"] for row in rows] == ["q1"] * 5 + ["1"] * 5
    assert [row["family"] for row in rows] == ["original", *FAMILIES] * 2
    assert unchanged == dict.fromkeys(FAMILIES, 0)
    for row in rows:
        assert row["prompt"] == render(row["question"], row["options"])
        assert row["options"][row["answer"]] in ("iron", "lead")
    assert rows[0] == ROW | {"prompt": rows[0]["prompt"], "origin": "q1", "family": "original", "permutation": [0, 1]}
    assert rows[1]["topic"] == "metals"


def test_a_version_depends_on_its_own_row_only():
    rows, _ = perturbed_rows([ROW | {"id": f"q{i}"} for i in range(4)], render, list(FAMILIES), seed=1)
    alone, _ = perturbed_rows([ROW | {"id": "q2"}], render, ["distractor"], seed=1)
    assert alone[1] in rows
    assert perturbed_rows([ROW], render, seed=1)[0] == perturbed_rows([dict(ROW)], render, seed=1)[0]
    drawn = make_versions(version(), "q1", dict.fromkeys("ab", lambda _, rng: rng.random()))
    assert drawn["a"] != drawn["b"], "two families draw the same"


def test_rows_that_a_family_cannot_change_are_counted_and_left_out():
    fixed = ROW | {"options": ["iron", "Both A and C", "gold"]}
    rows, unchanged = perturbed_rows([ROW, fixed], render)
    assert (len(rows), unchanged) == (3, {"option_order": 1, "whitespace": 0})


def test_questions_without_options_have_versions_too():
    row = {"id": "f", "question": "Who wrote Faust?", "answer": "Goethe"}
    rows, _ = perturbed_rows([row], render, ["distractor", "whitespace"])
    assert [row["answer"] for row in rows] == ["Goethe"] * 3
    assert "permutation" not in rows[0]
    assert "options" not in rows[0]


@pytest.mark.parametrize("families", [["option_oder"], [], "distractor"])
def test_unknown_families_are_refused(families):
    with pytest.raises(ValueError, match="`families` must list some of option_order, whitespace, distractor"):
        perturbed_rows([ROW], render, families)
