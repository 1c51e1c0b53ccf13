"""The atlas of public rewards: its holes replay, and its page holds what was found."""

import re

import pytest

from scripts.harness import KeptRuns
from scripts.labs.attack.atlas import KEPT, PAGE, asked, main
from scripts.labs.attack.atlas_page import page
from scripts.labs.attack.cases import Case

RECORD = {
    "verdict": "gamed", "ladder": {"nothing": [0.0, 0.0, 0.1], "constant": [1.0, 0.8, 1.2]}, "earned": "9 of 9 rows",
    "hole": {"text": "a|`b`<script>", "earned": "9 of 9 rows"}, "refused": [], "fnr": [0.5, 0.3, 0.7], "fpr": None,
}  # fmt: skip


def test_a_page_escapes_what_games_a_reward():
    made = page({"verl": {"gsm8k": RECORD}}, made="Made here.", not_asked={"x": "needs y"})
    (line,) = [each for each in made.splitlines() if each.startswith("| `verl`")]
    assert line.count("|") == 8  # that of the text is none of a cell
    assert "<script>" not in line
    assert "0% / 100% / - / - / -" in line
    assert "50 % [30, 70]" in line


def test_a_reward_is_asked():
    ((_, record),) = asked([Case("format", "format")])
    assert record["verdict"] == "form"


@pytest.mark.parametrize("task", ["coin_flip", "complex_arithmetic", "game_of_life_halting", "puzzle24"])
def test_a_hole_of_the_page_replays(task, capsys):
    pytest.importorskip("reasoning_gym", reason="needs the extra `reasoning-gym`")
    assert KeptRuns(KEPT)[f"reasoning_gym/{task}"]["verdict"] == "gamed"
    assert f"| `reasoning_gym` `{task}` | gamed |" in PAGE.read_text(encoding="utf-8")
    assert main(["--package", "reasoning_gym", "--task", task]) == 0
    assert re.search(r"earns 1\.0 by `score_answer`", capsys.readouterr().out)
