import pytest
from datasets import Dataset, IterableDataset
from transformers import TrainingArguments

from align.errors import RecipeError
from align.training.build import _require_batch

ROWS = Dataset.from_list([{"x": 1}] * 7)
STREAM = IterableDataset.from_generator(lambda: iter(()))


@pytest.fixture
def args(tmp_path):
    def make(drops=True, batch=8, **settings):
        return TrainingArguments(
            str(tmp_path), use_cpu=True, dataloader_drop_last=drops, per_device_train_batch_size=batch,
            per_device_eval_batch_size=batch, **settings,
        )  # fmt: skip

    return make


@pytest.mark.parametrize(("name", "what"), [("train", "for training"), ("eval", "for evaluation")])
def test_rows_that_fill_no_batch_are_refused_where_such_a_batch_is_left_out(args, name, what):
    said = rf"makes 7 rows of the data {what}, .* Lower `per_device_{name}_batch_size: 8`"
    with pytest.raises(RecipeError, match=said):
        _require_batch(args(), ROWS, name, "nothing happens")


def test_rows_that_fill_one_or_are_not_left_out_or_not_counted_pass(args):
    for given, rows in ((args(batch=7), ROWS), (args(drops=False), ROWS), (args(), STREAM), (args(), None)):
        _require_batch(given, rows, "train", "nothing happens")
