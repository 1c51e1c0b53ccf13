import random

from planted import clean_pairs, read_lines, sentence, write_rows

from align.auditing import run as near_rows
from align.auditing.entry import Entry
from align.auditing.kept import write_kept
from align.auditing.reading import Source
from align.auditing.run import NearRows, audit, jaccard, shingle


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


def test_the_index_is_the_exact_one():
    assert jaccard(shingle(range(20)), shingle(range(20))) == 1
    assert jaccard(shingle(range(20)), shingle(range(1, 21))) == 15 / 17
    assert jaccard(shingle(range(20)), shingle(range(30, 50))) == 0


def test_languages_without_spaces_and_right_to_left_are_compared_by_word():
    near = NearRows()
    for number, text in enumerate(
        ["天气很好我们去公园散步吧朋友们", "السماء صافية اليوم ونحن نمشي في الحديقة مع الأصدقاء كل صباح"]
    ):
        longer = text + ("" if number else "啊") if not number else text + " دائما"
        assert near.add(2 * number, Entry("a", "f", 1, text)) is None
        assert near.add(2 * number + 1, Entry("b", "f", 2, longer)).other == 2 * number


def test_a_thousand_copies_cost_a_thousand_comparisons():
    near = NearRows()
    words = " ".join(f"w{i}" for i in range(60))
    found = [near.add(i, Entry(str(i), "f", i, f"{words} {i}")) for i in range(300)]
    assert {each.other for each in found[1:]} == {0}
    assert len(near._kept) == 1


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
    assert "row 2 (e2) is 0.95 of row 4 (leak)" in leaks.examples
    assert write_kept(found, tmp_path) == (20, 4, 0)
    assert [row["reason"] for row in read_lines(tmp_path / "left_out.jsonl")] == ["near leak"] * 3 + ["leak"]


def test_a_row_that_is_near_only_a_copy_of_another_is_found(tmp_path):
    train = write_rows(tmp_path / "train.jsonl", [pair("t1", varied({0, 60})), pair("t2", varied(()))])
    held_out = write_rows(tmp_path / "eval.jsonl", [pair("e", varied({100, 30}))])
    found = audit([Source(str(train))], Source(str(held_out)))
    assert {each.name: each.count for each in found.record.rows}["near_leaks"] == 1
    assert [reason for reason, _ in found.reasons] == ["", "near leak"]


def test_copies_on_both_sides_cost_their_sum(monkeypatch):
    near, compared = NearRows(), []
    monkeypatch.setattr(near_rows, "jaccard", lambda *sides: compared.append(1) or jaccard(*sides))
    words = " ".join(f"w{i}" for i in range(60))
    for i in range(300):
        near.hold_out(i, Entry(f"e{i}", "f", i, f"{words} e{i}"))
    for i in range(300):
        near.add(i, Entry(f"t{i}", "f", i, f"{words} t{i}"))
    assert set(near.leaks) == set(near.leaked) == set(range(300))
    assert len(compared) <= 300 + 300 + 300 * near_rows.ENOUGH
