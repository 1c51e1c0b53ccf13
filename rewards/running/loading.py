"""Imports what a spec points at: of a reward, or of another function that the user names, or a package ships."""

import hashlib
import importlib
import importlib.util
import sys
from collections import defaultdict
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rewards.running.sources import Code, hash_source

_FOLDERS: list[str] = []  # of files that were loaded, the last first
_OURS = ("align", "rewards")


def find_reward(spec: str, base_dir: Path | str | None, built_in: Mapping[str, str]) -> tuple[str, Any]:
    """Imports what a spec of a reward points at, as `resolve_reward` says; returns a file's spec with its place."""
    if spec in built_in:
        return spec, find_dotted(built_in[spec])
    if ":" in spec or spec.endswith(".py"):
        return find_in_file(spec, base_dir)
    return spec, find_dotted(spec) if "." in spec else _load_shipped(spec, built_in)


def find_dotted(spec: str, *, noun: str = "Reward", written: str | None = None) -> Any:
    """Imports `package.module.name`; modules in the current folder are found, as `python -m` finds them."""
    module_name, _, name = spec.rpartition(".")
    spec = written or spec
    _see_current_folder()
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the module raises is the user's to see
        raise ValueError(f"{noun} {spec!r}: importing {module_name!r} failed with {_describe(error)}.") from error
    if module_name == "rewards" and not hasattr(module, name) and Path("rewards.py").is_file():
        raise ValueError(
            f"{noun} {spec!r}: `rewards` is TrueAlign's package, which has no {name!r}. Name your own file by "
            f"its path: `./rewards.py:{name}`."
        )
    return _attribute(module, name, spec, noun)


def _see_current_folder() -> None:
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.append(str(Path.cwd()))


def code_of(spec: str, base_dir: Path | str | None, built_in: Mapping[str, str]) -> Code:
    """Hashes the module of a reward with those of its folder that it imports; its own code is not run."""
    if spec not in built_in and (":" in spec or spec.endswith(".py")):
        return hash_source(find_file(spec, base_dir)[0])
    shipped = [each.value.replace(":", ".") for each in shipped_rewards().get(spec, ())]
    module = built_in.get(spec, spec if "." in spec else "".join(shipped[:1])).rpartition(".")[0]
    _see_current_folder()
    found = importlib.util.find_spec(module) if module else None
    if found is None or found.origin is None:
        raise ValueError(f"Reward {spec!r}: there is no module {module!r}.")
    return hash_source(Path(found.origin))


def find_in_file(spec: str, base_dir: Path | str | None, *, noun: str = "Reward") -> tuple[str, Any]:
    """Loads `path/to/file.py:name`, relative to `base_dir` or the current folder; also returns the absolute spec."""
    file, name = find_file(spec, base_dir, noun)
    return f"{file}:{name}", _attribute(_load(file, spec, noun), name, spec, noun)


def find_file(spec: str, base_dir: Path | str | None, noun: str = "Reward") -> tuple[Path, str]:
    """Finds the file of `path/to/file.py:name`, and returns the name, too."""
    path, _, name = spec.rpartition(":")
    if not path.endswith(".py") or not name:
        raise ValueError(f"{noun} {spec!r} must be written `path/to/file.py:function`.")
    folders = [Path(base_dir)] if base_dir is not None else []
    candidates = [(folder / Path(path).expanduser()).resolve() for folder in [*folders, Path.cwd()]]
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    if file is None:
        tried = ", ".join(dict.fromkeys(str(candidate) for candidate in candidates))
        raise ValueError(f"{noun} {spec!r}: there is no such file. Tried {tried}.")
    return file, name


def _load(file: Path, spec: str, noun: str) -> ModuleType:
    """Loads a file once, under a name of its own, so that two files called `reward.py` do not meet."""
    module_name = f"_reward_file_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    source = importlib.util.spec_from_file_location(module_name, file)
    if source is None or source.loader is None:
        raise ValueError(f"{noun} {spec!r}: Python cannot load {file}.")
    module = importlib.util.module_from_spec(source)
    _see_neighbours(file.parent)
    sys.modules[module_name] = module  # dataclasses and pickle look their module up while it loads
    try:
        source.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[module_name]
        if not isinstance(error, Exception):
            raise
        raise ValueError(f"{noun} {spec!r}: loading {file} failed with {_describe(error)}.") from error
    return module


def _see_neighbours(folder: Path) -> None:
    """Lets a file import what is beside it, behind all that is installed; modules of other such folders give way."""
    others = [each for each in ("", str(Path.cwd()), *_FOLDERS) if each != str(folder)]
    for name, module in [*sys.modules.items()]:
        file = Path(getattr(module, "__file__", None) or "/")
        place = file.parent.parent if file.name == "__init__.py" else file.parent
        is_here = (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()
        if is_here and str(place) in others and name not in _OURS:
            for each in [each for each in sys.modules if f"{each}.".startswith(f"{name}.")]:
                del sys.modules[each]
    path = [each for each in sys.path if each != str(folder) or each not in _FOLDERS]
    first = next((i for i, each in enumerate(path) if each in others), len(path))
    sys.path[:] = [*path[:first], str(folder), *path[first:]]
    _FOLDERS[:] = [str(folder), *(each for each in _FOLDERS if each != str(folder))]


def _attribute(module: ModuleType, name: str, spec: str, noun: str = "Reward") -> Any:
    if hasattr(module, name):
        return getattr(module, name)
    public = [known for known, value in vars(module).items() if callable(value) and not known.startswith("_")]
    hint = did_you_mean(name, public) or f" It has: {', '.join(public) or 'no public functions'}."
    raise ValueError(f"{noun} {spec!r}: {module.__file__ or module.__name__} has no {name!r}.{hint}")


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Words which known name is near; empty if none is."""
    near = get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"  # a SyntaxError's text names its line


if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "truealign.rewards"


def shipped_rewards() -> "dict[str, list[EntryPoint]]":
    """Lists the rewards of installed packages by name; the same name may be shipped twice."""
    from importlib.metadata import entry_points  # a tenth of the time that `import rewards` takes

    found: dict[str, list[EntryPoint]] = defaultdict(list)
    for point in entry_points(group=GROUP):
        if point not in found[point.name]:
            found[point.name].append(point)
    return dict(found)


def _load_shipped(name: str, built_in: Collection[str]) -> Any:
    shipped = shipped_rewards()
    if name not in shipped:
        known = [*built_in, *(other for other in sorted(shipped) if other not in built_in)]
        raise ValueError(
            f"Unknown reward {name!r}. Known rewards: {', '.join(known)}.{did_you_mean(name, known)} Your own is "
            f"named `path/to/file.py:function` or `package.module.function`; packages ship theirs in the entry-point "
            f"group `{GROUP}`."
        )
    points = shipped[name]
    values = {point.value for point in points}
    if len(values) > 1:
        listed = ", ".join(f"{point.value} of {package_of(point)}" for point in sorted(points, key=package_of))
        raise ValueError(
            f"Reward {name!r} is shipped by several packages: {listed}. Name the one you mean by its dotted path."
        )
    try:
        return points[0].load()
    except Exception as error:  # whatever the package raises is the user's to see
        raise ValueError(
            f"Reward {name!r}: loading {points[0].value} of {package_of(points[0])} failed with "
            f"{type(error).__name__}: {error}."
        ) from error


def package_of(point: "EntryPoint") -> str:
    """Names the distribution an entry point belongs to."""
    return point.dist.name if point.dist is not None else "an unknown package"
