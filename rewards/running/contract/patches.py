"""Functions and classes of other modules that a reward replaces: everything that calls them gets the reward's."""

import sys
import sysconfig
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

KINDS = (FunctionType, BuiltinFunctionType, type, classmethod, staticmethod, property)
INSTALLED = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
Functions = dict[str, dict[str, Any]]


def module_functions(known: Functions | None = None) -> Functions:
    """Takes down the functions and classes of every loaded module, and the methods of the classes.

    Args:
        known: What was taken down before; it is kept, and modules loaded since are added.
    """
    found = dict(known or {})
    for name, module in list(sys.modules.items()):
        if name not in found and type(module) is ModuleType:
            found[name] = _functions(module)
    return found


def patched(before: Functions) -> list[str]:
    """Lists what another object stands for now, such as `json.loads`; one thing is named once.

    What an installed package does when it is imported is left out, as torch replaces a function of `inspect`, and so
    is what it does to itself.
    """
    names: dict[int, str] = {}
    for module_name, functions in before.items():
        module = sys.modules.get(module_name)
        now = _functions(module) if type(module) is ModuleType else {}
        changed = [name for name, old in functions.items() if now.get(name, old) is not old]
        if len(changed) > len(functions) // 2 + 1:
            continue  # loaded anew, as `importlib.reload` does
        for name in changed:
            if not _is_a_packages_own(now[name], module_name, before):
                names.setdefault(id(now[name]), f"`{module_name}.{name}`")
    return list(names.values())


def _is_a_packages_own(value: Any, replaced_in: str, before: Functions) -> bool:
    name = str(getattr(getattr(value, "__func__", value), "__module__", None))
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    is_itself = name.partition(".")[0] == replaced_in.partition(".")[0]
    return file.startswith(INSTALLED) and (is_itself or name not in before)


def _functions(module: ModuleType) -> dict[str, Any]:
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
