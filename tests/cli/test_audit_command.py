import json
import sys
from pathlib import Path

import pytest
from in_one_process import run
from planted import clean_pairs, read_lines, rotten_pairs, with_cue, write_rows
from some_recipes import OUTCOMES, QUESTIONS, REWARD_PAIRS

pytestmark = pytest.mark.slow

RECIPES = Path(__file__).parents[2] / "recipes"
LAB = RECIPES / REWARD_PAIRS / "assets" / "lab"


def audit(*words):
    done = run(["audit", *map(str, words)])
    assert done["crash"] == "NoneType: None\n", done["crash"]
    return done


def audited(out, *words):
    done = audit(*words, "--out", out)
    assert done["code"] == 0, done["output"]
    return json.loads((out / "audit.json").read_text()), done["output"]


@pytest.fixture
def rotten(tmp_path):
    rows, held_out = rotten_pairs()
    rows = with_cue(rows, 0.0, 0.0, 0)
    return write_rows(tmp_path / "train.jsonl", rows), write_rows(tmp_path / "eval.jsonl", held_out)


def test_the_shipped_lab_names_its_planted_decoration_first(tmp_path):
    found, output = audited(tmp_path / "out", LAB / "train.jsonl", "--eval", LAB / "eval.jsonl")
    first = found["cues"]["found"][0]
    assert "more exclamation marks" in (first["name"], *first["also"])
    assert first["goes_with"] == "chosen"
    assert first["z"] > 10
    assert "spurious" not in output + (tmp_path / "out" / "audit.html").read_text()


def test_kept_and_left_out_are_all_rows_in_their_order(rotten, tmp_path):
    train, held_out = rotten
    bad = '{"id": "bad", "prompt": "x", "chosen": "", "rejected": "y"}\nnot json\n'
    train.write_text(bad + train.read_text())
    _, output = audited(tmp_path / "out", train, "--eval", held_out, "--write")
    rows = [line if line == "not json" else json.loads(line) for line in train.read_text().splitlines()]
    kept, left_out = (read_lines(tmp_path / "out" / name) for name in ("kept.jsonl", "left_out.jsonl"))
    assert len(kept) + len(left_out) == len(rows) == 492
    reasons = {row["row"]: row for row in left_out}
    at = iter(kept)
    for number, row in enumerate(rows, start=1):
        if number not in reasons:
            assert next(at) == row
        elif row != "not json":
            assert reasons[number]["content"] == row
    assert [row["row"] for row in left_out] == sorted(reasons)
    counts = {name: sum(row["reason"] == name for row in left_out) for name in ("duplicate", "unusable", "leak")}
    assert counts == {"duplicate": 60, "unusable": 2, "leak": 40}
    assert sum(row["reason"] == "contradiction" for row in left_out) == 60
    assert "row 1, column `chosen`: the response is missing or empty" in output
    again, _ = audited(tmp_path / "again", tmp_path / "out" / "kept.jsonl", "--eval", held_out)
    assert {each["name"]: each["count"] for each in again["rows"]}.items() >= {
        "duplicates": 0, "contradictions": 0, "leaks": 0, "near_leaks": 0
    }.items()  # fmt: skip


def test_two_runs_give_the_same_bytes(rotten, tmp_path):
    for name in ("first", "second"):
        audited(tmp_path / name, rotten[0], LAB / "train.jsonl", "--eval", rotten[1], "--write")
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert files == ["audit.html", "audit.json", "kept.jsonl", "left_out.jsonl"]
    for name in files:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_it_fails_on_what_is_named(rotten, tmp_path):
    words = (rotten[0], "--eval", rotten[1], "--out", tmp_path / "out", "--no-near")
    assert audit(*words, "--fail_on", "prefixes", "cues")["code"] == 0
    done = audit(*words, "--fail_on", "duplicates,contradictions,leaks")
    assert done["code"] == 1
    assert "Failed on duplicates (60), contradictions (30), leaks (40)." in done["output"]
    for bound, code in (("leaks > 0.01", 1), ("leaks > 0.9", 0), ("duplicates < 0.5", 1), ("leaks.low>0.9", 0)):
        assert audit(*words, "--fail_on", bound)["code"] == code
    assert "Failed on leaks, a share of 0." in audit(*words, "--fail_on", "leaks > 0.01")["output"]


