"""Step time of ACRE against TRL's GRPO on the same model, prompts and completions, alternating in one process.

    python -m scripts.models.smollm2 --out models/smollm2-135m
    python -m scripts.benches.acre --model models/smollm2-135m --rounds 7 --json bench.json
    python -m scripts.benches.acre --model random --arms acre-text --completion_tokens 76 --threads 1 --clock cpu
    python -m scripts.benches.acre --model random-large --device cuda --dtype bfloat16

Both trainers really generate 64 tokens for each of 8 completions; what was generated is then replaced by one fixed,
well-formed response per row, so that both take the same step and every row has a second answer to give. The arms are
`grpo` (TRL's trainer), `acre` (one shuffle per prompt group, the prompt read once) and `acre-text` (another prompt for
the group, and an answer of 8 tokens written again behind every trace). `acre-tools` is ACRE for turns: 64 tokens that
end in a call, a result, and an answer, which is written again behind another result; its ratio is to `grpo-tools`, the
same turns by TRL's trainer. Reported is the median over rounds of the ratio to the step of TRL's trainer in the same
round; on a busy machine, `--clock cpu` with one thread counts the process's own time.

Then one more step of each arm is counted, which no machine changes: operations, tokens read, and the most bytes at
once. The floor of second answers by letters is every shuffled prompt read once, and every trace behind it.
"""

import argparse
import random
import re
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from align.methods.acre.config import ACREConfig
from align.methods.acre.text_trainer import TextACRETrainer
from align.methods.acre.tool_trainer import ToolACRETrainer
from align.methods.acre.trainer import ACRETrainer
from rewards import answer_consistency, number_accuracy, render_options
from rewards.reading.options import LETTERS
from scripts.benches.counted import Cost, cost_of, counting
from scripts.benches.device import add_turns, clock, in_turns, model_of, on_device, told_costs, told_ratio, weights
from scripts.benches.random_model import ABOUT_MODEL, SMOLLM2, WORDS, model_there
from scripts.harness import Options, write_numbers
from scripts.labs.tools.make import RESPONSE, TEMPLATE

ANSWER_TOKENS = 8
ARMS = ("acre", "acre-text", "acre-tools")
BESIDE = {"acre-tools": "grpo-tools"}  # what an arm is held against, where that is not `grpo`
AS_TRL = {"skip_without_advantage": "off"}  # what is measured is the second pass
CALL, RESULT = '<tool_call>{"name": "price", "arguments": {"item": "river"}}</tool_call>', "tool: "
OF_CALLS = ["tool_call", "name", "price", "arguments", "item", "4711", "tools", "user", "assistant", "tool"]
LETTERS_BAR = 1.02  # tokens read for second answers over their floor


def render(question: str, options: list[str]) -> str:
    """Renders a prompt of about 120 tokens."""
    return f"{question}\n{render_options(options)}\nThink in <think> tags, then give one letter in <answer> tags.\n"


def make_rows(count: int, rng: random.Random) -> list[dict[str, Any]]:
    """Makes questions about nothing, long enough."""
    rows = []
    for i in range(count):
        question = f"Question {i}: " + " ".join(rng.choices(WORDS, k=64)) + "?"
        options = [" ".join(rng.sample(WORDS, 3)) for _ in range(4)]
        prompt = render(question, options)
        rows.append(
            {"prompt": prompt, "question": question, "options": options, "answer": rng.randrange(4), "id": str(i)}
        )
    return rows


def fixed_response(tokenizer: Any, length: int, rng: random.Random, answer_tokens: int = 1) -> list[int]:
    """Makes a well-formed response of exactly `length` tokens; its answer is a letter, or has some tokens."""
    words = tokenizer.encode(" ".join(rng.choices(WORDS, k=answer_tokens)), add_special_tokens=False)[:answer_tokens]
    answer = rng.choice(LETTERS[:4]) if answer_tokens == 1 else tokenizer.decode(words)
    end = tokenizer.encode(f"</think><answer>{answer}</answer>", add_special_tokens=False)
    start = tokenizer.encode("<think>", add_special_tokens=False)
    middle = tokenizer.encode(" ".join(rng.choices(WORDS, k=length)), add_special_tokens=False)
    return start + middle[: length - len(start) - len(end)] + end


