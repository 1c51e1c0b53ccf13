"""Measures whether ACRE for turns makes answers follow a tool where a policy half knows them, beside free rivals.

    python -m scripts.labs.tools.lab --first_seed 10 --seeds 10 --json lab_tools.json

The policy starts from the embedded shop of `recipes/acre/quickstart-tools.yaml`, and is taught one price for half of
the items, a table of its own for each seed. It calls the tool in half of its answers, and ignores what it is told in
half of those where it knows a price. In training the tool gives the prices that the policy knows: memory is as good as
the tool there. Then all prices move, and every item is asked for again, greedily. The arms:

    sft              the policy before RL
    grpo             right answers are paid (`number_accuracy`)
    grpo+calls       right answers are paid if a call stands before them
    grpo+shuffled    right answers are paid, and every row has prices of its own, its tool and its answer alike
    acre             `answer_consistency` with `other_value`
    acre+grpo        the same with `without_result: grpo`, so that right answers without a call are paid in full

Intervals are Student's t over seeds (95 %), those of differences over pairs with the same seed.
"""

import copy
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything that is needed is in the repository
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # of environments

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback

from align.assets import find_recipe
from align.data.questions.templates import PromptTemplate
from align.methods.acre.config import ACREConfig
from align.methods.acre.tool_trainer import ToolACRETrainer
from align.models.policies.asking import Decoding
from align.models.policies.model_policy import ModelPolicy
from align.models.transcripts.tokens import TokenTranscripts
from align.models.transcripts.toolbox import Toolbox
from align.models.transcripts.transcript import Asked
from align.recipe.recipe import Recipe, load_recipe
from rewards import AnswerConsistency, number_accuracy
from rewards.reading.responses import parse_response
from scripts.harness import KeptRuns, Options, arm_runs, differences, quiet, seeds_of, share, show_arms, write_numbers
from scripts.labs.tiny_models import Batch, teach
from scripts.labs.tools.make import load_shop, make_batch

RECIPE = "acre/quickstart-tools"
TABLES = 4  # of prices, in which every item is asked for in `grpo+shuffled`
TEACHING_STEPS = 80
METRICS = {
    "known": "right, known items",
    "stale": "the old price, known items",
    "unknown": "right, unknown items",
    "calls": "calls",
    "trained": "reward at the end of training",
}
Row = dict[str, Any]
Metrics = dict[str, float]


class World(NamedTuple):
    """One seed's shop."""

    shop: ModuleType
    old: dict[str, int]  # prices when the policy was pretrained
    known: frozenset[str]  # items whose old price it knows
    moved: dict[str, int]  # prices after training


class Arm(NamedTuple):
    """How a policy is trained."""

    reward: str = "right"
    shuffled: bool = False
    without_result: str = "first_only"


ARMS = {
    "sft": None,
    "grpo": Arm(),
    "grpo+calls": Arm(reward="called"),
    "grpo+shuffled": Arm(shuffled=True),
    "acre": Arm(reward="acre"),
    "acre+grpo": Arm(reward="acre", without_result="grpo"),
}


