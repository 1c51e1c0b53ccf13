import random

import pandas as pd
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from scenes import COLOURS, square
from tiny import tiny_vl_model_and_processor
from trl import GRPOConfig, GRPOTrainer

from align.data.questions.templates import PromptTemplate
from align.errors import DataError
from align.methods.acre.config import ACREConfig
from align.methods.acre.trainer import ACRETrainer
from rewards import AnswerConsistency
from rewards.reading.options import LETTERS

pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
pytest.importorskip("torchvision", reason="needs the extra `vision`")
TEMPLATE = PromptTemplate("{question}\n{options}")
FAMILIES = {"qwen2_5_vl": ".visual", "idefics3": ".vision_model"}
SETTINGS = {
    "max_steps": 2,
    "learning_rate": 1e-2,
    "per_device_train_batch_size": 4,
    "num_generations": 4,
    "max_completion_length": 5,
    "bf16": False,
    "use_cpu": True,
    "report_to": "none",
    "save_strategy": "no",
    "logging_steps": 1,
    "log_completions": True,
    "num_completions_to_print": 0,
    "disable_tqdm": True,
}


class Answered(ACRETrainer):
    """Samples for real, then puts the sampled tokens into a response that has an answer."""

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        sampled, logps = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        start, end = self._tokenizer.encode("<think>"), self._tokenizer.encode("</think><answer>B</answer>")
        return [start + [i for i in ids if 3 <= i < 100] + end for ids in sampled], logps


def make_rows(num_images=lambda i: 1 + i % 2):
    rng = random.Random(0)
    rows = []
    for i in range(8):
        options = [str(n) for n in rng.sample(range(10, 99), 4)]
        images = [square(colour, place=(i, 3 * i)) for colour in rng.sample(list(COLOURS), num_images(i))]
        row = {"question": f"q{i}?", "options": options, "answer": i % 4, "images": images}
        rows.append(row | {"prompt": TEMPLATE.render(f"q{i}?", options)})
    return rows


def by_length(completions, **kwargs):
    return [float(len(completion[0]["content"]) % 3) for completion in completions]


def make_trainer(
    folder, family, reward_funcs, trainer=Answered, rows=None, peft_config=None, eval_rows=None, **settings
):
    model, processor = tiny_vl_model_and_processor(family=family)
    own = issubclass(trainer, ACRETrainer)
    return trainer(
        model,
        reward_funcs=reward_funcs,
        args=(ACREConfig if own else GRPOConfig)(output_dir=str(folder), **SETTINGS | settings),
        train_dataset=Dataset.from_list(rows or make_rows()),
        eval_dataset=eval_rows and Dataset.from_list(eval_rows),
        processing_class=processor,
        peft_config=peft_config,
        **({"render_prompt": TEMPLATE.render} if own else {}),
    )


def answer_by_hand(model, processor, row, rows):
    """Asks the shuffled question with its images in one plain forward pass of the untouched model."""
    text = next(part["text"] for part in row["prompt"][0]["content"] if part["type"] == "text")
    given = next(each for each in rows if each["prompt"][0]["content"] == text)
    order = [LETTERS.index(letter) for letter in row["permutation"]]
    question = TEMPLATE.render(given["question"], [given["options"][i] for i in order])[0]["content"]
    parts = [{"type": "image"}] * len(given["images"]) + [{"type": "text", "text": question}]
    prompt = processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
    prefix = row["completion"][0]["content"].split("<answer>")[0] + "<answer>"
    images = [given["images"]] if given["images"] else None
    inputs = processor(text=[prompt + prefix], images=images, return_tensors="pt")
    letters = torch.tensor(processor.tokenizer.convert_tokens_to_ids(list("ABCD")))
    model.eval()
    with torch.no_grad():
        logits = model(**inputs).logits[0, -1, letters]
    return LETTERS[order[int(logits.argmax())]]


def table_of_first_step(folder):
    return pd.read_parquet(folder / "completions" / "completions_00001.parquet").to_dict("records")


def count_tower_runs(trainer, tower):
    """Returns a list that gets one number for each second pass."""
    score, runs, counts = trainer._score, [], []

    def counted(*args):
        before = len(runs)
        scores = score(*args)
        counts.append(len(runs) - before)
        return scores

    next(each for name, each in trainer.model.named_modules() if name.endswith(tower)).register_forward_hook(
        lambda *_: runs.append(1)
    )
    trainer._score = counted
    return counts


