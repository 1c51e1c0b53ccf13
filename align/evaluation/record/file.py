"""The file `evaluation.json`: one reader and one writer of every form that it has."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue, ValidationError

from align.errors import RunFolderError, UserError
from align.evaluation.record.answers import Answers, PairsRecord, PolicyRecord, PromptsRecord, SuiteRecord
from align.evaluation.record.models import ModelsRecord
from align.recipe.problems import shown
from align.secrets import mask
from align.whole_files import write_whole

EVALUATION_FILE, ITEMS_FILE = "evaluation.json", "items.parquet"
FORMAT = 1
Record = Answers | ModelsRecord
KINDS: dict[str, type[Answers]] = {
    "policy": PolicyRecord,
    "prompts": PromptsRecord,
    "pairs": PairsRecord,
    "suite": SuiteRecord,
}
_REMEDY = "Evaluate again into another folder, or leave this file out."
_RULES = {
    "arguments_type": "must be an object",
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "model_type": "must be an object",
    "named_tuple_type": "must be an object",
    "string_type": "must be a text",
    "too_short": "must not be empty",
}


def read_record(path: Path) -> Record:
    """Reads an evaluation that this version or an earlier one wrote."""
    content = mask(_read_object(path))  # a file from before secrets were masked when written
    kind = content.get("kind")
    form = KINDS.get(kind) if isinstance(kind, str) else None  # a model may have the name `kind`
    version = content.get("format", FORMAT)  # the first files of models have none
    if form is not None or not isinstance(version, Mapping):  # which is a model of that name
        if version != FORMAT or isinstance(version, bool):
            raise RunFolderError(
                f"{path} has `format` {shown(version)}, this version reads {FORMAT}. Evaluate again; answers that are "
                "in the folder's cache are not asked for again."
            )
        content.pop("format", None)
    try:
        if form is not None:
            return form.model_validate(content)
        if not content:
            raise RunFolderError(f"{path} holds no model with a `summary`, as `align eval` writes it. {_REMEDY}")
        return ModelsRecord.model_validate({"models": content})
    except ValidationError as error:
        raise RunFolderError(f"{path}: {_sentence(error)} {_REMEDY}") from None


def write_record(path: Path, record: Record) -> None:
    """Writes an evaluation whole or not at all, without secrets."""
    text = json.dumps(mask(as_json(record)), indent=2, ensure_ascii=False) + "\n"
    try:
        write_whole(path, text, errors="backslashreplace")  # half of a surrogate pair, as JSON writes it
    except OSError as error:
        raise UserError(
            f"The results cannot be written to {path}: {error}. Free space there and give the same command again."
        ) from error


def as_json(record: Record) -> dict[str, JsonValue]:
    """Returns the content of the file. Of policies it has no nan, which JSON does not know."""
    if isinstance(record, Answers):
        content = record.model_dump(exclude_unset=True)
        kind = next(name for name, form in KINDS.items() if isinstance(record, form))
        return {"kind": kind, "format": FORMAT, **{key: without_nan(each) for key, each in content.items()}}
    models = record.model_dump(exclude_unset=True)["models"]
    return {
        **models,
        **({} if "format" in models else {"format": FORMAT}),
    }  # the first key stays the model asked about


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
    places = problem["loc"][1:] if problem["loc"][0] == "models" else problem["loc"]
    key = ".".join(map(str, places))
    if problem["type"].startswith("missing"):  # older pydantic has its own word for the parts of an estimate
        return f"`{key}` is missing."
    said = problem["msg"].removeprefix("Value error, ")
    return f"`{key}` {_RULES.get(problem['type'], said)}; got {shown(problem['input'])}."
