"""Tools and environments that hang, fork, flood, end or lie: each ends in a sentence, and the next call works."""

import json
import os
import shutil
import sys
from pathlib import Path

import hostile_tools
import pandas as pd
import pytest
from calling import call, trainer_of
from hostile_tools import ACTS, LATE, OUTCOMES

from align.tools.calls import LONGEST_RESULT, RowTools
from align.tools.guarded import Limits, guard_environment, guard_tools
from align.tools.named import Spec
from align.training.guarded_rewards import RewardRules

SECRET = "hostile-secret-8231"
SOON = Limits(1.0, memory_gb=2.0)


@pytest.fixture
def named(tmp_path, monkeypatch):
    monkeypatch.setenv("HOSTILE_API_KEY", SECRET)
    shutil.copy(Path(hostile_tools.__file__), tmp_path / "own.py")  # one of them deletes itself
    return lambda name: Spec(f"own.py:{name}", tmp_path)


def test_every_act_has_an_outcome():
    assert set(ACTS) == {*OUTCOMES, "echo"}
    assert len(OUTCOMES) >= 20


@pytest.mark.slow
@pytest.mark.by_day(*(word for word, (failure, _) in OUTCOMES.items() if failure != "timeout"), "hang")
@pytest.mark.parametrize("word", OUTCOMES)
def test_a_hostile_tool_ends_in_a_sentence_and_the_next_call_works(named, word):
    (tool,) = guard_tools([named("act")], SOON)  # whose file may import modules beside it from now on
    before = os.getcwd(), list(sys.path), os.environ["HOSTILE_API_KEY"], print
    row = RowTools({"act": tool}, "seed")
    failure, part = OUTCOMES[word]
    try:
        shown = row["act"](word=word)
    except Exception as error:
        shown = str(error)
    (noted,) = row.calls
    assert (noted.failure, part in shown) == (failure, True), (noted.failure, shown[-300:])
    assert len(shown) <= 101_000
    assert len(noted.result) < LONGEST_RESULT + 100
    assert SECRET not in noted.result
    assert bool(row.lost) == (failure in ("timeout", "died"))
    shown.encode()  # a tokenizer reads it
    again = RowTools({"act": tool}, "seed")
    assert again["act"](word="echo") == "echo"
    assert before == (os.getcwd(), list(sys.path), os.environ["HOSTILE_API_KEY"], print)
    tool.process.close()


@pytest.mark.slow
def test_rewards_and_beginnings_that_lie_cost_their_row_and_the_run_goes_on(tmp_path, named):
    words = ["echo", "nan", "surrogates", "odd", "exit", "hang"]
    rows = [{"word": word, "begins": "nothing"} for word in words]
    rows += [{"word": "nothing", "begins": begins} for begins in ("nan", "sys_exit", "kill")]
    scripts = [["done"]] * len(rows)
    factory = guard_environment(named("Hostile"), SOON)
    trainer = trainer_of(
        tmp_path, scripts, rows=rows, rewards=[lambda completions, **_: [1.0] * len(completions)],
        rules=RewardRules(max_invalid_share=1.0), tools={"environment_factory": factory},
    )  # fmt: skip
    trainer.train()
    assert trainer.state.global_step == 1
    whys = [environment._guard_lost for environment in trainer.environments[::2]]
    parts = [
        "get_reward: it returned 'echo', and must return a finite number", "get_reward: it returned nan",
        "get_reward: it returned 'a", "RuntimeError: no", "exit code 3", LATE,
        "reset: it returned float, and must return None or a text", "SystemExit: bye", "SIGKILL",
    ]  # fmt: skip
    assert [part in why for part, why in zip(parts, whys, strict=True)] == [True] * len(parts), whys
    assert trainer.state.log_history[0]["tools/lost_share"] == 1.0


@pytest.mark.slow
def test_what_a_tool_lets_out_is_in_no_table_and_no_flood_reaches_it(tmp_path, named):
    scripts = [[call("act", word="secret"), "done"], [call("act", word="surrogates"), "done"]]
    (tool,) = guard_tools([named("act")], SOON)
    trainer = trainer_of(tmp_path, scripts, tools={"tools": [tool]}, max_completion_length=400)
    trainer.train()
    table = pd.read_parquet(tmp_path / "run/completions/completions_00001.parquet")
    text = json.dumps(table.to_dict("records"), default=str, ensure_ascii=False)
    assert "the key is ***" in text
    assert "a ? b" in text
    for file in filter(Path.is_file, (tmp_path / "run").rglob("*")):
        assert SECRET.encode() not in file.read_bytes(), file
