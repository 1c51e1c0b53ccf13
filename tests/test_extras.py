"""Each size and each extra adds what it is for; without it, one sentence says how to get it."""

import ast
import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

import pytest
from installed import EXTRAS, PROJECT, ROOT, installed_with
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from align.assets import shipped_recipes
from align.recipe.recipe import load_for_evaluation, load_recipe
from align.runs.folder import record_run
from rewards import extras

ASSETS = ROOT / "recipes"
LAB = ASSETS / "acre" / "assets" / "lab"
VISION = ASSETS / "acre" / "assets" / "vision"
EVAL = f"eval --model {LAB}/model --data {LAB}/eval.jsonl --max_rows 4 --max_new_tokens 4 --suite accuracy --out OUT"
EVAL_RUN = f"eval perturbation --model run --data {LAB}/eval.jsonl --max_rows 4 --max_new_tokens 4 --out OUT"
EVAL_IMAGES = EVAL.replace(str(LAB), str(VISION)).replace("eval.jsonl", "eval.parquet")
DECONFOUND = (
    f"deconfound {ASSETS}/deconfound/assets/lab/train.csv --outcome clicks --text headline --confounders popularity "
    "--groups author --max_rows 200 --out OUT --estimator"
)
LOGS = Path(__file__).parent / "logs" / "kept" / "inspect"
AUGMENT = f"augment {ASSETS}/crome/assets/lab/train.jsonl --method crome --out OUT --max_rows 4 --dry_run --model x"
AUDITED = f"audit {ASSETS}/crome/assets/lab/train.jsonl --max_rows 60 --out OUT"
COMPARED = f"compare {LOGS}/before {LOGS}/after --out OUT"
AUDIT = f"{AUDITED} --fail_on near_duplicates"
MATH = "--reward_funcs [math_accuracy] --reward_kwargs {}"
GYM = "--reward_funcs [reasoning_gym] --reward_kwargs {}"
TWO_STEPS = "--max_steps 2 --eval_strategy no --output_dir OUT"

