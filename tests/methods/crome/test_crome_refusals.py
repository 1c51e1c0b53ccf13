"""What Crome's trainer refuses, with what to do instead."""

import pytest
import torch
from crome_trainer import QUIET, TOKENIZER, make_rows
from datasets import Dataset
from tiny import tiny_model
from transformers import BitsAndBytesConfig
from trl import RewardConfig

from align.methods.crome.config import CromeConfig
from align.methods.crome.trainer import CromeTrainer


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crome") / "model"
    tiny_model(vocabulary=len(TOKENIZER)).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tie_coef": -1.0}, "`tie_coef` must be at least 0, got -1.0"),
        ({"model_type": "triple"}, "model_type"),
        ({"model_type": "pairwise", "center_rewards_coefficient": 0.1}, "a pairwise model has none"),
    ],
)
def test_settings_without_meaning_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        CromeConfig(output_dir=str(tmp_path), **QUIET | settings)


def test_a_reward_config_is_refused(tmp_path, model_folder):
    with pytest.raises(TypeError, match="must be a CromeConfig, got RewardConfig"):
        CromeTrainer(
            model_folder, args=RewardConfig(str(tmp_path), **QUIET), train_dataset=Dataset.from_list(make_rows())
        )


def test_a_pairwise_model_is_loaded_as_the_settings_say_which_stay_as_they_were(tmp_path, model_folder):
    args = CromeConfig(str(tmp_path), model_type="pairwise", model_init_kwargs={"dtype": "bfloat16"}, **QUIET)
    rows = Dataset.from_list(make_rows())
    for _ in range(2):
        assert CromeTrainer(model_folder, args, train_dataset=rows).model.dtype == torch.bfloat16
        assert args.model_init_kwargs == {"dtype": "bfloat16"}
    args.model_init_kwargs["quantization_config"] = quantization = BitsAndBytesConfig(load_in_8bit=True)
    with pytest.raises(ValueError, match="`quantization_config` is given to the trainer and in"):
        CromeTrainer(model_folder, args, train_dataset=rows, quantization_config=quantization)


def test_a_tokenizer_without_single_labels_is_refused(tmp_path, model_folder):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1, "<unk>": 2}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    words = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
    with pytest.raises(ValueError, match="one token for each of A and B"):
        CromeTrainer(
            model_folder, args=CromeConfig(str(tmp_path), model_type="pairwise", **QUIET),
            train_dataset=Dataset.from_list(make_rows()), processing_class=words,
        )  # fmt: skip