class FixedCompletions:
    """Generates for real, then returns the same responses in every arm."""

    answer_tokens = 1

    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> tuple[list[list[int]], None]:
        super()._generate_single_turn(prompt_ids, *args, **kwargs)  # type: ignore[misc]
        rng = random.Random(f"{self._step}")  # type: ignore[attr-defined]
        length = self.max_completion_length  # type: ignore[attr-defined]
        tokenizer, words = self._tokenizer, self.answer_tokens  # type: ignore[attr-defined]
        return [fixed_response(tokenizer, length, rng, words) for _ in prompt_ids], None


class FixedGRPO(FixedCompletions, GRPOTrainer):
    """TRL's trainer with fixed responses."""


class FixedACRE(FixedCompletions, ACRETrainer):
    """ACRE with fixed responses."""


class FixedText(FixedCompletions, TextACRETrainer):
    """ACRE for texts with fixed responses."""

    answer_tokens = ANSWER_TOKENS


def price(item: str) -> int:
    """Looks up what an item costs.

    Args:
        item: The name of the item.
    """
    return 4711


class FixedTurns:
    """Generates for real, then has every row call once and answer with what it was told."""

    first_turn = 64  # tokens

    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> tuple[list[list[int]], None]:
        own: Any = self
        rng, calls = random.Random(f"{own._step}"), RESULT not in own._tokenizer.decode(prompt_ids[0])
        config = own.generation_config
        config.max_new_tokens = config.min_new_tokens = self.first_turn if calls else ANSWER_TOKENS
        super()._generate_single_turn(prompt_ids, *args, **kwargs)  # type: ignore[misc]
        last = self._ids(CALL if calls else f"<answer>{price('')}</answer>")
        filled = self.first_turn - len(last) if calls else 0
        words = [self._ids(" ".join(rng.choices(WORDS, k=filled)))[:filled] for _ in prompt_ids]
        return [[*each, *last, own._tokenizer.eos_token_id] for each in words], None

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)  # type: ignore[attr-defined]
        return ids


class FixedToolGRPO(FixedTurns, GRPOTrainer):
    """TRL's trainer with fixed turns."""


class FixedToolACRE(FixedTurns, ToolACRETrainer):
    """ACRE for turns with fixed turns."""


def ask_first(row: dict[str, Any], rng: random.Random) -> tuple[str, int]:
    """Changes the beginning of a prompt, so that nothing of the first reading could be used again."""
    return f"Once more, {row['prompt']}", row["answer"]


def text_is_short(completions: list[Any], answer: list[Any], **kwargs: Any) -> list[float]:
    """Stands for a text reward, of which every row is asked again."""
    return [float(len(text) % 2) for text in completions]


