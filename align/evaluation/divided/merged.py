"""Shards that become one evaluation: all of them, each once, of the same command, models and data."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from align.errors import UserError
from align.evaluation.divided.division import Division
from align.evaluation.divided.shard import Question, ShardRecord, read_shard
from align.models.answer_cache import AnswerCache
from align.models.policies.answer_keys import digest


class Merged(Division):
    """The whole evaluation, with the answers of shards to begin with.

    Args:
        folders: Of the shards.

    Raises:
        UserError: If they are not the shards of one evaluation.
    """

    compares = True

    def __init__(self, folders: Sequence[Path]) -> None:
        self._shards = {folder: read_shard(folder) for folder in folders}
        _check_same(self._shards)
        _check_all(self._shards)
        self.record = next(iter(self._shards.values()))
        self._number = 0
        for path, option in self.record.paths.items():
            if not Path(path).exists():
                raise UserError(
                    f"`--{option}` {path}, which the shards read, is not there. Merge in the folder in which the "
                    "shards were started, or put it where it was."
                )

    def claim(self, out: Path, cache: Path, fingerprints: Mapping[str, str]) -> None:
        """Puts the answers of all shards into the cache.

        Raises:
            UserError: If a model is another one by now, or a shard's answers cannot be read.
        """
        if changed := [name for name, each in fingerprints.items() if self.record.models.get(name) != each]:
            raise UserError(
                f"The model {changed[0]} is not the one that the shards asked: its files are others. Merge where it "
                "is as it was, or give the shards' commands again."
            )
        with closing(AnswerCache(cache)) as answers:
            for folder in self._shards:
                answers.add_all(folder / "cache")

    def begin(self, stage: str, keys: Sequence[str]) -> None:
        """Compares what is asked with what the shards were asked.

        Raises:
            UserError: If it is something else.
        """
        if not self.is_first:
            return
        self.is_first = False
        asked = self.record.asked[self._number] if self._number < len(self.record.asked) else None
        self._number += 1
        if asked is not None and asked != Question(stage=stage, keys=digest(list(keys)), items=len(keys)):
            raise UserError(
                f"What the merge asks is not what the shards asked ({stage}, {len(keys):,} items): {self._data()} or "
                "the settings beside the model have changed since. Merge where they are as they were, or give the "
                "shards' commands again."
            )

    def _data(self) -> str:
        return next((path for path, option in self.record.paths.items() if option == "data"), "the data")


def _check_same(shards: Mapping[Path, ShardRecord]) -> None:
    (first, own), *others = shards.items()
    for folder, other in others:
        if own.of != other.of:
            raise UserError(
                f"{first} holds shard {own.name} and {folder} shard {other.name}. Give the shards of one evaluation."
            )
        options = {**own.options, **other.options}
        for name in options:
            values = own.options.get(name), other.options.get(name)
            if values[0] != values[1]:
                shown = [f"`--{name}` {each}" if each is not None else f"no `--{name}`" for each in values]
                raise UserError(
                    f"The shards are of two evaluations: {first} was given {shown[0]}, and {folder} {shown[1]}. Give "
                    "all shards the same command."
                )
        for name in {**own.models, **other.models}:
            if own.models.get(name) != other.models.get(name):
                raise UserError(
                    f"The shards are of two evaluations: {first} and {folder} asked models named {name} with other "
                    "files. Give all shards the same one."
                )


def _check_all(shards: Mapping[Path, ShardRecord]) -> None:
    by_number: dict[int, Path] = {}
    for folder, shard in shards.items():
        if shard.number in by_number:
            raise UserError(
                f"Shard {shard.name} is there twice: in {by_number[shard.number]} and in {folder}. Leave one out."
            )
        by_number[shard.number] = folder
    (first, own), *others = shards.items()
    if missing := [f"{number}/{own.of}" for number in range(1, own.of + 1) if number not in by_number]:
        raise UserError(f"Shard {', '.join(missing)} is missing. Give the folders of all {own.of} shards.")
    for folder, shard in shards.items():
        if not shard.finished:
            raise UserError(f"Shard {shard.name} in {folder} is not finished. Give its command again; it goes on.")
    for folder, other in others:
        if own.asked != other.asked:
            raise UserError(
                f"The shards in {first} and {folder} did not ask the same: their data differ. Give all shards the "
                "same data."
            )
