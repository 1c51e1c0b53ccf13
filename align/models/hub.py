"""The hub of a run with `push_to_hub`: whose token it is, and one push of model, tokenizer and card at its end."""

import shlex
from pathlib import Path

from align.data.pairs.pairwise import ADAPTER_MARK
from align.errors import RunFolderError, UserError
from align.models.at_hand import hub_id, is_hub_id
from align.models.model_files import adapter_base
from align.recipe.problems import one_line
from align.recipe.recipe import Recipe
from align.whole_files import write_whole

_CARD = "README.md"
# Of all that lies in a run folder: weights, configuration, tokenizer, chat template and card.
_PUSHED = (
    "*.safetensors", "*.safetensors.index.json", "*config.json", "*.jinja", "additional_chat_templates/*.jinja",
    "tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model",
    "*.tiktoken", ADAPTER_MARK, _CARD,
)  # fmt: skip


def push_account(recipe: Recipe) -> str:
    """Asks the hub who pushes; a name that is none, an adapter on a folder, and a token that only reads are errors."""
    from huggingface_hub import HfApi

    if not is_hub_id(repo := _repository(recipe)):
        raise UserError(f"{repo} is no name of a repository. Name one with `hub_model_id: ACCOUNT/NAME`.")
    _require_hub_base(recipe.model.model_name_or_path if recipe.model.use_peft else "")
    found = HfApi().whoami(recipe.settings.hub_token)  # which says where there is no token, or a bad one
    token = (found.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read":
        raise UserError(f"The token of {found['name']} may only read. Run `hf auth login` with one that may write.")
    return str(found["name"])


def push(recipe: Recipe, folder: Path) -> str:
    """Pushes the model of a finished run and returns where it is; an error has the command that does it by hand."""
    from huggingface_hub import HfApi

    _require_hub_base(adapter_base(folder))
    api, revision = HfApi(token=recipe.settings.hub_token), recipe.settings.hub_revision
    names = sorted(path.relative_to(folder).as_posix() for each in _PUSHED for path in folder.glob(each))
    try:
        repo = api.create_repo(_repository(recipe), private=recipe.settings.hub_private_repo, exist_ok=True)
        if revision is not None:
            api.create_branch(repo.repo_id, branch=revision, exist_ok=True)
        card = (folder / _CARD).read_text(encoding="utf-8")
        card = card.replace(f"\n# {folder.name}\n", f"\n# {repo.repo_id}\n").replace('("."', f'("{repo.repo_id}"')
        write_whole(folder / _CARD, card.replace("# from the folder of this card\n", ""))
        message = "End of training"  # as TRL's
        api.upload_folder(
            repo_id=repo.repo_id, folder_path=folder, revision=revision, allow_patterns=names, commit_message=message
        )
    except Exception as error:  # of the hub, the network and the disk: none of them takes the model away
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error  # of an upload
        words = ["hf", "upload", _repository(recipe), str(folder), "."]
        words += ["--revision", revision] if revision is not None else []
        words += ["--private"] if recipe.settings.hub_private_repo else []
        words += [word for name in names for word in ("--include", name)]
        raise RunFolderError(
            f"The run is finished and its model is in {folder}, but it is not on the hub: "
            f"{one_line(cause).rstrip('.')}. By hand: {shlex.join(words)}"
        ) from error
    return str(repo)


def _repository(recipe: Recipe) -> str:
    """Returns the repository as the recipe names it, by default after the run folder; it may lack the account."""
    return str(recipe.settings.hub_model_id or recipe.folder.absolute().name)


def _require_hub_base(base: str) -> None:
    """Refuses to publish an adapter whose base is a folder of this machine: its path would be, too."""
    if base and hub_id(base) is None:
        raise UserError(
            f"The adapter names its base {base}, a folder of this machine. Train from a hub id; or train without "
            "`push_to_hub`, write the base's hub id into `adapter_config.json` of the run, and push it with "
            "`--push_to_hub true --resume auto`."
        )
