import random

import numpy as np
import pytest
from planted import clean_pairs, sentence, with_cue, write_rows

from align.auditing.reading import Source
from align.auditing.row_checks import Named
from align.auditing.run import audit
from align.auditing.subsets import Parts


def record_of(tmp_path, rows, **named):
    path = write_rows(tmp_path / "rows.jsonl", rows)
    return audit([Source(str(path), named=Named(**named))], near=False).record


def cues_of(tmp_path, rows, **named):
    return record_of(tmp_path, rows, **named).cues.found


def names(cue):
    return {cue.name, *cue.also}


def test_a_planted_phrase_is_named_first_with_its_exact_counts(tmp_path):
    rows = with_cue(clean_pairs(400, 1), 0.5, 0.1, 1)
    first, *others = cues_of(tmp_path, rows)
    sides = [("to be sure" in row["chosen"], "to be sure" in row["rejected"]) for row in rows]
    chosen, rejected = sides.count((True, False)), sides.count((False, True))
    assert names(first) >= {'"to"', '"be"', '"sure"', '"to be"', '"be sure"'}
    assert (first.goes_with, first.hits, first.n, first.expected) == ("chosen", chosen, chosen + rejected, 0.5)
    assert first.low < first.share < first.high
    by_id = {row["id"]: row for row in rows}
    assert len(first.rows) == 3
    for named in first.rows:
        row = by_id[named.split("(")[1].rstrip(")")]
        assert ("to be sure" in row["chosen"], "to be sure" in row["rejected"]) == (True, False)
    assert any("--method" in line for line in first.todo)
    assert any("audit_funcs" in line for line in first.todo)
    assert others == []


def test_of_very_many_rows_a_drawn_share_is_tested_and_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("align.auditing.cue_data.LEAST_ROWS", 300)
    monkeypatch.setattr("align.auditing.cue_data.MOST_WORDS", 300)
    rows = with_cue(clean_pairs(400, 1), 0.5, 0.1, 1)
    record = record_of(tmp_path, [*rows, rows[0]])
    first = record.cues.found[0]
    assert '"sure"' in names(first)
    assert 0 < first.n <= 300
    assert record.num_distinct == 400
    assert [found.count for found in record.rows if found.name == "duplicates"] == [1]
    assert "Cues were looked for in 300 rows, drawn from 400 with seed 0" in record.sentences[-1]
    assert record_of(tmp_path, rows).cues == record.cues


@pytest.mark.parametrize("seed", range(6))
def test_clean_pairs_have_no_cue(tmp_path, seed):
    assert cues_of(tmp_path, clean_pairs(600, seed)) == []


def test_the_length_that_comes_with_many_words_is_named_beside_them(tmp_path):
    more = ", and we write to you again soon by post or by phone with all further details of it."
    rows = [row | {"chosen": f"{row['chosen'].rstrip('.')}{more}"} for row in clean_pairs(60, 3)]
    first = cues_of(tmp_path, rows)[0]
    assert "more characters" in names(first)


def in_parts(rows, share_of_longer, seed):
    """Gives rows a part each, and turns pairs such that the longer answer is chosen as often as the part has it."""
    rng = random.Random(seed)
    found = []
    for row in rows:
        part = rng.choice([*share_of_longer])
        short, long = sorted((row["chosen"], row["rejected"]), key=len)
        is_longer = rng.random() < share_of_longer[part]
        chosen, rejected = (long, short) if is_longer else (short, long)
        found.append(row | {"chosen": chosen, "rejected": rejected, "source": part, "turn": rng.randint(0, 1)})
    return found


def test_what_goes_with_the_label_in_one_part_of_the_rows_is_named_with_it(tmp_path):
    rows = in_parts(clean_pairs(2000, 1), {"safety": 0.92, "chat": 0.36, "code": 0.36, "math": 0.36}, 1)
    first = cues_of(tmp_path, rows)[0]
    assert (first.name, first.where, first.goes_with) == (
        "more characters", "answer, where `source` is 'safety'", "chosen",
    )  # fmt: skip
    assert first.low > 0.85