def make_world(folder: Path, seed: int) -> World:
    """Draws the prices of a seed; every one has moved afterwards."""
    shop, rng = load_shop(folder), random.Random(f"world/{seed}")
    old = {item: rng.choice(shop.PRICES) for item in shop.ITEMS}
    moved = {item: rng.choice([price for price in shop.PRICES if price != old[item]]) for item in shop.ITEMS}
    return World(shop, old, frozenset(rng.sample(shop.ITEMS, len(shop.ITEMS) // 2)), moved)


def make_tool(prices: dict[str, int]) -> Any:
    """Makes the tool that looks prices up."""

    def price(item: str) -> int:
        """Looks up what an item costs.

        Args:
            item: The name of the item, in the singular.
        """
        return prices[item]

    return price


class Shelf:
    """A shop in which one item has a price of the row's own."""

    def reset(self, asked: str, answer: str, **row: Any) -> None:
        """Takes the price of the row."""
        self._prices = {asked: int(answer)}

    def price(self, item: str) -> int:
        """Looks up what an item costs.

        Args:
            item: The name of the item, in the singular.
        """
        return self._prices[item]


def make_rows(world: World, prices: dict[str, int]) -> list[Row]:
    """Makes a row for every item."""
    return [
        {
            "id": item,
            "prompt": [{"role": "user", "content": f"What does the {item} cost?"}],
            "asked": item,
            "answer": str(prices[item]),
        }
        for item in world.shop.ITEMS
    ]


def demonstration(world: World, rng: random.Random) -> list[dict[str, Any]]:
    """Draws a conversation of the policy before RL: it half calls, and half ignores what it knows better."""
    item, told = rng.choice(world.shop.ITEMS), rng.choice(world.shop.PRICES)
    knows = item in world.known
    own = world.old[item] if knows else rng.choice(world.shop.PRICES)
    messages: list[dict[str, Any]] = [{"role": "user", "content": f"What does the {item} cost?"}]
    if rng.random() < 0.5:
        call = {"type": "function", "function": {"name": "price", "arguments": {"item": item}}}
        messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        messages.append({"role": "tool", "name": "price", "content": str(told)})
        own = own if knows and rng.random() < 0.5 else told
    return [*messages, {"role": "assistant", "content": f"<answer>{own}</answer>"}]


def teach_prices(model: Any, tokenizer: Any, world: World, seed: int) -> None:
    """Teaches the embedded policy the old prices, and its habits."""
    rng, tools = random.Random(f"teach/{seed}"), [make_tool(world.old)]
    torch.manual_seed(seed)

    def drawn() -> Iterator[Batch]:
        while True:
            talks = [demonstration(world, rng) for _ in range(128)]
            yield make_batch(tokenizer, tokenizer.apply_chat_template(talks, tools=tools, tokenize=False))

    teach(model, drawn(), TEACHING_STEPS, 4e-3)


def is_called(completions: list[Any], answer: list[str], **columns: Any) -> list[float]:
    """Pays right answers behind a result."""
    right = number_accuracy(completions, answer)
    called = [any(message["role"] == "tool" for message in completion) for completion in completions]
    return [float(bool(value) and was) for value, was in zip(right, called, strict=True)]


def train(arm: Arm, model: Any, tokenizer: Any, world: World, recipe: Recipe, seed: int) -> Metrics:
    """Trains a policy in place, without leaving a run folder."""
    rng = random.Random(f"train/{seed}")
    tables = [{item: rng.choice(world.shop.PRICES) for item in world.shop.ITEMS} for _ in range(TABLES)]
    rows = [row for table in (tables if arm.shuffled else [world.old]) for row in make_rows(world, table)]
    tools = {"environment_factory": Shelf} if arm.shuffled else {"tools": [make_tool(world.old)]}
    rewards: dict[str, Any] = {"right": number_accuracy, "called": is_called, "acre": AnswerConsistency()}
    with tempfile.TemporaryDirectory() as folder:
        own: dict[str, Any] = {"output_dir": folder, "log_completions": False, "disable_tqdm": True, "seed": seed}
        own |= {"tools": None, "families": [], "answer_reward": None, "without_result": arm.without_result}
        own["second_pass"] = "auto" if arm.reward == "acre" else "off"
        trainer = ToolACRETrainer(
            model=model,
            reward_funcs=[rewards[arm.reward]],
            args=ACREConfig(**recipe.training | own),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            families=["other_value"],
            answer_reward=number_accuracy,
            **tools,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        logged = [each["reward"] for each in trainer.state.log_history if "reward" in each]
    return {"trained": logged[-1]}


def evaluate(model: Any, tokenizer: Any, world: World) -> Metrics:
    """Asks for every item once all prices have moved."""
    policy = ModelPolicy(model.eval(), tokenizer, PromptTemplate(), batch_size=64)
    rows = make_rows(world, world.moved)
    engine = TokenTranscripts(policy, Toolbox([make_tool(world.moved)]), max_calls=2)
    found = engine.answer([Asked(row, f"0/{row['id']}/0") for row in rows], Decoding(max_new_tokens=40))
    answers = [parse_response(each.text).answer for each in found]
    by_item = dict(zip(world.shop.ITEMS, answers, strict=True))
    return {
        "known": share(by_item[item] == str(world.moved[item]) for item in world.known),
        "stale": share(by_item[item] == str(world.old[item]) for item in world.known),
        "unknown": share(by_item[item] == str(world.moved[item]) for item in by_item if item not in world.known),
        "calls": share(bool(each.calls) for each in found),
    }


@lru_cache(1)
def start_of(folder: Path, seed: int) -> tuple[Any, Any, World]:
    """Makes the world of a seed and teaches a policy its prices."""
    tokenizer, world = AutoTokenizer.from_pretrained(folder), make_world(folder.parent, seed)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    teach_prices(model, tokenizer, world, seed)
    return model, tokenizer, world


def run_arm(name: str, seed: int, recipe: Recipe) -> Metrics:
    """Trains a policy that knows its prices, and evaluates it."""
    model, tokenizer, world = start_of(Path(recipe.model.model_name_or_path), seed)
    arm, model = ARMS[name], copy.deepcopy(model)
    trained = train(arm, model, tokenizer, world, recipe, seed) if arm is not None else {}
    return evaluate(model, tokenizer, world) | trained


def main(argv: list[str] | None = None) -> int:
    """Runs the arms over seeds."""
    parser = Options(__doc__, allow_abbrev=False)
    parser.add_seeds(10, 10, "no setting was chosen on 10 to 19")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--kept", type=Path, help="a file that keeps what is done, from which a run goes on")
    parser.add_numbers()
    arguments, overrides = parser.parse_known_args(argv)
    torch.set_num_threads(1)
    quiet()
    recipe = load_recipe(find_recipe(RECIPE), overrides)
    settings = "".join(f" {word}" for word in overrides)
    results = arm_runs(
        arguments.arms, seeds_of(arguments), lambda arm, seed: run_arm(arm, seed, recipe), METRICS,
        KeptRuns(arguments.kept), lambda arm, seed: f"{arm}/{seed}{settings}",
    )  # fmt: skip
    show_arms(f"{arguments.seeds} seeds", results, METRICS)
    show_arms("Each arm minus acre", differences(results, "acre", ("known", "unknown")), METRICS)
    about = {"overrides": overrides, "first_seed": arguments.first_seed}
    write_numbers(arguments.json, about, {"runs": results}, under="versions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
