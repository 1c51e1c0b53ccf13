import json
from collections import Counter
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from planted import clean_pairs, read_lines, rotten_pairs, write_rows
from pyarrow import csv
from some_recipes import PROMPTS

import align
from align.auditing.entry import Entry
from align.auditing.kept import write_kept
from align.auditing.reading import Reader, Source
from align.auditing.repeats import compare, see, shared_keys
from align.auditing.row_checks import Named
from align.auditing.row_findings import describe_rows, leave_out
from align.auditing.run import audit
from align.data import load_preferences, load_questions, load_reward_pairs
from align.data.demonstrations import load_demonstrations
from align.data.prompt_rows import load_prompts
from align.data.tables.observations import ObservationReader, Roles, read_observations
from align.data.tables.reading import TableFile
from align.errors import DataError


def counts(path, held_out=None, **options):
    record = audit([Source(str(path))], held_out and Source(str(held_out)), near=False, **options).record
    return {each.name: each.count for each in record.rows}


def found_of(entries, kind, held_out=None):
    train, other = see(entries, kind), None if held_out is None else see(held_out, kind)
    return {each.name: each for each in describe_rows(train, other, compare(train, other))}


def test_planted_faults_are_counted_exactly(tmp_path):
    rows, held_out = rotten_pairs()
    found = counts(write_rows(tmp_path / "train.jsonl", rows), write_rows(tmp_path / "eval.jsonl", held_out))
    assert found == {"duplicates": 60, "contradictions": 30, "leaks": 40, "shared_prompts": 0, "prefixes": 0}


def test_clean_pairs_have_no_faults(tmp_path):
    rows = write_rows(tmp_path / "train.jsonl", clean_pairs(200, 1))
    assert not any(counts(rows, write_rows(tmp_path / "eval.jsonl", clean_pairs(50, 2))).values())


def question(name, options, gold, prompt="Which rusts?", **more):
    return Entry(name, "f", 1, prompt, tuple(options), gold, **more)


def test_another_gold_is_one_of_another_content_and_not_of_another_letter():
    entries = [
        question("a", ["iron", "gold"], 0),
        question("same", ["gold", "iron"], 1),
        question("other", ["gold", "iron"], 0),
        question("third", ["iron", "gold"], 1, prompt="Which shines?"),
    ]
    found = found_of(entries, "questions")
    assert found["contradictions"].count == 1
    assert found["duplicates"].count == 1
    assert found["contradictions"].numbers == {"rows": 3, "to_remove": 1, "g1": 1 / 9, "g3": 1 / 3}
    assert "row 1 (a) against row 1 (other)" in found["contradictions"].examples


def test_accents_and_spaces_do_not_make_a_row_another_one():
    entries = [Entry("a", "f", 1, "Caf\u00e9  noir?"), Entry("b", "f", 2, "Cafe\u0301 noir?\n")]
    assert found_of(entries, "prompts")["duplicates"].count == 1


def test_a_prompt_in_two_groups_is_counted_with_all_its_rows():
    entries = [question(str(i), ["iron", str(i)], 0, group=group) for i, group in enumerate("aab")]
    entries += [question("x", ["iron", "tin"], 0, prompt="Another?", group="a")]
    assert found_of(entries, "questions")["groups"].count == 3


def test_a_chosen_answer_that_is_the_beginning_of_the_rejected_one_is_counted():
    pairs = [("It is red", "It is red, and round"), ("It is red, and round", "It is red"), ("No", "Yes")]
    entries = [Entry(str(i), "f", i, f"q{i}", sides, 0) for i, sides in enumerate(pairs)]
    assert found_of(entries, "pairs")["prefixes"].count == 1


def test_equal_images_with_another_answer_are_found_by_content(tmp_path):
    from PIL import Image

    for name, colour in (("a.png", "red"), ("b.png", "red"), ("c.png", "blue")):
        Image.new("RGB", (30, 30), colour).save(tmp_path / name)
    rows = [
        {"question": "What is it?", "options": options, "answer": 0, "image": name}
        for name, options in (("a.png", ["cat", "dog"]), ("b.png", ["cow", "cat"]), ("c.png", ["pig", "cat"]))
    ]
    found = counts(write_rows(tmp_path / "images.jsonl", rows))
    assert found["images"] == 2
    assert found["duplicates"] == found["contradictions"] == 0


