"""The numbers of an evaluation on the model card in the folder of the model, for the hub and for people."""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from math import nan
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard

from align.data.files import READERS
from align.errors import UserError
from align.evaluation.record import SCORES, Record
from align.evaluation.record.record import PairedAnswers
from align.evaluation.statistics.glossary import Meaning
from align.evaluation.statistics.metrics import LEVEL, Estimate
from align.evaluation.suites import explain, glossary
from align.markdown import escape
from align.models.at_hand import card_fields, hub_id
from align.models.checkpoint import fingerprint
from align.recipe.problems import one_line
from align.runs.folder import FINISHED_FILE
from align.whole_files import sha256_of, write_whole

CARD = "README.md"
_BEGIN, _END = "<!-- evaluation, written by `align eval --card` -->", "<!-- end of the evaluation -->"
_TAG = "truealign"


def find_card(model: str) -> Path:
    """Finds the card that the numbers of a model go on: in its folder, or of the run whose last checkpoint it is."""
    folder = Path(model)
    if not folder.is_dir():
        raise UserError(f"`--card` writes on the card in the folder of a run, and {model} is none. Download it first.")
    if _is_ours(folder / CARD):
        return folder / CARD
    run = folder.resolve().parent
    if not _is_ours(run / CARD):
        raise UserError(
            f"`--card`: {folder} has no {CARD} that `align train` wrote. Name the folder of a finished run, or leave "
            "the option out."
        )
    if fingerprint(str(folder)) != fingerprint(str(run)):
        raise UserError(
            f"`--card`: the card in {run} is about the model there, and not about the one in {folder.name}. "
            f"Evaluate {run}, or leave the option out."
        )
    return run / CARD


def put_on_card(path: Path, record: Record) -> None:
    """Writes results, of groups only the worst, for the hub and as a table; earlier ones on the same items go."""
    results = list(_results(record))
    if not results:
        raise UserError(
            f"{path} gets no number: for no metric of this evaluation is it known whether higher or lower is better."
        )
    try:
        card = ModelCard.load(path, ignore_metadata_errors=True)
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise UserError(f"The card {path} cannot be read: {one_line(error)}. Mend it, or train again.") from error
    anew = {_key(each) for each in results}
    kept = [each for each in card.data.get("eval_results") or [] if _key(each) not in anew]
    card.data.eval_results = [*kept, *results]
    title = re.search(r"^# (?:.*/)?(.+)$", card.text, flags=re.MULTILINE)
    card.data.model_name = card.data.model_name or (title[1] if title else path.parent.name)
    card.data.metrics = ["accuracy"] if any(each.metric_type == "accuracy" for each in [*kept, *results]) else None
    before = re.sub(rf"\n*{re.escape(_BEGIN)}.*?{re.escape(_END)}\n*", "", card.text, flags=re.DOTALL)
    card.text = f"{before.rstrip()}\n\n{_BEGIN}\n{_section([*kept, *results])}\n{_END}\n"
    try:
        write_whole(path, str(card))
    except OSError as error:
        raise UserError(f"The card {path} cannot be written: {error}.") from error


