"""Whether a model that is named is here, or can be had from the hub, and its card: before anything is loaded."""

from pathlib import Path
from typing import Any

import yaml

from align.assets import shipped_recipes
from align.errors import UserError
from align.hub_reach import Answer, ask_hub, go_offline

_LOGIN = "run `hf auth login`, or set the variable HF_TOKEN"


def require_model(source: str, revision: str | None = None) -> None:
    """Refuses a file, what is no folder, and what neither the hub's cache holds nor the hub gives.

    Where the hub cannot be reached, this process goes on with its cache, without asking for each file.
    """
    if problem := file_problem(source):
        raise UserError(problem)
    if Path(source).exists():
        return
    if source.startswith((".", "/", "~")) or not is_hub_id(source):
        raise UserError(f"There is no folder {source}. Name a model's folder that was saved, or a hub id.")
    answer = ask_hub(f"{source}/resolve/{revision or 'main'}/config.json")
    if not _is_cached(source):
        if problem := _refusal(source, answer):
            raise UserError(problem)
    elif answer.unreachable:
        go_offline(answer, source)


def file_problem(source: str) -> str:
    """Says that a file, or a shipped recipe, is no model, where one is named; nothing of what is none."""
    if (recipe := shipped_recipes().get(source)) and not Path(source).exists():
        return (
            f"{source} is a shipped recipe and no model. Name the `output_dir` of a run of it, or the model that it "
            f"begins from, `model_name_or_path` in {recipe}."
        )
    if not Path(source).is_file():
        return ""
    return f"{source} is a file. Name a model's folder that was saved, with its config and tokenizer, or a hub id."


def is_hub_id(model: str) -> bool:
    """Says whether a text has the form of a hub id."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(model)
    except HFValidationError:
        return False
    return True


def card_fields(path: Path) -> dict[str, Any]:
    """Reads the front matter of a card; empty where there is none, or none that can be read."""
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    try:
        found = REGEX_YAML_BLOCK.search(path.read_text(encoding="utf-8"))
        fields = yaml.safe_load(found[2]) if found else None
    except (OSError, ValueError, yaml.YAMLError):  # a page that is no card, or a broken one: not worth a run
        return {}
    return {str(key): value for key, value in fields.items()} if isinstance(fields, dict) else {}


def hub_id(name: Any) -> str | None:
    """Returns a name that can be one of the hub; None for a path, whether something is still there or not.

    Example:
        >>> [hub_id(name) for name in ("owner/base", "gpt2", "/data/base", "./base", "runs/base/checkpoint-4")]
        ['owner/base', 'gpt2', None, None, None]
    """
    return name if isinstance(name, str) and is_hub_id(name) and not Path(name).exists() else None


def _is_cached(source: str) -> bool:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    snapshots = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=source, repo_type="model") / "snapshots"
    return any(snapshots.glob("*/*"))


def _refusal(source: str, answer: Answer) -> str:
    """Words why a model that is not in the cache cannot be had; empty if it can, or who loads it says more."""
    from huggingface_hub import constants, get_token

    where, nowhere = constants.ENDPOINT, f"no folder {source} is here, the hub's cache does not hold it"
    if answer.unreachable:
        return (
            f"There is no model {source}: {nowhere}, and {where} cannot be reached ({answer.unreachable}). Check the "
            "name, name the folder of a model, or load it where there is a network: `hf download` fills the cache."
        )
    if answer.code == "GatedRepo":
        terms = f"Accept its terms at {where}/{source}"
        return f"The model {source} is gated: {where} gives it to accounts that it knows. {terms}; then {_LOGIN}."
    if answer.status == 401 or answer.code == "RepoNotFound":
        private = "If it is private, the token may not read it:" if get_token() else "If it is private,"
        said = f"{where} answered {answer.status}"
        return f"There is no model {source}: {nowhere}, and {said}. Check the name. {private} {_LOGIN}."
    if answer.status == 403:
        return f"The token may not read {source}: {where} answered 403. Take one that may: {_LOGIN}."
    return ""
