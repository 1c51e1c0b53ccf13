import random

import pytest
from planted import clean_pairs, read_lines, sentence, write_rows

from align.auditing import near as near_rows
from align.auditing.entry import Entry
from align.auditing.kept import write_kept
from align.auditing.near import NearRows, share, shingle
from align.auditing.reading import Source
from align.auditing.run import audit


def near_pairs(pairs, num):
    """Says the same again, but for the last word of the prompt."""
    return [row | {"id": f"near-{row['id']}", "prompt": f"{row['prompt']} again"} for row in pairs[:num]]


def long_pairs(num, seed):
    draw = random.Random(seed)
    return [row | {"chosen": sentence(draw, 30, 60)} for row in clean_pairs(num, seed)]


def test_planted_near_rows_are_counted_exactly(tmp_path):
    pairs = long_pairs(120, 0)
    rows = write_rows(tmp_path / "train.jsonl", [*pairs, *near_pairs(pairs, 25), *pairs[50:60]])
    held_out = write_rows(tmp_path / "eval.jsonl", [*near_pairs(pairs[80:], 15), *pairs[:5], *long_pairs(30, 9)])
    record = audit([Source(str(rows))], Source(str(held_out))).record
    found = {each.name: each.count for each in record.rows}
    assert (found["near_duplicates"], found["near_leaks"]) == (25, 15)
    assert (found["duplicates"], found["leaks"]) == (10, 5)


def test_the_share_is_the_exact_one():
    assert share(shingle(range(20)), shingle(range(20))) == 1
    assert share(shingle(range(20)), shingle(range(1, 21))) == 17 / 18
    assert share(shingle(range(20)), shingle(range(40))) == 1  # of the shorter one
    assert share(shingle(range(20)), shingle(range(80))) == 0  # which is another text
    assert share(shingle(range(20)), shingle(range(30, 50))) == 0


def test_languages_without_spaces_and_right_to_left_are_compared_by_word():
    near = NearRows()
    arabic = "السماء صافية اليوم ونحن نمشي في الحديقة مع الأصدقاء كل صباح"
    for text, more in (("天气很好我们去公园散步吧朋友们", "啊"), (arabic, " دائما")):
        near.add(Entry("a", "f", 1, text))
        near.add(Entry("b", "f", 2, text + more))
    assert [(each.row, each.other) for each in near.find()] == [(1, 0), (3, 2)]


WORDS = " ".join(f"w{i}" for i in range(60))


def unlike(num):
    """Texts of which none is near another."""
    return [Entry(f"u{i}", "f", i, " ".join(f"u{i}-{place}" for place in range(12))) for i in range(num)]


def test_copies_cost_their_number(monkeypatch):
    near, compared = NearRows(), []
    monkeypatch.setattr(near_rows, "share", lambda *sides: compared.append(1) or share(*sides))
    for entry in [*unlike(300), *(Entry(str(i), "f", i, f"{WORDS} {i}") for i in range(60))]:
        near.add(entry)
    assert {each.other for each in near.find()} == {300}
    assert len(compared) < 100


def put(text, place, word):
    words = text.split()
    return " ".join([*words[:place], word(words[place]), *words[place + 1 :]])


COPIES = {
    "case": lambda text, place: text.upper(),
    "a prefix": lambda text, place: f"Answer the following question. {text}",
    "behind": lambda text, place: f"{text} Think step by step, and write the answer in a box at the end.",
    "a changed word": lambda text, place: put(text, place, lambda word: "other"),
    "an added mark": lambda text, place: put(text, place, lambda word: f"{word},"),
}


def made_up(draw):
    return draw.choice("abcdefghij") + draw.choice("klmnopqrst") + draw.choice("uvwxyz")


@pytest.mark.parametrize("kind", COPIES)
def test_a_hundred_copies_in_the_evaluation_are_found_among_clean_rows(kind):
    draw, near = random.Random(kind), NearRows()
    texts = [
        " ".join(draw.choice("abcdefghij") + draw.choice("klmnopqrst") + draw.choice("uvwxyz") for _ in range(36))
        for _ in range(700)
    ]
    template = "You are a careful assistant who solves each of these tasks with all of its steps. "
    train, clean = [template + text for text in texts[:500]], texts[500:]
    copies = [COPIES[kind](text, draw.randrange(36)) for text in texts[:100]]
    for number, text in enumerate([*copies, *clean]):
        near.hold_out(Entry(f"e{number}", "f", number, f"{template}{text}"))
    for number, text in enumerate(train):
        near.add(Entry(f"t{number}", "f", number, text))
    assert near.find() == []
    found = {row: each.other for row, each in near.leaked.items()}
    assert {row for row, other in found.items() if row == other} == set(range(100))
    assert all(row < 100 for row in found)


def test_what_most_rows_share_says_nothing_of_one():
    near = NearRows()
    for number in range(40):
        near.add(Entry(str(number), "f", number, f"{WORDS} {number} {number + 1} {number + 2}"))
    assert near.find() == []


def varied(places, num=120):
    """A text of so many different words, and another word in these places."""
    return " ".join(f"other{i}" if i in places else f"word{i}" for i in range(num))


def pair(name, prompt):
    return {"id": name, "prompt": prompt, "chosen": "yes", "rejected": "no"}


def test_all_rows_that_an_evaluation_row_is_near_are_left_out(tmp_path):
    near = [pair("t1", varied({119, 118})), pair("t2", varied({119, 118, 117})), pair("t3", varied({0}))]
    rows = [*near, pair("leak", varied(())), *long_pairs(20, 3)]
    train = write_rows(tmp_path / "train.jsonl", rows)
    held_out = write_rows(tmp_path / "eval.jsonl", [pair("e", varied(())), pair("e2", varied({119}))])
    found = audit([Source(str(train))], Source(str(held_out)))
    leaks = next(each for each in found.record.rows if each.name == "near_leaks")
    assert leaks.count == 1  # the other one is a row for training
    assert "row 2 (e2) has 0.97 of row 1 (t1)" in leaks.examples
    assert write_kept(found, tmp_path) == (20, 4)
    assert [row["reason"] for row in read_lines(tmp_path / "left_out.jsonl")] == ["near leak"] * 3 + ["leak"]


def test_a_row_that_is_near_only_a_copy_of_another_is_found(tmp_path):
    train = write_rows(tmp_path / "train.jsonl", [pair("t1", varied({*range(0, 56, 8)})), pair("t2", varied(()))])
    held_out = write_rows(tmp_path / "eval.jsonl", [pair("e", varied({*range(60, 116, 8)}))])
    found = audit([Source(str(train))], Source(str(held_out)))
    assert {each.name: each.count for each in found.record.rows}["near_leaks"] == 1
    assert [reason for reason, _ in found.reasons] == ["", "near leak"]


def test_copies_on_both_sides_cost_their_sum(monkeypatch):
    near, compared = NearRows(), []
    monkeypatch.setattr(near_rows, "share", lambda *sides: compared.append(1) or share(*sides))
    for entry in [*unlike(300), *(Entry(f"e{i}", "f", i, f"{WORDS} e{i}") for i in range(60))]:
        near.hold_out(entry)
    for number in range(60):
        near.add(Entry(f"t{number}", "f", number, f"{WORDS} t{number}"))
    for number in range(300):
        near.add(Entry(f"v{number}", "f", number, " ".join(f"v{number}-{place}" for place in range(12))))
    near.find()
    assert set(near.leaks) == set(range(60))
    assert set(near.leaked) == set(range(300, 360))
    assert len(compared) <= 60 + 60 + 60 * near_rows.ENOUGH
