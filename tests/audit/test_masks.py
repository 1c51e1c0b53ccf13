import random

import pytest
from planted import sentence, write_rows

from align.auditing.reading import Source
from align.auditing.row_checks import Named
from align.auditing.run import audit
from align.errors import DataError


def mask_of(tmp_path, rows):
    path = write_rows(tmp_path / "rows.jsonl", rows)
    record = audit([Source(str(path), named=Named(mask="trace"))], near=False).record
    return record


def told_in(record):
    return [each for each in (record.cues.found if record.cues else []) if each.where == "masked text"]


def questions(num, seed, leak):
    """Questions with traces; a share of them says a word that goes with the letter."""
    draw = random.Random(seed)
    rows = []
    for i in range(num):
        gold = draw.randrange(3)
        hint = ("hence", "so", "thus")[gold] if draw.random() < leak else sentence(draw, 1, 1)
        rows.append({
            "question": f"{sentence(draw)} {i}", "options": [f"o{draw.random()}" for _ in range(3)], "answer": gold,
            "trace": f"{sentence(draw)} {hint} {sentence(draw)}",
        })  # fmt: skip
    return rows


def test_a_trace_that_tells_the_letter_is_named_with_its_words(tmp_path):
    record = mask_of(tmp_path, questions(300, 0, leak=0.7))
    found = {(each.name, each.goes_with): each for each in told_in(record)}
    assert {('"hence"', "A"), ('"so"', "B"), ('"thus"', "C")} <= set(found)
    cue = found['"hence"', "A"]
    assert cue.low > 0.9 > 0.3 > cue.expected > 0.1
    assert cue.todo == ["Mask it as well, or write the text without it."]
    assert record.counts()["mask"] == len(told_in(record))


def test_traces_without_a_hint_seldom_leak(tmp_path):
    leaks = [bool(told_in(mask_of(tmp_path, questions(200, seed, leak=0)))) for seed in range(1, 9)]
    assert sum(leaks) <= 1  # at a false discovery rate of 5 %


def test_masked_texts_of_classes_and_references(tmp_path):
    draw = random.Random(0)
    rows = [
        {
            "prompt": f"{sentence(draw)} {i}",
            "completion": ("yes", "no")[i % 2],
            "trace": ("[MASK] it is", "[MASK] not")[i % 2],
        }
        for i in range(120)
    ]
    assert {each.share for each in told_in(mask_of(tmp_path, rows))} == {1}
    rows = [{"prompt": row["prompt"], "reference": row["completion"], "trace": row["trace"]} for row in rows]
    assert {each.share for each in told_in(mask_of(tmp_path, rows))} == {1}


def test_too_few_golds_are_a_sentence_and_pairs_are_refused(tmp_path):
    record = mask_of(tmp_path, questions(30, 0, leak=0))
    assert told_in(record) == []
    assert any("fewer than two golds stand in 20 different rows" in each for each in record.sentences)
    with pytest.raises(DataError, match="is for rows with a gold to tell"):
        mask_of(tmp_path, [{"prompt": "q", "chosen": "a", "rejected": "b", "trace": "t"}])


def test_a_row_without_the_text_is_named(tmp_path):
    rows = questions(30, 0, leak=0)
    rows[3]["trace"] = ""
    (file,) = mask_of(tmp_path, rows).files
    assert "row 4, column `trace`: the value is missing or empty" in file.problems[0]
