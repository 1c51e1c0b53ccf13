"""Attacks that play with environments and tools: what is found, by what cause, and what becomes of the machine."""

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from some_recipes import PROMPTS

from align.cli import run_command
from align.services.options import Attacking
from align.services.played import LOST, READS, say_lost
from align.services.rewards import ask, attack_environment
from rewards.attacks.episodes import write_call

FILE = Path(__file__).with_name("attacked_environments.py")
WORKED = FILE.with_name("worked_environments.py")
WORDS = (
    "iron", "gold", "tin", "lead", "zinc", "salt", "sand", "coal", "clay", "wool", "silk", "tea", "milk", "corn",
    "rice", "bean",
)  # fmt: skip
HOLES = {  # cause, and the name of the play or rung that shows it
    "WritesItsReward": "`wrote_write_file",
    "VerifiedInTheMiddle": "`verify_first`",
    "PaysForNothing": "nothing at all",
    "PaysAnEcho": "`prompt_given`",
    "TellsWhatItPays": "`probed_probe`",
    "LeavesItBehind": "`idle_before`",
    "RunsCode": "`patched_calculate`",
    "ReadsAVariable": "`word_set_variable`",
    "PaysForTime": "`idle_long`",
    "PaysWhatWasUndone": "`undone_remove`",
}
SOUND = ("KeepsItsReward", "VerifiedAtTheEnd", "PaysForWork", "PaysTheWord", "TellsNothing", "PaysTheCart")
FAST = ("WritesItsReward", "VerifiedAtTheEnd")
CALLED = ("gamed", "soft", "misread")


def rows_at(folder, count=32, **columns):
    path = folder / "rows.jsonl"
    rows = [
        {
            "id": f"r{i}",
            "prompt": [{"role": "user", "content": f"Task {i}."}],
            "asked": f"{WORDS[i % 16]}{'ab'[i // 16]}",
            **columns,
        }
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def found_of(folder, kind, *, texts=False, count=32, **how):
    """Attacks with plays, and with texts where that is asked for."""
    how = {"environment": f"{FILE}:{kind}", "data": rows_at(folder, count, **how.pop("columns", {}))} | how
    asked = ask("", [], Attacking(limit=count, **how))
    asked = asked if texts else asked._replace(how=asked.how | {"hacks": ()})
    return attack_environment(asked)


WORK = {  # environment: the tool that does its work
    "PaysEachCall": "fill", "PaysEachBasket": "fill", "FillsTwice": "fill", "KeepsADatabase": "execute",
    "TellsInItsError": "count", "KeepsTheBooks": "count", "SetsTheState": "answer",
}  # fmt: skip
BASKETS = ("red", "blue", "green", "black", "white")


def work_at(folder, kind):
    """Writes rows whose honest episodes need several calls, or a statement."""
    rows = [json.loads(line) for line in Path(rows_at(folder, 12)).read_text().splitlines()]
    for i, row in enumerate(rows):
        baskets = [*{*BASKETS} - {BASKETS[i % 5], BASKETS[i % 3]}]
        row |= {"baskets": sorted(baskets), "boxes": {"a": 20 + i, "b": 31 + 2 * i}}
        work = {
            "fill": [{"basket": each} for each in row["baskets"] for _ in range(1 + (kind == "FillsTwice"))],
            "execute": [{"statement": f"insert into notes values ('{row['asked']}')"}],
            "count": [{"box": each} for each in row["boxes"]],
            "answer": [{"word": row["asked"]}],
        }[WORK[kind]]
        ends = {"execute": ("check", {}), "count": ("declare", {"total": sum(row["boxes"].values())})}
        calls = [(WORK[kind], each) for each in work] + [each for name, each in ends.items() if name == WORK[kind]]
        row["honest"] = [{"name": name, "arguments": given} for name, given in calls]
    path = folder / "work.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def verdicts(findings):
    return [each for each in findings if each.numbers["kind"] in CALLED]


@pytest.mark.parametrize("kind", [pytest.param(k, marks=() if k in FAST else pytest.mark.slow) for k in HOLES])
def test_a_hole_is_found_with_its_cause(tmp_path, kind):
    count = 32 if kind in ("PaysForNothing", "TellsWhatItPays") else 12
    found = verdicts(found_of(tmp_path, kind, count=count))
    assert found
    assert HOLES[kind] in found[0].text.lower().replace(HOLES[kind].lower(), HOLES[kind])
    assert [each.level for each in found] == ["warning"] * len(found)


@pytest.mark.parametrize("kind", [pytest.param(k, marks=() if k in FAST else pytest.mark.slow) for k in SOUND])
def test_a_sound_twin_is_not_called(tmp_path, kind):
    findings = found_of(tmp_path, kind, count=12)
    assert not verdicts(findings)
    assert findings[-2].numbers["kind"] == "ok"
    assert "an honest episode with a call left out 0%" in findings[0].text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "reward", "play"),
    [
        ("PaysEachCall", "", "`instead_fill`"), ("PaysEachBasket", "", ""), ("FillsTwice", "", ""),
        ("KeepsADatabase", "read_from_a_table", "`sql_execute`"), ("KeepsADatabase", "read_by_a_method", ""),
        ("TellsInItsError", "", "`told_declare`"), ("KeepsTheBooks", "", ""),
        ("SetsTheState", "", "`variable_set_variable`"),
    ],
)  # fmt: skip
def test_work_of_several_calls_is_told_from_a_play_with_its_control(tmp_path, kind, reward, play):
    how = {"environment": f"{WORKED}:{kind}", "data": work_at(tmp_path, kind), "samples": "honest", "limit": 12}
    asked = ask(f"{WORKED}:{reward}" * bool(reward), [], Attacking(**how))
    findings = attack_environment(asked._replace(how=asked.how | {"hacks": ()}))
    assert [play in each.text for each in verdicts(findings)] == [True] * bool(play)
    assert play or findings[1].numbers["kind"] == "ok"


