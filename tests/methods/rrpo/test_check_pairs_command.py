import json
import re

import pytest
from pair_recipe import fact_pairs, sourced_pairs, write_pair_recipe, write_reward_recipe, write_rows
from rich.console import Console
from started import least_seconds, modules_after
from typer.testing import CliRunner

from align.cli.app import app
from align.cli.findings import print_samples


@pytest.fixture
def recipe(tmp_path, tiny_model_folder):
    def write(rows=None, **changes):
        return write_pair_recipe(tmp_path, tiny_model_folder, rows, **changes)

    return write


@pytest.fixture
def reward_recipe(tmp_path, tiny_model_folder):
    def write(rows=None, **changes):
        return write_reward_recipe(tmp_path, tiny_model_folder, rows, **changes)

    return write


def check(*words):
    """Runs the command in this process."""
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["check", *map(str, words)])


def test_a_good_recipe_of_a_reward_model_is_ready_and_shows_pairs_of_every_source(reward_recipe):
    result = check(reward_recipe())
    assert result.exit_code == 0, result.output
    assert "Ready to train." in result.stdout
    assert "= 4 pairs, of two sequences each" in result.stdout
    shown = re.findall(r"^row \d \(p\d\), (.*)\n.*\n(\w+) +It is (.*), yes\.$", result.stdout, re.MULTILINE)
    assert [(source, side, text.startswith("[")) for source, side, text in shown] == [
        ("preference", "chosen", False),
        ("upgrade", "chosen", True),
        ("degrade", "chosen", True),
        ("irrelevant_query, a tie", "first", False),
    ]


def test_a_good_recipe_is_ready_and_shows_pairs_with_their_marks(recipe):
    result = check(recipe())
    assert result.exit_code == 0, result.output
    assert "Ready to train." in result.stdout
    assert "= 4 pairs, of two sequences each" in result.stdout
    assert len(re.findall(r"^chosen    It is \[\d\d\], yes\.$", result.stdout, re.MULTILINE)) == 4
    assert len(re.findall(r"^rejected  It is \[\d\d\], yes\.$", result.stdout, re.MULTILINE)) == 4


def test_findings_are_printed_as_json_with_the_samples(recipe):
    result = check(recipe(), "--json")
    findings = json.loads(result.stdout)
    assert {finding["level"] for finding in findings} == {"ok"}
    (spans,) = [finding for finding in findings if finding["check"] == "spans"]
    assert [sample["id"] for sample in spans["numbers"]["samples"]] == ["p0", "p3", "p6", "p9"]


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_pair_recipe, write_reward_recipe])
def test_checking_loads_no_torch(tmp_path, tiny_model_folder, write):
    path = str(write(tmp_path, tiny_model_folder))
    code = (
        "import sys, typer\nfrom align.cli.app import app\n"
        f"try:\n    app(['check', {path!r}])\nexcept SystemExit as done:\n    assert done.code == 0"
    )
    assert modules_after(code) & {"torch", "trl", "transformers", "datasets", "vllm"} == set()


@pytest.mark.slow
def test_checking_takes_less_than_three_seconds(recipe):
    rows = [row | {"id": str(i)} for i, row in enumerate(sourced_pairs(12, messages=True) * 200)]
    slower = max(1.0, least_seconds("-c 'import typer.rich_utils'", 0.2) / 0.2)  # as slow at other imports
    assert least_seconds(f"-m align check {recipe(rows)}", 3 * slower) < 3 * slower


def pair(**changes):
    return {"prompt": "q?", "chosen": "It rains.", "rejected": "It snows."} | changes


