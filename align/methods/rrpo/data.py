"""The recipe's preference pairs: read, validated row by row, and looked at for what they would teach."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar, cast

from align.checks.finding import Finding, Level
from align.checks.images import check_images
from align.data.pairs.pair import Pair
from align.data.pairs.preferences import PreferencePair, load_preferences, pairs_to_rows
from align.data.problems import DataReport
from align.methods.acre.data import check_counts, fingerprints
from align.methods.pairs.equal_tokens import word_equal
from align.methods.pairs.lengths import check_max_length, name_rows
from align.methods.pairs.spans import check_spans
from align.methods.pairs.tokens import Tokenised, marks_words, tokenize_here, usable_pairs
from align.recipe.dataset import PreferenceDatasetConfig
from align.recipe.recipe import Recipe

AUDITED = 1_000  # pairs that are tokenised: these many of the first, and of the longest
LONGER = 1.2  # mean length of chosen over rejected responses from which length is a shortcut

AnyPair = TypeVar("AnyPair", bound=Pair)


class LoadedPairs(NamedTuple, Generic[AnyPair]):
    """Pairs and the rows a trainer reads."""

    pairs: list[AnyPair]
    report: DataReport
    rows: list[dict[str, Any]]  # without those that training leaves out
    eval_rows: list[dict[str, Any]]
    fingerprints: dict[str, str]  # SHA-256 of each local file
    eval_report: DataReport | None = None  # None without rows for evaluation


def load_pairs(recipe: Recipe) -> LoadedPairs[PreferencePair]:
    """Reads the preference pairs of a recipe; those with nothing to mark make no rows unless the recipe keeps them.

    Raises:
        DataError: If the data cannot be read, or has rows that cannot be used and should not be skipped.
    """
    data = cast(PreferenceDatasetConfig, recipe.dataset)
    pairs, report = load_preferences(
        data.path,
        adapter=data.adapter,
        split=data.split,
        on_bad_rows=data.on_bad_rows,
        max_rows=data.max_rows,
        media=data,
        columns=data.columns,
    )
    evaluation: list[PreferencePair] = []
    eval_report = None
    if data.eval_path is not None:
        evaluation, eval_report = load_preferences(
            data.eval_path,
            adapter=data.adapter,
            split=data.eval_split,
            on_bad_rows=data.on_bad_rows,
            media=data,
            columns=data.columns,
        )
    rows, eval_rows = (pairs_to_rows(usable_pairs(recipe, read)) for read in (pairs, evaluation))
    return LoadedPairs(pairs, report, rows, eval_rows, fingerprints(data), eval_report)


def check_pairs(recipe: Recipe, data: LoadedPairs[PreferencePair]) -> list[Finding]:
    """Counts pairs and what is left out, measures spans and lengths, and picks pairs to show."""
    findings = check_counts(recipe.dataset, data.report, len(data.eval_rows), data.eval_report)
    pairs = usable_pairs(recipe, data.pairs)
    if mixed := check_form(data.pairs):
        return findings + mixed
    images = check_images(recipe, data.rows)
    findings += images.findings
    tokens, problems = tokenize_here(recipe, audited(pairs))
    tokens = _with_images(tokens, data.rows, images.tokens)
    findings += _check_missing(recipe, data.pairs, tokens)
    findings += word_equal([pair for pair, token in tokens if token.is_equal], len(data.pairs))
    if pairs:
        findings += check_spans(recipe, pairs, tokens) + _check_length_bias(pairs)
    if tokens:
        findings += check_max_length(recipe, [pair for pair, _ in tokens], [token for _, token in tokens])
    return findings + problems


def _with_images(
    tokens: Tokenised, rows: Sequence[Mapping[str, Any]], image_tokens: Sequence[int | None] | None
) -> Tokenised:
    """Adds what images take to the prompts of pairs; each of them has one token there already."""
    taken = {row["id"]: found or 0 for row, found in zip(rows, image_tokens or (), strict=False)}
    return [
        (pair, token._replace(prompt=token.prompt + max(0, taken.get(pair.id, 0) - len(pair.images))))
        for pair, token in tokens
    ]


def check_form(pairs: Sequence[Pair]) -> list[Finding]:
    """Finds texts among messages."""
    if len({isinstance(pair.prompt, str) for pair in pairs}) <= 1:
        return []
    text = "Some pairs are texts and others are messages; TRL looks at the first only. Write all of them one way."
    return [Finding("error", "data", text)]


def audited(pairs: Sequence[AnyPair]) -> list[AnyPair]:
    """Picks the pairs that are tokenised: the first and the longest, in their order."""
    longest = sorted(range(len(pairs)), key=lambda i: -len(str(pairs[i].prompt)) - _length(pairs[i]))
    return [pairs[i] for i in sorted({*range(min(AUDITED, len(pairs))), *longest[:AUDITED]})]


def length_ratio(pairs: Sequence[Pair]) -> float:
    """Divides the mean length of chosen responses by that of rejected ones."""
    return sum(len(pair.chosen) for pair in pairs) / sum(len(pair.rejected) for pair in pairs)


def _length(pair: Pair) -> int:
    return max(len(pair.chosen), len(pair.rejected))


def _check_missing(recipe: Recipe, pairs: Sequence[PreferencePair], tokens: Tokenised) -> list[Finding]:
    """Counts the pairs in which nothing is marked."""
    missing = [pair for pair in pairs if marks_words(recipe, pair) and not (pair.chosen_spans or pair.rejected_spans)]
    missing += [pair for pair, token in tokens if token.is_missing and not marks_words(recipe, pair)]
    if not missing:
        return []
    keeps = recipe.setting("on_missing_spans") == "whole"
    fate = "kept as plain DPO." if keeps else "left out; `on_missing_spans: whole` keeps them as plain DPO."
    text = f"{len(missing)} of {len(pairs)} pairs have nothing to mark: {name_rows(missing)}. They are {fate}"
    level: Level = "error" if len(missing) == len(pairs) and not keeps else "warning"
    return [Finding(level, "spans", text, {"missing": len(missing), "rows": [pair.row for pair in missing]})]


def _check_length_bias(pairs: Sequence[PreferencePair]) -> list[Finding]:
    ratio = length_ratio(pairs)
    if ratio <= LONGER:
        return []
    text = (
        f"Chosen responses are {ratio:.2f} times as long as rejected ones on average, and the policy may learn to "
        f"write more. Balance the lengths, or mark only what makes the difference."
    )
    return [Finding("warning", "lengths", text, {"length_ratio": ratio})]
