"""`align show`: rows as the model will read them, what rewards get of them, and what the first reward pays."""

import json
from pathlib import Path

import pytest

import align
import rewards
from align.cli import run_command
from align.errors import UserError


def test_rows_are_shown_as_the_model_reads_them() -> None:
    first, *_, last = align.show("acre/quickstart").rows
    assert first.prompt == "11200[3]\nA. 0\nB. 3\nC. 1\nD. 2"
    assert first.tokens == 28
    assert last.row == 3199
    assert len({first.prompt, last.prompt}) == 2


def test_an_index_names_its_option() -> None:
    assert align.show("acre/quickstart").rows[0].columns["answer"] == '0 (index of "A", 0)'


def test_the_first_reward_pays_the_right_answer_and_not_another_rows() -> None:
    shown = align.show("acre/quickstart")
    for row in shown.rows:
        (right, _, full), (other, text, nothing) = row.pays
        assert (right, other) == ("the right answer", "another row's answer")
        assert (full, nothing) == (1.0, 0.0)
        assert "<answer>" in text
    assert shown.reward == "answer_consistency"
    assert "answer" in shown.note


def test_messages_are_rendered_with_the_template_and_tools_are_named() -> None:
    shown = align.show("grpo/quickstart-tools")
    assert shown.rows[0].prompt.endswith("\nassistant: ")
    assert "descriptions of the tools" in shown.note


def test_pairs_have_no_reward_and_no_policy() -> None:
    shown = align.show("crome/quickstart")
    assert not shown.reward
    assert {"chosen", "rejected"} <= shown.rows[0].columns.keys()
    with pytest.raises(UserError, match="`--ask` samples a policy"):
        align.show("crome/quickstart", ask=True)


def test_a_reward_of_form_pays_no_answer() -> None:
    shown = align.show("acre/quickstart", reward_funcs=["format"], reward_kwargs={})
    assert not any(row.pays for row in shown.rows)
    assert "a format reward" in shown.note


def test_control_characters_of_rows_reach_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"question": f"\x1b[2J{n}", "options": ["tin", "iron"], "answer": n % 2} for n in range(4)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["--dataset.path", str(tmp_path / "rows.jsonl"), "--dataset.eval_path", "null"]
    assert run_command("show", "acre/quickstart", *words) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert 'index of "B", iron' in said


@pytest.mark.slow
def test_the_model_is_asked() -> None:
    shown = align.show("acre/quickstart", ask=True)
    assert all(row.said and "<answer>" in row.said for row in shown.rows)


def test_public_names_are_listed() -> None:
    assert {"show", "train", "compare"} <= {*dir(align)}
    assert dir(rewards) == sorted(rewards.__all__)


def recipe_of(folder: Path) -> dict[str, object]:
    rows = [{"prompt": f"{n} + 1?", "answer": str(n + 1)} for n in range(8)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "method": "grpo",
        "model_name_or_path": Path("recipes/acre/assets/lab/misreader"),
        "dataset": {"path": folder / "rows.jsonl"},
        "reward_funcs": ["number_accuracy"],
        "output_dir": folder / "run",
        "max_steps": 1,
        "use_cpu": True,
    }


def test_a_recipe_may_be_keys_and_values(tmp_path: Path) -> None:
    shown = align.show(recipe_of(tmp_path), num_generations=2)
    assert shown.rows[0].prompt == "0 + 1?"
    assert shown.rows[0].columns["answer"] == "1"
    assert "number_accuracy" in str(align.check(recipe_of(tmp_path)))


def test_what_no_recipe_can_hold_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no text, number, list or block"):
        align.check({**recipe_of(tmp_path), "seed": object()})
    with pytest.raises(UserError, match="Unknown key `sede`"):
        align.check({**recipe_of(tmp_path), "sede": 1})
