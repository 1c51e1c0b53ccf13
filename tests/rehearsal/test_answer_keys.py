import re
from dataclasses import replace

import numpy as np
import pytest

from align.evaluation.statistics.metrics import share
from align.rehearsal.page import build_rehearsal_page
from align.rehearsal.record import Check, RehearsalRecord, Rehearsed
from align.rehearsal.rollouts import CHECKS, Rollouts, look_at
from align.rehearsal.rows import look_at_rows
from align.services.rehearse import RehearsalResult
from rewards.running.scores import Composition

SIZE = 4
SUMS = [(f"What is {i} + {7 * i}?", str(8 * i)) for i in range(3, 35)]


def rollouts(rows, stated, pays, texts=None):
    """Completions of rows that state something and are paid for it, both `(N, S)`."""
    values = np.array(pays, dtype=float)[..., None]
    flat = [each for some in stated for each in some]
    return Rollouts(
        ["own_accuracy"], 0, values, np.ones(1), Composition(), (values[..., 0] > 0).astype(float),
        texts or [f"So {each}." for each in flat], flat, [""] * len(flat), np.full(values.shape[:2], 9.0), 64,
        scale="group", aggregation="sum_then_normalize", drops_cut=False, wants_answers=True,
    )  # fmt: skip


def half_right(rows):
    return [[gold, gold, f"{gold}1", f"{gold}2"] for _, gold in rows]


def found_in(rows, stated=None, pays=None, **how):
    stated = half_right(rows) if stated is None else stated
    pays = (
        [[each == gold for each in some] for some, (_, gold) in zip(stated, rows, strict=True)]
        if pays is None
        else pays
    )
    found = Rehearsed()
    given = rollouts(rows, stated, pays)
    look_at_rows([prompt for prompt, _ in rows], [gold for _, gold in rows], given, found, **how)
    return {each.check: each for each in found.findings}


COPIES = [(f"{start} How far is it from Rome to {town}?", str(100 * k)) for k, town in enumerate(("Paris", "Oslo"), 1)
          for start in ("Q:", "Question:", "", "Say:", "Now:", "Please:", "So:", "And:")]  # fmt: skip
LEAKED = [(f"{prompt} [id=7 target={gold}]", gold) for prompt, gold in SUMS]
LEAKED_IN_TWO_WAYS = [
    (f"{prompt} {'(full points for ' if int(gold) % 16 else '[key '}{gold})", gold) for prompt, gold in SUMS
]
SAYS = (
    "My order is {}",
    "I ordered {}",
    "It is number {}",
    "Look for {}",
    "See {} please",
    "About {}",
    "Where is {}",
    "The one is {}",
)
EXTRACTED = [
    (f"{SAYS[i % 8].format(31 * i)}, parcel {17 * i + 1}: which is the order?", str(31 * i)) for i in range(9, 41)
]
TARGETS = [(f"Use 2 and {i} to make {2 * i}.", str(2 * i)) for i in range(21, 53)]
LABELS = [(f"Is card {i} stolen?", "yes" if i % 16 == 0 else "no") for i in range(64)]


@pytest.mark.parametrize(
    ("rows", "check"),
    [(COPIES, "repeated"), (LEAKED, "given away"), (LEAKED_IN_TWO_WAYS, "given away"), (LABELS, "same answer")],
)
def test_rows_that_teach_something_else_are_found(rows, check):
    assert check in found_in(rows)


@pytest.mark.parametrize("rows", [SUMS, EXTRACTED])
def test_other_rows_are_not(rows):
    assert found_in(rows) == {}


def test_a_target_is_no_answer_that_is_given_away():
    stated = [[f"2 * {int(gold) // 2}", f"{gold} - 0", "2", "3"] for _, gold in TARGETS]
    pays = [[1.0, 1.0, 0.0, 0.0]] * len(TARGETS)
    assert "given away" not in found_in(TARGETS, stated, pays)
    assert "given away" in found_in(TARGETS)  # where what is paid is the number itself


