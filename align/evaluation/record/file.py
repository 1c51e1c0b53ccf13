"""The file `evaluation.json`: one reader and one writer."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import JsonValue, ValidationError

from align.errors import RunFolderError, UserError
from align.evaluation.record.record import SCORES, Record
from align.recipe.problems import shown
from align.secrets import mask
from align.whole_files import as_json as plain
from align.whole_files import write_whole

EVALUATION_FILE, ITEMS_FILE = "evaluation.json", "items.parquet"
FORMAT = 1
# Keys that a kind has: beside those of all; below `about.`, `about.data.` and `about.profile.`
_NEEDED = {
    "policy": (
        "paired glossary warnings",
        "profile judge verifier",
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
    SCORES: ("scores", "", "", ""),
}
_REMEDY = "Evaluate again into another folder, or leave this file out."


def read_record(path: Path) -> Record:
    """Reads an evaluation."""
    content = mask(_read_object(path))
    version = content.pop("format", FORMAT)
    if version != FORMAT or isinstance(version, bool):
        raise RunFolderError(
            f"{path} has `format` {shown(version)}, this version reads {FORMAT}. Evaluate again; answers that are in "
            "the folder's cache are not asked for again."
        )
    try:
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
    """Returns the content of the file, without nan, which JSON does not know."""
    content = plain(record.model_dump(exclude_unset=True))
    return {"kind": content.pop("kind"), "format": FORMAT, **content}


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
