"""What a refusal proposes helps: the key exists, the line pastes, and what comes next is something else."""

import inspect
import json

import pytest
import yaml
from campaign import Broken, is_whole_campaign, require, run_cases
from column_mutations import LOADERS, OFFERED, draw_columns
from recipe_mutations import draw_fitting_recipe, draw_recipe, write_bases
from remedies import applied, check_key, remedies_of

from align import secrets
from align.checks.launch import Launch
from align.errors import UserError
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare

pytestmark = pytest.mark.slow


@pytest.fixture
def bases(tmp_path, monkeypatch):
    monkeypatch.setattr(secrets, "_known", set())
    monkeypatch.chdir(tmp_path)
    return write_bases(tmp_path)


def refusals(content, folder, *, checked: bool = False) -> list[str]:
    """Returns what is wrong with a recipe; nothing if it is parsed, and checked."""
    secrets._known.clear()
    path = folder / "recipe.yaml"
    path.write_text(
        yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8", errors="surrogatepass"
    )
    try:
        recipe = load_recipe(path)
    except UserError as error:
        return [str(error)]
    return [each.text for each in prepare(recipe, Launch(1)).errors] if checked else []


def content_of(drawn):
    """Reads the text of a drawn recipe as plain values; None where it is none, or holds what JSON does not."""
    try:
        content = yaml.safe_load(drawn.text)
        return content if isinstance(content, dict) and json.loads(json.dumps(content)) == content else None
    except (yaml.YAMLError, TypeError, ValueError, RecursionError):
        return None


def try_remedies(content, folder, *, checked: bool = False) -> int:
    """Applies each remedy of each refusal by itself; returns how many there were."""
    count = 0
    for text in refusals(content, folder, checked=checked):
        for remedy in remedies_of(text):
            check_key(remedy, content)
            try:
                mended = applied(remedy, content)
            except (AttributeError, TypeError, KeyError) as error:
                raise Broken(f"{remedy.words!r} of {text!r} has no place in {content}: {error}") from error
            after = refusals(mended, folder, checked=checked)
            require(text not in after, f"{remedy.words!r} changes nothing: {text!r}")
            count += 1
    return count


@pytest.mark.parametrize("count", [300, pytest.param(1_500, marks=pytest.mark.nightly)])
def test_fuzz_remedies_of_recipes(bases, tmp_path, count):
    def case(rng):
        content = content_of(rng.choice([draw_recipe, draw_fitting_recipe])(rng, bases))
        if content is None:
            return "no recipe"
        return "proposed" if try_remedies(content, tmp_path) else "nothing proposed"

    ends = run_cases("remedies_of_recipes", count, case)
    assert not is_whole_campaign() or ends["proposed"] > count / 5


@pytest.mark.parametrize("count", [30, pytest.param(120, marks=pytest.mark.nightly)])
def test_fuzz_remedies_of_checks(bases, tmp_path, tiny_model_folder, count):
    (tmp_path / "model").symlink_to(tiny_model_folder)

    def case(rng):
        content = content_of(draw_fitting_recipe(rng, bases))
        if content is None:
            return "no recipe"
        return "proposed" if try_remedies(content, tmp_path, checked=True) else "nothing proposed"

    run_cases("remedies_of_checks", count, case, seconds=60)


@pytest.mark.parametrize("count", [300, pytest.param(2_000, marks=pytest.mark.nightly)])
def test_fuzz_remedies_of_columns(tmp_path, count):
    """Good rows whose columns have other names are read once the line that the refusal proposes is pasted."""

    def case(rng):
        name = rng.choice(sorted(LOADERS))
        loader, rows, needs = LOADERS[name]
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in draw_columns(rng, rows, needs)), encoding="utf-8")
        try:
            loader(path, columns={})
        except UserError as error:
            text = str(error)
        else:
            return "read"
        found = OFFERED.search(text)
        if found is None or "NAME" in found["entry"]:
            return "refused without a line"
        columns = yaml.safe_load(found["entry"])["columns"]
        try:
            items, _ = loader(path, columns=columns)
        except UserError as error:
            raise Broken(f"{found['entry']} of {text!r} is refused: {error}") from error
        require(len(items) == len(rows), f"{found['entry']} reads {len(items)} of {len(rows)} rows")
        if "adapter" in inspect.signature(loader).parameters:
            require("adapter:" not in text, f"an adapter is proposed for our own rows: {text!r}")
        return "read with the line"

    ends = run_cases("remedies_of_columns", count, case)
    assert not is_whole_campaign() or ends["read with the line"] > count / 4