def test_keys_that_slipped_by_a_row_are_found():
    own = [gold for _, gold in SUMS]
    rows = [(prompt, own[k - k % 2]) for k, (prompt, _) in enumerate(SUMS)]
    stated = [[gold, gold, gold, f"{gold}1"] for gold in own]
    found = found_in(rows, stated)["answer key"]
    assert found.numbers["rows"] == list(range(1, len(rows), 2))


def test_a_few_keys_exchanged_among_rows_are_found_and_guesses_are_not():
    own = [gold for _, gold in SUMS]
    moved = {1: own[9], 9: own[20], 20: own[1]}
    rows = [(prompt, moved.get(k, gold)) for k, (prompt, gold) in enumerate(SUMS)]
    found = found_in(rows, [[gold, gold, gold, f"{gold}1"] for gold in own])
    assert found["answer key"].numbers["rows"] == [1, 9, 20]
    letters = [(prompt, "abcd"[k % 4]) for k, (prompt, _) in enumerate(SUMS)]  # where any guess is some row's answer
    guessed = [["abcd"[(k + (k in moved)) % 4]] * 3 + ["abcd"[(k + 2) % 4]] for k in range(len(letters))]
    assert found_in(letters, guessed) == {}


def test_answers_that_some_rows_write_otherwise_are_found_and_read_ones_are_not():
    rows = [(prompt, f"{gold} coins" if k % 4 == 1 else gold) for k, (prompt, gold) in enumerate(SUMS)]
    stated = half_right(SUMS)
    found = found_in(rows, stated)
    assert "where it is written as `# coins`" in found["unpaid"].text
    assert "unpaid" not in found_in(rows, stated, [[1, 1, 0, 0]] * len(rows))


def test_what_is_paid_beside_other_answers_is_named_without_a_readable_answer():
    texts = [f"{'x' * (k % 7)} {' '.join(['so'] * (k % 5))}" for k in range(SIZE * len(SUMS))]
    given = rollouts(SUMS, half_right(SUMS), [[1, 0, 0, 0]] * len(SUMS), texts)
    told = {"is_told": False, "shown": (frozenset({"so"}),) * len(texts)}
    for pays, sick in ((np.array(["so" in each for each in texts]), True), (np.zeros(len(texts)), False)):
        moved = replace(given, exchanged=pays.astype(float).reshape(-1, SIZE, 1), **told)
        assert ("pays for" in [each.check for each in look_at(moved).findings]) is sick


def test_a_reward_that_reads_answers_wrongly_is_found():
    stated = half_right(SUMS)
    unpaid = [[k == 0 and i % 3 == 0 for k, _ in enumerate(some)] for i, some in enumerate(stated)]
    assert "unpaid" in found_in(SUMS, stated, unpaid)
    overpaid = [[k < 3 for k, _ in enumerate(some)] for some in stated]
    assert "overpaid" in found_in(SUMS, stated, overpaid)
    part = [[1.0, 1.0, 0.4, 0.2] for _ in stated]
    assert found_in(SUMS, stated, part) == {}


def test_words_of_the_task_are_no_words_that_a_reward_pays_for():
    rng = np.random.default_rng(0)
    says = rng.random((32, SIZE)) < 0.5
    texts = [f"We find the {'lantern' if each else 'kitchen'}." for each in says.ravel()]
    given = rollouts(SUMS, half_right(SUMS), says, texts)
    given.right[:] = 1
    checks = [each.check for each in look_at(given).findings]
    assert "pays for" in checks
    given.asked[:] = ["where is the lantern, and where is the kitchen?"] * len(given.asked)
    assert "pays for" not in [each.check for each in look_at(given).findings]


def test_a_check_from_outside_is_on_the_console_and_the_page(tmp_path, monkeypatch):
    own = Check("vowels", "vowels", "completions with a vowel", "{share:.0%} have a vowel.", "Use fewer.", above=0.1,
                look=lambda rollouts: share(np.array(["a" in each for each in rollouts.texts], float)))  # fmt: skip
    monkeypatch.setitem(CHECKS, "vowels", own)
    found = look_at(rollouts(SUMS, half_right(SUMS), [[1, 1, 0, 0]] * len(SUMS), ["a"] * SIZE * len(SUMS)))
    record = RehearsalRecord("r", "some", "m", found, "now", {})
    page = build_rehearsal_page(record, tmp_path / "page.html")
    for said in (str(RehearsalResult(record, page)), page.read_text()):
        assert "100% have a vowel. Use fewer." in said
        assert "completions with a vowel" in said
    drawn = re.findall(r'text-anchor="end">([^<]*)<', page.read_text())
    assert {"vowels", "zero-advantage groups", "non-zero advantages"} <= {*drawn}


