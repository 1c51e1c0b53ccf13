import random

from planted import clean_pairs, sentence, write_rows

from align.audit.entry import Entry
from align.audit.near import NearRows, jaccard, shingle
from align.audit.reading import Source
from align.audit.run import audit


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
