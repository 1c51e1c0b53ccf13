"""Which families a model was trained on, as far as recipes and data of its runs say so."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from align.data.files import find_split, read_rows
from align.data.kinds import first_columns
from align.data.problems import RowProblem
from align.errors import DataError, RecipeError
from align.recipe.recipe import Recipe, load_recipe
from align.recipe.reward_settings import short_name
from rewards.scoring.perturbations import ORIGINAL, SEEN_FAMILIES, UNSEEN_FAMILIES

SEEN, UNSEEN, UNKNOWN = "seen", "unseen", "unknown"
FAMILY = "family"  # the column that `rewards.perturbed_rows` writes
_OF_REWARDS = {
    "perturbation_consistency": SEEN_FAMILIES,
    "unseen_perturbation_consistency": UNSEEN_FAMILIES,
    "answer_consistency": ("option_order",),  # its second answers come after a shuffle
}


class TrainedFamilies(NamedTuple):
    """What is known.

    Attributes:
        seen: Families that were trained on, and what says so.
        doubt: Why others may have been, too; empty if runs and data were read whole.
    """

    seen: dict[str, str]
    doubt: str = ""

    def standing(self, family: str) -> str:
        """Returns `seen`, `unseen` or `unknown`."""
        return SEEN if family in self.seen else UNKNOWN if self.doubt else UNSEEN


def trained_families(path: Path | None) -> TrainedFamilies:
    """Reads the recipe of a run, those of the runs that it started from, and the families in the data of each.

    Only files are read: a data set on the hub leaves it open which families were trained on.
    """
    if path is None:
        return TrainedFamilies({}, "there is no recipe beside the model; `--recipe` names one")
    seen: dict[str, str] = {}
    doubts: list[str] = []
    read: set[Path] = set()
    while path is not None and path.resolve() not in read:
        read.add(path.resolve())
        try:
            recipe = load_recipe(path)
        except RecipeError as error:
            doubts.append(f"{path} cannot be read: {error}")
            break
        try:
            found = list(_of_data(recipe))
        except DataError as error:
            found = []
            doubts.append(f"the training data cannot be read: {error}")
        seen = dict([*_of_settings(recipe), *found]) | seen
        path = _recipe_of(recipe.model.model_name_or_path)
    return TrainedFamilies(seen, "; ".join(doubts))


def _of_settings(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Lists the families that a recipe names, with what says so."""
    # Where there are some, second answers come after these, and after no shuffle.
    changing = getattr(recipe.settings, "families", None) or ()
    for spec in recipe.reward_funcs:
        name = short_name(spec)
        if changing and name == "answer_consistency":
            continue
        named = recipe.reward_kwargs.get(name, {}).get("families", _OF_REWARDS.get(name, ()))
        for family in named if isinstance(named, list | tuple) else ():
            yield str(family), f"`{name}` in {recipe.path}"
    if getattr(recipe.settings, "consistency_coef", None):
        for family in recipe.settings.consistency_families or ("whitespace",):
            yield short_name(str(family)), f"`consistency_families` in {recipe.path}"
    for family in changing:
        yield short_name(str(family)), f"`families` in {recipe.path}"
    for family in getattr(recipe.dataset, "perturb", None) or ():
        yield family, f"`dataset.perturb` in {recipe.path}"
    if getattr(recipe.dataset, "shuffle_options", False):
        yield "option_order", f"`shuffle_options` in {recipe.path}"


def _of_data(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Lists the families among the training rows of a recipe.

    Raises:
        DataError: If the rows are not in files on this machine.
    """
    for data in recipe.dataset.sources:
        if not Path(data.path).expanduser().exists():
            raise DataError(f"there is no file or folder {data.path}")
        named = getattr(data, "columns", {}).get(FAMILY, FAMILY)
        if not isinstance(named, str) or named not in first_columns(data.path, data.split):
            continue
        rows = (raw.content for raw in islice(read_rows(*find_split(data.path, data.split)), data.max_rows))
        families = dict.fromkeys(row.get(named) for row in rows if not isinstance(row, RowProblem))
        for family in families:
            if isinstance(family, str) and family != ORIGINAL:
                yield family, f"column `{named}` of {data.path}"


def _recipe_of(model: str) -> Path | None:
    """Finds the recipe of the run that a model came from; a checkpoint stands in the folder of its run."""
    folders = (Path(model), Path(model).parent)
    return next((found for folder in folders if (found := folder / "recipe.yaml").is_file()), None)
