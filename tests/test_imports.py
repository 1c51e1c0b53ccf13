"""The rules of the house about who imports whom, one test each; a test names every place that breaks its rule."""

import ast
import re
from functools import cache
from graphlib import TopologicalSorter

import pytest
from some_recipes import DEMONSTRATIONS, PROMPTS, QUESTIONS, TRAINER, trainer_class
from started import least_seconds, modules_after
from tree import ALIGN, MODULES, NAMES, REWARDS, Module, imports

from align.evaluation.suites import SUITES
from align.methods import METHODS

# Lower layers never import higher ones, and packages on one line do not import each other. The list of methods stands
# low, because it imports nothing: parts of methods are named in it, and found when they are needed.
LAYERS = (
    ("rewards",),
    (
        "align.errors",
        "align.markdown",
        "align.options",
        "align.secrets",
        "align.threads",
        "align.versions",
        "align.whole_files",
        "align._rewards_package",
    ),
    ("align.console",),
    ("align.progress",),
    ("align.plugins",),
    ("align.methods",),  # the list and the records; a method's other modules are at the top
    ("align.recipe", "align.hub_reach"),
    ("align.tools", "align.assets"),
    ("align.data",),
    ("align.models", "align.runs"),
    ("align.evaluation.statistics",),
    ("align.evaluation.record",),
    ("align.evaluation.suites",),  # the list and the records; what they name as `module:name` is below
    ("align.auditing",),  # also what `align check` says of rows
    ("align.logs",),
    ("align.checks", "align.report", "align.training"),
    ("align.rehearsal",),
    ("align.evaluation",),
    ("align.methods.<name>",),
    ("align.services",),
    ("align.cli",),
)
TOP = ("align", "align.__main__")
SHARED = ("rollouts", "pairs")  # what several methods have in common, and no method of its own
# A method's own command is typed as ours are.
ALLOWED = {"align.cli.application", "align.cli.options"}


@cache
def place(name: str) -> str:
    """Returns the module of an imported name."""
    while name and name not in NAMES:
        name = name.rpartition(".")[0]
    return name


def method_of(name: str) -> str:
    """Returns the folder below `align.methods`, empty for the list, the records and what is elsewhere."""
    parts = name.split(".")
    is_record = name in ("align.methods", "align.methods.method") or len(parts) == 3
    return "" if parts[:2] != ["align", "methods"] or is_record else parts[2]


def is_suite_record(name: str) -> bool:
    """Says whether a module is the list of suites, what their records are made of, or one of them."""
    folder, _, own = name.rpartition(".")
    of_records = ("align.evaluation.suite", "align.evaluation.options", "align.evaluation.suites")
    return name in of_records or (folder == "align.evaluation.suites" and own in SUITES)


@cache
def layer_of(name: str) -> tuple[int, str] | None:
    if is_suite_record(name):
        return LAYERS.index(("align.evaluation.suites",)), "align.evaluation.suites"
    if name.startswith("align.evaluation.suites."):
        name = "align.evaluation"
    if method_of(name):
        return LAYERS.index(("align.methods.<name>",)), "align.methods.<name>"
    for level, members in enumerate(LAYERS):
        for member in members:
            if name == member or name.startswith(f"{member}."):
                return level, member
    return None


def test_every_module_has_a_layer():
    assert [module.name for module in ALIGN if layer_of(module.name) is None] == list(TOP)


def test_imports_go_one_way():
    wrong = []
    for module in ALIGN + REWARDS:
        own = layer_of(module.name)
        for name in module.all:
            other = layer_of(place(name))
            if own and other and own[1] != other[1] and other[0] >= own[0] and place(name) not in ALLOWED:
                wrong.append(f"{module.name} imports {name}")
    assert wrong == []


def test_no_module_imports_another_of_ours_by_its_name_in_a_text():
    """Parts of records are named so; a name that is written into a call is an import that no test of layers reads."""
    wrong = [
        f"{module.name}:{node.lineno} imports {node.args[0].value}"
        for module in ALIGN + REWARDS
        if module.name != "align._rewards_package"  # finds out whose package of that name is imported
        for node in module.nodes
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] in ("import_module", "__import__")
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and str(node.args[0].value).startswith(("align", "rewards"))
    ]
    assert wrong == []


