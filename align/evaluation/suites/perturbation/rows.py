"""Questions, with or without options, a version of each by every family, and which families a model was trained on."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast

from pydantic import JsonValue

from align.data.conversations import check_prompt
from align.data.files import find_split, read_rows
from align.data.kinds import first_columns
from align.data.media.rows import MEDIA
from align.data.problems import BadRow, RowProblem
from align.data.question_checks import check_label, check_row
from align.data.questions.adapters import ADAPTERS
from align.errors import DataError, RecipeError, UserError
from align.evaluation.prompting import recipe_path
from align.evaluation.suite import LoadedRows, SuiteSource
from align.evaluation.suites.suite_rows import check_text, check_texts, load_suite_rows
from align.recipe.recipe import Recipe, load_for_evaluation
from align.recipe.reward_settings import short_name
from rewards.reading.options import permute, to_shown
from rewards.scoring import families
from rewards.scoring.families import Family, FamilyError, call_family
from rewards.scoring.perturbations import FAMILIES, ORIGINAL, SEEN_FAMILIES, UNSEEN_FAMILIES, Version
from rewards.scoring.text_accuracy import normalise_text

AGAIN = "twice"  # the original, asked a second time


def find_families(specs: Sequence[str]) -> list[Family]:
    """Finds families by name, or loads functions; without any, all of `rewards.FAMILIES`."""
    try:
        found = families.find_families(specs or tuple(FAMILIES), "`--families`", tuple(FAMILIES))
    except ValueError as error:
        raise UserError(str(error)) from error
    names = [each.name for each in found]
    for each in found:
        if names.count(each.name) > 1 or (each.name in (*FAMILIES, ORIGINAL, AGAIN) and each.spec != each.name):
            raise UserError(f"`--families` has two families called {each.name}. Name each once, or rename a function.")
    return found


def make_version(family: Family, original: Version, name: str, row: int, *, seed: int) -> Version | None:
    """Makes the version of a question; None if the family does not change it.

    What is drawn depends on the seed, the question's name and the family's, as in `rewards.perturbed_rows`. What a
    family of the user's returns is checked: raises `DataError` if it raises, or returns no wording of the question.
    """
    try:
        made = call_family(family, original, random.Random(f"{seed}/{name}/{family.name}"), f"{row} ({name})")
    except FamilyError as error:
        raise DataError(str(error)) from error
    if made is None:
        return None
    version = made if isinstance(made, Version) else _from_pair(made, original)
    if broken := _broken_rule(version, original):
        raise DataError(f"Family `{family.name}`, row {row} ({name}): it {broken}")
    same = (version.question, _texts(version)) == (original.question, _texts(original))
    return None if same else version


def _from_pair(pair: Sequence[object], original: Version) -> Version:
    """Reads a prompt and its answer, which stays where it is that of the row."""
    question, answer = pair
    kept = original.answer if answer == original.get("answer", original.answer) else answer
    return original._replace(question=question, answer=kept)  # type: ignore[arg-type]  # which is checked


def _broken_rule(version: Version, original: Version) -> str:
    """Words which rule a version breaks, with the remedy; empty if none."""
    if not isinstance(version.question, str) or not version.question.strip():
        return f"returned {version.question!r:.60} as the question. Return a text."
    if original.options is None:
        told = "" if (version.options, version.answer) == (None, original.answer) else "options or the answer"
        return told and f"changed {told} of a question without options. Change the question only."
    before, after, order = list(original.options), _texts(version), version.permutation
    if not isinstance(order, tuple | list) or sorted(order) != list(range(len(before))):
        return f"returned the permutation {order!r:.60}. It must hold each of 0..{len(before) - 1} once."
    if after is None or len(after) != len(before) or not all(isinstance(each, str) and each.strip() for each in after):
        return f"returned the options {version.options!r:.60}. Return {len(before)} texts, one for each option."
    if version.answer != to_shown(original.answer, order):
        return f"returned {version.answer!r} as the answer. It must be the place of the right option."
    if sorted(after) == sorted(before) and after != permute(before, order):
        return "moved options without saying so. Set `permutation`: option permutation[j] stands in place j."
    return ""


def _texts(version: Version) -> list[str] | None:
    return list(version.options) if isinstance(version.options, list | tuple) else None


SEEN, UNSEEN, UNKNOWN = "seen", "unseen", "unknown"
FAMILY = "family"  # the column that `rewards.perturbed_rows` writes
_OF_REWARDS = {
    "perturbation_consistency": SEEN_FAMILIES,
    "unseen_perturbation_consistency": UNSEEN_FAMILIES,
    "answer_consistency": ("option_order",),  # its second answers come after a shuffle
}


class TrainedFamilies(NamedTuple):
    """What is known of the families that a model was trained on."""

    seen: dict[str, str]  # families that were trained on, and what says so
    doubt: str = ""  # why others may have been, too; empty if runs and data were read whole

    def standing(self, family: str) -> str:
        """Returns `seen`, `unseen` or `unknown`."""
        return SEEN if family in self.seen else UNKNOWN if self.doubt else UNSEEN


def trained_families(path: Path | None) -> TrainedFamilies:
    """Reads which families a run, and those it started from, trained on: in recipes and data files, not on the hub."""
    if path is None:
        return TrainedFamilies({}, "there is no recipe beside the model; `--recipe` names one")
    seen: dict[str, str] = {}
    doubts: list[str] = []
    read: set[Path] = set()
    while path is not None and path.resolve() not in read:
        read.add(path.resolve())
        try:
            recipe = load_for_evaluation(path)
        except RecipeError as error:
            doubts.append(f"{path} cannot be read: {error}")
            break
        try:
            found = list(_of_data(recipe))
        except DataError as error:
            found = []
            doubts.append(f"the training data cannot be read: {error}")
        seen = dict([*_of_settings(recipe), *found]) | seen
        path = recipe_path(None, recipe.model.model_name_or_path)
    return TrainedFamilies(seen, "; ".join(doubts))


def _of_settings(recipe: Recipe) -> Iterator[tuple[str, str]]:
    # Where there are some, second answers come after these, and after no shuffle.
    changing = getattr(recipe.settings, "families", None) or ()
    for spec in recipe.reward_funcs:
        name = short_name(spec)
        if changing and name == "answer_consistency":
            continue
        named = recipe.reward_kwargs.get(name, {}).get("families", _OF_REWARDS.get(name, ()))
        for family in named if isinstance(named, list | tuple) else ():
            yield str(family), f"`{name}` in {recipe.path}"
    for family in changing:
        yield short_name(str(family)), f"`families` in {recipe.path}"
    for family in getattr(recipe.dataset, "perturb", None) or ():
        yield family, f"`dataset.perturb` in {recipe.path}"
    if getattr(recipe.dataset, "shuffle_options", False):
        yield "option_order", f"`shuffle_options` in {recipe.path}"


def _of_data(recipe: Recipe) -> Iterator[tuple[str, str]]:
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


class FamilyVersion(NamedTuple):
    """What a family makes of a question."""

    family: str
    standing: str  # seen, unseen or unknown
    version: Version | None  # None where it changes nothing


@dataclass(frozen=True)
class PerturbedQuestion:
    """A question."""

    id: str
    question: str  # what is perturbed: the question, or the text of the prompt's last message
    options: tuple[str, ...] | None  # None for a question whose answer is a text
    answer: int | tuple[str, ...]  # index of the right option, else the texts that are right
    as_it_stands: bool  # a prompt as the model reads it, not put into words of ours
    messages: tuple[dict[str, Any], ...] | None  # those before the question; None for a prompt that is a text
    group: str | None
    row: int
    versions: tuple[FamilyVersion, ...] = ()  # by family
    # all that its row has, for families
    columns: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def original(self) -> Version:
        """The question as it is asked first."""
        if self.options is None:
            return Version(self.question, None, self.answer, columns=self.columns)
        identity = tuple(range(len(self.options)))
        return Version(self.question, list(self.options), self.answer, identity, self.columns)

    @property
    def right(self) -> frozenset[Any]:
        """The answers that are right, as `read_answer` reads them."""
        return frozenset([self.answer] if isinstance(self.answer, int) else map(normalise_text, self.answer))


def load(source: SuiteSource, options: Any) -> LoadedRows:
    """Loads the questions and makes their versions, before any model is asked."""
    families = find_families(options.families)
    loaded = load_suite_rows(source, ("answer",), _check, ADAPTERS)
    trained = trained_families(source.recipe_path)
    rows = [
        replace(
            row,
            versions=tuple(
                FamilyVersion(
                    each.name,
                    trained.standing(each.name),
                    make_version(each, row.original, row.id, row.row, seed=source.seed),
                )
                for each in families
            ),
        )
        for row in loaded.rows
    ]
    if not any(made.version for row in rows for made in row.versions):
        raise UserError(
            f"No family of {', '.join(each.name for each in families)} changes any question of {source.path}. Name "
            "others as `--families`."
        )
    settings: dict[str, JsonValue] = {"families": {each.name: trained.standing(each.name) for each in families}}
    if says := {each.name: trained.seen[each.name] for each in families if each.name in trained.seen}:
        settings["seen"] = dict(says)
    if trained.doubt:
        settings["unknown"] = trained.doubt
    return loaded._replace(rows=rows, settings=settings)


def _check(row: Mapping[str, Any], name: str, number: int) -> PerturbedQuestion:
    if media := next((column for column in MEDIA if row.get(column)), None):
        raise BadRow(media, row[media], "the question has images, and versions are of texts", "Leave the row out.")
    group, messages = check_label("group", row.get("group")), None
    if row.get("options") is not None:
        checked = check_row(row)
        question, options, answer = checked.question, checked.options, cast(int, checked.answer)
        return PerturbedQuestion(name, question, options, answer, False, None, group, number, columns=row)
    right = _check_answer(row)
    as_it_stands = row.get("question") is None and row.get("prompt") is not None
    prompt = check_prompt(row["prompt"]) if as_it_stands else check_text(row, "question", what="question")
    if not isinstance(prompt, str):
        *before, last = prompt
        if last["role"] != "user":
            raise BadRow("prompt", last, "the last message is not the user's", "End with the user's: it is answered.")
        messages, prompt = tuple(before), last["content"]
    return PerturbedQuestion(name, prompt, None, right, as_it_stands, messages, group, number, columns=row)


def _check_answer(row: Mapping[str, Any]) -> tuple[str, ...]:
    answer = row.get("answer")
    if isinstance(answer, float):
        rule = "the answer is a number with decimals, and answers are compared as texts"
        raise BadRow("answer", answer, rule, "Write it as it is to be answered, in quotes.")
    is_number = isinstance(answer, int) and not isinstance(answer, bool)
    texts = check_texts({"answer": str(answer)} if is_number else row, "answer")
    if not all(map(normalise_text, texts)):
        raise BadRow("answer", answer, "an answer is only full stops, which do not count", "Write more than that.")
    return texts
