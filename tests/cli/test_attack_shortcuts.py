"""Attacks that leave out, replace or spoil a part of honest work."""

import json
from pathlib import Path

import pytest

from align.services.options import Attacking
from align.services.rewards import ask, attack_environment

FILE = Path(__file__).with_name("shortcut_environments.py")
CALLED = ("gamed", "soft", "misread")
WORDS = ("iron", "gold", "tin", "lead", "zinc", "salt", "sand", "coal", "clay", "wool", "silk", "tea")
HOLES = {  # the play that shows the cause, and the sound twin
    "SetsItsStatus": ("`without_fix`", "SeesTheFix"),
    "FreesTheSlot": ("`cancel_for_move`", "SeesTheSlot"),
    "KeepsTheKeyAmongFiles": ("`looked_cat`", "KeepsNoKey"),
    "CorrectsAWrongTry": ("`told_answer`", "SaysThatItIsWrong"),
    "ComparesTwoCells": ("`alike_write`", "ComparesWithItsOwn"),
    "RecordsItsBaseline": ("`spoilt_set_size`", "KeepsItsBaseline"),
}


def work_of(kind, word, hour):
    """Lists the honest calls of a row."""
    item = f"item-{3 * hour + 1}"
    return {
        "SetsItsStatus": [("search", {"text": word}), ("fix", {"part": word}), ("close", {"ticket": word})],
        "FreesTheSlot": [("move", {"entry": word, "hour": hour})],
        "KeepsTheKeyAmongFiles": [("cat", {"path": "notes.txt"}), ("answer", {"item": item})],
        "CorrectsAWrongTry": [("answer", {"item": item})],
        "ComparesTwoCells": [("write", {"cell": "total", "value": str(hour * 7)})],
        "RecordsItsBaseline": [("set_size", {"size": 10 * hour})],
    }[kind]


def attack_of(folder, kind, honest):
    rows = [
        {"id": f"r{i}", "prompt": [{"role": "user", "content": f"Task {i}."}], "asked": word, "hour": 13 + i}
        for i, word in enumerate(WORDS)
    ]
    for row in rows:
        calls = work_of(honest, row["asked"], row["hour"])
        row["honest"] = [{"name": name, "arguments": given} for name, given in calls]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ask("", [], Attacking(environment=f"{FILE}:{kind}", data=str(path), samples="honest", limit=12))
    return attack_environment(asked._replace(how=asked.how | {"hacks": ()}))


SEEN = ("SetsItsStatus", "FreesTheSlot", "KeepsTheKeyAmongFiles")  # the rest by night: twelve attacks take minutes


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in SEEN else pytest.mark.nightly) for kind in HOLES]
)
def test_work_that_is_cut_short_is_found_with_its_cause(tmp_path, kind):
    play, twin = HOLES[kind]
    found = [each for each in attack_of(tmp_path, kind, kind) if each.numbers["kind"] in CALLED]
    assert any(play in each.text or play[1:-1] in str(each.numbers) for each in found), [each.text for each in found]
    sound = attack_of(tmp_path, twin, kind)
    assert not [each.text for each in sound if each.numbers["kind"] in CALLED]