def test_without_the_extra_one_sentence_says_what_was_not_looked_for(rotten, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasketch", None)
    found, output = audited(tmp_path / "out", rotten[0])
    assert 'needs datasketch, which is not installed. Run `pip install "truealign[audit]"`.' in output
    assert "near_duplicates" not in {each["name"] for each in found["rows"]}
    assert {each["name"]: each["count"] for each in found["rows"]}["duplicates"] == 60


def test_a_recipe_says_where_its_rows_are_and_how_they_are_read(tmp_path):
    found, _ = audited(tmp_path / "out", "--recipe", f"{OUTCOMES}/quickstart", "--max_rows", "300")
    assert found["kind"] == "outcomes"
    assert [file["read"] for file in found["files"]] == [300, 300]
    found, _ = audited(tmp_path / "out", "--recipe", f"{QUESTIONS}/quickstart", "--max_rows", "600")
    letters = {cue["name"]: cue["goes_with"] for cue in found["cues"]["found"]}
    assert letters["letter A"] == "the right option"


def test_csv_and_adapters_are_read(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,clicks\n" + "".join(f"a title {i},{i % 7}\n" for i in range(40)) + "x,many\n")
    found, output = audited(tmp_path / "out", path, "--text", "text", "--outcome", "clicks")
    assert found["num_rows"] == 40
    assert "row 42, column `clicks`: the value is not a number (value: 'many')" in output
    rows = [{"question": f"q{i}", "choices": ["a", "b"], "answer": i % 2, "subject": "x"} for i in range(30)]
    found, _ = audited(tmp_path / "out", write_rows(tmp_path / "mmlu.jsonl", rows), "--adapter", "mmlu")
    assert found["kind"] == "questions"


def test_a_text_that_gives_the_gold_away_is_audited_as_the_prompt_of_a_class(tmp_path):
    rows = [
        {
            "question": f"question {i}",
            "answer": ("yes", "no")[i % 2],
            "trace": ("it is so", "it is not")[i % 2] + f" {i}",
        }
        for i in range(60)
    ]
    train = write_rows(tmp_path / "train.jsonl", rows)
    words = ("--kind", "sft", "--columns", "{prompt: trace, completion: answer}", "--no-near")
    found, _ = audited(tmp_path / "out", train, *words)
    given = {each["name"]: each for each in found["cues"]["found"]}
    assert (given['"so"']["share"], given['"so"']["n"], given['"so"']["goes_with"]) == (1.0, 30, "yes")


def test_public_tables_of_outcomes_name_their_columns(tmp_path):
    rows = [
        {"headline": f"{'You' if i % 2 else 'They'} {i}", "clicks": 5 + 5 * (i % 2), "impressions": 300 + i % 9,
         "clickability_test_id": "t", "created_at": f"2014-11-{1 + i % 27:02} 06:43:16"}
        for i in range(120)
    ]  # fmt: skip
    found, _ = audited(tmp_path / "out", write_rows(tmp_path / "rows.jsonl", rows), "--adapter", "upworthy")
    assert found["kind"] == "outcomes"
    assert {cue["goes_with"] for cue in found["cues"]["found"]} == {"a higher outcome", "a lower outcome"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--kind", "songs"], "`kind` must be one of pairs, questions, prompts, sft, outcomes, got 'songs'."),
        (["FILE", "--fail_on", "rot"], "`fail_on` must name some of duplicates"),
        (["FILE", "--fail_on", "rot > 1"], "or bound a share of rows, as `leaks > 0.01`, got 'rot'"),
        (["FILE", "--fail_on", "cues > 1"], "cues has none. Name it alone"),
        (["FILE", "--fail_on", "leaks > 0.5"], "needs the rows for evaluation"),
        (["FILE", "--fail_on", "leaks"], "needs the rows for evaluation. Name them with `--eval`."),
        ([], "There is nothing to audit."),
        (["none.jsonl"], "There is no file none.jsonl"),
        (["BROKEN"], "holds no row that can be read. The first: "),
        (["FILE", "--kind", "outcomes"], "Name them with `--text` and `--outcome`"),
        (["FILE", "--adapter", "mmlv"], "Unknown adapter 'mmlv'"),
        (["FILE", "--kind", "questions"], "No row can be used."),
        (["FILE", "--max_rows", "0"], "`max_rows` must be at least 1, got 0."),
        (["FILE", "--eval", "OTHER"], "No row for evaluation can be used. The first: "),
    ],
)
def test_what_cannot_be_done_is_one_sentence(tmp_path, words, sentence):
    file = write_rows(tmp_path / "pairs.jsonl", clean_pairs(5, 0))
    files = {"FILE": file, "OTHER": write_rows(tmp_path / "prompts.jsonl", [{"prompt": "q"}])}
    files["BROKEN"] = tmp_path / "broken.jsonl"
    files["BROKEN"].write_text('{"prompt": \n')
    done = audit(*[files.get(word, word) for word in words], "--out", tmp_path / "out")
    assert done["code"] == 1
    assert sentence in done["output"]


def test_rows_of_no_kind_name_their_columns(tmp_path):
    file = write_rows(tmp_path / "rows.jsonl", [{"a": 1}])
    done = audit(file, "--out", tmp_path / "out")
    assert "Cannot tell what kind of rows" in done["output"]
    assert "from its columns a." in done["output"]


def test_bytes_of_images_are_not_written_as_json(tmp_path):
    done = audit(
        RECIPES / QUESTIONS / "assets" / "vision" / "train.parquet", "--write", "--max_rows", "30", "--out", tmp_path
    )
    assert done["code"] == 1
    assert "the row holds what they cannot" in done["output"]
    assert not (tmp_path / "kept.jsonl").exists()
    assert (tmp_path / "audit.html").exists()  # what was found is not lost
