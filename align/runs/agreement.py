"""What all processes of a run must agree on before it starts: the checkpoint, and the data."""

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from align.console import say
from align.errors import RunFolderError
from align.recipe.recipe import Recipe
from align.runs.checkpoints import Manifest, damage
from align.runs.folder import check_same_data
from align.runs.owner import owned, token_in
from align.runs.peers import Peers
from align.runs.readings import changes, check_same_base, read_before, read_now
from align.runs.stages import Stage, ToDo, plan_stage


def own_folder(peers: Peers, recipe: Recipe, held: ExitStack) -> bool:
    """Holds the folder of the run, on each host its own, and says whether all processes look into the same one."""
    own = partial(held.enter_context, owned(recipe.folder))
    token = peers.from_main("owner", own)
    is_shared = all(peers.gather("shared", token_in(recipe.folder) == token))
    if not is_shared and peers.is_local_main and peers.rank:
        own()
    return is_shared


def agree_on_stage(peers: Peers, recipe: Recipe, resume: str | None, is_shared: bool, sharding: str) -> Stage:
    """Plans the run on the main process, and makes sure that every host can start where it starts."""

    def plan() -> list[Any]:
        stage = plan_stage(recipe, resume)
        _require_same_launch(stage, peers.size, sharding)
        passed_over = [[str(path), wrong] for path, wrong in stage.passed_over]
        manifest = stage.manifest and stage.manifest.model_dump()
        return [str(stage.checkpoint or ""), stage.todo.value, passed_over, manifest]

    checkpoint, todo, passed_over, manifest = peers.from_main("stage", plan)
    over = tuple((Path(path), wrong) for path, wrong in passed_over)
    noted = manifest and Manifest.model_validate(manifest)
    stage = Stage(recipe, Path(checkpoint) if checkpoint else None, ToDo(todo), over, noted)
    begun = stage.checkpoint if peers.is_local_main else None
    # In a shared folder the main process has read the contents already.
    wrong = peers.gather("reads", damage(begun, hashed=not is_shared) if begun else None)

    def require_readable() -> None:
        by_host = {peers.host_of(rank): text for rank, text in enumerate(wrong) if text is not None}
        if by_host:
            found = "; ".join(f"{host}: {stage.checkpoint}: {text}" for host, text in by_host.items())
            raise RunFolderError(
                f"Not every host can read the checkpoint ({found}). Put `output_dir` on a folder that all hosts "
                f"share, or copy the checkpoint from {peers.host_of(0)} to the same path there. Nothing was written."
            )

    peers.from_main("readable", require_readable)
    return stage


def agree_on_data(peers: Peers, stage: Stage, fingerprints: Mapping[str, str], *, allow_changed: bool) -> list[str]:
    """Makes sure that all hosts read the files and the base model with which the run began; returns what changed."""
    everywhere = peers.gather("data", dict(fingerprints))

    def compare() -> list[str]:
        for rank, found in enumerate(everywhere):
            for name in sorted({*found, *everywhere[0]}):
                if found.get(name) != everywhere[0].get(name):
                    raise RunFolderError(
                        f"{name} is another file on {peers.host_of(rank)} than on {peers.host_of(0)}. Copy it, so "
                        "that all hosts train on the same rows. Nothing was written."
                    )
        if stage.checkpoint is None:
            return []
        other = check_same_data(stage.checkpoint.resolve().parent, fingerprints, allow_changed=allow_changed)
        found = [] if other is None else [other]
        if before := read_before(stage):
            last, now = before[-1], read_now(stage)
            check_same_base(stage, last, now, allow_changed=allow_changed)
            found += [] if stage.todo is ToDo.END else changes([last, now])
        return found

    return peers.from_main("data/same", compare)


def _require_same_launch(stage: Stage, processes: int, sharding: str) -> None:
    """Refuses a checkpoint that was written in a way in which this launch cannot read it."""
    manifest = stage.manifest
    if manifest is None or stage.todo is ToDo.END:
        return
    if manifest.sharding != sharding:
        raise RunFolderError(
            f"{stage.checkpoint} was written with {_named(manifest.sharding)}, and this run is started with "
            f"{_named(sharding)}. Use the launch file of before. Nothing was written."
        )
    if sharding == "none" and manifest.processes != processes:
        say(
            f"{stage.checkpoint} was written by {manifest.processes} processes, and this run has {processes}: it goes "
            "on, but with other batches and random numbers than it would have had."
        )
    elif manifest.processes != processes:
        raise RunFolderError(
            f"{stage.checkpoint} was written by {manifest.processes} processes, and this run has {processes}. "
            f"A sharded run needs the old number: `accelerate launch --num_processes {manifest.processes}`. "
            "Nothing was written."
        )


def _named(sharding: str) -> str:
    words = {"none": "no sharding", "fsdp": "FSDP"}
    return words.get(sharding) or f"ZeRO-{sharding.removeprefix('zero')}"
