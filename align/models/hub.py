"""The hub's account and repository of a run with `push_to_hub`, and what its refusals mean."""

from functools import cache
from typing import Any

from align.recipe.problems import one_line
from align.recipe.recipe import Recipe

_ROOT_CAUSE_IN = RuntimeError  # huggingface_hub wraps the error of an upload in one


def is_pushed(recipe: Recipe) -> bool:
    """Tells whether a run puts its model on the hub."""
    return bool(recipe.settings.push_to_hub)


def repository(recipe: Recipe) -> str:
    """Returns the repository as the recipe names it, by default after the run folder; it may lack the account."""
    return str(recipe.settings.hub_model_id or recipe.folder.absolute().name)


def account(recipe: Recipe) -> dict[str, Any]:
    """Asks the hub whose token this is, once in a process: it allows few such calls. `refusal` words its errors."""
    from huggingface_hub import constants, get_token

    return _account(constants.ENDPOINT, recipe.settings.hub_token or get_token())


@cache
def _account(endpoint: str, token: str | None) -> dict[str, Any]:
    from huggingface_hub import HfApi

    return dict(HfApi(endpoint).whoami(token))


def full_repository(recipe: Recipe) -> str:
    """Returns the repository with the account, or as the recipe names it where the hub does not say."""
    name = repository(recipe)
    if "/" in name:
        return name
    try:
        return f"{account(recipe)['name']}/{name}"
    except Exception:  # the caller writes a card, which must not fail where the hub does
        return name


def refusal(error: BaseException, repo: str) -> str:
    """Words why the hub did not do what it was asked of a repository, as the end of a sentence."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    cause = error.__cause__ if isinstance(error, _ROOT_CAUSE_IN) and error.__cause__ else error
    status = cause.response.status_code if isinstance(cause, HfHubHTTPError) else None
    if status == 401:
        return (
            f"{constants.ENDPOINT} refused the token. Make one that may write, and run `hf auth login`, or set the "
            "variable HF_TOKEN."
        )
    if status == 403:
        return (
            f"the token may not write to {repo}. Name a repository of your own with `hub_model_id`, or take a token "
            "that may."
        )
    if status is not None:
        return f"{constants.ENDPOINT} answered {status}: {one_line(cause)}"
    if isinstance(cause, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set. Unset it."
    if isinstance(cause, ValueError):  # a name that is none, or a card that the hub does not take
        return one_line(cause)
    return f"{constants.ENDPOINT} cannot be reached ({str(cause).strip() or type(cause).__name__})."
