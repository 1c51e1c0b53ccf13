"""Tools and environments under attack: each episode in a copy of its process, which writes in a copy of a folder only.

A fork at the beginning of an episode keeps what it changes, patches and leaves behind away from the next one.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, TypeVar

from align.tools.named import Spec
from align.tools.served import Call, Raised, ServedEnvironment, ServedTools
from rewards.running.contract import RewardSpec
from rewards.running.contract.calls import call_arguments, call_reward
from rewards.running.isolated.launcher import write_only_in
from rewards.running.loading import find_file
from rewards.running.worker import describe_error

BEGIN, STAY = "begin", "stay"  # questions beside those of what is served: whether the next `reset` begins a copy
STATE, READ, CLOCK, PAY = "state", "read", "clock", "pay"
MOST_BYTES, MOST_FILES, LONGEST = 64 << 20, 8, 2000  # of a folder; that a reward reads; characters of one
REFUSED = (  # events that change files or start programs, where the kernel cannot keep them in the folder
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink", "shutil.rmtree",
    "os.chmod", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen",
)  # fmt: skip


Named = TypeVar("Named", Spec, RewardSpec)


class Copied:
    """A copy of the folder of an environment's file, in which everything runs, and which is as before when asked."""

    def __init__(self, specs: list[Spec]) -> None:
        named = [each for each in specs if ".py:" in each.spec]
        folders = [find_file(each.spec, each.base_dir, "Environment")[0].parent for each in named]
        self.source = Path(os.path.commonpath(folders)) if folders else None
        self.folder = Path(tempfile.mkdtemp(prefix="truealign-attack-")).resolve()
        self.kept, self.work = self.folder / "kept", self.folder / "work"
        self.kept.mkdir()
        if self.source is not None:
            sizes = [path.stat().st_size for path in self.source.rglob("*") if path.is_file()]
            if sum(sizes) > MOST_BYTES:
                self.close()
                raise ValueError(
                    f"{self.source} holds {sum(sizes) / 2**20:,.0f} MB, and it is copied, so that no attack writes in "
                    f"it: at most {MOST_BYTES >> 20} MB. Move the environment's file to a folder of its own."
                )
            shutil.copytree(self.source, self.kept, dirs_exist_ok=True, symlinks=True)
        (self.folder / "tmp").mkdir()
        shutil.copytree(self.kept, self.work, symlinks=True)
        self._seen = self._look()

    def spec(self, spec: Named) -> Named:
        """Names the same in the copy, in which an environment and its rewards may share a module."""
        if self.source is None or ".py:" not in spec.spec:
            return spec
        path, name = find_file(spec.spec, spec.base_dir)
        if not path.is_relative_to(self.source):
            return spec
        named = f"{self.work / path.relative_to(self.source)}:{name}"
        return spec._replace(spec=named) if isinstance(spec, Spec) else replace(spec, spec=named)

    def restore(self) -> None:
        """Has the copy as it was; the folder itself stays, as others stand in it."""
        now = self._look()
        for path in [path for path in now if now[path] != self._seen.get(path)]:
            with suppress(OSError):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for path in [path for path in self._seen if not os.path.lexists(path)]:
            origin = self.kept / path.relative_to(self.work)
            path.mkdir() if origin.is_dir() else shutil.copy2(origin, path, follow_symlinks=False)
        self._seen |= {path: each for path, each in self._look().items() if path in self._seen}

    def close(self) -> None:
        """Removes it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _look(self) -> dict[Path, tuple[int, int]]:
        found = {}
        for path in sorted(self.work.rglob("*")):
            about = path.lstat()
            found[path] = (0, 0) if path.is_dir() else (about.st_mtime_ns, about.st_size)
        return found


def enter(folder: Path) -> None:
    """Stands in the copy of a folder, with its folder for what is temporary."""
    os.chdir(folder / "work")
    os.environ.update(TMPDIR=str(folder / "tmp"), HOME=str(folder / "tmp"))
    tempfile.tempdir = None


class Watched:
    """Serves what another serves, each episode in a forked copy of this process, where rewards find it as in TRL."""

    def __init__(
        self, served: ServedTools | ServedEnvironment, folder: Path, rewards: Sequence[RewardSpec | None] = ()
    ) -> None:
        self.served, self.folder, self.rewards = served, folder, rewards
        self.paying: list[Callable[..., Any] | None] = []
        self.child: Any = None
        self.read: dict[str, None] = {}  # files that were read behind `reset`, which an episode may have written
        self.hears = self.stays = False
        self.is_kept = True  # whether the kernel keeps what is written in the folder

    def __call__(self, call: Call) -> Any:
        """Answers in the copy, which `reset` or a question begins."""
        if call.question == STAY:
            self.stays = True
            return None
        if call.question == BEGIN or (call.name == "reset" and not self.stays):
            self._fork()
        self.stays = False
        if call.question == BEGIN:
            return None
        assert self.child is not None
        try:
            self.child[1].send(call)
            return self.child[1].recv()
        except (EOFError, OSError):
            os._exit(1)  # as the copy did

    def _fork(self) -> None:
        if self.child is None:
            try:
                write_only_in(str(self.folder))
            except (OSError, KeyError):
                self.is_kept = False
            enter(self.folder)
            self.served.load()
            self.paying = [None if each is None else each.resolve() for each in self.rewards]
        else:
            self.child[1].close()
            with suppress(ProcessLookupError):
                os.kill(self.child[0], 9)
            os.waitpid(self.child[0], 0)
        ours, theirs = Pipe()
        number = os.fork()
        if number:
            theirs.close()
            self.child = number, ours
            return
        ours.close()
        try:
            self._serve(theirs)
        finally:
            os._exit(1)

    def _serve(self, pipe: Any) -> None:
        sys.addaudithook(self._hear)
        while True:
            call = pipe.recv()
            self.hears = call.name != "reset"
            try:
                pipe.send(self._answer(call))
            except BaseException as error:
                pipe.send(Raised(describe_error(error)))

    def _answer(self, call: Call) -> Any:
        if call.question == STATE:
            known = vars(getattr(self.served, "instance", None) or object)
            return {name: repr(value)[:LONGEST] for name, value in known.items()}
        if call.question == READ:
            return {path: readable(path) for path in [*self.read]}
        if call.question == CLOCK:
            for name in ("time", "monotonic", "perf_counter"):
                setattr(time, name, _ahead(getattr(time, name), call.arguments["seconds"]))
            return None
        if call.question == PAY:
            given = call_arguments([call.arguments["row"]], [call.arguments["completion"]])
            given |= {"environments": [known]} if (known := getattr(self.served, "instance", None)) is not None else {}
            return [each and next(iter(call_reward(each, given))) for each in self.paying]
        return self.served(call)

    def _hear(self, event: str, given: Any) -> None:
        """Notes files that are read, also by programs, and refuses what lies outside where the kernel does not."""
        path = str(given[0]) if given and isinstance(given[0], str | os.PathLike) else ""
        writes = event == "open" and bool(int(given[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if not self.is_kept and (event in REFUSED or writes) and not is_within(path, self.folder):
            raise PermissionError(f"{path or event} lies outside of the copy in which the attack runs")
        if self.hears and not writes and event in ("open", "subprocess.Popen"):
            where = os.getcwd() if event == "open" else str(given[2] or os.getcwd())
            known = [path] if event == "open" else [*map(str, given[1] or ()), *_beside(where, self.folder)]
            for each in known:
                named = os.path.join(where, each)
                if each[:1] != "-" and is_within(named, self.folder) and not os.path.isdir(named):
                    name = os.path.relpath(named, self.folder / "work")
                    self.read.pop(name, None)  # what a reward reads comes last
                    self.read[name] = None


def is_within(path: str, folder: Path) -> bool:
    """Tells whether a path is in a folder."""
    return bool(path) and Path(os.path.abspath(path)).is_relative_to(folder) and not path.endswith(".pyc")


def _beside(where: str, folder: Path) -> list[str]:
    """Lists the files of a folder in which a program is started: it may read any of them."""
    found = sorted(os.listdir(where)) if is_within(where, folder) and os.path.isdir(where) else []
    return found if len(found) <= MOST_FILES else []


def readable(path: str) -> str:
    """Reads the beginning of a file; empty where there is none."""
    with suppress(OSError):
        return Path(path).read_text("utf-8", errors="replace")[:LONGEST]
    return ""


def _ahead(clock: Callable[[], float], seconds: float) -> Callable[[], float]:
    return lambda: clock() + seconds
