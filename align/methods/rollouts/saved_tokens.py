"""What an update will read of TRL's tokens, and why not less: told before a run from its shapes, without torch."""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from align.checks.finding import Finding
from align.checks.launch import Launch
from align.models.model_files import WIDTH, ModelFiles
from align.models.rope_lengths import positions_by_length
from align.models.rows_of_trees import MOST_TOKENS, apart_by_settings, cheapest, longest_window, pack_groups, saves
from align.recipe.recipe import Recipe

OF_KL = "`beta` is above 0, and the KL is over all"
OF_DROPOUT = "dropout is drawn for all of a batch, which is read as TRL does, with its padding"
# Types of models in transformers, as they were tried; of others a run finds out.
_COUNT_PADDING = ("gpt2", "gpt_bigcode", "gpt_neo", "biogpt", "ctrl", "openai-gpt", "xglm", "recurrent_gemma", "rwkv")
_TAKE_NO_MASK = (
    "bloom", "mpt", "opt", "llama4", "mamba", "falcon_mamba", "jamba", "bamba", "granitemoehybrid", "nemotron_h",
    "qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text",
)  # fmt: skip


def over_all(settings: Any) -> dict[str, bool]:
    """Says which terms of TRL's loss are over all completions by its settings, whatever their advantage."""
    return {
        OF_KL: settings.beta != 0.0 and settings.loss_type == "bnpo",  # whose weights of rows are in their advantages
        "the bonus for entropy is over all": settings.entropy_coef != 0.0 or settings.use_adaptive_entropy,
        "`top_entropy_quantile` is below 1, and the quantile is over all": settings.top_entropy_quantile < 1.0,
    }


