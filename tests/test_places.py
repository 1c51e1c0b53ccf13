"""What may be done in which place only, one test each; a test names every place that breaks its rule."""

import ast
import re
import sys
from collections import Counter
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

from installed import distributions
from packaging.utils import canonicalize_name
from some_recipes import DEMONSTRATIONS
from tree import ALIGN, MODULES, REWARDS, ROOT, Module

from align.methods import METHODS
from rewards.extras import EXTRAS

HEAVY = ("torch", "trl", "transformers", "accelerate", "datasets", "peft", "deepspeed", "vllm")
LIGHT = ("align.recipe", "align.cli", "align.checks", "align.report")  # heavy packages inside functions only
SHARED = ("rollouts", "pairs")
OF_TRL = (
    "align.training",
    "align.models.vllm_engine",
    "align.models.vllm_rejoin",
    "align.models.transcripts.tokens",
    *(f"align.methods.{name}" for name in (*METHODS, *SHARED)),
)
# The only modules that import what an extra brings, and never at their top: a base install reaches all others.
PLACES_OF_EXTRAS = {
    "vllm": {"align.models.vllm_engine", "align.models.second_pass.vllm", "align.models.policies.vllm_policy"},
    "deepspeed": {"align.recipe.deepspeed", "align.training.resuming"},
    "vision": {
        "align.data.media.images",
        "align.data.media.video",
        "align.methods.rrpo.augmentation.sources",
        "align.methods.rrpo.augmentation.command",
        "align.models.videos",
        "align.models.samplers.input_images",
    },
    "deconfound": {
        "rewards.correction.cross_fitting",
        "rewards.correction.surfaces",
        "rewards.correction.fixed_effects",
    },
    "math": {"rewards.reading.formulas"},
    "reasoning-gym": {"rewards.reading.gym"},
    "verifiers": {"align.tools.hosted", "align.tools.verifiers_tasks"},
    "audit": {"align.auditing.near"},
}
OF_METHODS = ("methods", "scripts")  # folders of tests that are about methods, and about labs and recipes
NAMING = {  # files of tests that name methods, and why
    "some_recipes.py",  # says which method plays which part in all others
    "test_extras.py",  # an extra bears a method's name, and shipped recipes need it
    "test_places.py",  # places of methods are places, too
    "training/test_trl_contract.py",  # which columns two methods pick in place of TRL's trainers
    "training/test_trl_hooks_counted.py",  # TRL's own trainers bear their names
}
# TRL's words bear one method's name; what is ours of it does not pass, such as `GuardedGRPOTrainer`.
OF_TRL_IN_TESTS = re.compile(r"\bGRPO(Trainer|Config)\b|\bgrpo_trainer\.py\b")
BY_MODULE = {module: extra for extra, modules in reversed(EXTRAS.items()) for module in modules}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def loaded(module: Module) -> set[str]:
    """Lists what a module imports, by statements and by `library("...")` and `import_module("...")`."""
    calls = [node for node in module.nodes if isinstance(node, ast.Call) and node.args]
    named = {
        str(node.args[0].value)
        for node in calls
        if getattr(node.func, "id", getattr(node.func, "attr", "")) in ("library", "import_module")
        and isinstance(node.args[0], ast.Constant)
    }
    return {name.partition(".")[0] for name in module.all | named}


def test_extras_are_imported_in_their_places_only_and_never_at_the_top():
    found: dict[str, set[str]] = {}
    for module in ALIGN + REWARDS:
        for name in loaded(module) & set(BY_MODULE):
            found.setdefault(BY_MODULE[name], set()).add(module.name)
    at_top = [
        (module.name, name) for module in ALIGN + REWARDS for name in module.top if name.partition(".")[0] in BY_MODULE
    ]
    assert at_top == []
    assert found == PLACES_OF_EXTRAS


def test_everything_else_that_is_imported_comes_with_an_install_to_train_with():
    base, brought = distributions(("train",)), packages_distributions()
    ours = {*sys.stdlib_module_names, *BY_MODULE, "align", "rewards"}
    wrong = [
        (module.name, name)
        for module in ALIGN + REWARDS
        for name in loaded(module) - ours
        if not base & {canonicalize_name(each) for each in brought.get(name, [name])}
    ]
    assert wrong == []


def test_consoles_are_made_in_one_place():
    """A console made elsewhere has 80 columns in a pipe, cuts what is longer, and masks no secret."""
    made = [module.name for module in ALIGN if "rich.console.Console" in module.all]
    assert sorted(made) == ["align.cli.findings", "align.console"]  # the former is given one


