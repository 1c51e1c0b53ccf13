"""Filters data to train on: pairs that a base reward model is not sure of, or samples that a verifier accepts."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from align.data.cell_values import as_values
from align.data.files import RawRow, Row
from align.data.loading import Schema, load_rows
from align.data.pairs.pair import NEEDS, check_texts
from align.data.pairs.reward_pairs import RewardPair, check_reward_pair
from align.data.problems import DataReport
from align.data.unread import saying_unread
from align.errors import DataError, UserError
from align.evaluation.record.details import Unscored
from align.evaluation.record.file import writing
from align.evaluation.statistics.metrics import Estimate, Values, wilson
from align.evaluation.suites.prompts import PromptOptions
from align.evaluation.suites.reward_model.pair_metrics import count_unscored
from align.options import options_of, parts
from align.secrets import mask
from align.services.options import ByBase, BySamples, Loading
from align.services.sampled_filter import FilterOptions, filter_samples, write_summary
from align.whole_files import as_lines, write_whole
from rewards.extras import is_installed, loaded

if TYPE_CHECKING:
    import pandas as pd


_PROBABILITY = "p_base"


@dataclass(frozen=True, repr=False)
class FilterResult:
    """What was kept.

    Attributes:
        out: The rows that are kept, as JSON lines.
        num_kept: How many there are.
        card: What decided them and what was counted, as `OUT.filter.json` has it.
        lines: What was counted, in a table: of pairs by source, of samples by what became of them.
        sentences: What was left out and why, how far the verifier can be trusted, and where everything is.
    """

    out: Path
    num_kept: int
    card: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]
    sentences: Sequence[str]

    def to_pandas(self) -> "pd.DataFrame":
        """Returns what was counted; of an estimate only its value, whose interval is in `card`."""
        pd = loaded("pandas", "`to_pandas()`")
        rows = [[cell.value if isinstance(cell, Estimate) else cell for cell in each.values()] for each in self.lines]
        return pd.DataFrame(rows, columns=list(self.lines[0]))

    def in_words(self) -> list[list[str]]:
        """Returns the lines as cells of a table."""
        return [
            [f"{cell:,}" if isinstance(cell, int) else "" if cell is None else str(cell) for cell in line.values()]
            for line in self.lines
        ]

    def __str__(self) -> str:
        names = list(self.lines[0])[1:]
        cells = (zip(names, row[1:], strict=True) for row in self.in_words())
        counted = (", ".join(f"{name} {cell}" for name, cell in row if cell) for row in cells)
        firsts = (row[0] for row in self.in_words())
        return "\n".join([*map(": ".join, zip(firsts, counted, strict=True)), *self.sentences])

    __repr__ = __str__

    def _repr_html_(self) -> str | None:
        if not is_installed("pandas"):
            return None  # the text is shown
        table: str = (
            loaded("pandas", "a table").DataFrame(self.in_words(), columns=list(self.lines[0])).to_html(index=False)
        )
        return table + "".join(f"<p>{escape(sentence)}</p>" for sentence in self.sentences)


@dataclass(frozen=True, kw_only=True)
class Filtering(ByBase, BySamples, Loading):
    """What is filtered: pairs, with `base`; else prompts with the columns that rewards read."""

    data: str | Path = field(kw_only=False)  # a file, a folder or a hub id
    out: str | Path  # new .jsonl file for what is kept


@options_of(Filtering)
def filter(asked: Filtering) -> FilterResult:
    """Filters pairs, samples of a policy, or prompts, as `align filter` does.

    With `base="outputs/rm"` pairs are kept, with `model="outputs/sft", verifier="number_accuracy"` samples.

    Raises:
        UserError: If it cannot be done.
        TypeError: If there is no such option.
    """
    given = [each.name for each in fields(asked) if getattr(asked, each.name) != each.default]
    return filter_data(str(asked.data), Path(asked.out), *parts(asked, ByBase, BySamples, Loading), given=given)


def filter_data(
    data: str, out: Path, scoring: ByBase, sampled: BySamples, loading: Loading, *, given: Collection[str]
) -> FilterResult:
    """Filters rows whose options are in their groups; `given` are the names of those that were said."""
    _check(out, given, loading)
    return _filter_pairs(data, out, scoring, loading) if scoring.base else _filter_samples(data, out, sampled, loading)


def _check(out: Path, given: Collection[str], loading: Loading) -> None:
    if ("base" in given) == ("model" in given):
        got = "both" if "base" in given else "none"
        raise UserError(
            "Say what is kept, with one of `--base REWARD_MODEL` (pairs) and `--model POLICY --verifier REWARD` "
            f"(samples); got {got}."
        )
    wrong, about = (BySamples, "pairs") if "base" in given else (ByBase, "samples")
    if names := sorted({*given} & {each.name for each in fields(wrong)}):
        raise UserError(f"`--{names[0]}` does not go with {about}. Leave it out.")
    if "model" in given and "verifier" not in given:
        raise UserError("`--model` needs `--verifier`, the reward that accepts samples, such as number_accuracy.")
    if loading.on_bad_rows not in ("raise", "skip"):
        raise UserError(f"`on_bad_rows` must be raise or skip, got {loading.on_bad_rows!r}.")
    if out.suffix != ".jsonl" or out.exists():
        raise UserError(f"`out` must name a new .jsonl file, got {out}{' that exists' if out.exists() else ''}.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"`out` {out} cannot be written: {error}. Choose another place.") from error


def read_pass_rate(text: str) -> tuple[float, float]:
    """Reads a range of pass rates.

    Example:
        >>> read_pass_rate("0.1:0.9")
        (0.1, 0.9)
    """
    try:
        low, high = map(float, text.split(":"))
    except ValueError:
        low, high = 1.0, 0.0
    if not 0 <= low <= high <= 1:
        raise UserError(f"`--pass_rate` must be LOW:HIGH with 0 <= LOW <= HIGH <= 1, such as 0.1:0.9; got {text!r}.")
    return low, high


def _filter_samples(data: str, out: Path, sampled: BySamples, loading: Loading) -> FilterResult:
    if sampled.verifier_threshold != sampled.verifier_threshold:
        raise UserError("`verifier_threshold` must be a number, got nan. Values above it are accepted.")
    if sampled.right_from is not None and sampled.audit is None:
        raise UserError("`--right_from` needs `--audit`, which is not given. Give both, or neither.")
    within = None if sampled.pass_rate is None else read_pass_rate(sampled.pass_rate)
    specs = [spec for spec in (sampled.verifier, sampled.audit) if spec is not None]
    known, said = {each.name for each in fields(PromptOptions)}, vars(sampled) | vars(loading)
    # Where no tokens are said, there are as many as in the recipe.
    asked = {name: value for name, value in said.items() if name in known and value is not None}
    given = {"temperature", "top_p", "num_samples", "max_new_tokens"} & asked.keys()
    options = FilterOptions(
        **asked, data=data, out=out, rewards=specs, threshold=sampled.verifier_threshold, pass_rate=within
    )
    kept = filter_samples(options, frozenset(given), sampled.cache or out.with_suffix(".cache"))
    with writing(out):
        summary = write_summary(out, kept.card)
        write_whole(out, as_lines(kept.rows), errors="backslashreplace")  # last: with it the command is done
    counts = kept.card["counts"]
    numbers = {name.replace("_", " "): value for name, value in counts.items() if isinstance(value, int)}
    numbers |= {f"samples {fate}": number for fate, number in counts["samples"].items()}
    sentences = [f"{name.replace('_', ' ')}: {estimate}" for name, estimate in kept.slips.items()]
    sentences.append(f"The rows are in {out}, the counts in {summary}.")
    lines = [{"": name, "number": number} for name, number in numbers.items()]
    return FilterResult(out, len(kept.rows), kept.card, lines, sentences)


@dataclass(frozen=True)
class _Entry:
    """A row as it was read and as it was understood."""

    id: str
    row: int
    columns: dict[str, Any]
    pair: RewardPair


def _filter_pairs(data: str, out: Path, scoring: ByBase, loading: Loading) -> FilterResult:
    base, tau = str(scoring.base), scoring.tau
    if not 0 <= tau <= 1:
        raise UserError(f"`tau` must lie between 0 and 1, got {tau}.")
    entries, report = saying_unread(_load(data, loading))
    p_base, unscored = _probabilities(base, [entry.pair for entry in entries], scoring, loading)
    kept = keep_unsure(p_base, [entry.pair.tie for entry in entries], tau)
    rows = [
        entry.columns | {"tie": entry.pair.tie, "source": entry.pair.source, _PROBABILITY: round(float(p), 6)}
        for entry, p, keep in zip(entries, p_base, kept, strict=True)
        if keep
    ]
    counts = {"data": data, "base": base, "tau": tau, "bad_rows": report.reasons} | _count(entries, p_base, kept)
    summary = out.with_suffix(".filter.json")
    with writing(out):
        write_whole(summary, json.dumps(mask(counts), indent=2) + "\n")
        write_whole(out, as_lines(rows))  # last: with it the command is done
    sentences = [
        f"{count:,} {'pair is' if count == 1 else 'pairs are'} {why}, and left out."
        for count, why, _ in unscored.reasons()
    ]
    sentences.append(f"The pairs are in {out}, the counts in {summary}.")
    return FilterResult(out, len(rows), counts, list(_lines(counts)), sentences)


def _load(data: str, loading: Loading) -> tuple[list[_Entry], DataReport]:
    def check(row: Row, raw: RawRow) -> _Entry:
        pair = check_reward_pair(row, untyped=raw.untyped)
        check_texts(pair)
        columns = as_values(row, "pairs", {}) if raw.untyped else dict(row.items())
        return _Entry(pair.id or raw.name, raw.row, columns, pair)

    bad = cast(Literal["raise", "skip"], loading.on_bad_rows)
    return load_rows(data, check, Schema(NEEDS), split=loading.split, on_bad_rows=bad, max_rows=loading.max_rows)


def _probabilities(
    base: str, pairs: Sequence[RewardPair], scoring: ByBase, loading: Loading
) -> tuple[Values, Unscored]:
    from scipy.special import expit
    from transformers.utils.logging import disable_progress_bar

    from align.evaluation.asking import KeptAnswers
    from align.evaluation.engine import show_stages
    from align.models.reward_model import RewardModel

    disable_progress_bar()  # the bar of loading would tear the one of scoring
    how: dict[str, Any] = {"max_length": scoring.max_length}
    how |= {name: getattr(loading, name) for name in ("batch_size", "dtype", "device")}
    texts = [pair.prompt for pair in pairs], [pair.chosen for pair in pairs], [pair.rejected for pair in pairs]
    with show_stages() as stages:
        model = RewardModel.load(base, on_too_long="nan", ask=KeptAnswers(progress=stages.advance).ask, **how)
        margins = model.margins(*texts)
    unscored = count_unscored(model, margins, *texts)
    if np.isnan(margins).all():
        raise DataError(f"{base} scores no pair. {unscored.sentence(len(pairs), 'pairs')}")
    probabilities: Values = expit(margins)
    return probabilities, unscored


def _count(entries: Sequence[_Entry], p_base: Values, kept: NDArray[np.bool_]) -> dict[str, Any]:
    sources = np.array([entry.pair.source for entry in entries])
    by_source: dict[str, dict[str, Any]] = {}
    for source in sorted(set(sources)):
        here = sources == source
        by_source[source] = {
            "pairs": int(here.sum()),
            "kept": int(kept[here].sum()),
            "not_scored": int(np.isnan(p_base[here]).sum()),
            "mean_p_base": None if np.isnan(p_base[here]).all() else float(np.nanmean(p_base[here])),
        }
    totals = {name: sum(each[name] for each in by_source.values()) for name in ("pairs", "kept", "not_scored")}
    return totals | {"sources": by_source}


def _lines(counts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for source, each in [*counts["sources"].items(), ("all", counts)]:
        line = {"source": source, "pairs": each["pairs"], "kept": each["kept"]}
        mean = each.get("mean_p_base")
        yield line | {
            "share kept": wilson(each["kept"], each["pairs"]),
            "mean p_base": None if mean is None else f"{mean:.2f}",
        }


def keep_unsure(p_base: Sequence[float] | NDArray[np.float64], tie: Sequence[bool], tau: float) -> NDArray[np.bool_]:
    """Keeps the pairs of which a base model is not yet sure: `(N,)` |p_base - target| > `tau`.

    The target is 1 for pairs with an order and 1/2 for ties. So an ordered pair goes if the base model already gives
    the chosen answer more than 1 - tau, and a tie goes if it already holds both for about equal. A pair without a
    probability (`nan`) is not kept.

    Example:
        >>> keep_unsure([0.7, 0.9, 0.4, 0.9], tie=[False, False, True, True], tau=0.2)
        array([ True, False, False,  True])
    """
    probabilities = np.asarray(p_base, dtype=float)
    if (outside := probabilities[(probabilities < 0) | (probabilities > 1)]).size:
        raise ValueError(f"`p_base` must hold probabilities, got {outside[0]}.")
    target = np.where(tie, 0.5, 1.0)
    return np.abs(probabilities - target) > tau