def test_a_contradiction_in_another_case_is_one_and_no_repeat():
    rows = [
        Entry("a", "f", 1, "Which rusts?", ("Iron", "gold"), 0),
        Entry("b", "f", 2, "WHICH rusts?", ("iron", "Gold"), 1),
    ]
    found = found_of(rows, "questions")
    assert (found["contradictions"].count, found["duplicates"].count) == (1, 0)
    same = [rows[0], rows[1]._replace(gold=0)]
    assert found_of(same, "questions")["contradictions"].count == 0


def test_a_tie_contradicts_an_order():
    entries = [Entry("a", "f", 1, "q", ("x", "y"), 0), Entry("b", "f", 2, "q", ("y", "x"), None)]
    assert found_of(entries, "pairs")["contradictions"].count == 1


@pytest.mark.parametrize("tie", ["maybe", "true", float("nan"), 1])
def test_a_tie_that_training_refuses_is_refused(tmp_path, tie):
    row = {"prompt": "q", "chosen": "a", "rejected": "b", "tie": tie}
    (read,) = Reader(Source(str(write_rows(tmp_path / "rows.jsonl", [row])))).read()
    assert read.entry.rule == "`tie` is neither true nor false"


def test_pairs_that_are_not_said_to_be_ties_may_have_any_source(tmp_path):
    row = {"prompt": "q", "chosen": "a", "rejected": "b", "source": "paraphrase"}
    (read,) = Reader(Source(str(write_rows(tmp_path / "rows.jsonl", [row])))).read()
    assert read.entry.gold == 0


def test_names_of_columns_with_spaces_around_them_are_named(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("prompt, chosen, rejected\nq,a,b\n")
    with pytest.raises(DataError, match=r"has columns of pairs, and spaces .*: ` chosen`, ` rejected`\. Remove"):
        Reader(Source(str(file)))
    assert Reader(Source(str(file)), kind="prompts").kind == "prompts"


def test_a_leak_is_one_in_any_order_of_the_sides():
    train = [Entry("a", "f", 1, "q", ("x", "y"), 0), Entry("b", "f", 2, "r", ("x", "y"), 0)]
    held_out = [Entry("c", "g", 1, "q", ("y", "x"), 0), Entry("d", "g", 2, "r", ("x", "z"), 0)]
    found = found_of(train, "pairs", held_out)
    assert (found["leaks"].count, found["shared_prompts"].count) == (1, 1)
    assert found["leaks"].examples == ["row 1 (c)"]


def test_other_completions_of_a_prompt_do_not_contradict_it_but_other_classes_do():
    texts = [Entry(str(i), "f", i, f"q{i // 2}", (f"text {i}",)) for i in range(60)]
    assert "contradictions" not in found_of(texts, "sft")
    classes = [Entry(str(i), "f", i, f"q{i // 2}", (("yes", "no")[i == 7],)) for i in range(60)]
    assert found_of(classes, "sft")["contradictions"].count == 1


def test_reasons_name_the_row_that_they_are_about():
    entries = [Entry(name, "f", i, "q", ("x", "y"), 0) for i, name in enumerate("ab", start=1)]
    train = see(entries, "pairs")
    assert leave_out(train, compare(train)) == [("", ""), ("duplicate", "row 1 (a)")]


def test_half_a_character_is_written_as_it_was_read(tmp_path):
    good, bad = clean_pairs(2, 0)
    bad |= {"chosen": "Half \ud83d here."}
    file = tmp_path / "train.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in (good, bad)))
    assert write_kept(audit([Source(str(file))]), tmp_path) == (1, 1)
    assert read_lines(tmp_path / "kept.jsonl") == [good]
    assert [row["content"] for row in read_lines(tmp_path / "left_out.jsonl")] == [bad]


def test_g1_and_rows_to_remove_by_hand():
    values, labels = np.array([1, 1, 1, 1, 2, 2, 3]), np.array([5, 5, 6, 7, 5, 5, 9])
    assert shared_keys(values, labels) == (1, 2 * 1 + 2 * 1 + 1, 2)


def test_g1_and_rows_to_remove_by_counting_row_by_row():
    broken = 0
    for seed in range(200):
        draw = np.random.default_rng(seed)
        size = int(draw.integers(0, 40))
        values, labels = draw.integers(0, 8, size) - 3, draw.integers(0, draw.integers(1, 5), size)
        rows = list(zip(values.tolist(), labels.tolist(), strict=True))
        num_pairs = sum(a == b and x != y for i, (a, x) in enumerate(rows) for b, y in rows[:i])
        of_value = {value: Counter(label for other, label in rows if other == value) for value, _ in rows}
        several = [golds for golds in of_value.values() if len(golds) > 1]
        removed = sum(golds.total() - max(golds.values()) for golds in several)
        assert shared_keys(values, labels) == (len(several), num_pairs, removed), seed
        broken += len(several)
    assert broken > 100  # the draws do break the rule


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "pairs"),
        ({"question": "a", "options": ["b", "c"], "answer": 0}, "questions"),
        ({"question": "a", "choices": ["iron", "tin"], "answerKey": "B", "id": "x"}, "questions"),
        ({"prompt": "a", "completion": "b"}, "sft"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "sft"),
        ({"prompt": "a", "reference": "b"}, "prompts"),
        ({"text": "a b"}, "sft"),
        ({"conversations": [{"from": "user", "value": "a"}, {"from": "assistant", "value": "b"}], "id": "x"}, "sft"),
    ],
)
def test_the_kind_is_told_by_the_columns(tmp_path, row, kind):
    reader = Reader(Source(str(write_rows(tmp_path / "rows.jsonl", [row]))))
    assert reader.kind == kind
    (read,) = reader.read()
    assert isinstance(read.entry, Entry)


