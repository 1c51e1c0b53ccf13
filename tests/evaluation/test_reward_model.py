import json
import math

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from some_recipes import REWARD_PAIRS, trainer_class
from tiny import tiny_model, tiny_reward_model, tiny_tokenizer
from transformers import LlamaForSequenceClassification

from align.cli import run_command
from align.errors import DataError, UserError
from align.methods import METHODS
from align.models.reward_model import RewardModel
from align.models.rewards import ModelSpec
from rewards.attacks import HACKS, attack
from rewards.running.contract import LocalSubject, Settings

trl = pytest.importorskip("trl", reason="needs the size `train`")

TRAINER, CONFIG = trainer_class(REWARD_PAIRS), METHODS[REWARD_PAIRS].config_class()
TEXTS = [
    {"prompt": f"Question {i}? ", "chosen": "right " * (i + 1), "rejected": "wrong, and at more length " * (3 - i)}
    for i in range(3)
]
MESSAGES = [
    {
        "prompt": [{"role": "user", "content": row["prompt"]}],
        "chosen": [{"role": "assistant", "content": row["chosen"]}],
        "rejected": [{"role": "assistant", "content": row["rejected"]}],
    }
    for row in TEXTS
]
ROWS = pytest.mark.parametrize("rows", [TEXTS, MESSAGES], ids=["texts", "messages"])


def train(folder, rows, model, trainer=TRAINER, config=CONFIG, peft_config=None, **settings):
    """Trains one step and saves, as `align train` does."""
    arguments = {"max_steps": 1, "learning_rate": 1e-2, "bf16": False, "use_cpu": True, "report_to": "none"}
    built = trainer(
        model=model,
        args=config(output_dir=str(folder), disable_tqdm=True, save_strategy="no", **arguments | settings),
        train_dataset=Dataset.from_list(rows),
        processing_class=tiny_tokenizer(),
        peft_config=peft_config,
    )
    built.train()
    built.save_model()
    return built


def trainer_logits(trainer):
    """The trainer's own forward pass over its data in its own batches: first all chosen, then all rejected."""
    batch = trainer.data_collator(list(trainer.train_dataset))
    trainer.model.eval()
    with torch.no_grad():
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        return trainer.model(**inputs).logits.squeeze(-1).numpy()


def columns(rows):
    return [[row[name] for row in rows] for name in ("prompt", "chosen", "rejected")]


@ROWS
def test_scores_are_the_logits_of_trls_reward_trainer(tmp_path, rows):
    trainer = train(tmp_path, rows, tiny_reward_model(), trl.RewardTrainer, trl.RewardConfig)
    model = RewardModel.load(tmp_path, batch_size=2)
    prompts, chosen, rejected = columns(rows)
    expected = trainer_logits(trainer)
    np.testing.assert_allclose(model.score(prompts * 2, chosen + rejected), expected, atol=1e-6)
    np.testing.assert_allclose(model.margins(prompts, chosen, rejected), expected[:3] - expected[3:], atol=1e-6)
    assert np.ptp(expected) > 0.01


@ROWS
def test_margins_of_a_pairwise_model_are_the_logits_of_the_trainer_in_both_orders(tmp_path, rows):
    trainer = train(
        tmp_path,
        rows,
        tiny_model(vocabulary=len(tiny_tokenizer()), max_position_embeddings=1024),
        model_type="pairwise",
    )
    model = RewardModel.load(tmp_path, batch_size=4)
    assert model.pairwise
    prompts, chosen, rejected = columns(rows)
    expected = trainer_logits(trainer)
    margins = model.margins(prompts, chosen, rejected)
    np.testing.assert_allclose(margins, (expected[:3] - expected[3:]) / 2, atol=1e-6)
    np.testing.assert_array_equal(model.margins(prompts, rejected, chosen), -margins)
    assert np.abs(margins).min() > 1e-6


def test_an_adapter_is_scored_with_its_own_head_on_a_causal_base(tmp_path):
    tiny_model(vocabulary=len(tiny_tokenizer())).save_pretrained(tmp_path / "base")
    lora = LoraConfig(task_type="SEQ_CLS", r=4, target_modules="all-linear", init_lora_weights=False)
    trainer = train(tmp_path / "run", TEXTS, str(tmp_path / "base"), peft_config=lora)
    assert not (tmp_path / "run" / "model.safetensors").exists()
    prompts, chosen, rejected = columns(TEXTS)
    scores = RewardModel.load(tmp_path / "run").score(prompts * 2, chosen + rejected)
    np.testing.assert_allclose(scores, trainer_logits(trainer), atol=1e-6)


def test_a_pairwise_adapter_is_recognised_by_the_mark_beside_it(tmp_path):
    tiny_model(vocabulary=len(tiny_tokenizer()), max_position_embeddings=1024).save_pretrained(tmp_path / "base")
    lora = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear", init_lora_weights=False)
    base = str(tmp_path / "base")
    trainer = train(tmp_path / "run", TEXTS, base, peft_config=lora, model_type="pairwise")
    expected = trainer_logits(trainer)
    margins = RewardModel.load(tmp_path / "run").margins(*columns(TEXTS))
    np.testing.assert_allclose(margins, (expected[:3] - expected[3:]) / 2, atol=1e-6)