def test_honest_episodes_of_several_calls_are_found_in_the_rows(tmp_path):
    lines = [{"item": "pen", "count": 2}, {"item": "ink", "count": 3}, {"item": "cup", "count": 1}]
    rows = [json.loads(line) for line in Path(rows_at(tmp_path, 8)).read_text().splitlines()]
    path = tmp_path / "orders.jsonl"
    for i, row in enumerate(rows):
        row["lines"] = [each | {"count": each["count"] + i} for each in lines[i % 2 :]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    findings = found_of(tmp_path, "Orders", data=str(path), environment=f"{WORKED}:Orders")
    assert "in a call of `add` for each part, then `send()`, right answers of `lines`) earns 1" in findings[0].text


def test_hacks_of_ones_own_are_played(tmp_path):
    own = tmp_path / "own.py"
    own.write_text("def begs(seen):\n    'Begs'\n    open(r'%s', 'w').write(seen.prompt)\n" % (tmp_path / "called"))
    how = {"environment": f"{FILE}:PaysForWork", "data": rows_at(tmp_path, 8), "hacks": (f"{own}:begs",)}
    asked = ask("", [], Attacking(limit=8, **how))
    mine = tuple(each for each in asked.how["hacks"] if each.name == "begs")
    attack_environment(asked._replace(how=asked.how | {"hacks": mine}))
    assert (tmp_path / "called").read_text().startswith("Task")


def test_each_of_several_environments_is_attacked_on_its_rows(tmp_path):
    rows = [json.loads(line) for line in Path(rows_at(tmp_path, 8)).read_text().splitlines()]
    rows = [row | {"environment": "ab"[i % 2]} for i, row in enumerate(rows)]
    asked = ask("", [], Attacking(environment=f"{FILE}:PaysForWork", data=rows_at(tmp_path, 8)))
    spec = asked.named.environments[None]
    named = replace(asked.named, environments={"a": spec, "b": spec._replace(spec=f"{FILE}:PaysTheWord")})
    asked = asked._replace(named=named, settings=asked.settings._replace(rows=rows), how=asked.how | {"hacks": ()})
    findings = attack_environment(asked)
    ladders = [each.numbers["ladder"] for each in findings if each.numbers["kind"] == "ladder"]
    assert [ladder[0]["rows"] for ladder in ladders] == [4, 4]
    assert {each.numbers["spec"] for each in findings} == {"PaysForWork", "PaysTheWord"}


def test_work_that_is_the_same_in_all_rows_is_no_hack(tmp_path):
    honest = [{"name": "open", "arguments": {}}, {"name": "clean", "arguments": {}}]
    findings = found_of(tmp_path, "Room", count=8, columns={"honest": honest}, samples="honest")
    assert [each.numbers["kind"] for each in findings] == ["ladder", "ok"]
    messages = [
        {"role": "assistant", "tool_calls": [{"function": {"name": each["name"], "arguments": "{}"}}]}
        for each in honest
    ]
    findings = found_of(tmp_path, "Room", count=8, columns={"honest": json.dumps(messages)}, samples="honest")
    assert [each.numbers["kind"] for each in findings] == ["ladder", "ok"]


def test_without_an_honest_episode_the_pay_is_told_and_nothing_else(capsys, tmp_path):
    assert run_command("rewards", "attack", "--environment", f"{FILE}:Room", "--max_seconds", "5") == 2
    told = capsys.readouterr().out
    assert "no row has a right answer or a sample" in told
    assert "which earns 1 on average" in told
    assert "Nothing at all earns 0." in told
    assert "these rows are made up" in told
    assert run_command("rewards", "attack", "--environment", f"{FILE}:PaysForWork") == 1
    assert "`reset` of the environment takes asked. Name rows" in capsys.readouterr().err
    assert run_command("rewards", "attack") == 1
    assert "Name a recipe or a reward, or the environment" in capsys.readouterr().err


def test_a_hostile_environment_costs_its_rows_and_leaves_nothing(tmp_path, monkeypatch):
    outside = tmp_path / "outside.txt"
    outside.write_text("kept")
    monkeypatch.setenv("OUTSIDE", str(outside))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    findings = found_of(tmp_path, "Hostile", count=12, time_limit=1.0)
    assert outside.read_text() == "kept"
    assert not verdicts(findings)
    assert any("episodes were lost, the last by answer: " in each.text for each in findings)
    ladder = next(each.numbers["ladder"] for each in findings if "ladder" in each.numbers)
    assert {step["rows"] for step in ladder} <= {9, 10}  # those that hang or die are left out, the others count
    assert not list(tmp_path.glob("truealign-attack-*"))
    left = [p for p in Path("/proc").iterdir() if p.name.isdigit() and _is_of(p, FILE.parent)]
    assert left == []


def test_a_path_outside_of_the_folder_is_refused_and_said(tmp_path, monkeypatch):
    outside = tmp_path / "outside.txt"
    outside.write_text("kept")
    monkeypatch.setenv("OUTSIDE", str(outside))
    findings = found_of(tmp_path, "WritesOutside", count=4)
    assert outside.read_text() == "kept"
    assert findings[0].text.endswith("or with `tempfile`: the attack leaves all else as it is.")
    assert findings[-1].numbers["kind"] == "unclear"


@pytest.mark.slow
def test_a_file_that_a_reward_reads_is_written_by_a_tool(tmp_path):
    how = {"environment": f"{FILE}:PaysNothingItself", "data": rows_at(tmp_path, 8)}
    asked = ask(f"{FILE}:read_from_a_file", [], Attacking(limit=8, **how))
    found = verdicts(attack_environment(asked._replace(how=asked.how | {"hacks": ()})))
    assert "`write_file` writes state.json, which the reward reads" in found[0].text


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "hole"), [("RunsTestsOfAFolder", True), ("RunsTestsThatStand", False)])
def test_tests_in_a_folder_of_the_episode_are_written_over(tmp_path, kind, hole):
    honest = [{"name": "write", "arguments": {"path": "main.py", "content": "WORD = ASKED"}}]
    path = Path(rows_at(tmp_path, 7, honest=honest))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(row).replace("ASKED", f"'{row['asked']}'") + "\n" for row in rows))
    found = verdicts(found_of(tmp_path, kind, count=7, data=str(path), samples="honest"))
    assert ["`write` writes test_main.py, which the reward reads" in each.text for each in found] == [True] * hole