def test_columns_of_public_questions_are_said_and_a_block_of_choices_is_not_guessed_at(tmp_path):
    row = {"problem": "a", "choices": ["iron", "tin"], "answerKey": "B"}
    reader = Reader(Source(str(write_rows(tmp_path / "rows.jsonl", [row]))))
    assert [read.entry.gold for read in reader.read()] == [1]
    (said,) = reader.report.unread
    assert "is read as questions, `problem` as `question`, `choices` as `options`, `answerKey` as `answer`" in said
    block = row | {"choices": {"text": ["b", "c"], "label": ["A", "B"]}}
    with pytest.raises(DataError, match="Cannot tell what kind of rows"):
        Reader(Source(str(write_rows(tmp_path / "rows.jsonl", [block]))))


def test_outcomes_take_names_of_columns_and_confounders_of_any_kind(tmp_path):
    """Text and outcome may be named with `columns`; lists, letters and categories are labels of a confounder."""
    rows = [{"said": f"a {n}", "pay": n, "choices": ["x", str(n % 2)], "answerKey": "AB"[n % 2]} for n in range(4)]
    named = Named(confounders=("choices", "answerKey"))
    columns = {"text": "said", "outcome": "pay"}
    reader = Reader(Source(str(write_rows(tmp_path / "rows.jsonl", rows)), columns=columns, named=named), "outcomes")
    entries = [read.entry for read in reader.read()]
    assert [(each.sides, each.outcome) for each in entries] == [((f"a {n}",), n) for n in range(4)]
    assert [each.confounders for each in entries[:2]] == [("['x', '0']", "A"), ("['x', '1']", "B")]


def test_a_text_beside_what_nothing_learns_from_is_of_no_kind_until_it_is_named(tmp_path):
    file = write_rows(tmp_path / "rows.jsonl", [{"text": "a title", "clicks": 3}])
    with pytest.raises(DataError, match="Cannot tell what kind of rows"):
        Reader(Source(str(file)))
    (read,) = Reader(Source(str(file)), kind="sft").read()
    assert read.entry.sides == ("a title",)


def test_texts_repeat_and_contradict_none(tmp_path):
    found = counts(write_rows(tmp_path / "rows.jsonl", [{"text": f"text {i % 3}"} for i in range(60)]))
    assert (found["duplicates"], found["contradictions"]) == (57, 0)