def make_trainer(arm: str, arguments: argparse.Namespace, rows: list[dict[str, Any]]) -> GRPOTrainer:
    """Builds one arm with its own copy of the model, and takes a first step to warm up."""
    tokenizer = AutoTokenizer.from_pretrained(arguments.model, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(arguments.model, **weights(arguments))
    length = arguments.completion_tokens
    settings: dict[str, Any] = {
        "max_steps": 1,
        "per_device_train_batch_size": 8,
        "num_generations": 8,
        "max_completion_length": length,
        "generation_kwargs": {"min_new_tokens": length},
        "gradient_checkpointing": False,
    } | on_device(arguments)
    data = Dataset.from_list(rows)
    trainer: Any
    if arm.endswith("-tools"):
        tokenizer.add_tokens(OF_CALLS)
        model.resize_token_embeddings(len(tokenizer))
        end = {"close_pattern": re.escape(tokenizer.eos_token) + r"\s*", "content": "text"}
        tokenizer.chat_template = TEMPLATE
        tokenizer.response_template = RESPONSE | {"fields": RESPONSE["fields"] | {"content": end}}
        talks = [row for each in rows for row in batch_of(arm, each)[:1]]
        settings |= {"max_completion_length": length + 128, "generation_kwargs": None}
        given = {"train_dataset": Dataset.from_list(talks), "processing_class": tokenizer, "tools": [price]}
        if arm == "grpo-tools":
            trainer = FixedToolGRPO(model, [constant], GRPOConfig(**settings), **given)
        else:
            args = ACREConfig(**settings, **AS_TRL, second_answer_tokens=ANSWER_TOKENS)
            own = {"families": ["other_value"], "answer_reward": number_accuracy}
            trainer = FixedToolACRE(model, [answer_consistency], args=args, **given, **own)
        trainer.first_turn = length
        trainer.train()
        return trainer
    if arm == "grpo":
        accuracy_like = [constant]
        trainer = FixedGRPO(model, accuracy_like, GRPOConfig(**settings), data, processing_class=tokenizer)
    elif arm == "acre-text":
        args = ACREConfig(**settings, **AS_TRL, second_answer_tokens=ANSWER_TOKENS)
        own = {"families": [ask_first], "answer_reward": text_is_short}
        trainer = FixedText(model, [answer_consistency], args, data, processing_class=tokenizer, **own)
    else:
        args = ACREConfig(**settings, **AS_TRL)
        trainer = FixedACRE(model, [answer_consistency], args, data, processing_class=tokenizer, render_prompt=render)
    trainer.train()
    return trainer


def constant(completions: list[Any], **kwargs: Any) -> list[float]:
    """Rewards by position; what the reward is does not change the time of a step."""
    return [float(i % 2) for i in range(len(completions))]


def take_step(trainer: GRPOTrainer, batch: list[dict[str, Any]]) -> None:
    """Takes one whole step: generation, second pass, rewards, forward, backward, optimizer."""
    trainer.model.train()
    trainer.training_step(trainer.model, batch, None)
    trainer.optimizer.step()
    trainer.optimizer.zero_grad()


def count_letters(trainer: ACRETrainer, batch: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts what the second answers by letters of one step take, and what they could not do without."""
    cost, score = Cost(), trainer._score

    def counted(rows: list[Any], *more: Any) -> Any:
        prompts = {tuple(row.prompt_ids) for row in rows}
        cost.floor_tokens = sum(map(len, prompts)) + sum(len(row.prefix_ids) for row in rows)
        with counting(trainer.model, cost):
            return score(rows, *more)

    trainer._score = counted  # type: ignore[method-assign]
    take_step(trainer, batch)
    trainer._score = score  # type: ignore[method-assign]
    return asdict(cost) | {"tokens_over_floor": cost.tokens / cost.floor_tokens}


def batch_of(arm: str, row: dict[str, Any]) -> list[dict[str, Any]]:
    """Makes the batch of a step: one row, eight times."""
    talk = {"prompt": [{"role": "user", "content": row["prompt"]}], "answer": "4711"}
    return [talk if arm.endswith("-tools") else row] * 8


def count(trainers: dict[str, GRPOTrainer], row: dict[str, Any], device: str) -> dict[str, Any]:
    """Counts a step of every arm and prints it beside TRL's."""
    costs = {
        arm: cost_of(trainer.model, partial(take_step, trainer, batch_of(arm, row)), device)
        for arm, trainer in trainers.items()
    }
    found = told_costs(costs, lambda arm: BESIDE.get(arm, next(iter(costs))))
    if "acre" in found:
        found["acre"]["second"] = second = count_letters(trainers["acre"], batch_of("acre", row))
        over = second["tokens_over_floor"]
        print(f"second answers: {over:.3f} of the tokens of prompts and traces (bar {LETTERS_BAR})")
    return found


def main(argv: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = Options(__doc__)
    parser.add_argument("--model", type=model_there, default=SMOLLM2, help=ABOUT_MODEL)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=["acre"])
    parser.add_argument("--completion_tokens", type=int, default=64)
    add_turns(parser, 7)
    parser.add_numbers()
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    # A vocabulary as real models have, which no tokenizer of a few words fills.
    arguments.model = model_of(arguments, 32_000 if arguments.model == "random-large" else 0)
    rows = make_rows(64, random.Random(0))
    arms = list(dict.fromkeys(each for arm in arguments.arms for each in (BESIDE.get(arm, "grpo"), arm)))
    trainers = {arm: make_trainer(arm, arguments, rows) for arm in arms}
    now = clock(arguments, arguments.clock)

    def take(arm: str, number: int) -> float:
        started = now()
        take_step(trainers[arm], batch_of(arm, rows[number % len(rows)]))
        return now() - started

    seconds = in_turns(arms, arguments.rounds, take)
    tokens = len(trainers[arms[0]]._tokenizer(rows[0]["prompt"])["input_ids"])
    print(f"{tokens} prompt tokens, 8 completions of {arguments.completion_tokens}, {arguments.rounds} rounds")
    told = {arm: told_ratio(arm, seconds[arm], seconds[BESIDE.get(arm, arms[0])]) for arm in arms}
    about = {name: getattr(arguments, name) for name in ("device", "dtype", "rounds")} | {"prompt_tokens": tokens}
    write_numbers(arguments.json, about, told, {"counted": count(trainers, rows[0], arguments.device)})


if __name__ == "__main__":
    main()
