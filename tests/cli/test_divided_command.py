import json
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing

import pytest
from started import ROOT, launch
from tiny import tiny_reward_model, tiny_tokenizer
from written_questions import write_questions

from align.cli.app import app
from align.models.answer_cache import AnswerCache

PROMPT = ("--prompt_template", "{question}\n{options}\n", "--no-conversational", "--max_new_tokens", "8")
BREVITY = """
def brevity(completions, **kwargs):
    from pathlib import Path

    calls = Path(__file__).with_name("calls")
    calls.write_text(str(int(calls.read_text() if calls.exists() else 0) + 1))
    return [1 / (1 + len(completion[-1]["content"])) for completion in completions]
"""


def run(*words):
    return app(["eval", *map(str, words)], standalone_mode=False) or 0


@pytest.fixture
def refuses(capsys):
    """Runs a command that ends in one sentence."""

    def refuse(sentence, *words):
        assert run(*words) == 1
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Error: ")]
        assert len(said) == 1
        assert re.search(sentence, said[0]), said[0]

    return refuse


@pytest.fixture(scope="module")
def models(answering_model_folder, tiny_model_folder, tmp_path_factory):
    """Two policies and a reward model."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(answering_model_folder, folder / "practised")
    shutil.copytree(tiny_model_folder, folder / "untrained")
    tiny_reward_model(vocabulary=len(tiny_tokenizer())).save_pretrained(folder / "scalar")
    tiny_tokenizer().save_pretrained(folder / "scalar")
    return folder


@pytest.fixture
def data(tmp_path):
    write_questions(tmp_path / "questions.jsonl", count=10)
    prompts = [{"prompt": [{"role": "user", "content": f"{i}+{i}?"}], "answer": 2 * i} for i in range(10)]
    pairs = [
        {"prompt": f"Capital {i}? ", "chosen": f"It is Paris {i}." * (1 + i % 3), "rejected": f"It is Rome {i}."}
        for i in range(66)
    ]
    candidates = [{"prompt": f"Say {i}.", "responses": [f"It is {i}{'!' * j}" for j in range(8)]} for i in range(5)]
    for name, rows in (("prompts", prompts), ("pairs", pairs), ("candidates", candidates)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.py").write_text(BREVITY)
    return tmp_path


@pytest.fixture
def commands(models, data):
    """A command of each task, with several chunks."""
    first = ["--model", models / "practised"]
    policies = [*first, "--baseline", models / "untrained"]
    rewards = ["--rewards", "number_accuracy", f"{data}/mine.py:brevity", models / "scalar", "--max_new_tokens", 8]
    judged = ["--judge", models / "practised", "--max_new_tokens", 4]
    probes = ["--probes", "--probe_pairs", 6, "--best_of_n", data / "candidates.jsonl"]
    sampled = ["--num_samples", 2, "--temperature", 1]
    return {
        "questions": [*first, "--data", data / "questions.jsonl", "--batch_size", 4, *PROMPT],
        "prompts": [*policies, "--data", data / "prompts.jsonl", "--batch_size", 4, *rewards],
        "samples": [*policies, "--data", data / "prompts.jsonl", "--batch_size", 4, *rewards, *sampled],
        "pairs": [*first, "--reference", models / "untrained", "--data", data / "pairs.jsonl", *judged],
        "reward models": ["--reward_model", models / "scalar", "--data", data / "pairs.jsonl", *probes],
    }


def results_in(folder):
    """What must be equal to the byte: the record without times and counts, and every other result."""
    record = json.loads((folder / "evaluation.json").read_text())
    for each in [record.get("about", {}), *record.get("about", {}).get("models", [])]:
        for name in ("created", "seconds", "command", "cached_items"):
            each.pop(name, None)
    files = {path.name: path.read_bytes() for path in folder.glob("*.parquet")}
    files |= {path.name: path.read_bytes() for path in folder.glob("*.jsonl")}
    assert files
    return json.dumps(record), files


def counts_in(folder):
    """Answers that were there, by model."""
    about = json.loads((folder / "evaluation.json").read_text())["about"]
    return [model["cached_items"] for model in about["models"]]


def ask_shards(command, folder, of=2):
    """Asks all shards, and returns their folders."""
    found = []
    for number in range(1, of + 1):
        found.append(folder / f"shard-{number}")
        assert run(*command, "--shard", f"{number}/{of}", "--out", found[-1]) == 0
        assert not (found[-1] / "evaluation.json").exists()
    return found


@pytest.mark.parametrize("task", ["questions", "samples", "pairs", "reward models"])
def test_merged_shards_are_the_evaluation_of_one_process(task, commands, tmp_path, capsys):
    assert run(*commands[task], "--out", tmp_path / "one") == 0
    capsys.readouterr()
    folders = ask_shards(commands[task], tmp_path)
    said = capsys.readouterr()
    assert said.out == ""
    assert "Shard 1/2 is finished: " in said.err
    assert run("--merge", *folders, "--out", tmp_path / "merged") == 0
    assert results_in(tmp_path / "merged") == results_in(tmp_path / "one")


def test_shards_share_the_answers_and_the_merge_asks_none_of_them(commands, tmp_path, capsys):
    folders = ask_shards(commands["prompts"], tmp_path)
    asked = [line for line in capsys.readouterr().err.splitlines() if "is finished" in line]
    assert [line.partition(" answers")[0] for line in asked] == [
        "Shard 1/2 is finished: 12 of 20",  # of each model the chunks of 4 and of 2
        "Shard 2/2 is finished: 8 of 20",
    ]
    assert run("--merge", *folders, "--out", tmp_path / "merged") == 0
    assert counts_in(tmp_path / "merged") == [10, 10]


def test_more_shards_than_chunks_and_a_shard_of_all(commands, tmp_path):
    command = [*commands["prompts"], "--batch_size", 32]
    assert run(*command, "--out", tmp_path / "one") == 0
    folders = ask_shards(command, tmp_path / "three", of=3)
    assert run("--merge", *folders, "--out", tmp_path / "merged") == 0
    assert results_in(tmp_path / "merged") == results_in(tmp_path / "one")
    (only,) = ask_shards(command, tmp_path / "single", of=1)
    assert run("--merge", only, "--out", only) == 0
    assert results_in(only) == results_in(tmp_path / "one")


def test_the_merge_ignores_where_a_shard_computed(commands, tmp_path):
    folders = [tmp_path / "1", tmp_path / "2"]
    assert run(*commands["prompts"], "--shard", "1/2", "--device", "cpu", "--out", folders[0]) == 0
    assert run(*commands["prompts"], "--shard", "2/2", "--out", folders[1]) == 0
    assert run("--merge", *folders, "--device", "cpu", "--out", tmp_path / "merged") == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--shard", "0/2"], r"`--shard` must be i/n with i from 1 to n, such as 1/4 and 4/4, got '0/2'\."),
        (["--shard", "3/2"], r"got '3/2'\."),
        (["--shard", "half"], r"got 'half'\."),
        (["--shard", "1/2", "--merge", "a"], r"Give one of the two\."),
        (["--merge", "a"], r"`--merge` runs the command of the shards\. Leave `--model` out\."),
    ],
)
def test_what_cannot_be_a_part_is_one_sentence(words, sentence, models, tmp_path, refuses):
    refuses(sentence, "--model", models / "practised", "--out", tmp_path / "out", *words)
    assert not (tmp_path / "out").exists()


def test_a_part_for_the_wrong_launch_is_one_sentence(models, tmp_path, monkeypatch, refuses):
    monkeypatch.setenv("WORLD_SIZE", "2")
    words = ["--model", models / "practised", "--out", tmp_path / "out", "--shard", "1/2"]
    refuses("`accelerate launch` started 2, which divide the evaluation by themselves", *words)


@pytest.fixture
def shards(commands, tmp_path):
    return ask_shards(commands["prompts"], tmp_path)


def test_shards_that_are_not_all_of_one_evaluation_are_one_sentence(shards, commands, data, tmp_path, refuses):
    first, second = shards
    out = ["--out", tmp_path / "merged"]

    shutil.copytree(first, tmp_path / "copy")
    refuses(r"Shard 2/2 is missing\. Give the folders of all 2 shards\.", "--merge", first, *out)
    refuses(r"Shard 1/2 is there twice: in .*shard-1 and in .*copy", "--merge", first, tmp_path / "copy", second, *out)
    refuses("holds no shard: there is no shard.json", "--merge", first, data, *out)

    other = ["--shard", "2/3", "--out", tmp_path / "other-n"]
    assert run(*commands["prompts"], *other) == 0
    refuses(r"holds shard 1/2 and .*other-n shard 2/3\. Give the", "--merge", first, tmp_path / "other-n", *out)
    other = ["--shard", "2/2", "--max_rows", 9, "--out", tmp_path / "other"]
    assert run(*commands["prompts"], *other) == 0
    refuses(
        r"shard-1 was given no `--max_rows`, and .*other `--max_rows` 9", "--merge", first, tmp_path / "other", *out
    )

    record = json.loads((second / "shard.json").read_text())
    (second / "shard.json").write_text(json.dumps(record | {"finished": False}))
    refuses(r"Shard 2/2 in .*shard-2 is not finished\. Give its command again", "--merge", first, second, *out)
    (second / "shard.json").write_text(json.dumps(record)[:-9])
    refuses(r"shard\.json cannot be read: .*Give the shard's command again\.", "--merge", first, second, *out)
    assert not (tmp_path / "merged").exists()


def test_other_data_at_a_shard_or_at_the_merge_are_one_sentence(shards, commands, data, tmp_path, refuses):
    first, second = shards
    merge = ["--merge", first, second, "--out", tmp_path / "merged"]
    rows = (data / "prompts.jsonl").read_text()
    (data / "prompts.jsonl").write_text(rows.replace("3+3?", "three and three?"))
    refuses(r"not what the shards asked \(answering, 10 items\): .*prompts\.jsonl or", *merge)
    assert run(*commands["prompts"], "--shard", "2/2", "--out", tmp_path / "changed") == 0
    refuses("did not ask the same: their data differ", "--merge", first, tmp_path / "changed", *merge[-2:])
    (data / "prompts.jsonl").unlink()
    refuses(r"`--data` .*prompts\.jsonl, which the shards read, is not there\. Merge in", *merge)
    (data / "prompts.jsonl").write_text(rows)
    assert run(*merge) == 0


def test_other_models_at_a_shard_or_at_the_merge_are_one_sentence(shards, commands, models, tmp_path, refuses):
    first, second = shards
    config = models / "untrained" / "generation_config.json"
    kept = config.read_text()
    try:
        config.write_text(kept.replace("{", '{"top_k": 7,', 1))
        out = ["--out", tmp_path / "merged"]
        refuses("The model untrained is not the one that the shards asked", "--merge", first, second, *out)
        assert run(*commands["prompts"], "--shard", "2/2", "--out", tmp_path / "other") == 0
        refuses("asked models named untrained with other files", "--merge", first, tmp_path / "other", *out)
    finally:
        config.write_text(kept)


def test_a_folder_has_one_shard_and_its_own_goes_on(shards, commands, refuses):
    first, _ = shards
    sentence = r"holds shard 1/2\. Give shard 2/2 a folder of its own\. Nothing was written"
    refuses(sentence, *commands["prompts"], "--shard", "2/2", "--out", first)
    assert run(*commands["prompts"], "--shard", "1/2", "--out", first) == 0


def test_a_secret_is_not_written_down(commands, tmp_path, refuses):
    words = ["--reward_kwargs", "{brevity: {api_key: abcdefghij}}", "--shard", "1/2", "--out", tmp_path / "out"]
    refuses("`--reward_kwargs` holds a secret", *commands["prompts"], *words)
    assert not (tmp_path / "out").exists()


def launched(*words):
    return launch("ddp_cpu.yaml", "-m", "align", "eval", *words)


@pytest.mark.slow
def test_a_launch_is_the_evaluation_of_one_process(commands, data, tmp_path):
    assert run(*commands["samples"], "--out", tmp_path / "one") == 0
    (data / "calls").unlink()
    result = launched(*commands["samples"], "--out", tmp_path / "two")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("All numbers are in") == 1
    assert result.stderr.count("Asking ") == 2
    assert (data / "calls").read_text() == "2"  # once for each model
    assert results_in(tmp_path / "two") == results_in(tmp_path / "one")
    assert counts_in(tmp_path / "two") == [0, 0]


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("task", ["questions", "pairs", "reward models"])
def test_a_launch_of_every_task_is_the_evaluation_of_one_process(task, commands, tmp_path):
    assert run(*commands[task], "--out", tmp_path / "one") == 0
    result = launched(*commands[task], "--out", tmp_path / "two")
    assert result.returncode == 0, result.stderr
    assert results_in(tmp_path / "two") == results_in(tmp_path / "one")


@pytest.mark.slow
@pytest.mark.nightly
def test_a_launch_merges_shards(commands, tmp_path):
    assert run(*commands["questions"], "--out", tmp_path / "one") == 0
    folders = ask_shards(commands["questions"], tmp_path)
    result = launched("--merge", *folders, "--out", tmp_path / "merged")
    assert result.returncode == 0, result.stderr
    assert results_in(tmp_path / "merged") == results_in(tmp_path / "one")
    result = launched("--merge", folders[0], "--out", tmp_path / "merged")
    assert result.returncode == 1
    assert result.stderr.count("Shard 2/2 is missing") == 1


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--shard", "1/2"], "`accelerate launch` started 2, which divide the evaluation by themselves."),
        (["--backend", "vllm"], "`--backend vllm` runs in one process"),
        (["--data", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_a_launch_that_cannot_be_is_one_sentence(words, sentence, commands, tmp_path):
    result = launched(*commands["prompts"], *words, "--out", tmp_path / "two")
    assert result.returncode == 1
    assert [sentence in line for line in result.stderr.splitlines() if "Error: " in line] == [True]


@pytest.mark.slow
@pytest.mark.nightly
def test_a_killed_shard_goes_on(commands, data, tmp_path):
    command = [*commands["questions"], "--batch_size", 1, "--max_new_tokens", 200]
    out = tmp_path / "shard"
    words = ["-m", "align", "eval", *map(str, [*command, "--shard", "1/2", "--out", out])]
    process = subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not 1 <= answers_in(out) < 5:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert answers_in(out) < 5
    assert not json.loads((out / "shard.json").read_text())["finished"]
    assert run(*command, "--shard", "1/2", "--out", out) == 0
    assert answers_in(out) == 5
    assert run(*command, "--shard", "2/2", "--out", tmp_path / "other") == 0
    assert run("--merge", out, tmp_path / "other", "--out", tmp_path / "merged") == 0
    assert run(*command, "--out", tmp_path / "one") == 0
    assert results_in(tmp_path / "merged") == results_in(tmp_path / "one")


def answers_in(folder):
    """Counts the answers that a shard has kept."""
    if not (folder / "cache" / "cache.db").exists():
        return 0
    with closing(AnswerCache(folder / "cache")) as cache:
        return len(list(cache._cache))