# What needs an extra, and says so before a model is loaded.
NEEDY = [
    ("vllm", "check acre/quickstart --use_vllm true"),
    ("vllm", "train acre/quickstart --use_vllm true --output_dir OUT"),
    ("vllm", f"{EVAL} --backend vllm"),
    ("deepspeed", "check acre/quickstart --deepspeed.zero_optimization.stage 2"),
    ("deepspeed", f"check acre/quickstart --accelerate_config {ROOT}/ds_configs/zero2.yaml"),
    ("vision", "check acre/quickstart-vision"),
    ("vision", EVAL_IMAGES),
    ("deconfound", "check deconfound/quickstart"),
    ("deconfound", f"train deconfound/quickstart {TWO_STEPS}"),
    ("deconfound", f"{DECONFOUND} dml"),
    ("deconfound", f"{DECONFOUND} none"),
    ("gguf", "check acre/quickstart --model_init_kwargs '{gguf_file: model.gguf}'"),
    ("math", f"check acre/quickstart {MATH}"),
    ("math", "rewards check math_accuracy"),
    ("reasoning-gym", f"check acre/quickstart {GYM}"),
    ("reasoning-gym", "rewards check reasoning_gym"),
    ("reasoning-gym", "check grpo/quickstart-tools --dataset.path reasoning_gym:gcd --dataset.eval_path null"),
    ("verifiers", "check grpo/quickstart-tools --environment verifiers:vf-shop --dataset.path verifiers:vf-shop"),
    ("reasoning-gym", EVAL.replace(f"{LAB}/eval.jsonl", "reasoning_gym:gcd").replace("--suite accuracy ", "")),
    ("qlora", "check acre/quickstart --use_peft true --load_in_4bit true"),
    ("qlora", "check acre/quickstart --optim paged_adamw_8bit"),
    ("tensorboard", "check acre/quickstart --report_to tensorboard"),
    ("trackio", "check acre/quickstart --report_to trackio"),
    ("wandb", "check acre/quickstart --report_to wandb"),
]
# What an extra is for, with nothing but that extra; `vllm` is the twin of `vllm-cpu` for GPUs.
ENABLED = {
    "vllm-cpu": ["check grpo/quickstart-tools --use_vllm true"],
    "deepspeed": [f"check acre/quickstart --accelerate_config {ROOT}/ds_configs/zero2.yaml"],
    "vision": [f"train acre/quickstart-vision {TWO_STEPS}", EVAL_IMAGES],
    "deconfound": [f"train deconfound/quickstart {TWO_STEPS}", f"{DECONFOUND} dml", f"{DECONFOUND} fixed_effects"],
    "math": ["rewards check math_accuracy"],
    "reasoning-gym": ["rewards check reasoning_gym --data reasoning_gym:gcd?size=20"],
    "qlora": [f"train sft/quickstart --use_peft true --load_in_4bit true {TWO_STEPS}"],
    "tensorboard": [f"train sft/quickstart --report_to tensorboard {TWO_STEPS}"],
    "trackio": [f"train sft/quickstart --report_to trackio {TWO_STEPS}"],
    "wandb": [f"train sft/quickstart --report_to wandb {TWO_STEPS}"],
    "audit": [AUDIT],
}
# Nightly: trackers are writers of transformers, and what the others are for is trained and evaluated with by tests of
# its own in CI; that it needs nothing but its extra is shown there by the light ones.
RARE = ("tensorboard", "trackio", "wandb", "deconfound", "qlora", "vision", "vllm-cpu")
# By size: what it has, and what it lacks with the size that has it.
OF_SIZES: dict[str, tuple[list[str], list[tuple[str, str]]]] = {
    "": (
        [
            "recipes",
            "doctor",
            AUDITED,
            "audit --recipe acre/quickstart --max_rows 60 --out OUT",
            COMPARED,
            "rewards check format",
            f"{AUGMENT} --endpoint http://127.0.0.1:9/v1",
        ],
        [
            ("train", "check acre/quickstart"),
            ("train", f"train acre/quickstart {TWO_STEPS}"),
            ("train", "keys acre"),
            ("train", "rewards check acre/quickstart"),
            ("eval", EVAL),
            ("eval", f"merge --base {LAB}/model --tuned {VISION}/model --out OUT"),
            ("eval", "audit owner/data --out OUT"),
            ("eval", AUGMENT),
            ("eval", f"filter {ASSETS}/acre/assets/lab/eval.jsonl --out OUT.jsonl --model {LAB}/model"),
        ],
    ),
    "eval": (["doctor", EVAL, EVAL_RUN], [("train", "check acre/quickstart"), ("train", "keys acre")]),
}
# Their parts need weights, tasks and tables that no package of ours brings.
IMPORTS = {
    "gguf": "gguf",
    "facts": "mendeleev.fetch, pycountry, babel.numbers",
}


def python(folder: Path, *words: str, with_extras: tuple[str, ...] = (), size: str = "train", given: str = "") -> str:
    """Runs Python outside the checkout with a base install, a size and some extras, and returns what it prints."""
    variables = (
        os.environ | installed_with(folder / "site", *filter(None, (size, *with_extras))) | {"OMP_NUM_THREADS": "1"}
    )
    variables |= {"WANDB_MODE": "offline", "TRACKIO_DIR": str(folder / "trackio")}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=variables, input=given, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_all(folder: Path, commands: list[str], *with_extras: str, size: str = "train") -> list[dict]:
    """Runs commands one after the other in one process; each gets an `OUT` of its own."""
    words = [shlex.split(command.replace("OUT", f"out/{i}")) for i, command in enumerate(commands)]
    runner = str(ROOT / "tests" / "in_one_process.py")
    lines = python(folder, runner, with_extras=with_extras, size=size, given=json.dumps(words)).splitlines()
    return json.loads(next(line for line in reversed(lines) if line.startswith("[{")))  # a tracker may say good-bye


def has(*names: str) -> bool:
    return all(find_spec(name) is not None for name in names)