def test_an_adapter_without_a_head_is_refused(tmp_path):
    """PEFT saves the head for one task type only; with another one a fresh load draws a random head."""
    tiny_model(vocabulary=len(tiny_tokenizer())).save_pretrained(tmp_path / "base")
    lora = LoraConfig(r=4, target_modules="all-linear")
    train(tmp_path / "run", TEXTS, str(tmp_path / "base"), peft_config=lora)
    with pytest.raises(UserError, match=r"run is not a reward model: its `task_type` is None"):
        RewardModel.load(tmp_path / "run")


def test_equal_answers_have_equal_scores_in_whichever_batch():
    model = RewardModel(tiny_reward_model(), tiny_tokenizer(), batch_size=1)
    prompts, chosen, _ = columns(TEXTS)
    scores = model.score(prompts * 2, chosen * 2)
    assert scores[:3].tolist() == scores[3:].tolist()
    assert model.margins(prompts, chosen, chosen).tolist() == [0, 0, 0]


@pytest.mark.parametrize("batch_size", [1, 5])
def test_the_batch_size_does_not_move_the_scores(batch_size):
    prompts, chosen, rejected = columns(TEXTS)
    arguments = prompts * 2, chosen + rejected
    one = RewardModel(tiny_reward_model(), tiny_tokenizer(), batch_size=batch_size).score(*arguments)
    np.testing.assert_allclose(one, RewardModel(tiny_reward_model(), tiny_tokenizer()).score(*arguments), atol=1e-6)


def test_long_sequences_are_refused_or_counted_and_never_cut():
    prompts, responses = ["ab"] * 3, ["c" * 5, "c" * 6, "c" * 9]  # 8, 9 and 12 tokens with the end
    model = RewardModel(tiny_reward_model(), tiny_tokenizer(), max_length=8)
    with pytest.raises(
        DataError, match=r"2 of 3 sequences are longer than `max_length` = 8 tokens, the longest has 12"
    ):
        model.score(prompts, responses)
    model = RewardModel(tiny_reward_model(), tiny_tokenizer(), max_length=8, on_too_long="nan")
    assert [math.isnan(score) for score in model.score(prompts, responses)] == [False, True, True]


def test_the_models_own_limit_counts_without_a_max_length():
    model = RewardModel(tiny_reward_model(max_position_embeddings=16), tiny_tokenizer())
    with pytest.raises(DataError, match="`max_length` = 16"):
        model.score(["a"], ["b" * 15])


def test_a_pairwise_model_gives_no_scores():
    model = RewardModel(tiny_model(vocabulary=len(tiny_tokenizer())), tiny_tokenizer(), pairwise=True)
    with pytest.raises(UserError, match="Use `margins`"):
        model.score(["a"], ["b"])


def test_messages_need_a_chat_template():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(UserError, match="no chat template"):
        RewardModel(tiny_reward_model(), tokenizer).score(*columns(MESSAGES)[:2])


@pytest.fixture
def folder(tmp_path):
    """A saved scalar reward model, to break in one way."""
    tiny_reward_model().save_pretrained(tmp_path / "rm")
    tiny_tokenizer().save_pretrained(tmp_path / "rm")
    return tmp_path / "rm"


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_reward_model_is_attacked_like_any_reward(tmp_path, capsys):
    tiny_reward_model().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    reward, samples = ModelSpec("mine", str(tmp_path)).resolve(), [[row["chosen"]] for row in TEXTS]
    result = attack(LocalSubject(reward), Settings(TEXTS, "text"), hacks=HACKS[:9], samples=samples)
    expected = reward.model.score([row["prompt"] for row in TEXTS], [each for (each,) in samples])
    assert (result.reward, result.problems, len(result.outcomes)) == ("mine", [], 9)
    assert result.honest.pays == pytest.approx(expected)
    (tmp_path / "tokenizer_config.json").unlink()
    assert run_command("rewards", "attack", str(tmp_path)) == 1
    assert "no tokenizer" in capsys.readouterr().err


def test_a_causal_language_model_is_not_a_reward_model(tiny_model_folder):
    with pytest.raises(UserError, match=r"not a reward model: its `config.json` names LlamaForCausalLM"):
        RewardModel.load(tiny_model_folder)


def test_a_classifier_with_several_labels_is_not_a_reward_model(tmp_path):
    LlamaForSequenceClassification(tiny_model(num_labels=3).config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="`num_labels` = 3"):
        RewardModel.load(tmp_path)


def test_a_model_without_its_head_is_not_scored_with_a_random_one(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["score.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"its weights lack score\.weight"):
        RewardModel.load(folder)


def test_a_tokenizer_without_padding_is_refused(folder):
    edit(folder / "tokenizer_config.json", pad_token=None)
    with pytest.raises(UserError, match="no padding token"):
        RewardModel.load(folder)


def test_pickled_weights_are_not_loaded(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"rm holds pickled weights only .*safetensors"):
        RewardModel.load(folder)


def test_code_that_comes_with_a_model_is_not_run(folder):
    mark = folder / "ran"
    (folder / "own.py").write_text(f"open({str(mark)!r}, 'w')\nclass Own: ...\n")
    edit(folder / "config.json", model_type="own", auto_map={"AutoConfig": "own.Own"})
    with pytest.raises(UserError, match=r"rm cannot be loaded"):
        RewardModel.load(folder)
    assert not mark.exists()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=r"There is no folder .*nowhere"):
        RewardModel.load(tmp_path / "nowhere")