class Shape(NamedTuple):
    """The batches of a generation of one process, whose completions all have one length and teach."""

    prompt: int  # tokens
    completion: int
    group: int  # completions of a prompt
    size: int  # completions of a batch
    batches: int  # over which TRL spreads the completions by chance
    together: int  # of them, in one update

    def read(self, width: int, most: float, *, shares: bool, packs: bool) -> tuple[int, int, int]:
        """Counts the tokens that updates read with TRL, here, and at least; the rest as in `cheapest` and `Window`."""
        rows = [place // self.group for place in range(self.size * self.batches)]
        random.Random(0).shuffle(rows)
        packs = packs and shares and saves(self.prompt, self.completion, self.size, width)
        read = least = 0
        for first in range(0, len(rows), self.size * self.together):
            part = sorted(rows[first : first + self.size * self.together], key=None if packs else lambda row: 0)
            groups = [[i for i, row in enumerate(part) if row == each] for each in dict.fromkeys(part)]
            if not packs:
                groups = [[*range(i, i + self.size)] for i in range(0, len(part), self.size)]
            for batch in pack_groups(groups, lambda batch: len(batch) <= self.size, self.together):
                read += self._of([part[i] for i in batch], width, most if shares else 0)
            least += len(set(part)) * self.prompt + len(part) * self.completion
        return len(rows) * (self.prompt + self.completion), read, least

    def _of(self, prompts: list[int], width: int, most: float) -> int:
        """Counts the tokens of a batch of completions of prompts with these numbers."""
        length = self.prompt + self.completion
        sequences = [[prompt] * self.prompt + [-1 - i] * self.completion for i, prompt in enumerate(prompts)]
        alike = [[self.prompt * (one == other) for one in prompts] for other in prompts]
        rows = cheapest(sequences, [length] * len(prompts), alike, width, most=most) if len(prompts) > 1 else None
        return rows.number * rows.size if rows else len(prompts) * length


def check_reads(recipe: Recipe, launch: Launch, findings: Sequence[Finding]) -> list[Finding]:
    """Estimates what a step reads, from the lengths and batches that were found, and says why not less."""
    numbers: dict[str, Any] = {}
    for finding in findings:
        numbers |= finding.numbers if finding.check in ("lengths", "batch") else {}
    config, settings = ModelFiles.of(recipe).config, recipe.settings
    width = next((config[name] for name in WIDTH if name in config), None)
    if width is None or not {"mean", "prompts_per_generation"} <= numbers.keys():
        return []
    group, size = int(settings.num_generations), int(settings.per_device_train_batch_size)
    accumulation, per_batch = int(settings.gradient_accumulation_steps), size * launch.num_processes
    batches = numbers["prompts_per_generation"] * group // per_batch
    shape = Shape(
        round(numbers["mean"]), int(settings.max_completion_length), group, size, batches,
        math.gcd(batches, accumulation),
    )  # fmt: skip
    as_trl, apart, over = _reasons(recipe, config)
    most = math.inf if longest_window(config) <= MOST_TOKENS else MOST_TOKENS
    how = {"shares": not (as_trl or apart), "packs": not (as_trl or over)}
    times = launch.num_processes * accumulation  # batches of a step
    trl, read, least = (tokens * times // batches for tokens in shape.read(width, most, **how))
    text = (
        f"This update reads an estimated {read / trl:.2f} of TRL's tokens, {read:,} a step for {trl:,}; {least:,} are "
        "distinct (completions of full length, all with an advantage)."
    )
    if as_trl or apart:
        text += f" A prompt is read for each of its completions: {as_trl or apart}."
    elif size < group and accumulation * size % group == 0 and batches * size % group == 0:
        wide = shape._replace(size=group, batches=batches * size // group, together=shape.together * size // group)
        trl_wide, read_wide, _ = wide.read(width, most, **how)
        text += (
            f" A batch has {size} of the {group} completions of a prompt; with `per_device_train_batch_size: {group}` "
            f"and `gradient_accumulation_steps: {accumulation * size // group}` it were {read_wide / trl_wide:.2f}."
        )
    elif batches > shape.together:
        text += f" TRL spreads the completions of a prompt over {batches // shape.together} updates of a generation."
    if not as_trl:
        all_of_them = over or (OF_KL if settings.beta else None)
        left = f"read, too: {all_of_them}" if all_of_them else "not read"
        text += f" Completions without an advantage are {left}."
        text += " DeepSpeed reads a short row for each pass that is saved." if launch.zero_stage else ""
    return [Finding("ok", "reads", text, {"trl": trl, "read": read, "least": least})]


def _reasons(recipe: Recipe, config: Mapping[str, Any]) -> Iterator[str | None]:
    """Yields what forbids to leave anything out, to read prompts once, and to leave completions out; or None."""
    model, settings = recipe.model, recipe.settings
    kind, attention = config.get("model_type"), model.attn_implementation or ""
    drops = [name for name, value in config.items() if "drop" in name and type(value) is float and value > 0]
    drops = [name for name in drops if not name.startswith(("classifier", "summary"))]
    router = config.get("router_aux_loss_coef", 0.0) if settings.router_aux_loss_coef is None else 0.0
    of_router = {"the loss of the router is over all": bool(settings.router_aux_loss_coef or router)}
    yield _first(
        {
            "`skip_without_advantage: off` computes what TRL does": settings.skip_without_advantage == "off",
            OF_DROPOUT: bool(drops) or (model.use_peft and model.lora_dropout > 0),
        }
    )
    yield _first(
        {
            "`pad_to_multiple_of` is set": str(settings.pad_to_multiple_of).lower() not in ("auto", "none", "null"),
            f"the positions of {kind} count padding": kind in _COUNT_PADDING,
            "positions depend on the longest row of a batch": positions_by_length(config) is not None,
            f"{kind} takes no mask or positions of ours": kind in _TAKE_NO_MASK,
            f"`attn_implementation: {attention}` takes no mask of ours": "flash" in attention or "/" in attention,
            **of_router,
            **apart_by_settings(settings),
        }
    )
    yield _first(over_all(settings) | of_router)


def _first(reasons: Mapping[str, bool]) -> str | None:
    return next((reason for reason, is_so in reasons.items() if is_so), None)