@pytest.mark.by_day("idefics3-lora")
@pytest.mark.parametrize(("family", "weights"), [("qwen2_5_vl", "full"), ("idefics3", "lora")])
def test_two_steps_with_second_answers_that_see_the_images(tmp_path, family, weights):
    lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM") if weights == "lora" else None
    settings = {"permutation_scope": "row", "num_shuffles": 2}
    trainer = make_trainer(tmp_path, family, [AnswerConsistency(), by_length], peft_config=lora, **settings)
    untouched, processor = tiny_vl_model_and_processor(family=family)
    runs = count_tower_runs(trainer, FAMILIES[family])
    trainer.train()
    steps = [entry for entry in trainer.state.log_history if "grad_norm" in entry]
    assert [entry["acre/asked_again"] for entry in steps] == [1.0, 1.0]
    assert all(entry["grad_norm"] > 0 for entry in steps)
    assert runs == [1, 1]  # four completions of one prompt, each with two shuffles of its own
    for row in table_of_first_step(tmp_path):
        second, first_shuffle = row["second_answers"].split()[0], row["permutation"].split()[0]
        assert second == answer_by_hand(untouched, processor, row | {"permutation": first_shuffle}, make_rows())


@pytest.mark.by_day("qwen2_5_vl")
@pytest.mark.parametrize("family", FAMILIES)
def test_neutral_settings_give_the_losses_of_grpo_with_images(tmp_path, family):
    def losses(trainer):
        trainer.train()
        steps = [entry for entry in trainer.state.log_history if "grad_norm" in entry]
        assert all(entry["grad_norm"] > 0.01 for entry in steps)
        return [entry[name] for entry in steps for name in ("loss", "grad_norm", "reward", "entropy")]

    neutral = [AnswerConsistency(both=1, first_only=1, second_only=0), by_length]
    own = {"trainer": ACRETrainer, "skip_without_advantage": "off"}
    parent = losses(make_trainer(tmp_path, family, [by_length], trainer=GRPOTrainer))
    weightless = make_trainer(tmp_path, family, neutral, reward_weights=[0.0, 1.0], **own)
    assert losses(weightless) == parent


@pytest.mark.by_day("idefics3")
@pytest.mark.parametrize("family", FAMILIES)
def test_rows_without_images_stand_beside_rows_with_images(tmp_path, family):
    rows = make_rows(num_images=lambda i: i % 2)
    settings = {"per_device_train_batch_size": 8, "shuffle_dataset": False}
    trainer = make_trainer(tmp_path, family, [AnswerConsistency(), by_length], rows=rows, **settings)
    untouched, processor = tiny_vl_model_and_processor(family=family)
    trainer.train()
    assert all(entry["grad_norm"] > 0 for entry in trainer.state.log_history if "grad_norm" in entry)
    table = table_of_first_step(tmp_path)
    assert len({row["prompt"][0]["content"][0]["type"] for row in table}) == 2
    for row in table:
        assert row["second_answers"] == answer_by_hand(untouched, processor, row, rows)


def test_rows_with_and_without_images_are_refused_where_ranks_gather_weights_together(tmp_path, monkeypatch):
    trainer = make_trainer(tmp_path, "qwen2_5_vl", [AnswerConsistency()])
    monkeypatch.setattr(type(trainer.accelerator), "num_processes", 2)
    next(trainer.model.parameters()).ds_id = 0  # as DeepSpeed marks the weights of ZeRO-3
    assert trainer._dummy(make_rows()).images
    assert trainer._dummy(make_rows(num_images=lambda i: 0)) is None
    with pytest.raises(DataError, match="rows with and rows without images"):
        trainer._dummy(make_rows(num_images=lambda i: i % 2))


def test_an_engine_that_reads_text_is_refused_before_training(tmp_path):
    trainer = make_trainer(tmp_path, "qwen2_5_vl", [AnswerConsistency()])
    trainer.args.second_pass = "vllm"
    with pytest.raises(ValueError, match="reads text only"):
        trainer._check_rows()


def test_images_that_only_the_evaluation_has_are_refused(tmp_path):
    texts = [{name: value for name, value in row.items() if name != "images"} for row in make_rows()]
    with pytest.raises(DataError, match="The eval dataset has images and the train dataset has none"):
        make_trainer(tmp_path, "qwen2_5_vl", [AnswerConsistency()], rows=texts, eval_rows=make_rows())
