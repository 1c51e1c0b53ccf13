"""A run that goes on in a later pass over its prompts asks what the run that was not interrupted asks."""

from collections import defaultdict

import pytest
import scripted_text_acre as of_texts
import test_acre as of_letters
from datasets import Dataset
from trl import GRPOTrainer

from align.methods.grpo.trainer import GuardedGRPOTrainer


class InBlocks(GuardedGRPOTrainer):
    """Answers pairs of rows in one call."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, rows_together=2, **kwargs)


FORMS = {
    "letters": (of_letters, {}),
    "texts": (of_texts, {}),
    "prompts": (of_letters, {"trainer": GuardedGRPOTrainer}),
    "blocks": (of_letters, {"trainer": InBlocks}),
    "used twice": (of_letters, {"trainer": GuardedGRPOTrainer, "num_iterations": 2}),
}


def asked(form, folder, checkpoint=None, **changes):
    """Trains on 8 prompts, two in each step; returns by step what was asked."""
    of, settings = FORMS[form]
    seen = defaultdict(list)

    def keep(completions, prompts, trainer_state, **kwargs):
        seen[trainer_state.global_step + 1] += dict.fromkeys(prompts)
        return [float(len(text)) for text in completions]

    steps = {"save_strategy": "steps", "save_steps": 2, "max_steps": 8, "max_completion_length": 1}
    steps |= {"per_device_train_batch_size": 4, "num_generations": 2}
    trainer = of.make_trainer(folder, [keep], rows=of.make_rows(8), **steps | settings | changes)
    trainer.train(resume_from_checkpoint=checkpoint)
    return dict(seen)


@pytest.mark.by_day("letters", "blocks", "used twice")
@pytest.mark.parametrize("form", FORMS)
def test_prompts_of_later_passes_come_in_the_order_of_the_uninterrupted_run(form, tmp_path):
    whole = asked(form, tmp_path / "whole")
    passes = [sorted(each for step in steps for each in whole.get(step, [])) for steps in (range(1, 5), range(5, 9))]
    assert passes[0] == passes[1] or form == "used twice"
    assert len(set(passes[0])) == 8 or form == "used twice"
    for step in (4, 6) if form == "letters" else (6,):  # at the end of the first pass, and within the second
        found = asked(form, tmp_path / f"from-{step}", str(tmp_path / f"whole/checkpoint-{step}"))
        assert found == {each: prompts for each, prompts in whole.items() if each > step}, f"from step {step}"


def test_from_the_start_the_order_is_that_of_trl(tmp_path):
    into_the_second_pass = {"max_steps": 5}
    ours = asked("prompts", tmp_path / "ours", **into_the_second_pass)
    assert ours == asked("prompts", tmp_path / "trl", trainer=GRPOTrainer, **into_the_second_pass)


@pytest.mark.by_day("letters")
@pytest.mark.parametrize("form", ["letters", "texts", "prompts"])
def test_a_stream_is_trained_on_and_gone_on_with(form, tmp_path, monkeypatch):
    of = FORMS[form][0]
    monkeypatch.setattr(of, "Dataset", Streams)
    ours = asked(form, tmp_path / "ours", max_steps=3)
    assert [len(ours[step]) for step in (1, 2, 3)] == [2, 2, 2]
    assert asked(form, tmp_path / "on", str(tmp_path / "ours/checkpoint-2"), max_steps=3) == {3: ours[3]}
    if form == "prompts":
        assert asked(form, tmp_path / "trl", trainer=GRPOTrainer, max_steps=3) == ours


class Streams:
    """Makes a stream where a trainer would have a set."""

    @staticmethod
    def from_list(rows):
        return Dataset.from_list(rows).to_iterable_dataset()