def test_the_table_is_that_of_the_project_file():
    assert sorted(extras.SIZES | extras.EXTRAS) == EXTRAS
    brought = packages_distributions()
    assert extras.SIZES["eval"].items() < extras.SIZES["train"].items()
    for extra, modules in (extras.SIZES | extras.EXTRAS).items():
        wanted = {canonicalize_name(Requirement(line).name) for line in PROJECT["optional-dependencies"][extra]}
        found = {
            module: {canonicalize_name(name) for name in brought[module]} for module in modules if module in brought
        }
        assert len(modules) == len(wanted)
        if extra != "vllm":  # where its twin for CPUs is installed, the module is of that
            assert all(names & wanted for names in found.values()), f"{extra}: {found}"


def test_a_test_whose_extra_may_be_absent_is_skipped_with_its_name():
    """All but those that the extra `test` brings, which need no guard."""
    line = next(each for each in PROJECT["optional-dependencies"]["test"] if each.startswith("truealign"))
    brought = Requirement(line).extras
    extras_of = {
        module: {extra for extra, known in extras.EXTRAS.items() if module in known}
        for known in extras.EXTRAS.values()
        for module in known
    }
    offenders, named = [], re.compile(rf"\b({'|'.join(extras_of)})\b")
    for path in (ROOT / "tests").rglob("*.py"):
        imported, guarded, text = set(), set(), path.read_text(encoding="utf-8")
        if not named.search(text) or path.parent.name == "environments":  # packages that workers load by name
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "importorskip":
                module, said = ast.unparse(node.args[0]).strip("'").partition(".")[0], ast.unparse(node)
                guarded.add(module)
                wanted = extras_of.get(module)
                if wanted and not any(f"needs the extra `{extra}`" in said for extra in wanted):
                    offenders.append(f"{path.name}:{node.lineno}: {said}")
        bare = {module for module in imported - guarded if module in extras_of and not extras_of[module] & brought}
        offenders += [f"{path.name} imports {module} without a word" for module in bare]
    assert offenders == []


WITHOUT = """
import importlib, json, os, pkgutil, sys
from in_one_process import run
found = {"refused": [run(words) for words in json.load(sys.stdin)], "folder": os.listdir()}
import align, rewards
names = []
for package in (align, rewards):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            names.append(module.name)
for name in align.__all__:
    getattr(align, name)
print(json.dumps(found | {"names": names}))
"""


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """What an install without extras does with commands that need one, and then with the imports of all modules."""
    words = [shlex.split(command.replace("OUT", f"out/{i}")) for i, (_, command) in enumerate(NEEDY)]
    code = f"import sys; sys.path.append({str(ROOT / 'tests')!r})\n{WITHOUT}"
    lines = python(tmp_path_factory.mktemp("without"), "-c", code, given=json.dumps(words)).splitlines()
    return json.loads(lines[-1])


@pytest.mark.slow
def test_an_install_to_train_with_imports_every_module(without):
    assert set(without["names"]) > {
        "align.methods.deconfound.trainer",
        "rewards.correction.instrumental",
    }


@pytest.mark.slow
@pytest.mark.parametrize(("i", "extra"), [(i, extra) for i, (extra, _) in enumerate(NEEDY)], ids=[c for _, c in NEEDY])
def test_without_an_extra_one_sentence_says_how_to_get_it(without, i, extra):
    result = without["refused"][i]
    assert result["crash"] == "NoneType: None\n"
    assert result["code"] == 1
    lines = [
        line
        for line in result["output"].splitlines()
        if re.search("error", line, re.IGNORECASE) and "error(s)" not in line
    ]
    assert len(lines) == 1
    assert extras.pip_line(extra) in lines[0]
    assert "not installed" in lines[0]


@pytest.mark.slow
def test_it_is_said_before_anything_is_written(without):
    assert without["folder"] == ["site"]


def test_what_an_extra_brings_is_missing_or_broken_and_the_sentence_says_which(monkeypatch):
    monkeypatch.setitem(extras.EXTRAS, "own", {"json": "json-lib", "no_such_module_here": "own-lib"})
    error = ImportError("cannot import name\n'loads'")
    how = 'Run `pip install "truealign[own]"`.'
    assert extras.not_imported("own", "`x`", error) == f"`x` needs own-lib, which is not installed. {how}"
    broken = f"`x` needs json-lib, which cannot be imported: cannot import name 'loads'. {how}"
    assert extras.not_imported("own", "`x`", error, "json") == broken


