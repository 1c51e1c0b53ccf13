"""Which part of an evaluation this command asks: `--shard`, `--merge`, or one process of a launch; and joins parts."""

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field, JsonValue, ValidationError

from align.console import say
from align.errors import UserError
from align.evaluation.divided.division import Ask, Asked, Division, EndOfPart, Launched, dividing
from align.evaluation.record.parts import Part
from align.models.answer_cache import AnswerCache
from align.models.policies.answer_keys import digest
from align.secrets import mask
from align.whole_files import write_whole

_OF_PLACE = {"out", "shard", "device"}  # what each shard may have for itself
_WITH_MERGE = {"merge", "out", "device"}
_MAIN_SAYS_IT = 3.0  # seconds in which the main process, if it fails with the same words, ends the others
Options = tuple[dict[str, Any], set[str]]


@contextmanager
def divided(options: Mapping[str, Any], given: set[str]) -> Iterator[Options]:
    """Gives the options of the evaluation, of which `given` were said, and asks of it what is this process's part."""
    launched = "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1
    if not launched or os.environ["RANK"] == "0":  # what one process says ends all
        _check(options, given, launched=launched)
    if launched:
        with _launched(options, given) as found:
            yield found
    elif options.get("shard") is not None:
        with dividing(_shard(options, given)):
            yield dict(options), given - {"shard"}
    elif options.get("merge"):
        merged = Merged([Path(folder) for folder in options["merge"]])
        with dividing(merged):
            yield _command_of(merged, options, given)
    else:
        with dividing(Division()):
            yield dict(options), given


@contextmanager
def _launched(options: Mapping[str, Any], given: set[str]) -> Iterator[Options]:
    """Joins the others; all but the main process write to a folder that is removed, and print nothing."""
    from align.runs.peers import joined

    with joined() as peers, contextlib.ExitStack() as held:
        own = Division()
        if options.get("merge") and peers.rank == 0:
            own = Merged([Path(folder) for folder in options["merge"]])
        if options.get("merge"):
            values, names = peers.from_main("command", lambda: _listed(*_command_of(own, options, given)))
            options, given = dict(options) | values, set(names)
        if peers.rank:
            options = dict(options) | {"out": Path(held.enter_context(tempfile.TemporaryDirectory())) / "out"}
            held.enter_context(contextlib.redirect_stdout(held.enter_context(open(os.devnull, "w"))))
        held.enter_context(dividing(Launched(peers, own)))
        try:
            yield dict(options) | {"device": _device(options)}, given
        except UserError:
            if peers.rank:
                time.sleep(_MAIN_SAYS_IT)
            raise
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()  # some launchers need one, and gloo's threads abort a process that exits


def _check(options: Mapping[str, Any], given: set[str], *, launched: bool) -> None:
    if options.get("shard") is not None and options.get("merge"):
        raise UserError("`--shard` asks a part and `--merge` joins the parts. Give one of the two.")
    if options.get("shard") is not None and launched:
        raise UserError(
            f"`--shard` {options['shard']} is for one process, and `accelerate launch` started "
            f"{os.environ['WORLD_SIZE']}, which divide the evaluation by themselves. Leave one of the two out."
        )
    if options.get("merge") and (foreign := sorted(given - _WITH_MERGE)):
        raise UserError(f"`--merge` runs the command of the shards. Leave `--{foreign[0]}` out.")


def _shard(options: Mapping[str, Any], given: set[str]) -> Any:
    number, of = read_number(options["shard"])
    own = {name: options[name] for name in options if name in given - _OF_PLACE}
    for name, value in own.items():
        if mask({name: value}) != {name: value}:
            raise UserError(
                f"`--{name}` holds a secret, which a shard would have to write down for the merge. Read it from an "
                "environment variable where it is needed."
            )
    listed = {name: list(value) if isinstance(value, tuple) else value for name, value in own.items()}
    return Shard(ShardRecord(number=number, of=of, options=listed, paths=find_paths(own)))


def _command_of(merged: Any, options: Mapping[str, Any], given: set[str]) -> Options:
    """Returns the options that the shards were given, with the folder and the device of the merge."""
    stored = merged.record.options
    return dict(options) | {"merge": (), **stored}, set(stored) | (given - {"merge"})


def _listed(options: Mapping[str, Any], given: set[str]) -> list[Any]:
    return [{name: value for name, value in options.items() if name in given - {"out"}}, sorted(given)]


def _device(options: Mapping[str, Any]) -> str | None:
    """Gives each process an accelerator of its own, as accelerate numbers them."""
    import torch
    from accelerate.utils import parse_flag_from_env

    if options.get("backend") == "vllm":
        raise UserError(
            "`--backend vllm` runs in one process. Leave `accelerate launch` out, divide the evaluation by `--shard`, "
            "or give `--backend transformers`."
        )
    if options.get("device") is not None:
        return str(options.get("device"))
    if parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available():
        return "cpu"
    local, count = int(os.environ.get("LOCAL_RANK", "0")), torch.accelerator.device_count()
    if local >= count:
        raise UserError(
            f"{local + 1} processes or more were started on this host, which has {count} accelerators. Give "
            f"`--num_processes {count}`, or `--device cpu`."
        )
    torch.accelerator.set_device_index(local)
    return None


SHARD_FILE = "shard.json"


