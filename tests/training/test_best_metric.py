import pytest
from line_trainer import line_trainer

from align.errors import RecipeError
from align.training.callbacks import BestMetric


def test_a_metric_that_no_evaluation_has_is_named_with_those_it_has(tmp_path):
    settings = {"eval_strategy": "steps", "eval_steps": 2}
    trainer = line_trainer(tmp_path, metric_for_best_model="los", **settings)
    trainer.add_callback(BestMetric())
    with pytest.raises(RecipeError, match=r"at step 2: loss, .*Did you mean 'loss'\?"):
        trainer.train()


@pytest.mark.parametrize("name", ["loss", "eval_loss"])
def test_one_that_it_has_is_taken_with_and_without_its_prefix(tmp_path, name):
    trainer = line_trainer(tmp_path, metric_for_best_model=name, eval_strategy="steps", eval_steps=2)
    trainer.add_callback(BestMetric())
    trainer.train()
    assert trainer.state.best_metric is not None
