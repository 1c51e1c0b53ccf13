"""Pages of runs that other trainers made: a real run of TRL, and rollouts in verl's form."""

import json

import pytest
from tiny import tiny_model, tiny_tokenizer

from align.cli import run_command
from align.errors import RunFolderError
from align.report.page import read_run


@pytest.mark.slow
def test_a_run_of_trl_has_its_curves_and_completions(tmp_path):
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    def length(completions, **kwargs):
        return [float(len(text)) for text in completions]

    settings = GRPOConfig(
        str(tmp_path / "run"), max_steps=2, per_device_train_batch_size=4, num_generations=2, report_to="none",
        max_completion_length=4, log_completions=True, use_cpu=True, logging_steps=1, save_steps=2, bf16=False,
    )  # fmt: skip
    tokenizer = tiny_tokenizer()
    data = Dataset.from_dict({"prompt": ["a?", "b?"]})
    model = tiny_model(vocabulary=len(tokenizer))
    trainer = GRPOTrainer(model, length, args=settings, train_dataset=data, processing_class=tokenizer)
    trainer.train()
    run = read_run(tmp_path / "run")
    logged = [line["reward"] for line in trainer.state.log_history if "reward" in line]
    assert run.metrics["reward"].values.tolist() == logged
    assert len(run.completions) == 8
    assert run_command("report", str(tmp_path / "run")) == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "written by TRL or transformers" in page
    assert 'class="sample"' in page


def test_rollouts_of_verl_are_a_run(tmp_path):
    for step in range(1, 11):
        rows = [{"input": f"{n}?", "output": "<b>x", "gts": "1", "score": step / 10, "step": step, "acc": 0.5}
                for n in range(4)]  # fmt: skip
        (tmp_path / f"{step}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = read_run(tmp_path)
    assert run.metrics["reward"].steps.tolist() == list(range(1, 11))
    assert run.metrics["reward"].values.tolist() == pytest.approx([step / 10 for step in range(1, 11)])
    assert run.recipe == {"reward_funcs": ["score", "acc"], "reward_weights": [1.0, 0.0]}
    assert run_command("report", str(tmp_path)) == 0
    page = (tmp_path / "report.html").read_text()
    assert "&lt;b&gt;x" in page
    assert "<b>x" not in page


def test_a_broken_log_of_a_trainer_is_a_sentence(tmp_path):
    (tmp_path / "trainer_state.json").write_text('{"log_history": 3}')
    with pytest.raises(RunFolderError, match="is no log of a trainer of transformers"):
        read_run(tmp_path)
    (tmp_path / "trainer_state.json").unlink()
    with pytest.raises(RunFolderError, match=r"recipe\.yaml is missing"):
        read_run(tmp_path)
