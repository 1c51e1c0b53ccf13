import json

import pytest
from planted import clean_pairs, with_cue, write_rows
from planted_reward_model import write_planted_model

from align.cli.app import app
from rewards.catalog import resolve_reward


def run(*words):
    return app(["eval", *map(str, words)], standalone_mode=False) or 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that pays for a phrase, a file with this and another phrase, and pairs that have it on both sides."""
    folder = tmp_path_factory.mktemp("shortcuts")
    write_planted_model(folder / "planted")
    write_planted_model(folder / "clean", pays=0.0)
    write_rows(folder / "pairs.jsonl", with_cue(clean_pairs(160, 0), 0.4, 0.4, 0))
    (folder / "list.txt").write_text("to be sure\nin any case\n")
    return folder


@pytest.mark.slow
def test_a_planted_phrase_is_found_mined_and_counted(folder, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["--reward_model", folder / "planted", "--baseline", folder / "clean", "--data", folder / "pairs.jsonl"]
    more = ["--slices", "--mine", "--phrases", folder / "list.txt", "--position", "end", "--probe_pairs", "60"]
    assert run(*words, *more, "--out", out) == 0
    record = json.loads((out / "evaluation.json").read_text())
    ours, theirs = record["scores"]["planted"], record["scores"]["clean"]
    first = ours["slices"]["found"][0]
    assert {first["feature"], *first["also"]} >= {'"to"', '"be"', '"sure"', '"to be"', '"be sure"'}
    assert first["favour"]["low"] > 0
    planted, other = ours["phrases"]["phrases"]
    assert (planted["phrase"], planted["moves"], other["moves"]) == ("to be sure", True, False)
    assert planted["chosen"]["value"] > 0 > planted["rejected"]["value"]
    assert not any(each["moves"] for each in theirs["phrases"]["phrases"])
    (gained,) = (each for each in record["comparisons"] if each["metric"] == "phrase_gain")
    assert gained["difference"]["low"] > 0
    assert "mined" not in theirs
    kept = (out / "phrases.txt").read_text().splitlines()
    assert kept[0] == "to be sure"  # what comes after it are words that this model has a taste for
    assert kept == [each["first"]["phrase"] for each in ours["mined"]["phrases"] if each["is_kept"]]
    printed = capsys.readouterr().out
    assert f"The phrases that are kept are in {out / 'phrases.txt'}." in printed
    page = (out / "report.html").read_text()
    for title in ("Slices, planted", "Slices, clean", "Phrases of a file, at the end, planted", "Mined phrases"):
        assert f"<h2>{title}" in page
    assert "mined phrases that move its score whatever the response says: &#34;to be sure&#34;" in page
    counted = resolve_reward("phrases", {"file": str(out / "phrases.txt")})
    assert counted(["It rusts, to be sure.", "It rusts."]) == [1.0, 0.0]
    # Another model in the same folder: no phrase of the earlier one is left.
    command = ["--reward_model", folder / "clean", "--data", folder / "pairs.jsonl", "--slices", "--mine"]
    assert run(*command, "--probe_pairs", "10", "--out", out) == 0
    record = json.loads((out / "evaluation.json").read_text())["scores"]["clean"]
    kept = [each for each in record["mined"]["phrases"] if each["is_kept"]]
    assert (out / "phrases.txt").is_file() == bool(kept)
    assert not any("to be sure" in each["first"]["phrase"] for each in kept)


ITEM = {"id": "1", "prompt": "p", "chosen": ["a"], "rejected": ["b"], "num_correct": 1, "subset": "Math"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--phrases", "none.txt"], "`--phrases`: none.txt cannot be read: No such file or directory."),
        (["--phrases", "{empty}"], "holds no phrase. Write one a line."),
        (["--phrases", "{latin}"], "line 1: byte 0xef is not UTF-8. Save the file as UTF-8."),
        (["--mine"], "`--mine` takes its phrases from slices. Give `--slices` too."),
        (["--position", "end"], "`--position` needs phrases, and there are none."),
        (["--position", "top", "--phrases", "{list}"], "`position` must be front, middle or end, got 'top'."),
        (["--slices", "--max_rows", "19"], "`--slices` needs 20 pairs, since no feature can be in enough of fewer"),
        (["--slices", "--mine", "--max_rows", "39"], "`--mine` needs pairs of 40 prompts, half of them to find"),
        (["--slices", "--probe_pairs", "0"], "`probe_pairs` must be at least 1, got 0."),
        (["--slices", "--data", "{items}"], "`--slices` needs pairs, with one chosen and one rejected response."),
        (["--phrases", "{list}", "--data", "{items}"], "`--phrases` needs pairs"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_before_a_model_is_loaded(words, message, folder, tmp_path, capsys):
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "latin.txt").write_bytes(b"na\xefve\n")
    write_rows(tmp_path / "items.jsonl", [ITEM])
    names = {"empty": tmp_path / "empty.txt", "latin": tmp_path / "latin.txt", "list": folder / "list.txt"}
    given = [word.format(**names, items=tmp_path / "items.jsonl") for word in words]
    data = [] if "--data" in words else ["--data", folder / "pairs.jsonl"]
    assert run("--reward_model", "no-such-model", *data, *given, "--out", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("Error: ") == 1
    assert not (tmp_path / "out").exists()


def test_these_options_say_nothing_of_a_policy(folder, tmp_path, capsys):
    words = ["--model", "m", "--data", folder / "pairs.jsonl", "--out", tmp_path / "out"]
    for option in (["--slices"], ["--phrases", folder / "list.txt"], ["--mine"], ["--position", "end"]):
        assert run(*words, *option) == 1
        assert f"`{option[0]}` does not go with `--model`" in capsys.readouterr().err
