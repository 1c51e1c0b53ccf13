import json
import os

import pandas as pd
import pytest
from started import metrics_of

from align.errors import RewardError
from align.services.train import run

pytestmark = pytest.mark.slow

HANGS = '''\
"""A reward that hangs on every fortieth completion of the run."""

import os
import time


def fortieth(completions, trainer_state, **kwargs):
    if trainer_state.max_steps != {steps}:  # a trial before the run
        return [float(len(text)) for text in completions]
    return [_score(text) for text in completions]


def _score(text):
    calls = os.open({path!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(calls, b".")
    if os.lseek(calls, 0, os.SEEK_CUR) % 40 == 0:
        time.sleep(3600)
    return float(len(set(text)))
'''


@pytest.fixture
def guarded(tmp_path, tiny_recipe):
    def write(**changes):
        steps = changes.get("max_steps", 10)
        (tmp_path / "hangs.py").write_text(HANGS.format(path=str(tmp_path / "calls"), steps=steps))
        keys = {"reward_workers": 2, "reward_timeout": 1.0, "max_steps": steps, "save_steps": 100}
        return tiny_recipe(reward_funcs=["./hangs.py:fortieth"], reward_weights=[1.0], **keys | changes)

    return write


def test_a_reward_that_hangs_on_one_completion_in_forty_does_not_stop_the_run(tmp_path, guarded):
    run(str(guarded(audit_funcs=["format"])), [], None)
    metrics = metrics_of(tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "rewards.jsonl").read_text().splitlines()]
    hung = [line for line in lines if line["reward"] == "fortieth"]
    tables = [pd.read_parquet(path) for path in (tmp_path / "run" / "completions").glob("*.parquet")]
    rows = pd.concat(tables)
    assert sorted(metrics) == list(range(1, 11))
    assert sum(line["rows"] for line in hung) == len(rows) == os.path.getsize(tmp_path / "calls") == 80
    assert sum(line["invalid"].get("timeout", 0) for line in hung) == rows["fortieth"].isna().sum() == 2
    assert rows["audit/format"].notna().all()
    assert sum(line["rewards/fortieth/invalid_share"] for line in metrics.values()) == pytest.approx(2 / 8)
    report = (tmp_path / "run" / "report.html").read_text()
    assert "2 (2 timeout)" in report
    assert "no result after 1 s" in report


def test_a_run_whose_reward_fails_too_often_ends_with_the_rows(tmp_path, guarded):
    (tmp_path / "broken.py").write_text(
        "def broken(completions, trainer_state, **kwargs):\n"
        "    return [1 / (trainer_state.max_steps != 7) for _ in completions]\n"
    )
    recipe = guarded(max_steps=7)
    with pytest.raises(RewardError, match=r"(?s)`broken`: 8 of 8 .*ZeroDivisionError.*prompt: .*completion: "):
        run(str(recipe), ["--reward_funcs", f"[{tmp_path / 'broken.py'}:broken]"], None)
    assert json.loads((tmp_path / "run" / "rewards.jsonl").read_text())["invalid"] == {"error": 8}
