"""Arguments of the command that merges checkpoints: merge."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from align.cli.application import app, execute
from align.cli.many_words import ManyWords, words
from align.cli.options import given_options, takes, values
from align.evaluation.options import Sampled, Tagged, Worded
from align.evaluation.prompts import ByRewards
from align.options import Computing, Reading, option


@dataclass(frozen=True, kw_only=True)
class Merged:
    """What is merged, and how the results are compared."""

    base: str = option(..., "The model that was trained from: a folder or hub id.")
    tuned: str = option(..., "The model that was trained, or a LoRA of the base.")
    alpha: list[str] | None = option(
        None, "Weights of the tuned model: numbers, or FROM:TO:STEP; several words. 0.5, and 0:1:0.1 with `--data`."
    )
    data: str | None = option(None, "Questions, or prompts with `--rewards`, that all of them are evaluated on.")
    adapter: str | None = option(None, "Public schema of the questions, such as arc or mmlu.")
    suite: list[str] | None = option(None, "Suites of questions, as of `align eval`, beside accuracy.")
    drift: bool = option(False, "Also measure how far each one drifted from the base on other prompts.")
    pick: str | None = option(None, "Which one to keep: 'accuracy where worst_group > 0.5', say.")
    keep_all: bool = option(False, "With `--pick`, keep the other merged models too.")
    recipe: str | None = option(None, "Recipe whose prompt, tags, length and columns are used.")
    prompt_template: str | None = option(None, "The prompt, with {question} and {options} once each.")
    seed: int = option(0, "Of samples and shuffles.")
    backend: str = option("transformers", "transformers or vllm.")


@app.command(cls=ManyWords)
@takes(
    merged=Merged, reading=Reading, worded=Worded, tagged=Tagged, sampled=Sampled, by_rewards=ByRewards,
    computing=Computing,
)  # fmt: skip
def merge(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder of the merged model, or of several with their evaluation.")],
    merged: Merged,
    by_rewards: ByRewards,
    **groups: object,
) -> None:
    """Merge a trained model with its base, (1 - alpha) base + alpha tuned, and say what each weight is worth."""
    from align.cli.merging.merge import run

    lists = {name: words(getattr(merged, name)) for name in ("alpha", "suite")}
    lists |= {name: words(getattr(by_rewards, name)) for name in ("rewards", "pass_at_k")}
    given = values(merged, by_rewards, *groups.values())
    execute(lambda: run(given | lists, out, given_options(context)))