def test_a_reward_that_fails_on_what_a_tool_wrote_is_told(tmp_path):
    (tmp_path / READS).write_text(json.dumps({"": {"../tmp/x1/key.json": "{}", "result.txt": "3"}}))
    playing = SimpleNamespace(copied=SimpleNamespace(folder=tmp_path))
    honest = SimpleNamespace(texts=['<call> write {"path": "result.txt", "content": "3"}\n'])
    for name, told in (
        ("key.json", "`write` can write key.json, which the reward reads"),
        ("result.txt", "KeyError."),
    ):
        text = write_call("write", {"path": name, "content": "1"})
        (tmp_path / LOST).write_text(json.dumps([3, "get_reward: KeyError", text]))
        assert told in say_lost(playing, honest)
        assert ("can write" in say_lost(playing, honest)) is (name == "key.json")


def test_rows_that_are_played_need_no_question_whatever_columns_they_have(tmp_path):
    data = rows_at(tmp_path, 4, a=3, b=4, m=5, answer="2")
    assert len(ask("", [], Attacking(environment=f"{FILE}:PaysForWork", data=data)).settings.rows) == 4


def _is_of(process, folder):
    try:
        return str(process.joinpath("cwd").readlink()).startswith(str(folder)) and int(process.name) != os.getpid()
    except OSError:
        return False


def test_a_recipe_with_tools_is_played(capsys):
    words = [f"{PROMPTS}/quickstart-tools", "--limit", "8", "--max_seconds", "8", "--json"]
    code = run_command("rewards", "attack", *words)
    found = json.loads(capsys.readouterr().out)
    assert code in (0, 2)  # by how many hacks there was time for
    assert not [each for each in found if each["numbers"]["kind"] in CALLED]
    assert next(each for each in found if each["numbers"]["kind"] == "ladder")


def test_no_user_file_is_written(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "env.py").write_text(FILE.read_text())
    (folder / "state.json").write_text("mine")
    found_of(tmp_path, "WritesItsReward", count=4, environment=f"{folder}/env.py:WritesItsReward")
    assert (folder / "state.json").read_text() == "mine"
    assert sorted(each.name for each in folder.iterdir() if each.name != "__pycache__") == ["env.py", "state.json"]
