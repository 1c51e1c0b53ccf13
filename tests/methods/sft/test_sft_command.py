import json
from types import SimpleNamespace

import pytest
import yaml
from pair_recipe import write_rows
from safetensors.torch import load_file

from align.methods.sft.report import REPORT
from align.report.run.finding import look_at
from align.services.train import run

pytestmark = pytest.mark.slow

ROWS = [{"prompt": f"{i} + {i}? ", "completion": f"It is {2 * i}.", "correct": i != 3} for i in range(12)]


@pytest.fixture
def recipe(tmp_path, tiny_model_folder):
    def write(**changes):
        write_rows(tmp_path / "rows.jsonl", ROWS)
        content = {
            "method": "sft", "model_name_or_path": str(tiny_model_folder), "output_dir": "./run",
            "dataset": {"path": "./rows.jsonl", "eval_path": "./rows.jsonl", "keep_incorrect": False},
            "eval_strategy": "steps", "eval_steps": 2, "max_steps": 4, "per_device_train_batch_size": 4,
            "max_length": 64, "learning_rate": 1e-2, "logging_steps": 1, "save_steps": 2, "bf16": False,
            "use_cpu": True, "report_to": "none",
        }  # fmt: skip
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content | changes))
        return str(tmp_path / "recipe.yaml")

    return write


def lines_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_run_says_on_its_page_and_card_what_it_learnt(recipe, tmp_path, capsys):
    assert run(recipe(), [], None) == 0
    folder = tmp_path / "run"
    trained = [line for line in lines_of(folder) if "loss" in line]
    assert [line["step"] for line in trained] == [1, 2, 3, 4]
    assert [line["step"] for line in lines_of(folder) if "eval_loss" in line] == [2, 4]
    card, page = ((folder / name).read_text() for name in ("README.md", "report.html"))
    for words in ("trained with **SFT**", "2203.02155", "| demonstrations | 11 |"):
        assert words in card
    assert "1 of 12 rows have `correct: false`" in card
    assert "Token accuracy" in page
    assert "token accuracy" in capsys.readouterr().err  # beside the steps
    assert load_file(folder / "model.safetensors")


def test_a_run_with_an_adapter_that_is_resumed_ends_where_it_would_have(recipe, tmp_path):
    path = recipe(packing=True, use_peft=True, lora_r=4, lora_dropout=0.1)
    assert run(path, [], None) == 0
    assert run(path, ["--output_dir", str(tmp_path / "again")], str(tmp_path / "run" / "checkpoint-2")) == 0
    ends = [load_file(tmp_path / name / "adapter_model.safetensors") for name in ("run", "again")]
    assert all(ends[0][name].equal(ends[1][name]) for name in ends[0])


class Metrics(dict):
    """Series by name, from lists."""

    def __init__(self, **lists):
        import numpy as np

        from align.report.run.folder import Series

        super().__init__(
            {name.replace("__", "/"): Series(np.arange(len(each)), np.array(each)) for name, each in lists.items()}
        )


def test_findings_name_what_went_wrong():
    def found(**lists):
        return " ".join(
            finding.title for finding in look_at(SimpleNamespace(metrics=Metrics(**lists), recipe={}), REPORT.signs)
        )

    nan = float("nan")
    assert "rose from 1 to 1.3, means of two" in found(eval_loss=[2.0, nan, 1.0, 1.0, 1.2, 1.4])
    assert (
        found(eval_loss=[2.0, 1.0])
        == found(eval_loss=[2.0, 1.0, 1.05])
        == found(eval_loss=[1.0, 1.0, 1.15, 1.0])
        == ""
    )
    assert "sure of every token" in found(entropy=[0.01, 0.011, 0.009, 0.01])
    assert found(entropy=[0.5] * 4) == ""
