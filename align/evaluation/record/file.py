"""The file `evaluation.json`: one reader and one writer of both forms that it has."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from align.errors import RunFolderError, UserError
from align.evaluation.record.cells import Metric, Row
from align.evaluation.record.details import OfScores
from align.evaluation.record.record import SCORES, About, EvaluatedModel, Items, MetricComparison, Record
from align.evaluation.statistics.metrics import Estimate
from align.recipe.problems import shown
from align.secrets import mask
from align.whole_files import write_whole

EVALUATION_FILE, ITEMS_FILE = "evaluation.json", "items.parquet"
FORMAT = 1
# Keys that a kind has: beside those of all; below `about.`, `about.data.` and `about.profile.`
_NEEDED = {
    "policy": (
        "paired glossary warnings curves audits",
        "profile judge verifier common_group counter_group",
        "unshufflable gold_letters",
        "prompt_template system_prompt conversational think_tag answer_tag num_shuffles",
    ),
    "prompts": ("paired glossary warnings", "profile rewards", "", "think_tag answer_tag pass_at_k"),
    "pairs": ("paired glossary warnings", "reference judge profile with_marks", "", ""),
    "suite": (
        "paired glossary warnings",
        "rows headline profile reference settings",
        "",
        "conversational system_prompt think_tag answer_tag",
    ),
}
_REMEDY = "Evaluate again into another folder, or leave this file out."


class _Scores(OfScores):
    """What the file has of a model, where the names of models are its keys."""

    summary: dict[Metric, Row]
    difference_to: dict[str, dict[Metric, Row]] = Field(default_factory=dict)


def read_record(path: Path) -> Record:
    """Reads an evaluation that this version or an earlier one wrote."""
    content = mask(_read_object(path))  # a file from before secrets were masked when written
    kind = content.get("kind")
    has_kind = isinstance(kind, str) and kind in _NEEDED  # a model may have the name `kind`
    version = content.get("format", FORMAT)  # the first files of models have none
    if has_kind or not isinstance(version, Mapping):  # which is a model of that name
        if version != FORMAT or isinstance(version, bool):
            raise RunFolderError(
                f"{path} has `format` {shown(version)}, this version reads {FORMAT}. Evaluate again; answers that are "
                "in the folder's cache are not asked for again."
            )
        content.pop("format", None)
    try:
        if not has_kind:
            if not content:
                raise RunFolderError(f"{path} holds no model with a `summary`, as `align eval` writes it. {_REMEDY}")
            return _of_scores(TypeAdapter(dict[str, _Scores]).validate_python(content))
        record = Record.model_validate(content)
    except ValidationError as error:
        raise RunFolderError(f"{path}: {_sentence(error)} {_REMEDY}") from None
    if missing := next(_missing(record), None):
        raise RunFolderError(f"{path}: `{missing}` is missing. {_REMEDY}")
    return record


def _missing(record: Record) -> Iterator[str]:
    about = record.about
    owners = (("", record), ("about.", about), ("about.data.", about.data), ("about.profile.", about.profile))
    for (place, owner), names in zip(owners, _NEEDED[record.kind], strict=True):
        yield from (f"{place}{name}" for name in names.split() if owner and name not in owner.model_fields_set)


def scores_record(
    summaries: Mapping[str, Mapping[str, Estimate]],
    differences: Mapping[str, Mapping[str, Mapping[str, Estimate]]],
    scores: Mapping[str, OfScores] = {},
) -> Record:
    """Makes the record of reward models, or of policies in short: metrics of each, and differences to others."""
    comparisons = [
        MetricComparison(model=model, baseline=other, suite=SCORES, metric=metric, difference=difference)
        for model, by_other in differences.items()
        for other, cells in by_other.items()
        for metric, difference in cells.items()
    ]
    asked = []
    for place, name in enumerate(summaries):
        scored = scores[name].scored if name in scores else None
        path, kind = (name, "") if scored is None else (scored.path, scored.model_type)
        role = "baseline" if place else "model"
        nothing = {"base": None, "fingerprint": "", "dtype": "", "backend": "", "seconds": 0.0, "cached_items": 0}
        asked.append(EvaluatedModel.model_validate({"name": name, "path": path, "role": role, "kind": kind} | nothing))
    first = next((each.scored for each in scores.values() if each.scored is not None), None)
    source, left_out = (None, {}) if first is None else (first.data, first.left_out)
    data = Items(path=source, split=None, left_out=left_out, fingerprint="", questions=0, groups={})
    about = About(created="", command=[], suites=[SCORES], models=asked, data=data, versions={}, seconds=0.0)
    suites = {SCORES: {name: dict(summary) for name, summary in summaries.items()}}
    return Record(kind=SCORES, about=about, suites=suites, comparisons=comparisons, scores=dict(scores))


def _of_scores(models: Mapping[str, _Scores]) -> Record:
    scores = {
        name: OfScores(**{key: getattr(each, key) for key in OfScores.model_fields.keys() & each.model_fields_set})
        for name, each in models.items()
    }
    return scores_record(
        {name: each.summary for name, each in models.items()},
        {name: each.difference_to for name, each in models.items()},
        scores,
    )


def write_record(path: Path, record: Record) -> None:
    """Writes an evaluation whole or not at all, without secrets."""
    text = json.dumps(mask(as_json(record)), indent=2, ensure_ascii=False) + "\n"
    with writing(path):
        write_whole(path, text, errors="backslashreplace")  # half of a surrogate pair, as JSON writes it


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Words what keeps results from being written; what was asked is kept by then."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"The results cannot be written to {path}: {error}. Free space there and give the same command again; "
            "no answer is asked for twice."
        ) from error


def as_json(record: Record) -> dict[str, JsonValue]:
    """Returns the content of the file. Of policies it has no nan, which JSON does not know."""
    if record.kind != SCORES:
        content = record.model_dump(exclude_unset=True)
        return {
            "kind": content.pop("kind"),
            "format": FORMAT,
            **{key: without_nan(each) for key, each in content.items()},
        }
    models: dict[str, Any] = {}  # the first key stays the model asked about
    for name, summary in record.suites[SCORES].items():
        differences = {other: cells for (model, other), cells in record.differences().items() if model == name}
        found = record.scores.get(name, OfScores())
        models[name] = {"summary": summary} | ({"difference_to": differences} if differences else {})
        models[name] |= found.model_dump(exclude_unset=True)
    return models | ({} if "format" in models else {"format": FORMAT})


def without_nan(value: JsonValue) -> JsonValue:
    """Puts null in place of numbers that are not finite, which JSON does not know."""
    if isinstance(value, dict):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read_object(path: Path) -> dict[str, JsonValue]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunFolderError(
            f"{path.name} is missing in {str(path.parent)!r}. Give a folder that `align eval` wrote."
        ) from None
    except json.JSONDecodeError as error:
        raise RunFolderError(f"{path}, line {error.lineno}: not JSON ({error.msg}). {_REMEDY}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(f"{path} cannot be read: {error}. {_REMEDY}") from None
    if not isinstance(value, dict):
        raise RunFolderError(f"{path} must hold a JSON object, got a {type(value).__name__}. {_REMEDY}")
    return value


def _sentence(error: ValidationError) -> str:
    """Words the first problem that pydantic found: the key, the rule and the value."""
    problem = error.errors(include_url=False)[0]
    key = ".".join(map(str, problem["loc"]))
    if problem["type"].startswith("missing"):  # older pydantic has its own word for the parts of an estimate
        return f"`{key}` is missing."
    return f"`{key}`: {problem['msg'].removeprefix('Value error, ')}; got {shown(problem['input'])}."
