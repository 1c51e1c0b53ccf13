"""Functions and classes of other modules that a reward replaces: everything that calls them gets the reward's."""

import sys
import sysconfig
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

KINDS = (FunctionType, BuiltinFunctionType, type, classmethod, staticmethod, property)
INSTALLED = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
Functions = dict[str, Any]
ModuleFunctions = dict[str, Functions]


def module_functions(known: ModuleFunctions | None = None) -> ModuleFunctions:
    """Takes down the functions and classes of every loaded module, and the methods of the classes.

    Args:
        known: What was taken down before; it is kept, but for what packages loaded since replaced, and modules loaded
            since are added.
    """
    known = {} if known is None else known
    found = {name: own | _replaced(name, own, known, by_packages=True) for name, own in known.items()}
    for name, module in list(sys.modules.items()):
        if name not in found and type(module) is ModuleType:
            found[name] = _functions(module)
    return found


def patched(before: ModuleFunctions) -> list[str]:
    """Lists what another object stands for now, such as `json.loads`; one thing is named once.

    What an installed package does when it is imported is left out, as torch replaces a function of `inspect`, and so
    is what it does to itself.
    """
    names: dict[int, str] = {}
    for module_name, functions in before.items():
        for name, value in _replaced(module_name, functions, before, by_packages=False).items():
            names.setdefault(id(value), f"`{module_name}.{name}`")
    return list(names.values())


def _replaced(module_name: str, functions: Functions, before: ModuleFunctions, *, by_packages: bool) -> Functions:
    """Returns what stands for the functions of a module now, where a package that was loaded since put it, or not."""
    module = sys.modules.get(module_name)
    now = _functions(module) if type(module) is ModuleType else {}
    changed = {name: now[name] for name, old in functions.items() if now.get(name, old) is not old}
    if len(changed) > len(functions) // 2 + 1:
        return {}  # loaded anew, as `importlib.reload` does
    return {
        name: value for name, value in changed.items() if _is_a_packages_own(value, module_name, before) == by_packages
    }


def _is_a_packages_own(value: Any, replaced_in: str, before: ModuleFunctions) -> bool:
    name = str(getattr(getattr(value, "__func__", value), "__module__", None))
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    is_itself = name.partition(".")[0] == replaced_in.partition(".")[0]
    return file.startswith(INSTALLED) and (is_itself or name not in before)


def _functions(module: ModuleType) -> Functions:
    """Lists the functions of a module; a value is not asked for its class, since a proxy would load what it is for."""
    own = {name: value for name, value in list(vars(module).items()) if issubclass(type(value), KINDS)}
    methods = {
        f"{name}.{method}": value
        for name, found in own.items()
        if issubclass(type(found), type) and found.__module__ == module.__name__
        for method, value in list(vars(found).items())
        if issubclass(type(value), KINDS)
    }
    return own | methods
