"""Whether the hub will take what a run with `push_to_hub` gives it, before a model is loaded."""

import os

from huggingface_hub import constants, get_token
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from align.checks.finding import Finding
from align.models.hub import account, full_repository, is_pushed, refusal, repository
from align.recipe.recipe import Recipe

_CHECK = "hub"
_READS_ONLY = "read"


def check_hub(recipe: Recipe) -> list[Finding]:
    """Asks the hub whose token this is, and whether it may write; only the main process does, and changes nothing."""
    if not is_pushed(recipe) or os.environ.get("RANK", "0") != "0":
        return []
    repo = repository(recipe)
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        return [_error(f"`hub_model_id` is no name of a repository. {error}")]
    if recipe.then is not None and is_pushed(recipe.then) and repository(recipe.then) == repo:
        return [_error(f"Both runs would be pushed to {repo}. Give the second a `then.hub_model_id` of its own.")]
    if constants.HF_HUB_OFFLINE:
        return [_error("`push_to_hub: true` needs the hub, and HF_HUB_OFFLINE is set. Unset it, or remove the key.")]
    if not recipe.settings.hub_token and not get_token():
        text = "`push_to_hub: true` needs an account of the hub. Run `hf auth login`, or set the variable HF_TOKEN."
        return [_error(text)]
    return [_ask(recipe, repo), *_adapter(recipe)]


def _ask(recipe: Recipe, repo: str) -> Finding:
    try:
        found = account(recipe)
    except Exception as error:  # of httpx, of the hub and of what lies between
        return _error(f"`push_to_hub: true`: {refusal(error, repo)}")
    name = str(found.get("name"))
    token = (found.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == _READS_ONLY:
        return _error(
            f"`push_to_hub: true`: the token of {name} may only read. Make one that may write, and run "
            "`hf auth login`, or set the variable HF_TOKEN."
        )
    owners = {name, *(str(each.get("name")) for each in found.get("orgs") or [])}
    owner = repo.rpartition("/")[0] or name
    if owner not in owners:
        text = f"The token is that of {name}, who is not known to belong to {owner}; the hub may refuse {repo}."
        return Finding("warning", _CHECK, f"{text} Name a repository of {' or '.join(sorted(owners))}.")
    return Finding("ok", _CHECK, f"Model, tokenizer and card go to {full_repository(recipe)}, as {name}.")


def _adapter(recipe: Recipe) -> list[Finding]:
    base = recipe.model.model_name_or_path
    if not recipe.model.use_peft or not os.path.isdir(base):
        return []
    text = (
        f"The adapter's base {base} is a folder here, which readers of the hub have not. Start from a hub id, or "
        "merge the adapter and push the whole model."
    )
    return [Finding("warning", _CHECK, text)]


def _error(text: str) -> Finding:
    return Finding("error", _CHECK, text)
