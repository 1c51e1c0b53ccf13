"""Every shipped recipe parses, says what it is for, and names files that exist; so do the commands of the pages."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from align.assets import asset_dir, shipped_recipes
from align.checks.launch import read_launch
from align.evaluation.prompting import prompt_settings
from align.models.rewards import resolve_rewards
from align.recipe.fields import settings_class
from align.recipe.recipe import load_recipe, parse_recipe
from align.recipe.yaml_loader import load_yaml, resolve_paths
from align.services.prepared import prepare
from rewards.running.isolated.programs import why_not_isolated

ROOT = Path(__file__).resolve().parents[1]
RECIPES = sorted(asset_dir("recipes").rglob("*.yaml"))
PATHS = re.compile(r"\b(?:recipes|ds_configs|scripts|tests|align|rewards)/[\w./-]+\.(?:yaml|json|py|sh|jsonl)\b")


def name_of(path: Path) -> str:
    return str(path.relative_to(asset_dir("recipes")))


def local_paths(value):
    """Finds every local path a recipe names: `./` was made absolute when it was parsed."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [path for item in value for path in local_paths(item)]
    return [Path(re.sub(r"\.py:\w+$", ".py", value))] if isinstance(value, str) and value.startswith("/") else []


def test_there_are_recipes():
    assert set(RECIPES) >= set(shipped_recipes().values())
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_a_recipe_parses_and_says_what_it_is_for(path):
    recipe = load_recipe(path)
    assert recipe.method in path.parts or path.parent.name == "paper"
    facts = dict(re.findall(r"^# (purpose|hardware): (\S.*)$", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert set(facts) == {"purpose", "hardware"}


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_an_evaluation_reads_the_same_where_nothing_of_trl_is_read(path):
    whole = load_recipe(path)
    alone = parse_recipe(resolve_paths(load_yaml(path), path.resolve().parent), path, trains=False)
    for name in ("method", "model", "dataset", "reward_funcs", "reward_kwargs", "rewards"):
        assert getattr(alone, name) == getattr(whole, name), name
    for name in settings_class(whole.method, with_parents=False).model_fields:
        assert getattr(alone.settings, name) == getattr(whole.settings, name), name
    assert prompt_settings(alone, {}) == prompt_settings(whole, {})
    assert alone.folder == whole.folder


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_the_files_of_a_recipe_exist(path):
    resolved = {key: value for key, value in load_recipe(path).resolved.items() if key != "output_dir"}
    made_by_a_script = ROOT / "models"
    missing = [file for file in local_paths(resolved) if not file.exists() and made_by_a_script not in file.parents]
    assert missing == []


def checked(path: Path):
    """Marks the recipe whose reward starts hundreds of programs as slow."""
    marks = [pytest.mark.slow] if "code_accuracy" in path.read_text(encoding="utf-8") else []
    return pytest.param(path, marks=marks, id=name_of(path))


@pytest.mark.by_day(*(name_of(path) for path in RECIPES if "smollm2" not in path.name or path.stem.endswith("-code")))
@pytest.mark.parametrize("path", [checked(path) for path in RECIPES])
def test_a_recipe_has_a_batch_that_divides_and_rewards_that_work(path):
    recipe = load_recipe(path, ["--dataset.max_rows", "512"])  # tests of the labs read all of their rows
    if "code_accuracy" in recipe.reward_funcs and why_not_isolated():
        pytest.skip(f"programs cannot be isolated here: {why_not_isolated()}")
    if "reasoning_gym" in recipe.reward_funcs:
        pytest.importorskip("reasoning_gym", reason="needs the extra `reasoning-gym`")
    named = re.search(r"ds_configs/[\w-]+\.yaml", path.read_text(encoding="utf-8"))
    launch = read_launch(ROOT / named[0] if named else None)
    asks_elsewhere = "align.Judge" in recipe.reward_funcs  # a server that is not here
    if Path(recipe.dataset.path).exists():
        findings = prepare(replace(recipe, is_dry=asks_elsewhere), launch).findings
    else:  # the data is not on this machine; the arithmetic and the rewards' settings need none
        resolve_rewards(recipe)
        findings = recipe.record.part("check_batch")(recipe, launch, 1_000)
    elsewhere = {"versions", "model"}  # what is installed, and models that a script makes
    assert [f.text for f in findings if f.level == "error" and f.check not in elsewhere] == []


PAGES = [ROOT / "README.md"]
PAGES += [
    page
    for place in ("align", "docs", "recipes", "rewards", "scripts", "tests")
    for page in (ROOT / place).rglob("*.md")
]
DOCUMENTS = sorted([*PAGES, *asset_dir("ds_configs").glob("*.yaml"), *RECIPES])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_files_that_a_document_names_exist(document):
    named = set(PATHS.findall(document.read_text(encoding="utf-8")))
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_the_scripts_that_commands_name_exist():
    texts = [path.read_text(encoding="utf-8") for path in (*DOCUMENTS, *(ROOT / "scripts").rglob("*.py"))]
    named = {name for text in texts for name in re.findall(r"-m (scripts[.\w]+\w)", text)}
    assert named
    assert sorted(name for name in named if not (ROOT / f"{name.replace('.', '/')}.py").is_file()) == []


def page_commands():
    texts = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    blocks = re.findall(r"```(?:bash|sh|console)\n(.*?)```", texts, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if re.search(r"\balign (train|check)\b", line)]


@pytest.mark.parametrize("command", page_commands())
def test_the_recipes_that_commands_of_a_page_name_parse_with_their_overrides(command):
    words = shlex.split(command, comments=True)
    rest = words[next(i for i, word in enumerate(words) if word in ("train", "check")) + 1 :]
    recipe, overrides = ROOT / rest[0], rest[1:]
    for option in ("--resume", "--accelerate_config"):
        if option in overrides:
            at = overrides.index(option)
            del overrides[at : at + 2]
    if recipe.is_file():
        load_recipe(recipe, [word for word in overrides if word != "--json"])


LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page):
    """Pages of the reference are made when the site is built, which holds links to them; see test_docs.py."""
    made = ("reference/", "index.md")
    found = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not any(name in link for name in made)]
    beside = [link for link in found if page.parent.name != "reference" or "/" in link]  # of what is made beside it
    assert [link for link in beside if not (page.parent / link).exists()] == []


def test_the_first_page_is_short():
    assert len((ROOT / "README.md").read_bytes()) <= 7_000


def test_a_page_beside_the_code_says_what_the_folder_is_and_no_more():
    long = {str(page.relative_to(ROOT)): page.stat().st_size for page in PAGES if page.parent != ROOT
            and page.name == "README.md" and page.stat().st_size > 3_000}  # fmt: skip
    assert long == {}


def prose(text: str) -> list[str]:
    """Lists the lines that can be wrapped: no tables, code, pictures, and nothing that is one long word."""
    lines = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE).splitlines()
    kept = (line for line in lines if not re.match(r"\s*(\||#|<|!)", line))
    return [line for line in kept if len(re.sub(r"`[^`]*`|\[[^\]]*\]\([^)]*\)", "x", line).split()) > 1]


def test_prose_wraps_at_100_columns():
    wide = [
        f"{page.relative_to(ROOT)}: {line[:60]}"
        for page in (*PAGES, *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")))
        for line in prose(page.read_text(encoding="utf-8"))
        if len(line) > 100 and page.name != "rubric.md"  # what a judge reads
    ]
    assert wide == []