def pushed_to(path: Path) -> str | None:
    """Returns the repository of the hub that a card's run was pushed to."""
    try:
        place = json.loads((path.parent / FINISHED_FILE).read_text(encoding="utf-8"))["pushed_to"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return "/".join(str(place).rsplit("/", 2)[1:])


def _is_ours(path: Path) -> bool:
    tags = card_fields(path).get("tags")
    return isinstance(tags, list) and _TAG in tags


def _key(result: EvalResult) -> tuple[str | None, ...]:
    """Names what was asked: the same questions, of which a later evaluation has the later numbers."""
    suite = str((result.metric_args or {}).get("suite"))
    return result.dataset_type, result.dataset_config, result.dataset_split, result.dataset_revision, suite


def _section(results: Sequence[EvalResult]) -> str:
    parts = ["## Evaluation"]
    contents: dict[str, set[str | None]] = defaultdict(set)  # of files of one name
    for each in results:
        contents[each.dataset_name].add(each.dataset_revision)
    for key, group in groupby(results, _key):
        found = list(group)
        items = (found[0].dataset_args or {}).get("items")
        where = found[0].dataset_name + (f", split {found[0].dataset_split}" if found[0].dataset_split else "")
        where = escape(where)
        if found[0].dataset_revision and len(contents[found[0].dataset_name]) > 1:
            where += f" of content `{found[0].dataset_revision}`"
        many = f", {items:,} items" if items else ""
        suite = "" if key[-1] == "None" else f" ({escape(key[-1])})"
        parts.append(f"On {where}{many}{suite}, with 95 % intervals:\n\n{_table(found)}")
        parts += _counts(found)
    if any(each.metric_type.endswith(DIFFERENCE) for each in results):
        parts.append(
            "Differences are paired: both models on the same items. An interval that holds 0 shows no difference; it "
            "does not show that there is none."
        )
    return "\n\n".join(parts)


def _table(results: Sequence[EvalResult]) -> str:
    rows = ["| metric | value | baseline | its value | difference | n |", "|---|---|---|---|---|---|"]
    for own in (each for each in results if not each.metric_type.endswith(DIFFERENCE)):
        against = [each for each in results if each.metric_type == own.metric_type + DIFFERENCE]
        first = f"{escape(own.metric_name)} | {_estimate(own, '')}"
        n = (own.metric_args or {}).get("n", 0)
        if not against:
            rows.append(f"| {first} | | | | {n:,} |")
        for each in against:
            baseline = f"{escape((each.metric_args or {})['baseline'])} | {_estimate(each, 'baseline_')}"
            rows.append(f"| {first} | {baseline} | {_estimate(each, '')} | {n:,} |")
    return "\n".join(rows)


def _counts(results: Sequence[EvalResult]) -> list[str]:
    lines = []
    for args in (each.metric_args or {} for each in results):
        baseline = escape(args.get("baseline"))
        if "only_model_right" in args:
            lines.append(
                f"Right with this model alone: {args['only_model_right']:,}; with {baseline} alone: "
                f"{args['only_baseline_right']:,}; with both: {args['both_right']:,}; with neither: "
                f"{args['neither_right']:,}."
            )
        if "model_higher" in args:
            lines.append(
                f"Higher with this model: {args['model_higher']:,}; with {baseline}: "
                f"{args['baseline_higher']:,}; equal: {args['equal']:,}."
            )
    return lines


def _estimate(result: EvalResult, prefix: str) -> str:
    args = result.metric_args or {}
    value = args.get(f"{prefix}value", result.metric_value if not prefix else None)
    if value is None:
        return ""
    return str(Estimate(value, args.get(f"{prefix}low", nan), args.get(f"{prefix}high", nan), args.get("n", 0)))


DIFFERENCE = "_difference"  # behind the name of a metric
_DIGITS, _DIGEST = 6, 12
_BEST_OF = "best_of_"  # how its metrics begin
_OF_GROUPS = ("in a group", "in a category")  # how labels end of which a card would have dozens


def _results(record: Record) -> Iterator[EvalResult]:
    """Yields the metrics of the model asked about that a card shows, each with its differences to baselines."""
    model, *baselines = record.about.models
    graded = {f"reward/{each.name}" for each in record.about.rewards if each.right_from is None}  # no value is right
    wins = {(each.baseline, each.metric): each for each in record.paired}
    differences = {
        (each.model, each.baseline, each.suite, each.metric): each.difference for each in record.comparisons
    }
    for suite, by_model in record.suites.items():
        for metric, own in by_model[model.name].items():
            meaning = _of_score(metric, by_model[model.name]) if record.kind == SCORES else explain(metric)
            if not _is_shown(metric, meaning, own, record.about.headline):
                continue
            about, how = _asked(record, suite, metric)
            yield _result(about, metric, meaning, own, how)
            for baseline in baselines:
                difference = differences.get((model.name, baseline.name, suite, metric))
                if difference is None or math.isnan(difference.value):
                    continue
                named = {"baseline": hub_id(baseline.path) or Path(baseline.path).name}  # not where it lies here
                args = how | named | _ends("baseline_", by_model[baseline.name].get(metric))
                if (paired := wins.get((baseline.name, metric))) is not None:
                    args |= _paired_counts(paired, says_right=metric not in graded)
                yield _result(about, metric + DIFFERENCE, meaning, difference, args)


def _asked(record: Record, suite: str, metric: str) -> tuple[dict[str, Any], dict[str, Any]]:
    data, profile = record.about.data, record.about.profile
    if record.kind == SCORES:
        scored = record.scores[record.names[0]].scored if record.names[0] in record.scores else None
        path = scored.best_of_n if scored is not None and metric.startswith(_BEST_OF) else data.path
        return {"task_type": "text-classification", **_data(path, "pairs", None, _content(path))}, {}
    about = {
        "task_type": "text-generation",
        **_data(data.path, suite, data.split, data.fingerprint),
        "dataset_args": {"items": data.questions, "fingerprint": data.fingerprint[:_DIGEST]},
    }
    return about, {"suite": suite} | ({} if profile is None else {"temperature": profile.temperature})


def _paired_counts(paired: PairedAnswers, *, says_right: bool) -> dict[str, int]:
    if not says_right or not paired.says_right:  # a value, or a share of several samples
        equal = paired.num_both + paired.num_neither
        return {"model_higher": len(paired.wins), "baseline_higher": len(paired.losses), "equal": equal}
    found = {"only_model_right": len(paired.wins), "only_baseline_right": len(paired.losses)}
    return found | {"both_right": paired.num_both, "neither_right": paired.num_neither}


def _of_score(metric: str, measured: Mapping[str, Estimate]) -> Meaning | None:
    """Explains a metric itself, the best of n, and a subset of a benchmark of which there is no score over all."""
    known, (family, slash, _) = glossary("reward_model"), metric.partition("/")
    if metric in known:
        return known[metric]
    if metric.startswith(_BEST_OF) and not slash:  # behind one is what no model reaches
        return known[_BEST_OF]
    return known["reward_bench_2/"] if family == "reward_bench_2" and family not in measured else None


def _is_shown(metric: str, meaning: Meaning | None, own: Estimate, headline: list[str]) -> bool:
    if math.isnan(own.value) or (headline and metric not in headline):
        return False
    if meaning is None or meaning.better is None:
        return bool(headline)
    return not meaning.label.endswith(_OF_GROUPS) and metric.count("/") < 2  # `pass@1/REWARD/GROUP`


def _result(
    about: dict[str, Any], metric: str, meaning: Meaning | None, found: Estimate, args: dict[str, Any]
) -> EvalResult:
    name, _, part = metric.removesuffix(DIFFERENCE).partition("/")
    label = metric.removesuffix(DIFFERENCE)
    if meaning is not None:
        label = _label(name, meaning) + (f", {part}" if part else "")
    if metric.endswith(DIFFERENCE):
        label += f", minus that of {args['baseline']}"
    return EvalResult(
        **about,
        metric_type=metric,
        metric_name=label,
        metric_value=round(found.value, _DIGITS),
        metric_args=args | _ends("", found) | {"level": LEVEL, "n": found.n},
    )


def _label(name: str, meaning: Meaning) -> str:
    """Names a metric; `pass@k` and the best of n of the glossary are `pass@1` and the best of 4 here."""
    if name.startswith(_BEST_OF):
        return f"Best of {name.removeprefix(_BEST_OF)}"
    return name if "@" in name else meaning.label


def _ends(prefix: str, found: Estimate | None) -> dict[str, float]:
    if found is None or math.isnan(found.value):
        return {}
    numbers = {"low": found.low, "high": found.high} | ({"value": found.value} if prefix else {})
    return {f"{prefix}{name}": round(each, _DIGITS) for name, each in numbers.items() if not math.isnan(each)}


def _content(path: str | None) -> str | None:
    file = None if path is None else Path(path).expanduser()
    return sha256_of(file) if file is not None and file.is_file() else None


def _data(path: str | None, suite: str, split: str | None, content: str | None) -> dict[str, Any]:
    """Names a data set of the hub by its id, and a file by its name: where it lies here is nobody's business.

    What tells two files of one name apart is their content, which stands where the hub has the revision of a data set.
    """
    if path is None:
        return {"dataset_type": f"truealign-{suite}", "dataset_name": f"rows of the suite {suite}"}
    name, _, subset = path.partition(":")
    revision = None
    if Path(path).expanduser().exists() or Path(name).suffix.lower() in READERS:
        name, subset, revision = Path(path).name, "", content and content[:_DIGEST]
    kind = re.sub(r"[^\w./-]+", "-", name)
    found = {"dataset_type": kind, "dataset_name": name, "dataset_config": subset or None, "dataset_split": split}
    return found | {"dataset_revision": revision}