def messages(*contents):
    return [{"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(contents)]


# What stands in row 3, and the words that have to be said about it.
BAD_ROWS = {
    "offsets outside the text": (
        pair(chosen_spans=[[3, 99]], rejected_spans=[[3, 8]]),
        ["row 3, column `chosen_spans`", "outside the text", "[3, 99]"],
    ),
    "overlapping spans": (
        pair(chosen_spans=[[0, 5], [3, 8]], rejected_spans=[[3, 8]]),
        ["row 3, column `chosen_spans`", "two spans overlap"],
    ),
    "offsets on one side": (pair(chosen_spans=[[0, 2]]), ["column `rejected_spans`", "the spans are not a list"]),
    "tag not closed": (pair(chosen="It <MASK>rains."), ["row 3, column `chosen`", "not closed"]),
    "tag not opened": (pair(rejected="It snows</MASK>."), ["row 3, column `rejected`", "not opened"]),
    "equal responses": (pair(rejected="It rains."), ["row 3, column `rejected`", "chosen and rejected are equal"]),
    "no response": (pair(rejected=""), ["row 3, column `rejected`", "missing or empty"]),
    "prompt that is no prefix": (
        {
            "prompt": messages("Why?"),
            "chosen": messages("How?", "It rains."),
            "rejected": messages("How?", "It snows."),
        },
        ["row 3", "prompt"],
    ),
    "response cut off whole": (pair(prompt="why " * 20), ["cut off whole", "row 3 (", "`max_length` from 64"]),
    "marks cut off": (
        pair(chosen="It rains. " * 9 + "a", rejected="It rains. " * 9 + "b"),
        ["all their marked tokens cut off", "row 3 ("],
    ),
}


@pytest.mark.by_day(*(f"{case}-check" for case in BAD_ROWS), f"{next(iter(BAD_ROWS))}-train")
@pytest.mark.parametrize("command", ["check", "train"])
@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_gets_a_sentence_with_its_number_and_exit_code_1(recipe, case, command):
    row, words = BAD_ROWS[case]
    good = fact_pairs(2, messages=isinstance(row["prompt"], list))
    refuses(recipe([*good, row]), command, words)


REWARD_ROWS = {
    "tie that is a number": (pair(tie=1), ["row 3, column `tie`", "neither true nor false", "(value: 1)"]),
    "neutral with an order": (pair(source="paraphrase"), ["row 3, column `tie`", "has no order", "Write `tie: true`"]),
    "edit without an order": (pair(source="upgrade", tie=True), ["row 3, column `tie`", "has an order"]),
    "source that is a list": (pair(source=["a"]), ["row 3, column `source`", "neither a text nor a number"]),
    "margin": (pair(margin="0.5"), ["row 3, column `margin`", "leave it out"]),
    "equal answers of a tie": (pair(rejected="It rains.", tie=True), ["row 3, column `rejected`", "are equal"]),
    "id that is taken": (pair(id="p0"), ["row 3, column `id`", "Row 1 has it"]),
    "pair that is dropped": (pair(prompt="why " * 20), ["longer than `max_length`", "TRL drops them: row 3 ("]),
}


@pytest.mark.parametrize("command", ["check", "train"])
@pytest.mark.parametrize("case", REWARD_ROWS)
def test_a_bad_row_for_a_reward_model_gets_a_sentence_with_its_number_and_exit_code_1(reward_recipe, case, command):
    row, words = REWARD_ROWS[case]
    refuses(reward_recipe([*fact_pairs(2), row]), command, words)


def refuses(path, command, words):
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [command, str(path)])
    output = " ".join(result.output.split())
    assert result.exit_code == 1, output
    assert isinstance(result.exception, SystemExit), "anything else would be a traceback"
    assert [word for word in words if word not in output] == [], output


BAD_SETTINGS = {
    "setting of acre": ({"num_generations": 4}, ["`num_generations`", "It is a setting of grpo, acre."]),
    "rewards": ({"reward_funcs": ["accuracy"]}, ["`reward_funcs`", "Remove the key"]),
    "replaced setting": ({"precompute_ref_log_probs": True}, ["`precompute_ref_log_probs`", "LoRA"]),
    "misspelt choice": ({"on_missing_spans": "wholle"}, ["Did you mean 'whole'?"]),
    "missing data file": ({"dataset": {"path": "./none.jsonl"}}, ["none.jsonl", "Check its name"]),
    "missing model": ({"model_name_or_path": "./none"}, ["There is no folder", "`model_name_or_path`"]),
}


@pytest.mark.parametrize("command", ["check", "train"])
@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_a_bad_setting_gets_a_sentence_and_exit_code_1(recipe, case, command):
    changes, words = BAD_SETTINGS[case]
    refuses(recipe(**changes), command, words)


@pytest.mark.parametrize("command", ["check", "train"])
def test_a_slow_tokenizer_gets_a_sentence_and_exit_code_1(recipe, tmp_path, command):
    path = recipe()
    (tmp_path / "model" / "tokenizer.json").unlink()
    refuses(path, command, ["no tokenizer.json", "need a fast tokenizer"])


def test_rows_that_are_skipped_leave_a_recipe_ready(recipe, tmp_path):
    path = recipe(dataset={"on_bad_rows": "skip"})
    write_rows(tmp_path / "train.jsonl", [*fact_pairs(), pair(rejected="It rains.")])
    result = check(path)
    assert result.exit_code == 0
    assert "1 rows are left out" in result.stdout


def printed(sample, **console):
    out = Console(width=100, **console)
    with out.capture() as capture:
        print_samples([{"row": 1, "id": "a", "prompt": "q?"} | sample], out)
    return capture.get()


SAMPLE = {"chosen": "It rains.", "rejected": "It snows.", "chosen_spans": [[3, 8]], "rejected_spans": [[3, 8]]}


def test_marks_are_seen_with_and_without_colours():
    assert "chosen    It [rains]." in printed(SAMPLE)
    coloured = printed(SAMPLE, force_terminal=True, color_system="standard", legacy_windows=False)
    assert "\x1b[4;32m[rains]" in coloured
    assert "\x1b[4;31m[snows]" in coloured


def test_data_can_neither_style_nor_steer_the_terminal():
    text = printed(
        SAMPLE | {"chosen": "[red]x[/red] \x1b[31m\n\u202e", "prompt": ":smile: [bold]", "chosen_spans": []}
    )
    assert "[red]x[/red] \\x1b[31m\\n\\u202e" in text
    assert ":smile: [bold]" in text
    assert "\x1b" not in text


def test_where_a_pair_is_from_is_shown_and_cannot_steer_the_terminal_either():
    plain = {"chosen": "It rains.", "rejected": "It snows."}
    assert "row 1 (a), upgrade, tone\n" in printed(plain | {"source": "upgrade", "attribute": "tone", "tie": False})
    text = printed(plain | {"source": "[red]\x1b[31m", "attribute": ":smile:\u202e", "tie": True})
    assert "row 1 (a), [red]\\x1b[31m, :smile:\\u202e, a tie\n" in text
    assert "first     It rains." in text
    assert "second    It snows." in text


def test_long_responses_are_shown_around_their_marks():
    text = printed(SAMPLE | {"chosen": "a" * 5000 + "MARK" + "b" * 5000, "chosen_spans": [[5000, 5004]]})
    assert "[MARK]" in "".join(text.split("\n"))
    assert len(text) < 1500
    assert "..." in text


def test_a_prompt_of_messages_is_shown_by_its_last_one():
    text = printed(
        SAMPLE | {"prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hm?"}]}
    )
    assert "prompt    Hm?" in text
