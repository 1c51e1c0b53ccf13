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
    mask = mask_of(tmp_path, questions(300, 0, leak=0.7)).mask
    assert mask.leaks
    assert mask.low > mask.permuted_most
    assert mask.accuracy > 0.6
    assert abs(mask.permuted - 1 / 3) < 0.06
    assert {'"hence" for A', '"so" for B', '"thus" for C'} & set(mask.phrases)


def test_traces_without_a_hint_leak_at_most_at_the_rate_of_the_permutations(tmp_path):
    leaks = [mask_of(tmp_path, questions(200, seed, leak=0)).mask.leaks for seed in range(1, 9)]
    assert sum(leaks) <= 2  # 1 in 21 is expected


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
    assert mask_of(tmp_path, rows).mask.accuracy == 1
    rows = [{"prompt": row["prompt"], "reference": row["completion"], "trace": row["trace"]} for row in rows]
    assert mask_of(tmp_path, rows).mask.accuracy == 1


def test_too_few_golds_are_a_sentence_and_pairs_are_refused(tmp_path):
    record = mask_of(tmp_path, questions(30, 0, leak=0))
    assert record.mask is None
    assert any("fewer than two golds stand in 20 different rows" in each for each in record.sentences)
    with pytest.raises(DataError, match="is for rows with a gold to tell"):
        mask_of(tmp_path, [{"prompt": "q", "chosen": "a", "rejected": "b", "trace": "t"}])


def test_a_row_without_the_text_is_named(tmp_path):
    rows = questions(30, 0, leak=0)
    rows[3]["trace"] = ""
    (file,) = mask_of(tmp_path, rows).files
    assert "row 4, column `trace`: the value is missing or empty" in file.problems[0]