MESSAGE = {"role": "user", "content": "q"}
REFUSED = {
    "questions": (load_questions, {"question": "q", "options": ["a", "a"], "answer": 0}),
    "prompts": (load_prompts, {"prompt": [MESSAGE, {"role": "assistant", "content": "a"}]}),
    "sft": (load_demonstrations, {"prompt": [MESSAGE], "completion": "a"}),
    "pairs": (load_preferences, {"prompt": "q", "chosen": "a b", "rejected": "a c", "chosen_spans": [[0, 9]]}),
    "ties": (load_reward_pairs, {"prompt": "q", "chosen": "a", "rejected": "b", "tie": True, "margin": 1.0}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_training_refuses_the_audit_refuses_in_the_same_words(tmp_path, case):
    load, row = REFUSED[case]
    file = write_rows(tmp_path / "rows.jsonl", [row])
    (read,) = Reader(Source(str(file))).read()
    with pytest.raises(DataError) as error:
        load(file)
    assert str(read.entry) in str(error.value)


def test_the_prompts_of_a_recipe_are_those_of_its_template(tmp_path):
    rows = write_rows(
        tmp_path / "rows.jsonl", [{"title": name, "answer": "x"} for name in ("Emma", "Emma", "Ulysses")]
    )
    (tmp_path / "recipe.yaml").write_text(
        f"method: {PROMPTS}\nmodel_name_or_path: ./model\nreward_funcs: [format]\n"
        f"dataset: {{path: {rows}, prompt_template: 'Who wrote {{title}}?'}}\n"
    )
    record = align.audit(recipe=str(tmp_path / "recipe.yaml"), out=tmp_path / "out", near=False).record
    assert (record.kind, record.rows[0].count) == ("prompts", 1)


def entries(file, **reading):
    return [read.entry._replace(file="", row=0) for read in Reader(Source(str(file), **reading)).read()]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_confounders_are_the_numbers_that_a_correction_sees(tmp_path, suffix):
    rows = [{"text": f"t{i}", "clicks": 1.5 * i, "day": date(2024, 1, i), "seen": f"20240{i}05", "new": i == 1,
             "hour": f"2024-01-0{i}T12:00:00+02:00"} for i in (1, 2)]  # fmt: skip
    table = pa.Table.from_pylist(rows)
    file = tmp_path / f"rows{suffix}"
    if suffix == ".parquet":
        pq.write_table(table, file)
    elif suffix == ".csv":
        csv.write_csv(table, file)
    else:
        file.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows))
    names = ("day", "seen", "new", "hour")
    corrected, _ = read_observations(ObservationReader(TableFile(file), Roles("clicks", names, text="text")))
    found = entries(file, named=Named(text="text", outcome="clicks", confounders=names))
    assert [each.confounders for each in found] == list(zip(*corrected.confounders.values(), strict=True))
    assert found[0].confounders == (19723.0, 20240105.0, 1.0, 19723 + 12 / 24)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (5, "the value is not a date, as others of the column are (value: 5). Write it as 2024-01-31"),
        ("spring", "the value is not a date"),
        (None, "the value is not a number. Write one"),
    ],
)
def test_a_confounder_among_dates_that_is_none_is_named_with_its_row(tmp_path, value, sentence):
    rows = [{"text": "a", "clicks": 1, "day": "2024-01-31"}, {"text": "b", "clicks": 2, "day": value}]
    file = write_rows(tmp_path / "rows.jsonl", rows)
    (_, bad) = Reader(Source(str(file), named=Named(text="text", outcome="clicks", confounders=("day",)))).read()
    assert f"row 2, column `day`: {sentence}" in str(bad.entry)


def test_a_category_as_confounder_is_read_as_a_correction_reads_it(tmp_path):
    rows = [{"text": "a", "clicks": 1, "topic": topic} for topic in ("sports", "7", "", None)]
    file = write_rows(tmp_path / "rows.jsonl", rows)
    found = list(Reader(Source(str(file), named=Named(text="text", outcome="clicks", confounders=("topic",)))).read())
    assert [each.entry.confounders for each in found[:2]] == [("sports",), ("7",)]
    assert ["the value is missing" in str(each.entry) for each in found[2:]] == [True, True]
    write_rows(file, rows[1::-1])
    (_, bad) = Reader(Source(str(file), named=Named(text="text", outcome="clicks", confounders=("topic",)))).read()
    assert "Write a number, or a date as 2024-01-31; a category is a column of texts none of which is one." in str(
        bad.entry
    )
