import random

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from tiny import tiny_vl_model_and_processor

from align.configs.acre import ACREConfig
from align.data.prompts import PromptTemplate
from align.trainers.acre import ACRETrainer
from rewards import AnswerConsistency
from rewards.options import LETTERS

Image = pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
pytest.importorskip("torchvision", reason="needs the extra `vision`")
TEMPLATE = PromptTemplate("{question}\n{options}")


class Answered(ACRETrainer):
    """Samples for real, then puts the sampled tokens into a response that has an answer."""

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        sampled, logps = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        start, end = self._tokenizer.encode("<think>"), self._tokenizer.encode("</think><answer>B</answer>")
        return [start + [i for i in ids if 3 <= i < 100] + end for ids in sampled], logps


def make_rows():
    rng = random.Random(0)
    rows = []
    for i in range(8):
        options = [str(n) for n in rng.sample(range(10, 99), 4)]
        pixels = np.random.default_rng(i).integers(0, 255, (56, 56, 3), dtype=np.uint8)
        rows.append(
            {
                "prompt": TEMPLATE.render(f"q{i}?", options),
                "question": f"q{i}?",
                "options": options,
                "answer": i % 4,
                "images": [Image.fromarray(pixels)],
            }
        )
    return rows


def test_the_second_pass_sees_the_image(tmp_path):
    model, processor = tiny_vl_model_and_processor()
    trainer = Answered(
        model,
        reward_funcs=[AnswerConsistency()],
        args=ACREConfig(
            output_dir=str(tmp_path),
            max_steps=2,
            per_device_train_batch_size=4,
            num_generations=4,
            max_completion_length=8,
            bf16=False,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_steps=1,
            log_completions=True,
            num_completions_to_print=0,
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(make_rows()),
        processing_class=processor,
        render_prompt=TEMPLATE.render,
    )
    before, processor = tiny_vl_model_and_processor()
    trainer.train()
    assert trainer.state.log_history[0]["acre/asked_again"] == 1.0
    table = pd.read_parquet(tmp_path / "completions" / "completions_00001.parquet")
    for _, row in table.iterrows():
        assert row["second_answers"] == answer_by_hand(before, processor, row)


def answer_by_hand(model, processor, row):
    """Asks the shuffled question with its image in one plain forward pass of the untouched model."""
    text = next(part["text"] for part in row["prompt"][0]["content"] if part["type"] == "text")
    given = next(each for each in make_rows() if each["prompt"][0]["content"] == text)
    order = [LETTERS.index(letter) for letter in row["permutation"]]
    question = TEMPLATE.render(given["question"], [given["options"][i] for i in order])[0]["content"]
    parts = [{"type": "image"}, {"type": "text", "text": question}]
    prompt = processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
    prefix = row["completion"][0]["content"].split("<answer>")[0] + "<answer>"
    inputs = processor(text=[prompt + prefix], images=given["images"], return_tensors="pt")
    letters = torch.tensor(processor.tokenizer.convert_tokens_to_ids(list("ABCD")))
    model.eval()
    with torch.no_grad():
        logits = model(**inputs).logits[0, -1, letters]
    return LETTERS[order[int(logits.argmax())]]
