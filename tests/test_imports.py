"""Imports go one way, private names of TRL stay in two places, and the packages import in no time."""

import ast
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from installed import distributions
from packaging.utils import canonicalize_name
from started import best_seconds, modules_after

from rewards.extras import EXTRAS

ROOT = Path(__file__).resolve().parents[1]
# Lower layers never import higher ones; packages on one line do not import each other.
LAYERS = (
    ("rewards",),
    ("align.errors", "align.secrets", "align._rewards_package"),
    ("align.console",),
    ("align.losses", "align.configs"),
    ("align.data", "align.assets", "align.models.pretrained"),
    ("align.generation", "align.correction"),
    ("align.augmentation", "align.evaluation", "align.checks", "align.report", "align.runs"),
    ("align.trainers",),
    ("align.cli",),
)
# Two folders of the same layer that build on each other, and say so here.
ALLOWED = {("align.checks", "align.runs"), ("align.report", "align.evaluation")}
HEAVY = ("torch", "trl", "transformers", "accelerate", "datasets", "peft", "deepspeed", "vllm")


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path, *, only_top_level: bool = False) -> set[str]:
    """Lists every module and `module.name` a file imports, also inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in tree.body if only_top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer_of(name: str) -> tuple[int, str] | None:
    for level, members in enumerate(LAYERS):
        for member in members:
            if name == member or name.startswith(f"{member}."):
                return level, member
    return None


def roots(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", sources("rewards", "align"), ids=module_name)
def test_imports_go_one_way(path):
    own = layer_of(module_name(path))
    if own is None:
        assert module_name(path) in ("align", "align.__main__")
        return
    for name in imports(path):
        other = layer_of(name)
        if other is None or other[1] == own[1] or (own[1], other[1]) in ALLOWED:
            continue
        assert other[0] < own[0], f"{module_name(path)} imports {name}"


def test_every_module_has_a_layer():
    packages = {".".join(module_name(path).split(".")[:2]) for path in sources("align")}
    assert {name for name in packages if layer_of(name) is None} <= {"align", "align.__main__"}


@pytest.mark.parametrize("path", sources("rewards"), ids=module_name)
def test_rewards_import_the_standard_library_and_numpy_only(path):
    assert roots(path) <= {*sys.stdlib_module_names, "numpy", "rewards"}


@pytest.mark.parametrize("path", sources("align/losses"), ids=module_name)
def test_losses_import_torch_only(path):
    assert roots(path) <= {*sys.stdlib_module_names, "torch", "align"}
    assert all(name.startswith("align.losses") for name in imports(path) if name.startswith("align"))


@pytest.mark.parametrize("path", sources("align/configs"), ids=module_name)
def test_configs_are_light_except_the_dataclasses_on_top_of_trl(path):
    heavy = {name for name in imports(path, only_top_level=True) if name.partition(".")[0] in HEAVY}
    parents = {"acre": "trl.GRPOConfig", "rrpo": "trl.DPOConfig", "crome": "trl.RewardConfig"}
    parents["grpo"] = "trl"
    parents["deconfound"] = "transformers.TrainingArguments"
    assert heavy <= {parents.get(path.stem)}


@pytest.mark.parametrize("path", sources("align/cli", "align/checks"), ids=module_name)
def test_commands_and_checks_import_heavy_packages_inside_functions_only(path):
    heavy = {name for name in imports(path, only_top_level=True) if name.partition(".")[0] in HEAVY}
    assert heavy == set()


# The only modules that import what an extra brings, and never at their top: a base install reaches all others.
PLACES_OF_EXTRAS = {
    "vllm": {"align.models.vllm_engine", "align.models.second_pass.vllm", "align.models.policies.vllm_policy"},
    "deepspeed": {"align.recipe.deepspeed_json"},
    "oracle": {"align.models.samplers.connection", "align.models.samplers.endpoint"},
    "vision": {
        "align.methods.rrpo.augmentation.image_perturbations",
        "align.models.samplers.input_images",
        "align.methods.rrpo.augmentation.kept_images",
        "align.data.media.frame_store",
        "align.data.media.image_rules",
        "align.data.media.images",
        "align.data.media.video",
        "align.evaluation.policies.changed_images",
        "align.methods.rrpo.image_tokens",
    },
    "deconfound": {
        "align.methods.deconfound.ridge_head",
        "rewards.correction.cross_fitting",
        "rewards.correction.fixed_effects",
        "rewards.correction.least_squares",
        "rewards.correction.two_stage",
        "rewards.correction.within",
    },
    "lm-eval": {"align.evaluation.policies.lm_harness"},
    "math": {"rewards.math_grading"},
}
BY_MODULE = {module: extra for extra, modules in reversed(EXTRAS.items()) for module in modules}


def loaded(path: Path) -> set[str]:
    """Lists what a file imports, by statements and by `library("...")` and `import_module("...")`."""
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and node.args
    ]
    named = {
        str(node.args[0].value)
        for node in calls
        if getattr(node.func, "id", getattr(node.func, "attr", "")) in ("library", "import_module")
        and isinstance(node.args[0], ast.Constant)
    }
    return {name.partition(".")[0] for name in imports(path) | named}


def test_extras_are_imported_in_their_places_only_and_never_at_the_top():
    found: dict[str, set[str]] = {}
    for path in sources("rewards", "align"):
        for name in loaded(path) & set(BY_MODULE):
            found.setdefault(BY_MODULE[name], set()).add(module_name(path))
        at_top = {name.partition(".")[0] for name in imports(path, only_top_level=True)}
        assert at_top & set(BY_MODULE) == set(), module_name(path)
    assert found == PLACES_OF_EXTRAS


def test_everything_else_that_is_imported_comes_with_a_base_install():
    base, brought = distributions(()), packages_distributions()
    for path in sources("rewards", "align"):
        others = loaded(path) - set(sys.stdlib_module_names) - set(BY_MODULE) - {"align", "rewards"}
        unknown = {
            name for name in others if not base & {canonicalize_name(each) for each in brought.get(name, [name])}
        }
        assert unknown == set(), module_name(path)


PRIVATE_PLACES = ("align.trainers", "align.models.vllm_engine")
INNER_MODULES = ("align.models.second_pass.vllm",)  # names the type of TRL's engine wrapper


@pytest.mark.parametrize("path", sources("align", "rewards"), ids=module_name)
def test_private_names_of_trl_stay_in_two_places(path):
    private = {
        name for name in imports(path) if name.startswith("trl.") and any(p.startswith("_") for p in name.split("."))
    }
    if not module_name(path).startswith(PRIVATE_PLACES):
        assert private == set()
    if not module_name(path).startswith((*PRIVATE_PLACES, *INNER_MODULES)):
        trl_modules = {name for name in imports(path) if name.startswith("trl.") and name.count(".") > 1}
        assert trl_modules == set(), "inner modules of TRL are private too"


def trainer_modules() -> list[Path]:
    """The modules that define a trainer."""
    return [
        path
        for path in sources("align/trainers")
        if any(
            isinstance(node, ast.ClassDef) and node.name.endswith("Trainer")
            for node in ast.parse(path.read_text(encoding="utf-8")).body
        )
    ]


def test_two_trainers_never_import_each_other():
    names = [module_name(path) for path in trainer_modules()]
    assert "align.methods.acre.trainer" in names
    for path in trainer_modules():
        others = {name for name in names if name != module_name(path)}
        assert not {name for name in imports(path) if name.startswith(tuple(others) or ("-",))}


@pytest.mark.parametrize("path", sources("rewards", "align", "scripts"), ids=module_name)
def test_nothing_imports_tests_and_packages_do_not_import_scripts(path):
    forbidden = {"tests", "tiny", "conftest"} | (set() if "scripts" in path.parts else {"scripts"})
    assert roots(path) & forbidden == set()


@pytest.mark.parametrize("command", ["-c 'import align, rewards'", "-m align --help"])
def test_imports_and_help_take_half_a_second(command):
    best, idle = best_seconds(command)
    assert best - idle < 0.5, f"{best:.2f} s, of which Python {idle:.2f} s"


@pytest.mark.parametrize("module", ["align", "rewards", "rewards.catalog", "align.cli", "align.recipe.recipe"])
def test_light_modules_do_not_load_torch(module):
    assert modules_after(f"import {module}") & {"torch", "trl", "transformers"} == set()


def test_public_names_are_those_of_their_modules():
    import align
    from align.methods.acre.trainer import ACRETrainer

    assert align.ACRETrainer is ACRETrainer
    assert {name: hasattr(align, name) for name in align.__all__} == dict.fromkeys(align.__all__, True)
    assert not hasattr(align, "ACRETrianer")


@pytest.mark.parametrize("path", sources("align"), ids=module_name)
def test_consoles_are_made_in_one_place(path):
    """A console made elsewhere has 80 columns in a pipe, cuts what is longer, and masks no secret."""
    if module_name(path) not in ("align.console", "align.cli.pair_samples"):  # the latter is given one
        assert "rich.console.Console" not in imports(path)


@pytest.mark.parametrize("path", sources("align"), ids=module_name)
def test_weights_are_loaded_in_one_place(path):
    """Elsewhere pickled weights could be read."""
    loaders = {
        node.value.id if isinstance(node.value, ast.Name) else ast.unparse(node.value)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "from_pretrained"
    }
    if module_name(path) != "align.models.pretrained":
        assert loaders <= {"AutoConfig", "AutoTokenizer", "AutoProcessor", "PeftConfig"}
