"""Preference pairs: read, validated row by row, and looked at for what they would teach."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from align.checks.counts import check_counts, name_rows
from align.checks.finding import Finding, Level
from align.checks.images import as_read, check_images
from align.checks.memory import Footprint
from align.data.conversations import message_form
from align.data.files import find_split
from align.data.media.images import open_image
from align.data.media.rows import MediaReader, media_folder
from align.data.pairs.marks import MarkRule
from align.data.pairs.preferences import PreferencePair, load_preferences, pairs_to_rows, preference_source
from align.data.problems import DataReport
from align.data.training_data import Rows, TrainingData, load_stream, load_training_data
from align.errors import DataError
from align.evaluation.statistics.metrics import told
from align.methods.pairs.checks import (
    LONGER,
    Tokenised,
    audited,
    check_form,
    check_implicit,
    check_max_length,
    check_spans,
    length_ratio,
    marked_rows,
    pair_activations,
    tokenize_here,
    usable_pairs,
    word_equal,
)
from align.models.model_files import ModelFiles
from align.recipe.dataset import PreferenceDatasetConfig
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward

TRIED = 8  # forms of messages of which the trainer's row is made


def load(recipe: Recipe) -> TrainingData[PreferencePair]:
    """Reads the preference pairs of a recipe; those with nothing to mark make no rows unless the recipe keeps them."""
    data = cast(PreferenceDatasetConfig, recipe.dataset)
    if not data.streaming:
        return _load(recipe, data)
    reader = MediaReader(media_folder(find_split(data.path, data.split)[0]), data)
    source = preference_source(data.path, adapter=data.adapter, split=data.split, reader=reader, columns=data.columns)

    def row_like(first: TrainingData[PreferencePair]) -> Callable[[PreferencePair], dict[str, Any]]:
        if not any("images" in row for row in first.rows[:1]):  # of the first rows none may have a mark
            return lambda pair: pairs_to_rows([pair])[0]
        # They are opened, since no table does it.
        return lambda pair: pairs_to_rows([pair])[0] | {"images": [open_image(image) for image in pair.images]}

    return load_stream(recipe, source, row_like, partial(_load, recipe))


def _load(recipe: Recipe, data: Any) -> TrainingData[PreferencePair]:
    def read(source: PreferenceDatasetConfig) -> tuple[Sequence[PreferencePair], DataReport]:
        return load_preferences(source.path, media=source, **source.reading)

    def to_rows(pairs: Sequence[PreferencePair]) -> Rows:
        return pairs_to_rows(usable_pairs(recipe, pairs))

    return load_training_data(data, read, to_rows)


def sample_pairs(recipe: Recipe, data: TrainingData[PreferencePair]) -> Rows:
    """Makes rows of some pairs, with what is marked in them."""
    return marked_rows(recipe, data.items)


def check(recipe: Recipe, data: TrainingData[PreferencePair], rewards: Sequence[Reward]) -> list[Finding]:
    """Counts pairs and what is left out, measures spans and lengths, and picks pairs to show."""
    findings = check_counts(recipe, data.report, len(data.eval_rows), data.eval_report)
    pairs = usable_pairs(recipe, data.items)
    findings += check_implicit(data.items)
    if mixed := check_form(data.items):
        return findings + mixed
    images = check_images(recipe, data.rows)
    findings += images.findings
    if images.findings and all(finding.level == "ok" for finding in images.findings):
        findings += try_rows(recipe, data.rows)
    taken = {row["id"]: found or 0 for row, found in zip(data.rows, images.tokens or (), strict=False)}
    if as_read(recipe, data.rows)[0] is not data.rows:  # a video has one place in the text
        pairs = [replace(pair, images=pair.images[:1]) if pair.video else pair for pair in pairs]
    tokens, problems = tokenize_here(recipe, audited(pairs), taken)
    findings += _check_missing(recipe, data.items, pairs, tokens)
    findings += word_equal([pair for pair, token in tokens if token.is_equal], len(data.items))
    if pairs:
        findings += check_spans(recipe, pairs, tokens) + _check_length_bias(pairs)
    if tokens:
        findings += check_max_length(recipe, [pair for pair, _ in tokens], [token for _, token in tokens])
    return findings + problems


def try_rows(recipe: Recipe, rows: Rows) -> list[Finding]:
    """Makes the trainer's rows of pairs with images, one of each form, and says what it would refuse."""
    from datasets import Dataset
    from transformers import AutoProcessor

    from align.methods.rrpo.spans import ImageTokens, VisionMarker
    from align.training.build import processing_class

    picked: dict[Any, tuple[int, dict[str, Any]]] = {}
    for index, row in enumerate(rows):
        picked.setdefault((bool(row["images"]), message_form(row["prompt"])), (index, row))
    processor = processing_class(recipe) or AutoProcessor.from_pretrained(ModelFiles.of(recipe).folder)
    rule = MarkRule.read(recipe.settings)._replace(max_length=None)  # no image needs to be opened
    marker = VisionMarker(processor, rule, "train", ImageTokens(processor))
    try:
        Dataset.from_list([marker(row, index) for index, row in list(picked.values())[:TRIED]])
    except (DataError, ValueError) as error:
        return [Finding("error", "data", f"The trainer cannot make its rows of these pairs: {error}")]
    return []


def _check_missing(
    recipe: Recipe, pairs: Sequence[PreferencePair], usable: Sequence[PreferencePair], tokens: Tokenised
) -> list[Finding]:
    rule = MarkRule.read(recipe.settings)
    may_lack = rule.keeps_whole or len(usable) < len(pairs)
    missing = [pair for pair in pairs if not rule.can_mark(pair)] if may_lack else []
    missing += [pair for pair, token in tokens if token.marks.lost == "missing" and rule.can_mark(pair)]
    if not missing:
        return []
    fate = "kept as plain DPO." if rule.keeps_whole else "left out; `on_missing_spans: whole` keeps them as plain DPO."
    text = f"{len(missing)} of {len(pairs)} pairs have nothing to mark: {name_rows(missing)}. They are {fate}"
    level: Level = "error" if len(missing) == len(pairs) and not rule.keeps_whole else "warning"
    return [Finding(level, "spans", text, {"missing": len(missing), "rows": [pair.row for pair in missing]})]


def _check_length_bias(pairs: Sequence[PreferencePair]) -> list[Finding]:
    ratio = length_ratio(pairs)
    if ratio.low <= LONGER:
        return []
    text = (
        f"Chosen responses are {told(ratio)} times as long as rejected ones on average, and the policy may learn to "
        f"write more. Balance the lengths, or mark only what makes the difference."
    )
    return [Finding("warning", "lengths", text, {"length_ratio": ratio.value})]


def footprint(recipe: Recipe) -> Footprint:
    """Says what pairs and their reference keep in memory."""
    in_advance = getattr(recipe.settings, "precompute_ref_log_probs", None)
    return Footprint(pair_activations(recipe), keeps_reference=not (recipe.model.use_peft or in_advance))