@pytest.mark.parametrize("seed", range(3))
def test_a_cue_of_all_rows_is_not_told_again_of_each_part(tmp_path, seed):
    found = cues_of(tmp_path, in_parts(clean_pairs(2000, seed), dict.fromkeys("abcd", 0.7), seed))
    assert [(cue.name, cue.where) for cue in found] == [("more characters", "answer")]


@pytest.mark.parametrize("seed", range(3))
def test_parts_of_clean_pairs_have_no_cue(tmp_path, seed):
    assert cues_of(tmp_path, in_parts(clean_pairs(2000, seed), dict.fromkeys("abcd", 0.5), seed)) == []


def test_a_column_that_says_which_answer_is_right_makes_no_parts():
    parts = Parts()
    for i in range(100):
        parts.add({"label": i % 2, "source": "ab"[i % 4 // 2], "id": i, "text": "x" * 50})
    golds, kept = np.arange(100) % 2, np.ones(100, dtype=bool)
    assert [name for name, _ in parts.found(20, kept, golds)] == ["`source` is 'a'", "`source` is 'b'"]
    assert parts.found(60, kept, golds) == []


def test_a_phrase_that_goes_with_length_is_none_where_lengths_are_alike(tmp_path):
    draw = random.Random(4)
    rows = [
        {"prompt": f"q{i}", "chosen": sentence(draw, 30, 60), "rejected": sentence(draw, 6, 26)} for i in range(400)
    ]
    cues = record_of(tmp_path, rows).cues
    assert [cue.name for cue in cues.found if cue.name.startswith('"')] == []
    assert cues.found[0].name == "more characters"
    assert cues.num_by_length > 10


def test_a_prompt_with_many_pairs_counts_once(tmp_path):
    rows = clean_pairs(300, 5)
    draw = random.Random(5)
    for i in range(60):  # one writer's habit, in the pairs of one prompt
        rows.append({"prompt": "one prompt", "chosen": f"indeed {sentence(draw)} {i}", "rejected": sentence(draw)})
    assert cues_of(tmp_path, rows) == []


def test_repeated_rows_count_once(tmp_path):
    rows = clean_pairs(300, 6)
    rows[0] |= {"chosen": "indeed so"}
    assert cues_of(tmp_path, rows + [row | {"id": f"x{i}"} for i in range(60) for row in rows[:1]]) == []


@pytest.mark.parametrize("phrase", ["当然可以", "بالتأكيد نعم", "ขอบคุณ", "🙂"])
def test_cues_are_found_in_other_scripts(tmp_path, phrase):
    rows = clean_pairs(200, 7)
    rows = [row | {"chosen": f"{phrase} {row['chosen']}"} if i % 2 else row for i, row in enumerate(rows)]
    assert cues_of(tmp_path, rows)[0].goes_with == "chosen"
    found = {name for cue in cues_of(tmp_path, rows) for name in names(cue)}
    assert any(name.startswith("begins with") for name in found)


def test_counts_are_cues_too(tmp_path):
    rows = [row | {"chosen": f"- {row['chosen']}\n- yes"} for row in clean_pairs(200, 8)]
    found = {name for cue in cues_of(tmp_path, rows) for name in names(cue)}
    assert {"more bullets", "more lines"} <= found


def questions(num, seed=0):
    draw = random.Random(f"questions {seed}")
    return [
        {
            "id": f"q{i}",
            "question": f"{sentence(draw)} {i}?",
            "options": [f"{sentence(draw, 3, 6)} {draw.random()}" for _ in range(4)],
            "answer": draw.randrange(4),
        }
        for i in range(num)
    ]


def test_clean_questions_have_no_cue(tmp_path):
    assert cues_of(tmp_path, questions(400)) == []


def test_the_longest_option_and_the_letter_are_cues(tmp_path):
    rows = questions(400)
    for i, row in enumerate(rows):
        if i % 2:
            row["options"][row["answer"]] += " which is said at some length here"
    found = {cue.name: cue for cue in cues_of(tmp_path, rows)}
    assert found["the most characters"].goes_with == "the right option"
    assert found["the most characters"].expected == 0.25
    (letter,) = [cue for cue in cues_of(tmp_path, questions_at(2)) if cue.name == "letter C"]
    assert letter.goes_with == "the right option"
    assert "shuffle_options" in letter.todo[0]


def questions_at(place):
    return [row | {"answer": place if i % 2 else row["answer"]} for i, row in enumerate(questions(400, 1))]


def test_a_word_of_the_question_that_gives_the_letter_away(tmp_path):
    rows = questions(400, 2)
    for row in rows:
        if row["answer"] == 1 and int(row["id"][1:]) % 2:
            row["question"] = f"precisely {row['question']}"
    first = cues_of(tmp_path, rows)[0]
    assert (first.where, first.goes_with) == ("question", "B")
    assert 'begins with "precisely"' in names(first)


def test_classes_of_examples(tmp_path):
    draw = random.Random(3)
    rows = [{"prompt": f"{sentence(draw)} {i}", "completion": ("yes", "no")[i % 2]} for i in range(300)]
    assert cues_of(tmp_path, rows) == []
    for i, row in enumerate(rows):
        if i % 4 == 1:
            row["prompt"] += " not at all"
    first = cues_of(tmp_path, rows)[0]
    assert (first.where, first.goes_with) == ("prompt", "no")
    labelled = [row | {"completion": f"it is {i}", "kind": row["completion"]} for i, row in enumerate(rows)]
    assert cues_of(tmp_path, labelled, label="kind")[0].goes_with == "no"


def outcomes(num=500, effect=0.0, confounded=0.0):
    rng = np.random.default_rng(0)
    draw = random.Random(0)
    rows = []
    for i in range(num):
        popularity = rng.normal()
        has = rng.random() < 1 / (1 + np.exp(-confounded * popularity))
        clicks = 3 * popularity + effect * has + rng.normal()
        text = f"{sentence(draw)} {'today' if has else 'later'} {i}"
        rows.append({"text": text, "clicks": clicks, "popularity": popularity})
    return rows


def test_outcomes_are_correlated_once_confounders_are_out(tmp_path):
    roles = {"text": "text", "outcome": "clicks", "confounders": ("popularity",)}
    found = {name: cue for cue in cues_of(tmp_path, outcomes(effect=1.0), **roles) for name in names(cue)}
    assert found['"today"'].goes_with == "a higher outcome"
    assert found['"today"'].low > 0
    assert cues_of(tmp_path, outcomes(confounded=2.0), **roles) == []
    record = record_of(tmp_path, outcomes(confounded=2.0), **roles | {"confounders": ()})
    assert record.cues.found
    assert any("No confounders are named" in each for each in record.sentences)


def test_a_correlation_over_few_prompts_ends_at_1(tmp_path):
    rows = [
        {"text": f"{('fine', 'sure')[i % 2]} {i % 7} {i:02d}", "clicks": 5 * (i % 2) + i % 5, "prompt": f"p{i % 12}"}
        for i in range(96)
    ]
    found = cues_of(tmp_path, rows, text="text", outcome="clicks", prompt="prompt")
    assert {'"sure"', '"fine"'} <= {each.name for each in found}
    assert all(-1 <= each.low <= each.share <= each.high <= 1 for each in found)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (clean_pairs(10, 0), "There are 10 distinct pairs with an order, and a test needs 20"),
        ([{"prompt": f"q{i}", "completion": "yes"} for i in range(50)], "All rows have one label"),
        ([{"prompt": f"q{i}", "completion": f"text {i}"} for i in range(50)], "not classes"),
        ([{"prompt": f"q{i}"} for i in range(50)], "Prompts alone have no label"),
        ([row | {"answer": 0} for row in questions(50)], "The right option is A in every question"),
    ],
)
def test_what_cannot_be_said_is_a_sentence(tmp_path, rows, sentence):
    assert any(sentence in each for each in record_of(tmp_path, rows).sentences)


def test_rows_that_cannot_be_used_are_counted_and_named(tmp_path):
    rows = clean_pairs(30, 0)
    rows[4]["rejected"] = " "
    rows[7].pop("chosen")
    (file,) = record_of(tmp_path, rows).files
    assert (file.read, sum(file.unusable.values())) == (30, 2)
    assert "row 5, column `rejected`: the response is missing or empty" in file.problems[0]
