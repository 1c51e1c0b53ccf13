"""What a run with `push_to_hub` puts on the hub, and when: the model, its tokenizer and its card.

TRL would upload the run folder: logs, completions, the recipe and pickled arguments, with paths of this machine, and a
draft of a card. Its words and their meaning stay: `hub_model_id`, `hub_strategy`, `hub_always_push`, `hub_revision`.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import TrainerCallback

from align.console import say
from align.data.pairs.pairwise import ADAPTER_MARK
from align.errors import RecipeError
from align.models.at_hand import hub_id
from align.models.hub import refusal, repository
from align.recipe.recipe import Recipe
from align.whole_files import write_whole

CARD = "README.md"
# Of everything that lies in a checkpoint or a run folder: weights, configuration, tokenizer, chat template.
_PUSHED = (
    "*.safetensors", "*.safetensors.index.json", "*config.json", "*.jinja", "additional_chat_templates/*.jinja",
    "tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model",
    "*.tiktoken", ADAPTER_MARK,
)  # fmt: skip
_BASE = "base_model_name_or_path"
_STAGED = ".push-"  # how the folders begin in which a push is laid out

WriteCard = Callable[[Path, int], None]


class HubPushes(TrainerCallback):
    """Pushes saves as `hub_strategy` says; one that fails is told once, and the next save, or the end, pushes anew."""

    def __init__(self, trainer: Any, folder: Path, write_card: WriteCard) -> None:
        self._args, self._folder, self._write_card = trainer.args, folder, write_card
        self._repo = trainer.hub_model_id
        self._strategy = str(getattr(trainer.args.hub_strategy, "value", trainer.args.hub_strategy))
        self._running: Future[None] | None = None
        trainer.args.push_to_hub = False  # read by the trainer at every save
        for left in folder.glob(f"{_STAGED}*"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        if self._repo is not None:  # only the main process has it
            try:
                _make_branch(self._repo, trainer.args.hub_token, trainer.args.hub_revision)
            except Exception as error:
                reason = refusal(error, self._repo)
                raise RecipeError(f"`hub_revision: {trainer.args.hub_revision}`: {reason}") from error

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begins a push of the new checkpoint's model beside training, where none is under way."""
        if not state.is_world_process_zero or self._strategy == "end":
            return
        if self._running is not None and not self._running.done() and not args.hub_always_push:
            return
        from huggingface_hub import HfApi

        self._tell(" Training goes on.")
        try:
            staged = self._stage(self._folder / f"checkpoint-{state.global_step}", state.global_step)
        except (OSError, ValueError) as error:
            say(f"The save of step {state.global_step} is not pushed to {self._repo}: {error}")
            return
        self._running = HfApi().run_as_future(self._push, staged, f"Training in progress, step {state.global_step}")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Waits for the push that is under way."""
        self._tell()

    def _stage(self, checkpoint: Path, step: int) -> "TemporaryDirectory[str]":
        staged = _staging(self._folder)
        place = Path(staged.name)
        _stage_model(checkpoint, place)
        self._write_card(place, step)
        kept = {"checkpoint": "last-checkpoint", "all_checkpoints": checkpoint.name}.get(self._strategy)
        if kept is not None:  # to go on from elsewhere, so it is whole
            _link([path for path in checkpoint.rglob("*") if path.is_file()], checkpoint, place / kept)
        return staged

    def _push(self, staged: "TemporaryDirectory[str]", message: str) -> None:
        with staged:
            _upload(staged.name, self._repo, message, self._args.hub_token, self._args.hub_revision)

    def _tell(self, more: str = "") -> None:
        if self._running is not None and (error := self._running.exception()) is not None:
            say(f"The last save was not pushed to {self._repo}: {refusal(error, self._repo)}{more}")
        self._running = None


def push_finished(recipe: Recipe, folder: Path) -> str:
    """Pushes what lies in the folder of a finished run; returns where it is. Errors are huggingface_hub's."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()  # one bar for each file would bury what this command says
    token, revision = recipe.settings.hub_token, recipe.settings.hub_revision
    repo = HfApi().create_repo(
        repository(recipe), token=token, private=recipe.settings.hub_private_repo, exist_ok=True
    )
    _make_branch(repo.repo_id, token, revision)
    with _staging(folder) as place:
        _stage_model(folder, Path(place))
        card = (folder / CARD).read_text(encoding="utf-8")
        for name in ('("{}"', "\n# {}\n"):  # it may be from before it was known that it would be pushed
            card = card.replace(name.format(folder.name), name.format(repo.repo_id))
        write_whole(folder / CARD, card)
        shutil.copy2(folder / CARD, place)
        _upload(place, repo.repo_id, "End of training", token, revision)
    return str(repo)


def model_files(folder: Path) -> list[Path]:
    """Lists the files in a checkpoint or a run folder that a push takes, the card aside."""
    found = sorted({path for each in _PUSHED for path in folder.glob(each) if path.is_file()})
    if not any(path.suffix == ".safetensors" for path in found):
        raise ValueError(f"{folder} holds no weights in safetensors, so there is no model to push.")
    return found


def _staging(folder: Path) -> "TemporaryDirectory[str]":
    """Makes the place where a push is laid out: beside the files, which get a second name in it."""
    return TemporaryDirectory(prefix=_STAGED, dir=folder, ignore_cleanup_errors=True)


def _stage_model(folder: Path, place: Path) -> None:
    """Lays out the model of a folder; an adapter names its base by the last part of a path here."""
    _link(model_files(folder), folder, place)
    config = place / "adapter_config.json"
    if config.is_file():
        content = json.loads(config.read_text(encoding="utf-8"))
        if content.get(_BASE) and hub_id(content[_BASE]) is None:
            config.unlink()  # it may be the file itself by another name
            content[_BASE] = Path(content[_BASE]).name
            config.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _link(paths: Iterable[Path], folder: Path, place: Path) -> None:
    """Gives files a second name, since a checkpoint may be deleted while it is pushed; copies where none can be."""
    for path in paths:
        target = place / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target)
        except OSError:
            shutil.copy2(path, target)


def _upload(place: str, repo: str, message: str, token: str | None, revision: str | None) -> None:
    from huggingface_hub import HfApi

    HfApi().upload_folder(repo_id=repo, folder_path=place, commit_message=message, token=token, revision=revision)


def _make_branch(repo: str, token: str | None, revision: str | None) -> None:
    """Makes the branch that is pushed to; the hub refuses a commit to one that is not there."""
    if revision is not None:
        from huggingface_hub import HfApi

        HfApi().create_branch(repo, branch=revision, token=token, exist_ok=True)
