"""Which part of an evaluation this command asks: `--shard`, `--merge`, or one process of a launch."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from align.errors import UserError
from align.secrets import mask

_OF_PLACE = {"out", "shard", "device"}  # what each shard may have for itself
_WITH_MERGE = {"merge", "out", "device"}
_MAIN_SAYS_IT = 3.0  # seconds in which the main process, if it fails with the same words, ends the others
Options = tuple[dict[str, Any], set[str]]


@contextmanager
def divided(options: Mapping[str, Any], given: set[str]) -> Iterator[Options]:
    """Gives the options of the evaluation, of which `given` were said, and asks of it what is this process's part."""
    from align.evaluation.divided.division import Division, dividing
    from align.evaluation.divided.shard import Merged

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
    from align.evaluation.divided.division import Division, Launched, dividing
    from align.evaluation.divided.shard import Merged
    from align.runs.peers import joined

    with joined() as peers, contextlib.ExitStack() as held:
        own = Division()
        if options.get("merge") and peers.rank == 0:
            own = Merged([Path(folder) for folder in options["merge"]])
        if options.get("merge"):
            command = peers.from_main("command", lambda: _listed(*_command_of(own, options, given)))
            options, given = _unlisted(options, command)
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
    from align.evaluation.divided.shard import Shard, ShardRecord, find_paths, read_number

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
    found = dict(options) | {"merge": (), **stored}
    found |= {name: tuple(value) for name, value in stored.items() if isinstance(value, list)}
    return found, set(stored) | (given - {"merge"})


def _listed(options: Mapping[str, Any], given: set[str]) -> list[Any]:
    return [{name: value for name, value in options.items() if name in given - {"out"}}, sorted(given)]


def _unlisted(options: Mapping[str, Any], command: list[Any]) -> Options:
    values, given = command
    tuples = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return dict(options) | tuples, set(given)


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