def run_size(size: str, folder: Path) -> list[dict]:
    """Runs what a size has, which it returns, and what it lacks, and compares the sentences."""
    has, lacks = OF_SIZES[size]
    results = run_all(folder, [*has, *(command for _, command in lacks)], size=size)
    for command, result in zip(has, results, strict=False):
        assert result["code"] == 0, f"{command}: {result['output']}{result['crash']}"
    for (larger, command), result in zip(lacks, results[len(has) :], strict=True):
        assert result["code"] == 1, command
        assert result["crash"] == "NoneType: None\n", command
        assert result["output"].count("Error") == 1
        assert extras.pip_line(larger) in result["output"], command
    return results[: len(has)]


@pytest.mark.slow
def test_a_base_audits_and_tries_rewards_and_names_the_size_for_the_rest(tmp_path):
    done = dict(zip(OF_SIZES[""][0], run_size("", tmp_path), strict=True))
    assert extras.pip_line("audit") in done[AUDITED]["output"]
    assert "cues" in json.loads((tmp_path / "out" / str([*done].index(AUDITED)) / "audit.json").read_text())
    guarded = "guarded = align.guard(lambda completions, **_: [1 / len(text) for text in completions])"
    sizes = "for name in ('train', 'watch'):\n try: getattr(align, name)\n except ImportError as error: print(error)"
    said = python(tmp_path, "-c", f"import align\n{guarded}\nprint(guarded(completions=['ab', '']))\n{sizes}", size="")
    assert [line in said for line in ("[0.5, None]", extras.pip_line("train"), extras.pip_line("eval"))] == [True] * 3


@pytest.mark.slow
def test_without_trl_models_and_runs_are_evaluated_and_recipes_refused(tmp_path):
    shutil.copytree(LAB / "model", tmp_path / "run")
    record_run(tmp_path / "run", load_recipe(shipped_recipes()["acre/quickstart"]).resolved, {})
    run_size("eval", tmp_path)
    record = json.loads((tmp_path / "out" / str(OF_SIZES["eval"][0].index(EVAL_RUN)) / "evaluation.json").read_text())
    assert "flip_rate/seen/option_order" in record["shares"]  # the run was rewarded for it, says its recipe


@pytest.mark.slow
@pytest.mark.parametrize(
    "extra", [pytest.param(each, marks=[pytest.mark.nightly] * (each in RARE)) for each in ENABLED]
)
def test_with_nothing_but_an_extra_what_it_is_for_runs(extra, tmp_path):
    if not has(*extras.EXTRAS[extra]):
        pytest.skip(f"needs the extra `{extra}`")
    if extra == "reasoning-gym" and version("pyfiglet").startswith("0."):
        pytest.skip("beside the extra `facts` its pyfiglet is an older one, which needs setuptools")
    for result in run_all(tmp_path, ENABLED[extra], extra):
        assert result["crash"] == "NoneType: None\n"
        assert result["code"] == 0, result["output"]


@pytest.mark.slow
@pytest.mark.nightly  # packages of others that change when they are installed anew
@pytest.mark.parametrize("extra", IMPORTS)
def test_with_nothing_but_an_extra_what_it_brings_can_be_imported(extra, tmp_path):
    if not has(*extras.EXTRAS[extra]):
        pytest.skip(f"needs the extra `{extra}`")
    python(tmp_path, "-c", f"import {IMPORTS[extra]}", with_extras=(extra,))


def test_an_older_trl_of_another_trainer_is_a_sentence_and_evaluations_do_without_it(monkeypatch, tmp_path):
    assert extras.missing("train", "`align check`") == ""
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.29.1" if name == "trl" else real(name))
    said = extras.missing("train", "`align check`")
    assert said.startswith("`align check` needs TRL 1.16 or newer, and 0.29.1 is installed. Run `pip install")
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "method: grpo\nmodel_name_or_path: m/m\nreward_funcs: [accuracy]\ndataset: {path: x.jsonl}\nbeta: word\n"
    )
    assert load_for_evaluation(path).settings.beta == "word"  # of TRL, whose source is not read
