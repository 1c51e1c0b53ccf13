"""Recipes that are wrong in odd ways: parsed and checked, or refused in one sentence."""

import pytest
from campaign import Broken, is_whole_campaign, require, run_cases
from recipe_mutations import draw_fitting_recipe, draw_recipe, write_bases

from align import secrets
from align.checks.launch import Launch
from align.errors import UserError
from align.recipe.recipe import Recipe, load_recipe
from align.recipe.yaml_loader import dump_yaml
from align.secrets import mask
from align.services.prepared import prepare

pytestmark = pytest.mark.slow


@pytest.fixture
def bases(tmp_path, monkeypatch):
    monkeypatch.setattr(secrets, "_known", set())
    monkeypatch.chdir(tmp_path)
    return write_bases(tmp_path)


def load(drawn, folder) -> Recipe:
    """Parses a drawn recipe; its secret is in no refusal."""
    secrets._known.clear()  # each case stands alone, as a process does
    path = folder / "recipe.yaml"
    path.write_text(drawn.text, encoding="utf-8", errors="surrogatepass")
    try:
        return load_recipe(path, drawn.words)
    except UserError as error:
        require(drawn.secret is None or drawn.secret not in mask(str(error)), f"the secret is told: {error}")
        raise


def check_round_trip(recipe: Recipe) -> None:
    """What a run folder keeps is the same recipe."""
    recipe.path.write_text(dump_yaml(recipe.resolved), encoding="utf-8")
    try:
        again = load_recipe(recipe.path)
    except UserError as error:
        raise Broken(f"written and read again it is refused: {error}") from error
    differing = {key: (value, again.resolved.get(key)) for key, value in recipe.resolved.items()}
    differing = {key: both for key, both in differing.items() if both[0] != both[1]}
    require(again == recipe, f"written and read again it is another: {differing}")


@pytest.mark.parametrize("count", [400, pytest.param(1_200, marks=pytest.mark.nightly)])
def test_fuzz_parsed(bases, tmp_path, count):
    def case(rng):
        recipe = load(draw_recipe(rng, bases), tmp_path)
        check_round_trip(recipe)
        return "parsed"

    ends = run_cases("parsed", count, case)
    assert not is_whole_campaign() or min(ends["parsed"], ends["refused"]) > count / 5


@pytest.mark.parametrize("count", [45, pytest.param(120, marks=pytest.mark.nightly)])
def test_fuzz_checked(bases, tmp_path, tiny_model_folder, count):
    (tmp_path / "model").symlink_to(tiny_model_folder)

    def case(rng):
        draw = rng.choice([draw_recipe, draw_fitting_recipe, draw_fitting_recipe])
        checked = prepare(load(draw(rng, bases), tmp_path), Launch(rng.choice([1, 1, 2])))
        for finding in checked.findings:
            require(finding.text.strip(), f"a finding without a text: {finding}")
            require("Traceback" not in finding.text, f"a finding with a traceback: {finding}")
        return "refused by the check" if checked.errors else "ready"

    ends = run_cases("checked", count, case)
    assert not is_whole_campaign() or all(ends[end] > count / 20 for end in ("refused by the check", "ready"))