def test_no_method_imports_another():
    pairs = [(module, name) for module in ALIGN if method_of(module.name) for name in module.all]
    wrong = [
        f"{module.name} imports {name}"
        for module, name in pairs
        if method_of(place(name)) not in ("", method_of(module.name), *SHARED)
    ]
    wrong += [
        f"{module.name} imports {name}"
        for module, name in pairs
        if method_of(module.name) in SHARED and method_of(place(name)) in METHODS
    ]
    assert wrong == []


def test_the_list_of_methods_imports_nothing_else():
    records = [module for module in ALIGN if module.name.startswith("align.methods") and not method_of(module.name)]
    ours = {module.name: [name for name in module.all if name.startswith(("align", "rewards"))] for module in records}
    assert {name: found for name, found in ours.items() if any(method_of(place(each)) for each in found)} == {}
    assert len(ours) >= len(METHODS) + 2


LOADERS = re.compile(r"(align\.data\..*|align\.models\.rewards|rewards\.catalog)\.(load|open|read|resolve)_\w+")


def test_checks_are_given_what_was_loaded():
    """Data and rewards of a run are loaded once, by `align.services.prepared`, which hands them to checks."""
    checks = [module for module in ALIGN if module.name.startswith("align.checks")]
    wrong = [f"{module.name} imports {name}" for module in checks for name in module.all if LOADERS.fullmatch(name)]
    wrong += [
        f"{module.name}:{node.lineno} loads data"
        for module in checks
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ast.unparse(node).endswith(".part('load')")
    ]
    assert wrong == []
    (place,) = [module for module in ALIGN if module.name == "align.services.prepared"]
    assert any(map(LOADERS.fullmatch, place.all))
    assert ".part('load')" in ast.unparse(place.tree)  # so they are called


def words_of(module: Module) -> list[str]:
    """Lists identifiers and texts of a module, without its docstrings."""
    found = []
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    documented = [node for node in module.nodes if isinstance(node, kinds) and ast.get_docstring(node)]
    docstrings = {id(node.body[0].value) for node in documented}
    for node in module.nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            found.append(node.value)
        found += [
            getattr(node, key) for key in ("id", "attr", "arg", "name") if isinstance(getattr(node, key, None), str)
        ]
    return found


EXAMPLES = {  # sentences that show what a name looks like
    "align.recipe.recipe",
    "align.models.reward_model",
    "align.cli.arguments.recipes",
}
ADAPTERS = {"align.recipe.dataset", "align.data.pairs.preference_adapters"}  # a public schema bears a paper's name


def test_shared_code_names_no_method():
    ours = sorted(set(METHODS) - {PROMPTS, DEMONSTRATIONS})  # which are words of the field, too
    names = re.compile(rf"(?<![A-Za-z])({'|'.join(ours)})(?![A-Za-z])", re.IGNORECASE)
    wrong = []
    for module in ALIGN:
        if module.name.startswith("align.methods") or module.name in ("align", *EXAMPLES, *ADAPTERS):
            continue
        wrong += [f"{module.name}: {word[:60]!r}" for word in words_of(module) if names.search(word)]
    assert wrong == []


@pytest.mark.parametrize("command", ["-c 'import align, rewards'", "-m align --help", "-m align --version"])
def test_imports_help_and_versions_take_half_a_second(command):
    slower = least_seconds("-c 'import typer.rich_utils'", 0.2) / 0.2  # on a machine that is as slow at other imports
    most = 0.5 * max(1.0, slower)
    assert least_seconds(command, most) < most


LIGHT = "align, rewards, rewards.catalog, align.cli, align.recipe.recipe, align.methods, align.evaluation.record"


def test_light_modules_do_not_load_torch():
    assert modules_after(f"import {LIGHT}") & {"torch", "trl", "transformers", "scipy", "matplotlib"} == set()
    assert modules_after("import rewards.running.contract.trial") & {"numpy", "asyncio"} == set(), "workers load it"


def test_public_names_are_those_of_their_modules():
    import align

    assert getattr(align, TRAINER) is trainer_class(QUESTIONS)
    assert {name: hasattr(align, name) for name in align.__all__} == dict.fromkeys(align.__all__, True)
    assert not hasattr(align, TRAINER.replace("ai", "ia"))


def test_no_module_imports_itself_by_way_of_others():
    graph = {}
    for module in MODULES:
        types = [node for each in module.tree.body if isinstance(each, ast.If) for node in each.body]
        named = module.top | imports(types)
        homes = {name if name in NAMES else name.rpartition(".")[0] for name in named}
        graph[module.name] = (homes & NAMES) - {module.name}
    TopologicalSorter(graph).prepare()
