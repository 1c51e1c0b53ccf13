"""How `lab.py` trains an arm from a start, and what it measures before and after."""

import dataclasses
import random
import tempfile
import time
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, PrinterCallback

from align.assets import find_recipe
from align.data.questions.multiple_choice import load_questions
from align.data.questions.rows import questions_to_rows, show_anew
from align.data.questions.templates import PromptTemplate
from align.methods.acre.config import ACREConfig
from align.methods.acre.trainer import ACRETrainer
from align.methods.grpo.config import GRPOConfig
from align.methods.grpo.trainer import GuardedGRPOTrainer
from align.recipe.recipe import load_recipe
from rewards import AnswerConsistency, VoteAgreement, accuracy, answer_agreement, follows_trace
from rewards.reading.responses import parse_response
from scripts.harness import ON_A_CPU, share
from scripts.labs.acre.lab import SameOrder
from scripts.labs.acre.make import read_digit
from scripts.labs.labelfree.starts import CODES
from scripts.labs.regime.arms import answer, chosen
from scripts.labs.tiny_models import make_tokenizer

QUIET = ON_A_CPU | {"log_completions": False, "logging_strategy": "no", "max_completion_length": 8}  # all need 7
TEMPLATE = PromptTemplate("{question}\n{options}", conversational=False)
FROM_CODE = {code: digit for digit, code in CODES.items()}
Metrics = dict[str, float]


class Arm(NamedTuple):
    """A reward, the trainer that asks for it, and the order of the options: as they are, or drawn for a visit."""

    reward: Any
    trainer: type[Any] = GuardedGRPOTrainer
    order: str = "fixed"
    settings: dict[str, Any] = {}  # noqa: RUF012
    labels: str = "none"


ROWS = {"permutation_scope": "row", "second_answer_temperature": 1.0}
VOTE = VoteAgreement(fixed_order=True)
ARMS = {
    "vote": Arm(VOTE),
    "vote, every visit": Arm(VOTE, order="every_visit"),
    "vote, orders in a group": Arm(VoteAgreement(), order="within_group"),
    "vote of second answers": Arm(VoteAgreement(votes="second"), ACRETrainer, settings=ROWS),
    "follows_trace": Arm(follows_trace),
    "answer_agreement": Arm(answer_agreement, ACRETrainer),
    "placebo": Arm(answer_agreement, SameOrder),
    "gold GRPO": Arm(accuracy, labels="given"),
    "gold, orders in a group": Arm(accuracy, order="within_group", labels="given"),
    "gold ACRE": Arm(AnswerConsistency(1.0, 0.0, 0.2), ACRETrainer, labels="given"),
    "agreement, no KL": Arm(answer_agreement, ACRETrainer, settings={"beta": 0.0, "max_steps": 300}),
}


@lru_cache
def settings() -> dict[str, Any]:
    """Returns the settings of the quickstart's recipe."""
    recipe = load_recipe(find_recipe("acre/quickstart"), [])
    return dict(recipe.training) | QUIET


def make_trainer(arm: Arm, model: Any, data: Path, seed: int, folder: str, **overrides: Any) -> Any:
    """Builds the trainer of an arm on the questions of a start."""
    config = ACREConfig if issubclass(arm.trainer, ACRETrainer) else GRPOConfig
    names = {field.name for field in dataclasses.fields(config) if field.init}
    given = settings() | {"output_dir": folder, "seed": seed} | arm.settings | overrides
    asked = load_questions(str(data / "train.jsonl"), has_labels=arm.labels == "given")[0]
    rows = questions_to_rows(list(asked), TEMPLATE)[0]
    own: dict[str, Any] = {"within_group": arm.order == "within_group"}
    if config is ACREConfig:
        own |= {"render_prompt": TEMPLATE.render, "labels": arm.labels}
    elif arm.order != "fixed":
        own["show_anew"] = partial(show_anew, TEMPLATE.render, seed)
    trainer = arm.trainer(
        model=model,
        reward_funcs=[arm.reward],
        args=config(**{name: value for name, value in given.items() if name in names}),
        train_dataset=Dataset.from_list(rows),
        processing_class=make_tokenizer(),
        **own,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


class Measured(NamedTuple):
    """What a policy answers to the evaluation questions."""

    metrics: Metrics
    right: tuple[bool, ...]  # greedily, by question


def measure(model: Any, data: Path) -> Measured:
    """Answers the evaluation questions greedily, greedily in another order, and sampled."""
    tokenizer, rng = make_tokenizer(), random.Random("another order")
    asked = load_questions(str(data / "eval.jsonl"))[0]
    shown = [list(each.options) for each in asked]
    turned = [rng.sample(options, len(options)) for options in shown]

    def write(orders: list[list[str]], *, sample: bool = False) -> list[str]:
        prompts = [TEMPLATE.render(each.question, order) for each, order in zip(asked, orders, strict=True)]
        return answer(model, tokenizer, prompts, sample=sample)

    torch.manual_seed(0)
    greedy, again, sampled = write(shown), write(turned), write(shown, sample=True)
    named, others, drawn = (
        [chosen(text, order) for text, order in zip(texts, orders, strict=True)]
        for texts, orders in ((greedy, shown), (again, turned), (sampled, shown))
    )
    golds = [each.options[each.answer or 0] for each in asked]
    right = tuple(name == gold for name, gold in zip(named, golds, strict=True))
    traces = [(parse_response(text).trace or "").translate(FROM_CODE) for text in greedy]
    findable = [trace == read_digit(each.question) for trace, each in zip(traces, asked, strict=True)]
    return Measured(
        {
            "right": share(right),
            "sampled": share(name == gold for name, gold in zip(drawn, golds, strict=True)),
            "share_of_A": share(name == order[0] for name, order in zip(named, shown, strict=True)),
            "orders_agree": share(name == other for name, other in zip(named, others, strict=True)),
            "trace_names_right": share(trace == gold for trace, gold in zip(traces, golds, strict=True)),
            "trace_is_read": share(findable),
        },
        right,
    )


@lru_cache
def start_measured(data: Path) -> Measured:
    """Measures a start policy once."""
    return measure(AutoModelForCausalLM.from_pretrained(data, dtype=torch.float32), data)


def run_arm(arm: Arm, data: Path, seed: int) -> Metrics:
    """Trains one arm with one seed from a start and measures it."""
    model = AutoModelForCausalLM.from_pretrained(data, dtype=torch.float32)
    before = start_measured(data)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        make_trainer(arm, model, data, seed, folder).train()
    seconds = time.process_time() - began
    after = measure(model, data)
    pairs = [*zip(before.right, after.right, strict=True)]
    return after.metrics | {
        "learnt": share(not old and new for old, new in pairs),
        "corrupted": share(old and not new for old, new in pairs),
        "cpu_seconds": seconds,
    }
