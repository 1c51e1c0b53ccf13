"""What a run with LfU is checked for, keeps in memory, and puts on its card and page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from align.checks.finding import Finding
from align.checks.launch import Launch
from align.checks.memory import Footprint
from align.data.demonstrations import Demonstration
from align.data.training_data import TrainingData
from align.experimental.lfu.rules import NO_DEEPSPEED, chosen_layers
from align.methods.sft import data
from align.methods.sft.report import REPORT as OF_SFT
from align.models.model_files import ModelFiles
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from align.report.charts.panel import Panel
from align.report.run.finding import Sign, below, percent
from align.report.run.folder import RunFolder
from align.training.model_card import Card, Rows

SHORT = ("bfloat16", "float16")
TITLE = "Learning from the Undesirable: Robust Adaptation of Language Models without Forgetting"
FACTS = {
    "lfu_coef": "Weight of consistency (lfu_coef)",
    "lfu_alpha": "Length of the undesirable step",
    "lfu_mode": "What that step moves",
    "lfu_layers": "Layers that are compared",
}
PANELS = (
    Panel(
        "Distance under the undesirable step",
        "Mean square between hidden states before and after it (LfU); `lfu_coef` times it is part of the loss. It "
        "should stay small; 0 would mean no step.",
        {"lfu/consistency": "consistency"},
    ),
    Panel(
        "Length of the undesirable step",
        "As measured on the weights; below `lfu_alpha` weights in 16 bits have rounded the move away.",
        {"lfu/step_length": "length"},
    ),
)
COMPARED = Panel("Distance under the undesirable step", "At each run's own `lfu_alpha`.", {"lfu/consistency": ""})
_ROUNDED = 0.9  # of the length that the step should have; what fp32 rounds is far less


def check(recipe: Recipe, found: TrainingData[Demonstration], rewards: Sequence[Reward]) -> list[Finding]:
    """Checks demonstrations as for SFT, and looks at what the step moves."""
    findings = data.check(recipe, found, rewards)
    if number := ModelFiles.of(recipe).config.get("num_hidden_layers"):
        try:
            chosen_layers(recipe.settings.lfu_layers, number)
        except ValueError as error:
            findings.append(Finding("error", "model", str(error)))
    if recipe.model.dtype in SHORT and recipe.settings.lfu_mode == "params" and not recipe.model.use_peft:
        text = (
            f"Weights in {recipe.model.dtype} cannot be moved by as little as `lfu_alpha` "
            f"{recipe.settings.lfu_alpha:g} over all of them: most moves are rounded away, and `lfu/step_length` "
            f"will say how much is left. Load `dtype: float32`, or set `lfu_mode: aux_lora`."
        )
        findings.append(Finding("warning", "model", text))
    return findings


def check_batch(recipe: Recipe, launch: Launch, num_rows: int) -> list[Finding]:
    """Says what one step is, and refuses a launch that LfU cannot be trained under."""
    refused = [Finding("error", "batch", NO_DEEPSPEED)] if launch.zero_stage else []
    return data.check_batch(recipe, launch, num_rows) + refused


def footprint(recipe: Recipe) -> Footprint:
    """Says what is kept to move the weights, and that hidden states are, to compare them."""
    copy = " and a copy of the trained weights" if recipe.settings.lfu_mode == "params" else ""
    return Footprint(f"{data.footprint(recipe).on_top}, the hidden states of all layers twice{copy}")


def card(recipe: Recipe, rows: Rows) -> Card:
    """Says how much was demonstrated."""
    from align.methods.sft.trainer import card as sft_card  # not above: a page is written without TRL

    return sft_card(recipe, rows)._replace(tag="lfu", name="SFT with LfU", paper="2511.13052", title=TITLE)


def _rounded(run: RunFolder) -> Iterator[Mapping[str, Any]]:
    alpha = float(run.recipe.get("lfu_alpha", 0.1))
    if length := below(run.metrics, "lfu/step_length", _ROUNDED * alpha):
        yield {"share": percent(length.value / alpha), "alpha": alpha}


ROUNDED = Sign(
    "The undesirable step has {share} of its length",
    "Its length should be `lfu_alpha` = {alpha:g}; weights in 16 bits round the rest away. Load `dtype: float32`, or "
    "set `lfu_mode: aux_lora`.",
    _rounded,
)
REPORT = OF_SFT.beside(FACTS, PANELS, [COMPARED])._replace(signs=(*OF_SFT.signs, ROUNDED))
