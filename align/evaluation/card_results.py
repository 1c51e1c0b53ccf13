"""What of an evaluation stands on a model card, as the `model-index` of the hub has it: values, intervals, counts."""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from align.data.files import READERS
from align.evaluation.record import Record
from align.evaluation.record.answers import Answers, AskedModel, PairedAnswers
from align.evaluation.record.models import ModelsRecord
from align.evaluation.record.prompts import PromptsRecord
from align.evaluation.record.suites import SuiteRecord
from align.evaluation.statistics.glossary import Meaning, explain
from align.evaluation.statistics.metrics import LEVEL, Estimate
from align.evaluation.statistics.reward_model_glossary import REWARD_MODEL_GLOSSARY
from align.models.card import hub_id
from align.whole_files import sha256_of

DIFFERENCE = "_difference"  # behind the name of a metric
_DIGITS, _DIGEST = 6, 12
_BEST_OF = "best_of_"  # how its metrics begin
_OF_GROUPS = ("in a group", "in a category")  # how labels end of which a card would have dozens


def card_results(record: Record) -> list[EvalResult]:
    """Lists the metrics of the model asked about, and its differences to each baseline on the same items.

    Of groups only the worst one is there; the page of the evaluation has them all.
    """
    return list(_of_policies(record) if isinstance(record, Answers) else _of_reward_models(record))


def _of_policies(record: Answers) -> Iterator[EvalResult]:
    model, *baselines = record.about.models
    data, profile = record.about.data, getattr(record.about, "profile", None)
    graded: set[str] = set()  # rewards of which no value says that a response is right
    if isinstance(record, PromptsRecord):
        graded = {f"reward/{each.name}" for each in record.about.rewards if each.right_from is None}
    wins = {(each.baseline, each.metric): each for each in record.paired}
    for suite, by_model in record.suites.items():
        about: dict[str, Any] = {
            "task_type": "text-generation",
            **_data(data.path, suite, data.split, data.fingerprint),
            "dataset_args": {"items": data.questions, "fingerprint": data.fingerprint[:_DIGEST]},
        }
        how = {"suite": suite} | ({} if profile is None else {"temperature": profile.temperature})
        headline = record.about.headline if isinstance(record, SuiteRecord) else []
        for metric, own in by_model[model.name].items():
            meaning = explain(metric)
            if not _is_shown(metric, meaning, own, headline):
                continue
            yield _result(about, metric, meaning, own, how)
            for baseline in baselines:
                difference = _difference(record, baseline, suite, metric)
                if difference is None or math.isnan(difference.value):
                    continue
                args = how | _baseline(baseline, by_model[baseline.name].get(metric))
                if (paired := wins.get((baseline.name, metric))) is not None:
                    args |= _counts(paired, says_right=metric not in graded)
                yield _result(about, metric + DIFFERENCE, meaning, difference, args)


def _counts(paired: PairedAnswers, *, says_right: bool) -> dict[str, int]:
    if not says_right or not paired.says_right:  # a value, or a share of several samples
        equal = paired.num_both + paired.num_neither
        return {"model_higher": len(paired.wins), "baseline_higher": len(paired.losses), "equal": equal}
    found = {"only_model_right": len(paired.wins), "only_baseline_right": len(paired.losses)}
    return found | {"both_right": paired.num_both, "neither_right": paired.num_neither}


def _difference(record: Answers, baseline: AskedModel, suite: str, metric: str) -> Estimate | None:
    wanted = baseline.name, suite, metric
    return next(
        (each.difference for each in record.comparisons if (each.baseline, each.suite, each.metric) == wanted), None
    )


def _of_reward_models(record: ModelsRecord) -> Iterator[EvalResult]:
    measured = next(iter(record.models.values()))
    pairs, candidates = (None, None) if measured.scored is None else (measured.scored.data, measured.scored.best_of_n)
    for metric, own in measured.summary.items():
        meaning = REWARD_MODEL_GLOSSARY.get(metric) or _of_family(metric, measured.summary)
        if not _is_shown(metric, meaning, own, []):
            continue
        data = candidates if metric.startswith(_BEST_OF) else pairs
        about = {"task_type": "text-classification", **_data(data, "pairs", None, _content(data))}
        yield _result(about, metric, meaning, own, {})
        for name, differences in measured.difference_to.items():
            if metric in differences:
                other = record.models[name].summary.get(metric) if name in record.models else None
                args = {"baseline": Path(name).name} | _ends("baseline_", other)
                yield _result(about, metric + DIFFERENCE, meaning, differences[metric], args)


def _of_family(metric: str, measured: Mapping[str, Estimate]) -> Meaning | None:
    """Explains the best of n, and a subset of a benchmark of which there is no score over all subsets."""
    family, slash, _ = metric.partition("/")
    if metric.startswith(_BEST_OF) and not slash:  # behind one is what no model reaches
        return REWARD_MODEL_GLOSSARY[_BEST_OF]
    return REWARD_MODEL_GLOSSARY["reward_bench_2/"] if family == "reward_bench_2" and family not in measured else None


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


def _baseline(model: AskedModel, found: Estimate | None) -> dict[str, Any]:
    """Names a baseline by its hub id, or by its folder without where that is."""
    return {"baseline": hub_id(model.path) or Path(model.path).name} | _ends("baseline_", found)


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
