import json
import re
import shutil
from importlib.util import find_spec

import pytest
from divided_evaluations import ask_shards, commands_of, counts_in, results_in, run, save_models, write_data

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models(answering_model_folder, tiny_model_folder, tmp_path_factory):
    return save_models(tmp_path_factory.mktemp("models"), answering_model_folder, tiny_model_folder)


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path)


@pytest.fixture
def commands(models, data):
    return commands_of(models, data)


@pytest.fixture
def refuses(capsys):
    """Runs a command that ends in one sentence."""

    def refuse(sentence, *words):
        assert run(*words) == 1
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Error: ")]
        assert len(said) == 1
        assert re.search(sentence, said[0]), said[0]

    return refuse


@pytest.mark.by_day("samples", "pairs")
@pytest.mark.parametrize("task", ["questions", "samples", "pairs", "rows of a suite", "reward models"])
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


@pytest.mark.nightly  # shards are merged above
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
    monkeypatch.setenv("RANK", "0")
    words = ["--model", models / "practised", "--out", tmp_path / "out", "--shard", "1/2"]
    refuses("`accelerate launch` started 2, which divide the evaluation by themselves", *words)


@pytest.mark.skipif(find_spec("lm_eval") is None, reason="lm-eval is not installed")
def test_a_suite_that_runs_as_a_whole_is_one_sentence(models, tmp_path, refuses):
    words = ["--suite", "lm-eval:arc_easy", "--shard", "1/2", "--out", tmp_path / "out"]
    refuses("The suite lm-eval:arc_easy runs as a whole. Leave `--shard` out", "--model", models / "practised", *words)
    assert not (tmp_path / "out").exists()


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
    refuses(r"something else than the shards did \(answering, 10 items\): .*prompts\.jsonl or", *merge)
    assert run(*commands["prompts"], "--shard", "2/2", "--out", tmp_path / "changed") == 0
    refuses("did not ask the same: their data differ", "--merge", first, tmp_path / "changed", *merge[-2:])
    (data / "prompts.jsonl").unlink()
    refuses(r"`--data` .*prompts\.jsonl, which the shards read, is not there\. Merge in", *merge)
    (data / "prompts.jsonl").write_text(rows)
    assert run(*merge) == 0


@pytest.mark.nightly  # as other data are
def test_other_models_at_a_shard_or_at_the_merge_are_one_sentence(shards, commands, models, tmp_path, refuses):
    first, second = shards
    config = models / "untrained" / "generation_config.json"
    kept = config.read_text()
    try:
        config.write_text(kept.replace("{", '{"top_k": 7,', 1))
        out = ["--out", tmp_path / "merged"]
        refuses("The model untrained has changed since the shards asked it", "--merge", first, second, *out)
        assert run(*commands["prompts"], "--shard", "2/2", "--out", tmp_path / "other") == 0
        refuses("asked models named untrained with other files", "--merge", first, tmp_path / "other", *out)
    finally:
        config.write_text(kept)


def test_a_folder_has_one_shard_and_its_own_goes_on(shards, commands, refuses):
    first, _ = shards
    sentence = r"holds shard 1/2\. Give shard 2/2 a folder of its own\."
    refuses(sentence, *commands["prompts"], "--shard", "2/2", "--out", first)
    assert run(*commands["prompts"], "--shard", "1/2", "--out", first) == 0


def test_a_secret_is_not_written_down(commands, tmp_path, refuses):
    words = ["--reward_kwargs", "{brevity: {api_key: abcdefghij}}", "--shard", "1/2", "--out", tmp_path / "out"]
    refuses("`--reward_kwargs` holds a secret", *commands["prompts"], *words)
    assert not (tmp_path / "out").exists()
