import json
from contextlib import closing
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
from harness_task import TASK
from tiny import tiny_model, tiny_tokenizer

from align.errors import UserError
from align.evaluation.suites.questions.evaluation import run_harness
from align.evaluation.suites.questions.lm_harness import collect, harness_suite, require_harness
from align.models.answer_cache import AnswerCache
from align.models.checkpoint import Checkpoint

# As lm-evaluation-harness 0.4.13 returns it, shortened.
FOUND = {
    "results": {
        "tiny": {
            "alias": "tiny",
            "acc,none": 0.75,
            "acc_stderr,none": 0.25,
            "em,strict": 0.25,
            "em_stderr,strict": 0.2,
            "perplexity,none": 12.5,
            "perplexity_stderr,none": "N/A",
        }
    },
    "samples": {
        "tiny": [
            {"doc_id": i, "filter": "none", "acc": float(i > 0), "perplexity": [-3.0, 2], "em": 1.0} for i in range(4)
        ]
        + [{"doc_id": i, "filter": "strict", "em": float(i == 3)} for i in range(4)]
    },
    "versions": {"tiny": 1.0},
}


def test_values_by_row_are_kept_where_the_metric_is_their_mean():
    kept = json.loads(json.dumps(collect(FOUND, "tiny")))
    assert kept["items"] == {"acc": [0, 1, 1, 1], "em/strict": [0, 0, 0, 1]}
    assert kept["totals"] == {"perplexity": [12.5, "N/A"]}
    summary = harness_suite(kept).summary()
    assert summary["acc"][:4] == pytest.approx((0.75, 0.3006, 0.9544, 4), abs=1e-3)  # Wilson
    assert summary["perplexity"].value == 12.5
    assert np.isnan(summary["perplexity"].low)


def test_rows_pair_two_checkpoints():
    better = {"items": {"acc": [1.0, 1.0, 1.0, 0.0]}, "totals": {}}
    difference = harness_suite(better).differences(harness_suite(collect(FOUND, "tiny")))["acc"]
    assert difference.value == pytest.approx(0.0)


@pytest.mark.skipif(find_spec("lm_eval") is not None, reason="the harness is installed")
def test_a_missing_harness_is_named_with_its_pip_line():
    with pytest.raises(UserError, match=r'pip install "truealign\[lm-eval\]"'):
        require_harness()


@pytest.mark.slow
def test_a_task_in_a_file_runs_offline_and_again_since_what_it_includes_may_have_changed(tmp_path):
    pytest.importorskip("lm_eval", reason="needs the extra `lm-eval`")
    task, rows = tmp_path / "tiny_task.yaml", [{"q": f"q{i}?", "choices": ["1", "2"], "gold": 0} for i in range(8)]
    (tmp_path / "kept").mkdir()
    task.write_text(TASK.format(rows=tmp_path / "rows.jsonl"))
    engine = SimpleNamespace(dtype="float32", batch_size=4)
    model = tiny_model(vocabulary=len(tiny_tokenizer()))
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    checkpoint = Checkpoint(str(tmp_path / "model"), None, "weights")
    with closing(AnswerCache(tmp_path / "kept")) as cache:
        for num in (8, 6):
            (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:num]))
            run = SimpleNamespace(engine=engine, max_rows=None, cache=cache)
            found = run_harness(run, str(task), SimpleNamespace(checkpoint=checkpoint, model=model))
            assert len(found["items"]["acc"]) == num
            assert set(found["items"]["acc"]) <= {0.0, 1.0}