class Question(Part):
    """What was asked without an earlier answer, of all shards alike."""

    stage: str
    keys: str  # digest of what each answer depends on
    items: int


class ShardRecord(Part):
    """What `shard.json` holds."""

    number: int  # from 1
    of: int
    finished: bool = False  # all its chunks were asked
    options: dict[str, JsonValue]  # that the command line named, without those of the shard and the folder
    paths: dict[str, str]  # by file or folder, the option that names it
    models: dict[str, str] = Field(default_factory=dict)  # fingerprints by name
    asked: list[Question] = Field(default_factory=list)

    @property
    def name(self) -> str:
        """Writes it as on the command line."""
        return f"{self.number}/{self.of}"


class Shard(Division):
    """Asks every n-th chunk of what needs no answer of the others."""

    is_whole = False
    compares = True

    def __init__(self, record: ShardRecord) -> None:
        self._record, self._out = record, Path()
        self._answered = 0

    def claim(self, out: Path, cache: Path, fingerprints: Mapping[str, str]) -> None:
        """Takes a folder that holds no other shard."""
        if (out / SHARD_FILE).is_file():
            other = read_shard(out)
            if (other.number, other.of) != (self._record.number, self._record.of):
                raise UserError(
                    f"`--out` {out} holds shard {other.name}. Give shard {self._record.name} a folder of its own."
                )
        self._out, self._record.models = out, dict(fingerprints)
        self._write()

    def begin(self, stage: str, keys: Sequence[str]) -> None:
        """Takes down what is asked, for the merge to compare."""
        if self.is_first:
            self._record.asked.append(Question(stage=stage, keys=digest(list(keys)), items=len(keys)))
        self._is_counted, self.is_first = self.is_first, False

    def answer(self, chunks: Sequence[tuple[int, list[int]]], ask: Ask) -> Asked:
        """Asks the chunks that are this shard's by their number."""
        own = [places for number, places in chunks if number % self._record.of == self._record.number - 1]
        return [(places, ask(places)) for places in own]

    def end(self, asked: int, total: int) -> None:
        """Counts the answers; raises `EndOfPart` if others have some."""
        self._answered += asked if self._is_counted else 0
        if asked < total:
            raise EndOfPart

    def finish(self) -> None:
        """Writes that it is finished, and says what is next."""
        self._record.finished = True
        self._write()
        total = sum(each.items for each in self._record.asked)
        say(
            f"Shard {self._record.name} is finished: {self._answered:,} of {total:,} answers are in {self._out}. "
            f"With the folders of all {self._record.of} shards, `align eval --merge DIR... --out OUT` asks what needs "
            "the answers of several and writes the results."
        )

    def _write(self) -> None:
        text = json.dumps(self._record.model_dump(), indent=2, ensure_ascii=False) + "\n"
        try:
            write_whole(self._out / SHARD_FILE, text, errors="backslashreplace")
        except OSError as error:
            raise UserError(f"`--out` {self._out} cannot be written: {error}. Choose another folder.") from error


def read_number(text: str) -> tuple[int, int]:
    """Reads i and n of `--shard i/n`.

    Example:
        >>> read_number("2/8")
        (2, 8)
    """
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second)):
        raise UserError(f"`--shard` must be i/n with i from 1 to n, such as 1/4 and 4/4, got {text!r}.")
    return int(first), int(second)


def find_paths(options: Mapping[str, Any]) -> dict[str, str]:
    """Finds the files and folders that options name, a function's file included."""
    found = {}
    for option, value in options.items():
        for word in value if isinstance(value, list | tuple) else [value]:
            path = word.partition(".py:")[0] + ".py" if isinstance(word, str) and ".py:" in word else word
            if isinstance(path, str) and path and _is_there(path):
                found[path] = option
    return found


def read_shard(folder: Path) -> ShardRecord:
    """Reads what a shard left."""
    path = folder / SHARD_FILE
    try:
        return ShardRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{folder} holds no shard: there is no {SHARD_FILE}. Give the folders that `align eval --shard` wrote."
        ) from None
    except (OSError, ValueError, ValidationError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(f"{path} cannot be read: {reason}. Give the shard's command again.") from error


def _is_there(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # a text that no file can be called
        return False


class Merged(Division):
    """The whole evaluation, with the answers of shards to begin with."""

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
        """Puts the answers of all shards into the cache."""
        if changed := [name for name, each in fingerprints.items() if self.record.models.get(name) != each]:
            raise UserError(
                f"The model {changed[0]} has changed since the shards asked it. Put its files back, or give the "
                "shards' commands again."
            )
        with closing(AnswerCache(cache)) as answers:
            for folder in self._shards:
                answers.add_all(folder / "cache")

    def begin(self, stage: str, keys: Sequence[str]) -> None:
        """Compares what is asked with what the shards were asked."""
        if not self.is_first:
            return
        self.is_first = False
        asked = self.record.asked[self._number] if self._number < len(self.record.asked) else None
        self._number += 1
        if asked is not None and asked != Question(stage=stage, keys=digest(list(keys)), items=len(keys)):
            data = next((path for path, option in self.record.paths.items() if option == "data"), "the data")
            raise UserError(
                f"The merge would ask something else than the shards did ({stage}, {len(keys):,} items): {data} or "
                "the settings beside the model have changed since. Put them back, or give the shards' commands again."
            )


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
