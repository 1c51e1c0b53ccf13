"""A class of the user's as oracle: rules that know a small world, for tests and for data with a known structure."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from align.errors import UserError
from align.methods.crome.augmentation.oracle import Attribute, Case, Element, Profile, Rubric, Verdict
from rewards.running.loading import find_in_file

NEEDED = (
    "rubric(question)",
    "edit(question, answer, attribute, direction)",
    "verify(question, original, edited, attribute, direction)",
)
OPTIONAL = {"paraphrase": "paraphrase(question, answer)", "causally_aligned": "align(question, chosen, rejected)"}


class Rules(Protocol):
    """What the class must have; the same arguments must give the same result.

    For ties of the kind `paraphrase` it has `paraphrase(question, answer)` too, for `causally_aligned`
    `align(question, chosen, rejected)`; both return a text.
    """

    def rubric(self, question: str) -> Sequence[tuple[str, float]]:
        """Lists attributes with weights that add up to 1."""

    def edit(self, question: str, answer: str, attribute: str, direction: str) -> str:
        """Writes an answer that is better (`upgrade`) or worse (`degrade`) in one attribute; the same is no edit."""

    def verify(self, question: str, original: str, edited: str, attribute: str, direction: str) -> bool:
        """Tells whether an edit changed what it should and nothing else."""


class RulesOracle:
    """Does what `LanguageOracle` does by calling the user's rules, and checks what they return."""

    def __init__(self, rules: Rules, name: str) -> None:
        self._rules, self.name = rules, name

    async def rubric(self, case: Case) -> list[Attribute]:
        """Reads the rules' attributes."""
        listed = self._call("rubric", case.question)
        try:
            attributes = [{"name": name, "weight": weight} for name, weight in listed]
            return Rubric.model_validate({"attributes": attributes}).heaviest(len(attributes))
        except (TypeError, ValueError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            rule = "[(name, weight), ...] with weights that add up to 1"
            raise self._error("rubric", case.question, f"must return {rule}, got {listed!r} ({reason})") from error

    async def elements(self, case: Case, attribute: Attribute) -> tuple[Element, ...]:
        """Lists none: rules need no words for what they look at."""
        return ()

    async def edit(self, question: str, answer: str, profile: Profile, direction: str) -> str:
        """Lets the rules edit."""
        return self._call_for_text("edit", question, answer, profile.attribute.name, direction)

    async def verify(self, question: str, before: str, after: str, attribute: Attribute, direction: str) -> Verdict:
        """Lets the rules judge."""
        passed = self._call("verify", question, before, after, attribute.name, direction)
        if not isinstance(passed, bool):
            raise self._error("verify", question, f"must return True or False, got {passed!r}")
        return Verdict(verdict="pass" if passed else "fail")

    async def paraphrase(self, question: str, answer: str) -> str:
        """Lets the rules reword."""
        return self._call_for_text("paraphrase", question, answer)

    async def align(self, case: Case, profiles: Sequence[Profile]) -> str:
        """Lets the rules mend the worse answer."""
        return self._call_for_text("align", *case)

    def _call_for_text(self, method: str, *arguments: str) -> str:
        text = self._call(method, *arguments)
        if not isinstance(text, str):
            raise self._error(method, arguments[0], f"must return a text, got {text!r}")
        return text

    def _call(self, method: str, *arguments: str) -> Any:
        function: Callable[..., Any] = getattr(self._rules, method)
        try:
            return function(*arguments)
        except Exception as error:  # a rule that breaks would break on every run: the user has to see it
            problem = f"failed with {type(error).__name__}: {error}"
            raise self._error(method, arguments[0], problem) from error

    def _error(self, method: str, question: str, problem: str) -> UserError:
        return UserError(f"`oracle` {self.name}: `{method}` {problem}. The question was {question!r}.")


def load_rules(spec: str, neutrals: Sequence[str]) -> tuple[RulesOracle, Path]:
    """Loads `path/to/rules.py:Rules`, which is called without arguments, and returns the oracle and its file."""
    path, _, name = spec.rpartition(":")
    if not path.endswith(".py") or not name:
        raise UserError(f"`oracle` must be written `path/to/rules.py:Rules`, got {spec!r}.")
    try:
        found, rules_class = find_in_file(spec, None)
    except ValueError as error:
        raise UserError(f"`oracle`: {str(error).removeprefix('Reward ')}") from error
    file = Path(found.rpartition(":")[0])
    shown = f"{file.name}:{name}"
    try:
        rules = rules_class()
    except Exception as error:  # whatever the class raises is the user's to see
        raise UserError(f"`oracle` {shown} cannot be built without arguments: {error}") from error
    _check_methods(rules, shown, neutrals)
    return RulesOracle(rules, shown), file


def _check_methods(rules: object, shown: str, neutrals: Sequence[str]) -> None:
    asked = [OPTIONAL[kind] for kind in neutrals if kind in OPTIONAL]
    missing = [each for each in (*NEEDED, *asked) if not callable(getattr(rules, each.partition("(")[0], None))]
    if missing:
        chosen = ",".join(neutrals) or "none"
        raise UserError(f"`oracle` {shown} has no {' and no '.join(missing)}; `--neutrals {chosen}` needs it.")