def test_weights_are_loaded_in_one_place():
    """Elsewhere pickled weights could be read."""
    light = {"AutoConfig", "AutoTokenizer", "AutoProcessor", "PeftConfig"}
    wrong = [
        (module.name, ast.unparse(node.value))
        for module in ALIGN
        for node in module.nodes
        if isinstance(node, ast.Attribute)
        and node.attr == "from_pretrained"
        and module.name != "align.models.pretrained"
        and ast.unparse(node.value) not in light
    ]
    assert wrong == []


def test_rewards_import_the_standard_library_and_numpy_only():
    allowed = {
        *sys.stdlib_module_names,
        "numpy",
        "regex",
        "rewards",
    }  # `regex` knows scripts, and needs nothing itself
    assert [(module.name, module.roots - allowed) for module in REWARDS if module.roots - allowed] == []


def test_only_trainers_losses_and_builds_of_methods_are_heavy():
    heavy = {
        module.name: {name for name in module.top if name.partition(".")[0] in HEAVY}
        for module in ALIGN
        if module.name.startswith(LIGHT)
    }
    assert {name: found for name, found in heavy.items() if found} == {}


def test_losses_import_torch_only():
    losses = [module for module in ALIGN if module.name.endswith((".loss", ".token_terms"))]
    assert len(losses) == 3
    allowed = {*sys.stdlib_module_names, "torch"}
    assert [(module.name, module.roots - allowed) for module in losses if module.roots - allowed - {"align"}] == []


def test_private_names_of_trl_stay_in_the_trainers_and_the_engine():
    wrong = []
    for module in ALIGN + REWARDS:
        if module.name.startswith(OF_TRL):
            continue
        inner = {name for name in module.all if name.startswith("trl.") and name.count(".") > 1}
        inner |= {name for name in module.all if name.startswith("trl.") and "._" in name}
        if module.name == "align.models.second_pass.vllm":  # names the type of TRL's engine wrapper
            inner = {name for name in inner if "._" in name}
        wrong += [f"{module.name} imports {name}" for name in sorted(inner)]
    assert wrong == []


def test_nothing_imports_tests_and_packages_import_no_scripts():
    own = {path.stem for path in (ROOT / "tests").glob("*.py")} | {"tests"}
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py")} | {"scripts"}
    wrong = [(module.name, module.roots & own) for module in MODULES if module.roots & own]
    wrong += [(module.name, module.roots & scripts) for module in ALIGN + REWARDS if module.roots & scripts]
    assert wrong == []


def test_imports_name_their_module_in_full():
    assert [(module.name, name) for module in MODULES for name in module.all if name.startswith(".")] == []


def test_no_file_is_named_after_nothing():
    assert [module.name for module in MODULES if module.path.stem in ("utils", "helpers", "common", "misc")] == []


def test_tests_of_shared_code_name_no_method():
    """They take some method by what it does from `some_recipes.py`, or ask all of `METHODS`; comments count, too."""
    # The field's word for a kind of data is also that of a method: `align audit` says it.
    names = re.compile("|".join(sorted(set(METHODS) - {DEMONSTRATIONS})), re.IGNORECASE)
    tests = ROOT / "tests"
    files = {path.relative_to(tests).as_posix(): path for path in sorted(tests.rglob("*.py"))}
    wrong = [
        f"{name}:{number}: {line.strip()[:80]}"
        for name, path in files.items()
        if not name.startswith(tuple(f"{folder}/" for folder in OF_METHODS)) and name not in NAMING
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if names.search(OF_TRL_IN_TESTS.sub("", f"{name} {line}"))
    ]
    assert wrong == []
    assert set(files) >= NAMING


def test_files_of_tests_do_nothing_when_they_are_collected():
    """Doctests are looked for in every file, so a script without `if __name__ == "__main__"` runs in every worker."""
    wrong = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in parsed(path).body:
            is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
            function = ast.unparse(node.value.func) if is_call else ""
            if isinstance(node, ast.For | ast.While) or function in ("main", "os._exit", "sys.exit", "exit"):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert wrong == []


def test_no_two_tests_draw_from_one_generator():
    """What a test draws from one would depend on the tests before it, which differ between workers and orders."""
    wrong = []
    made = re.compile(r"^\w+.* = .*(default_rng|Random|RandomState|Generator)\(", re.MULTILINE)
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if not made.search(path.read_text(encoding="utf-8")):
            continue
        tree = parsed(path)
        bound = [node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)]
        generators = {
            target.id
            for node in bound
            if ast.unparse(node.value.func).rpartition(".")[2] in ("default_rng", "Random", "RandomState", "Generator")
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and generators):
            read = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
            wrong += [f"{path.relative_to(ROOT)}:{function.lineno} {name}" for name in sorted(read & generators)]
    assert wrong == []


def test_no_two_files_of_tests_have_one_name():
    """They are imported by their names alone."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py"))
    assert [name for name, count in names.items() if count > 1] == []
