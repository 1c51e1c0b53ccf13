"""What a run imports of its libraries: what it does not need is left out, or waits until it is used."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

GENERATION = "trl.generation.vllm_generation"  # with its client all of TRL that imports vLLM, each when it is loaded
RARELY_USED = {  # modules that libraries import as they are loaded, and the functions that they take out of them
    "chardet": (),  # requests, for texts of a server that does not name their encoding
    "bitsandbytes": (),  # PEFT, for a diagnosis, and TRL, for weights of vLLM
    "sklearn.metrics": ("roc_curve", "f1_score", "matthews_corrcoef"),  # transformers: assisted generation, GLUE
    "scipy.optimize": ("linear_sum_assignment",),  # transformers: losses of object detection
    "scipy.stats": ("pearsonr", "spearmanr"),  # transformers: GLUE
}


def load_libraries(*, without_vllm: bool = False) -> None:
    """Imports what all trainers are made of, without what few of them use, which waits until it is used.

    Nothing is missing afterwards, also for other code. With `without_vllm` what TRL generates with is loaded as if
    vLLM were not installed, whose import takes seconds; TRL cannot use it in this process afterwards.
    """
    with _waiting():
        import_module("transformers.trainer")
        import_module("trl")
        if without_vllm and GENERATION not in sys.modules:
            with _absent("vllm"):
                import_module(GENERATION)
    other: Any = import_module("accelerate.utils.other")
    # Else accelerate imports DeepSpeed for the class of its engines, which no model can have before.
    other.is_deepspeed_available = lambda: "deepspeed" in sys.modules


@contextmanager
def _absent(name: str) -> Iterator[None]:
    """Has a package looked for in vain, by Python's own word for one that is not there."""
    loaded = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
        if loaded is not None:
            sys.modules[name] = loaded


class _Waiting(ModuleType):
    """Stands for a module until something of it is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # `inspect` asks all modules for some
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


@contextmanager
def _waiting() -> Iterator[None]:
    """Has modules that libraries import, and use in rare cases only, loaded by their first use."""
    stand_ins = {}
    for name, functions in RARELY_USED.items():
        first, *inner = name.split(".")
        spec = find_spec(first)  # which loads nothing; there are no places where it is not installed
        places = [str(Path(each, *inner)) for each in (spec and spec.submodule_search_locations) or ()]
        if name not in sys.modules and places:
            stand_ins[name] = _stand_in(name, places, functions)
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, module in stand_ins.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _stand_in(name: str, places: list[str], functions: Sequence[str]) -> ModuleType:
    module = _Waiting(name)
    module.__spec__, module.__path__ = ModuleSpec(name, None, is_package=True), places
    for function in functions:  # for `from NAME import FUNCTION`, which would load the module
        setattr(module, function, _function(name, function))
    return module


def _function(module: str, name: str) -> Callable[..., Any]:
    def call(*given: Any, **named: Any) -> Any:
        return getattr(import_module(module), name)(*given, **named)

    call.__name__ = call.__qualname__ = name
    return call
