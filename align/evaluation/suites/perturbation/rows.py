"""Questions, with or without options, and a version of each by every family."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from pydantic import JsonValue

from align.data.conversations import check_prompt
from align.data.media.rows import MEDIA
from align.data.problems import BadRow
from align.data.questions.adapters import ADAPTERS
from align.data.rules import check_label, check_row
from align.errors import UserError
from align.evaluation.suite import Loaded, Reading
from align.evaluation.suites.perturbation.families import find_families, make_version
from align.evaluation.suites.perturbation.trained_families import trained_families
from align.evaluation.suites.rows import check_text, check_texts, load_suite_rows
from rewards.scoring.perturbations import Version
from rewards.scoring.text_accuracy import normalise_text


class FamilyVersion(NamedTuple):
    """What a family makes of a question."""

    family: str
    standing: str  # seen, unseen or unknown
    version: Version | None  # None where it changes nothing


@dataclass(frozen=True)
class PerturbedQuestion:
    """A question.

    Attributes:
        id: Its name, unique in the data set.
        question: What is perturbed: the question, or the text of the prompt's last message.
        options: Texts of the options; None for a question whose answer is a text.
        answer: Index of the right option, else the texts that are right.
        as_it_stands: Whether it is a prompt as the model reads it, and not put into words of ours.
        messages: Those before the question; None for a prompt that is a text.
        group: For the page.
        row: Where it stood.
        versions: By family.
        columns: All that its row has, for families.
    """

    id: str
    question: str
    options: tuple[str, ...] | None
    answer: int | tuple[str, ...]
    as_it_stands: bool
    messages: tuple[dict[str, Any], ...] | None
    group: str | None
    row: int
    versions: tuple[FamilyVersion, ...] = ()
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


def load(reading: Reading, options: Any) -> Loaded:
    """Loads the questions and makes their versions, before any model is asked.

    Raises:
        UserError: If a family or a row cannot be used, or no family changes any question.
    """
    families = find_families(options.families)
    loaded = load_suite_rows(reading, ("answer",), _check, ADAPTERS)
    trained = trained_families(reading.recipe)
    rows = [
        replace(
            row,
            versions=tuple(
                FamilyVersion(
                    each.name,
                    trained.standing(each.name),
                    make_version(each, row.original, row.id, row.row, seed=reading.seed),
                )
                for each in families
            ),
        )
        for row in loaded.rows
    ]
    if not any(made.version for row in rows for made in row.versions):
        raise UserError(
            f"No family of {', '.join(each.name for each in families)} changes any question of {reading.path}. Name "
            "others as `--families`."
        )
    settings: dict[str, JsonValue] = {"families": {each.name: trained.standing(each.name) for each in families}}
    if says := {each.name: trained.seen[each.name] for each in families if each.name in trained.seen}:
        settings["seen"] = dict(says)
    if trained.doubt:
        settings["unknown"] = trained.doubt
    return loaded._replace(rows=rows, settings=settings)


def _check(row: Mapping[str, Any], name: str, number: int) -> PerturbedQuestion:
    return replace(_question(row, name, number), columns=row)


def _question(row: Mapping[str, Any], name: str, number: int) -> PerturbedQuestion:
    if media := next((column for column in MEDIA if row.get(column)), None):
        raise BadRow(media, row[media], "the question has images, and versions are of texts", "Leave the row out.")
    group = check_label("group", row.get("group"))
    if row.get("options") is not None:
        checked = check_row(row)
        return PerturbedQuestion(
            name, checked.question, checked.options, checked.answer, False, None, checked.group, number
        )
    answer = _check_answer(row)
    if row.get("question") is not None or row.get("prompt") is None:
        question = check_text(row, "question", what="question")
        return PerturbedQuestion(name, question, None, answer, False, None, group, number)
    prompt = check_prompt(row["prompt"])
    if isinstance(prompt, str):
        return PerturbedQuestion(name, prompt, None, answer, True, None, group, number)
    *before, last = prompt
    if last["role"] != "user":
        raise BadRow("prompt", last, "the last message is not the user's", "End with the user's: it is answered.")
    return PerturbedQuestion(name, last["content"], None, answer, True, tuple(before), group, number)


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
