"""The recipe's pairs for a reward model: read, validated row by row, and looked at for what they would teach."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, cast

from align.checks.counts import check_counts
from align.checks.devices import list_gpus
from align.checks.finding import Finding
from align.checks.lengths import check_dropped, check_window, tokenize_rows
from align.checks.memory import Footprint
from align.data.pairs.pairwise import pairwise_prompt
from align.data.pairs.reward_pairs import (
    CAUSAL,
    NEUTRAL,
    RewardPair,
    load_reward_pairs,
    reward_pair_source,
    reward_pairs_to_rows,
)
from align.data.pairs.spans import diff_spans
from align.data.problems import DataReport
from align.data.training_data import Rows, TrainingData, load_stream, load_training_data
from align.errors import asked_by
from align.evaluation.statistics.metrics import told, wilson
from align.methods.pairs.checks import (
    LONGER,
    NAMES,
    audited,
    check_form,
    check_implicit,
    length_ratio,
    name_rows,
    pair_activations,
    render_pair,
    render_prompt,
    spread,
    word_equal,
)
from align.models.prompt_tokenizer import PromptTokenizer
from align.recipe.dataset import RewardPairDatasetConfig
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward

SAMPLES = 4
MANY_SOURCES = 20  # each of them gets curves of its own
FEWEST = 20  # pairs, below which a mean length says little
ONE_SIDED = 0.75  # of the edits


def load(recipe: Recipe) -> TrainingData[RewardPair]:
    """Reads the pairs of a recipe."""
    data = cast(RewardPairDatasetConfig, recipe.dataset)
    if not data.streaming:
        return _load(data)
    source = reward_pair_source(data.path, split=data.split, columns=data.columns, adapter=data.adapter)
    return load_stream(recipe, source, lambda first: lambda pair: reward_pairs_to_rows([pair])[0], _load)


@asked_by("recipe")
def _load(data: Any) -> TrainingData[RewardPair]:
    def read(source: RewardPairDatasetConfig) -> tuple[list[RewardPair], DataReport]:
        return load_reward_pairs(source.path, **source.reading)

    return load_training_data(data, read, reward_pairs_to_rows)


def sample_pairs(recipe: Recipe, data: TrainingData[RewardPair]) -> Rows:
    """Makes rows of some pairs of every source."""
    return sample_rows(data.items)


def check(recipe: Recipe, data: TrainingData[RewardPair], rewards: Sequence[Reward]) -> list[Finding]:
    """Counts pairs by source, looks for shortcuts in them, measures lengths, and picks pairs to show."""
    findings = check_counts(recipe, data.report, len(data.eval_rows), data.eval_report)
    findings += _check_sources(recipe, data.items) + _check_precision(recipe) + _check_margins(recipe, data.items)
    findings += check_implicit(data.items)
    if mixed := check_form(data.items):
        return findings + mixed
    ordered = [pair for pair in data.items if not pair.tie]
    ties = [pair for pair in data.items if pair.tie]
    findings += _check_edits(ordered) + _check_length_bias(ordered, ties)
    return findings + check_reward_lengths(recipe, data.items)


def _check_margins(recipe: Recipe, pairs: Sequence[RewardPair]) -> list[Finding]:
    number = sum(bool(pair.margin) for pair in pairs)
    if not number or recipe.settings.model_type != "pairwise":
        return []
    text = (
        f"{number} of {len(pairs)} pairs have a `margin`, which `model_type: pairwise` does not read. Set `scalar`, "
        "or leave the column out."
    )
    return [Finding("warning", "data", text, {"margins": number})]


def _check_precision(recipe: Recipe) -> list[Finding]:
    """Looks for a head of another type; the run may be on another machine, and refuses it where it is on this one."""
    bf16 = recipe.settings.bf16
    text = odd_head(recipe, bf16=bool(bf16))
    if not text:
        return []
    if bf16 is False or recipe.settings.use_cpu:
        return [Finding("error", "model", text)]
    if list_gpus():  # where TRL sets `bf16`
        return []
    return [Finding("warning", "model", f"This machine shows no GPU. Without one: {text}")]


def odd_head(recipe: Recipe, *, bf16: bool) -> str:
    """Words that the score head reads another type than its own; empty if it does not.

    Under a quantized model TRL keeps what is trained in bf16, the score head too, which reads what `dtype` says.
    """
    model = recipe.model
    if model.quantized is None or model.dtype == "bfloat16" or bf16:
        return ""
    return (
        f"`{model.quantized}: true`: TRL keeps the score head in bf16, and it would read {model.dtype}. Set "
        "`bf16: true`, or `dtype: bfloat16`."
    )


def sample_rows(pairs: Sequence[RewardPair], limit: int = 40) -> list[dict[str, Any]]:
    """Makes rows of a sample of pairs, even over sources and within each; edits get the words that differ as spans."""
    by_source = _by_source(pairs)
    each = max(1, limit // len(by_source))
    return [_sample(pair) for those in list(by_source.values())[:limit] for pair in spread(those, each)]


def _sample(pair: RewardPair) -> dict[str, Any]:
    if pair.source not in CAUSAL:
        return asdict(pair)
    chosen_spans, rejected_spans = diff_spans(pair.chosen, pair.rejected)
    return asdict(pair) | {
        "chosen_spans": [list(span) for span in chosen_spans],
        "rejected_spans": [list(span) for span in rejected_spans],
    }


def _by_source(pairs: Sequence[RewardPair]) -> dict[str, list[RewardPair]]:
    groups: dict[str, list[RewardPair]] = {}
    for pair in pairs:
        groups.setdefault(pair.source, []).append(pair)
    return groups


def _check_sources(recipe: Recipe, pairs: Sequence[RewardPair]) -> list[Finding]:
    sources, num_ties = dict(Counter(pair.source for pair in pairs)), sum(pair.tie for pair in pairs)
    counts = ", ".join(f"{count} {source}" for source, count in sources.items())
    text = f"Sources: {counts}. Ties: {num_ties} of {len(pairs)} ({num_ties / len(pairs):.0%})."
    if not num_ties and not {*CAUSAL, *NEUTRAL} & set(sources):
        text += " No edits and no ties: this trains a plain preference model, by Bradley-Terry."
    shown = max(SAMPLES, min(len(sources), MANY_SOURCES))
    numbers = {"sources": sources, "ties": num_ties, "samples": sample_rows(pairs, shown)}
    findings = [Finding("ok", "sources", text, numbers)]
    if len(sources) > MANY_SOURCES:
        text = f"There are {len(sources)} sources, and accuracy is logged for each. Write fewer names into `source`."
        findings.append(Finding("warning", "sources", text))
    if num_ties == len(pairs):
        text = "All pairs are ties, and equal rewards for everything would fit them. Add pairs with an order."
        findings.append(Finding("error", "sources", text))
    elif num_ties and recipe.settings.tie_coef == 0:
        text = f"`tie_coef: 0` ignores the {num_ties} ties, which still cost time. Raise it, or leave the ties out."
        findings.append(Finding("warning", "sources", text))
    return findings


def _check_edits(ordered: Sequence[RewardPair]) -> list[Finding]:
    """An edited answer bears the style of the oracle: if it nearly always wins, or loses, that style is a shortcut."""
    up, down = (sum(pair.source == source for pair in ordered) for source in ("upgrade", "degrade"))
    often = wilson(max(up, down), up + down)
    if not often.low > ONE_SIDED:
        return []
    text = (
        f"The edited answer is the {'better' if up > down else 'worse'} one in {told(often, in_percent=True)} of "
        f"the edits ({up} upgrade, {down} degrade), so the style of whoever edits tells the order. Use as many of "
        "either."
    )
    return [Finding("warning", "sources", text, {"upgrade": up, "degrade": down})]


def _check_length_bias(ordered: Sequence[RewardPair], ties: Sequence[RewardPair]) -> list[Finding]:
    """Compares lengths of chosen and rejected by source, and says how much the ties contradict them."""
    if not ordered:
        return []
    sources = {name: those for name, those in _by_source(ordered).items() if FEWEST <= len(those) < len(ordered)}
    ratios = {name: length_ratio(those) for name, those in {"all": ordered, **sources}.items()}
    lengths = [sorted((len(pair.chosen), len(pair.rejected))) for pair in ties]
    uneven = [pair for pair, (short, long) in zip(ties, lengths, strict=True) if long > LONGER * short]
    numbers = {"length_ratios": {name: each.value for name, each in ratios.items()}, "uneven_ties": len(uneven)}
    listed = ", ".join(f"{told(ratio)} in {name}" for name, ratio in ratios.items())
    biased = any(ratio.low > LONGER or ratio.high < 1 / LONGER for ratio in ratios.values())
    text = f"Chosen over rejected mean length: {listed}."
    if uneven:
        first = sum(len(pair.chosen) > len(pair.rejected) for pair in uneven)
        text += (
            f" In {len(uneven)} of {len(ties)} ties one answer is more than {LONGER} times as long as the other "
            f"(the first answer in {first} of them), which teaches that length is no merit."
        )
    if biased:
        text += " Length tells the order, and the model may learn it. Balance the lengths, or add such ties."
    return [Finding("warning" if biased else "ok", "lengths", text, numbers)]


def footprint(recipe: Recipe) -> Footprint:
    """Says what a reward model keeps in memory; only a pairwise one answers with a letter."""
    return Footprint(pair_activations(recipe), has_lm_head=recipe.settings.model_type == "pairwise")


def check_reward_lengths(recipe: Recipe, pairs: Sequence[RewardPair]) -> list[Finding]:
    """Tokenises pairs as the trainer does and counts those that it drops."""
    looked_at = audited(pairs)
    lengths, equal, problems = read_pairs(recipe, looked_at)
    if problems:
        return problems

    def count(dropped: list[RewardPair]) -> tuple[str, dict[str, Any]]:
        sources = dict(Counter(pair.source for pair in dropped))
        by_source = ", ".join(f"{count} {source}" for source, count in sources.items())
        text = (
            f"{'At least ' if len(looked_at) < len(pairs) else ''}{len(dropped)} of {len(pairs)} pairs ({by_source}) "
            f"are longer than `max_length`, and TRL drops them: {name_rows(dropped)}."
        )
        return text, {"rows": [pair.row for pair in dropped], "sources": sources}

    findings = word_equal(equal, len(pairs)) + check_window(recipe, lengths, *NAMES)
    return findings + check_dropped(recipe, looked_at, lengths, count)


def read_pairs(recipe: Recipe, pairs: Sequence[RewardPair]) -> tuple[list[int], list[RewardPair], list[Finding]]:
    """Counts the tokens of the longer sequence of each pair, and finds pairs whose responses are the same tokens.

    A pairwise model reads both answers in each sequence.
    """

    def render(tokenizer: PromptTokenizer, pair: RewardPair) -> tuple[str, ...]:
        if recipe.settings.model_type != "pairwise":
            return pair.chosen, pair.rejected, *render_pair(tokenizer, pair)[1:]
        question: Any = pairwise_prompt(pair.prompt, pair.chosen, pair.rejected)
        return pair.chosen, pair.rejected, render_prompt(tokenizer, replace(pair, prompt=question))  # or the other way

    encoded, problems = tokenize_rows(recipe, pairs, render, is_text=isinstance(pairs[0].prompt, str))
    ids = [[each.ids for each in texts] for texts in encoded]
    lengths = [max(len(each) for each in sequences) for _, _, *sequences in ids]
    equal = [pair for pair, (chosen, rejected, *_) in zip(pairs, ids, strict=False) if chosen == rejected]
    return lengths, equal, problems
