"""A suite whose process is killed in the middle and started again ends as one that was left alone."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from started import ROOT, align, num_kept

ROWS = {
    "core_advantage": [{"question": f"Bird {i}?", "core": "water", "spurious": ["land", "sky"]} for i in range(40)],
    "faithfulness": [
        {"prompt": f"q{i}?\nA. {7 * i}\nB. 1\nC. 22\nD. 33\n", "answer": "ABCD"[i % 4]} for i in range(40)
    ],
    "perturbation": [
        {"question": f"Metal {i}?", "options": ["iron", "gold", "zinc"], "answer": i % 3} for i in range(40)
    ],
    "reversal": [
        {
            "subject": f"Ada {i}",
            "forward": f"Ada {i} wrote",
            "reverse": f"Book {i} was written by",
            "object": f"Book {i}",
        }
        for i in range(40)
    ],
}
TITLES = [{"title": f"Study {i}", "group": ("real", "invented")[i % 2]} for i in range(40)]
KEPT = ("suites", "comparisons", "paired", "warnings", "glossary")


def kill_once_kept(words, cache, seconds=600):
    """Starts an `align` command and kills it when some answers are kept."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # as in `align`: other threads, another order of sums
    process = subprocess.Popen([sys.executable, "-m", "align", *map(str, words)], cwd=ROOT, env=environment)
    deadline = time.monotonic() + seconds
    while not num_kept(cache):
        assert process.poll() is None, "the command ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("suite", [*ROWS, "references", "drift"])
def test_a_killed_suite_goes_on_to_the_same_end(suite, answering_model_folder, tiny_model_folder, tmp_path):
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS.get(suite, TITLES)))
    words = ["eval", "--model", answering_model_folder, "--baseline", tiny_model_folder, "--suite", suite]
    words += ["--reference", tiny_model_folder] if suite == "drift" else ["--data", data]
    words += ["--no-conversational", "--max_new_tokens", "12", "--batch_size", "2", "--out"]
    kill_once_kept([*words, tmp_path / "killed"], tmp_path / "killed" / "cache")
    kept = num_kept(tmp_path / "killed" / "cache")
    assert not (tmp_path / "killed" / "evaluation.json").exists()
    for name in ("killed", "whole"):
        assert align(*words, tmp_path / name).returncode == 0
    killed, whole = (json.loads((tmp_path / name / "evaluation.json").read_text()) for name in ("killed", "whole"))
    cached = sum(each["cached_items"] for each in killed["about"]["models"])
    assert kept > 0
    assert cached == kept or suite == "drift"  # which asks the reference first
    assert {name: killed[name] for name in KEPT} == {name: whole[name] for name in KEPT}
    assert (tmp_path / "killed" / "items.parquet").read_bytes() == (tmp_path / "whole" / "items.parquet").read_bytes()