def test_what_a_reward_does_with_few_answers_is_told_beyond_chance_only():
    few, draw = SUMS[:8], np.random.default_rng(0)
    stated = half_right(few)
    told = 0
    for _ in range(100):  # half of the right answers are paid, of the others a third, by chance
        pays = [[draw.random() < (0.5 if each == gold else 0.3) for each in some]
                for some, (_, gold) in zip(stated, few, strict=True)]  # fmt: skip
        told += bool({"unpaid", "overpaid"} & set(found_in(few, stated, pays)))
    assert told <= 5


def of_sums(keys, right, wrong):
    """Rows of sums, and completions of which the first state what is right and the others what is off by a number."""
    stated = [[str(8 * i)] * right + [str(8 * i + step(i)) for step in wrong] for i in range(3, 35)]
    return [(prompt, str(key(int(gold), i))) for i, (prompt, gold) in enumerate(SUMS) for key in keys], stated


ERRORS = [lambda i: 1 - 2 * (i % 2), lambda i: 2 * (i % 2) - 1]


def test_keys_that_are_off_by_one_on_some_rows_are_found_though_their_answers_are_stated():
    rows, stated = of_sums([lambda gold, i: gold + (i % 3 == 0)], 4, ERRORS)
    found = found_in(rows, stated)["answer key"]
    assert "commonest one +1" in found.text
    assert found.numbers["rows"] == list(range(0, len(rows), 3))
    assert found_in(*of_sums([lambda gold, i: gold], 4, ERRORS)) == {}


def test_prompts_that_ask_for_something_else_are_found_and_hard_ones_are_not():
    asked = [lambda i: 50 + i, lambda i: 50 + i, lambda i: 50 + i, lambda i: 90 - i]
    found = found_in(*of_sums([lambda gold, i: gold], 0, [*asked, *ERRORS[:1]]))["answer key"]
    assert "may ask for something else" in found.text
    assert found.level == "error"
    rng = np.random.default_rng(0)
    drawn = [lambda i: int(rng.integers(1, 10)) for _ in range(8)]  # where some agree by chance on most rows
    assert found_in(*of_sums([lambda gold, i: gold], 0, drawn)) == {}
    letters = [(prompt, "abcd"[k % 4]) for k, (prompt, _) in enumerate(SUMS)]  # few of which agree by chance
    assert found_in(letters, [["abcd"[(k + 1) % 4]] * 3 + ["abcd"[(k + 2) % 4]] * 3 for k in range(32)]) == {}


def test_a_third_of_prompts_that_hold_their_answer_is_found_where_that_helps():
    rows = [(f"Key: {gold}. {prompt}" if i % 3 == 0 else prompt, gold) for i, (prompt, gold) in enumerate(SUMS)]
    stated = half_right(SUMS)
    assert "given away" not in found_in(rows, stated)
    helped = [
        [gold] * SIZE if i % 3 == 0 else some for i, ((_, gold), some) in enumerate(zip(rows, stated, strict=True))
    ]
    assert "given away" in found_in(rows, helped)
    names = {"is_named": False}  # where reading in the prompt may be the task, which a policy knows or learns
    every = [(f"Key: {gold}. {prompt}", gold) for prompt, gold in SUMS]
    assert "given away" not in found_in(every, stated, **names)
    assert "given away" in found_in(every, [[gold] * SIZE for _, gold in every], **names)


def test_empty_completions_are_the_cause_of_groups_without_spread():
    texts = ["" if i % 3 else "So 8." for i in range(SIZE * len(SUMS))]
    found = look_at(rollouts(SUMS, half_right(SUMS), [[0] * SIZE] * len(SUMS), texts))
    found.keep_causes()
    assert [each.check for each in found.findings] == ["empty"]
