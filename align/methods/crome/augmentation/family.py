"""What is made from one preference pair: originals, rows for a trainer, ties that need no oracle, what is left out."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Unpack

from align.data.conversations import Message, conversation_text, write_response
from align.data.files import RawRow, Row
from align.data.loading import RowOptions, load_rows
from align.data.pairs.pair import check_texts
from align.data.pairs.phrases import FRONT, insert_phrase
from align.data.pairs.reward_pairs import CAUSAL, NEUTRAL, RewardPair, check_reward_pair, reward_pair_source
from align.data.problems import BadRow, DataReport
from align.data.texts import check_values
from align.errors import DataError, UserError
from align.methods.crome.augmentation.oracle import NUM_ATTRIBUTES, Case, Profile
from align.methods.pairs.augmentation.folder import SamplingSettings, check_choice


def load_originals(path: str, **reading: Unpack[RowOptions]) -> tuple[list[RewardPair], DataReport]:
    """Loads pairs as `load_reward_pairs` does, and takes only those with an order that no augmentation made."""
    source = reward_pair_source(path, split=reading.get("split"))

    def check(row: Row, raw: RawRow) -> RewardPair:
        checked = source.check(row, raw)
        check_texts(checked)
        remedy = "Give the pairs that people or models were asked about, without those made from them."
        if checked.source in (*CAUSAL, *NEUTRAL):
            raise BadRow("source", checked.source, "the pair was made by augmentation", remedy)
        if checked.tie:
            raise BadRow("tie", checked.tie, "a tie has no better answer to start from", remedy)
        return checked

    originals, report = load_rows(path, check, source.schema, DataReport, **reading)
    ids = {original.id for original in originals}
    for name in ids:  # such as `a/upgrade/tone` beside `a`, whose new pairs would bear it
        parts = name.split("/")
        for i, part in enumerate(parts[1:], 1):
            if part in (*CAUSAL, *NEUTRAL) and "/".join(parts[:i]) in ids:
                raise DataError(
                    f"{report.file}: the id {name!r} is kept for a pair made from {parts[0]!r}. Rename it."
                )
    return originals, report


def read_question(prompt: str | list[Message]) -> str:
    r"""Writes a prompt as one text; of several messages each begins with its role.

    Example:
        >>> read_question([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}])
        'system: Be brief.\n\nuser: Who?'
    """
    return conversation_text(prompt, "\n\n").strip()


REPEATED = "repeats another pair"


class LeftOut(NamedTuple):
    """A pair that was to be made, and is not there."""

    id: str  # that it would have
    origin: str
    source: str
    attribute: str | None
    reason: str  # one of few, so that it can be counted
    detail: str
    answer: str  # that would have been new, where there is one


@dataclass
class Family:
    """A pair, its descendants, and what could not be made."""

    original: RewardPair
    profiles: Sequence[Profile] = ()  # attributes that were used
    rows: list[dict[str, Any]] = field(default_factory=list)  # the pair itself and everything made from it
    left_out: list[LeftOut] = field(default_factory=list)

    @property
    def case(self) -> Case:
        """The pair as an oracle reads it."""
        return Case(read_question(self.original.prompt), self.original.chosen, self.original.rejected)

    def add(
        self, source: str, profile: Profile | None, answers: tuple[str, str], generator: str | None, check: str | None
    ) -> None:
        """Adds a better and a worse answer, or two that tie, to the same prompt, or says why none could read it."""
        original = self.original
        row = make_row(original, self.name(source, profile), source, answers) | {
            "attribute": profile and profile.attribute.name,
            "weight": profile and round(profile.attribute.weight, 6),
            "generator": generator,
            "check": check,
        }
        try:
            check_values(row)
            check_reward_pair(row)
        except BadRow as bad:
            new = next((answer for answer in answers if answer not in (original.chosen, original.rejected)), "")
            self.leave_out(source, profile, f"unusable pair: {bad.rule}", answer=new)
        else:
            self.rows.append(row)

    def take(self, part: "Family") -> None:
        """Takes over what was made of the same pair; two answers that stand beside each other already are left out."""
        self.left_out += part.left_out
        for row in part.rows:
            if any(row["chosen"] == each["chosen"] and row["rejected"] == each["rejected"] for each in self.rows):
                left = LeftOut(row["id"], self.original.id, row["source"], row["attribute"], REPEATED, "", "")
                self.left_out.append(left)
            else:
                self.rows.append(row)

    def leave_out(self, source: str, profile: Profile | None, reason: str, detail: str = "", answer: str = "") -> None:
        """Writes down a pair that is not there."""
        attribute = profile.attribute.name if profile else None
        name, origin = self.name(source, profile), self.original.id
        self.left_out.append(LeftOut(name, origin, source, attribute, reason, detail, answer))

    def name(self, source: str, profile: Profile | None = None) -> str:
        """Names a pair after the one it is made from."""
        return "/".join([self.original.id, source, *([profile.attribute.name] if profile else [])])


def make_row(original: RewardPair, name: str, source: str, answers: tuple[str, str]) -> dict[str, Any]:
    """Makes a row under the prompt of a pair, in its form."""
    chosen, rejected = answers
    return {
        "id": name,
        "prompt": original.prompt,
        "chosen": write_response(chosen, original.prompt),
        "rejected": write_response(rejected, original.prompt),
        "tie": source in NEUTRAL,
        "source": source,
        "attribute": None,
        "weight": None,
        "generator": None,
        "check": None,
        "origin": original.id,
        "answers_of": original.id,
        "prompt_of": original.id,
    }


SOURCE = "irrelevant_query"
NO_OTHER = "no other question"


def add_irrelevant_queries(families: Sequence[Family], seed: int, ties_of: str = "any") -> None:
    """Adds one tie to each family: one of its ordered pairs under the prompt of another family.

    A family's draw depends on its own pairs and on the list of originals, not on what became of other families.
    `ties_of="any"` draws among the original and the edited pairs, `"original"` takes the original one.
    """
    originals = [family.original for family in families]
    for i, family in enumerate(families):
        rng = random.Random(f"{seed}/{SOURCE}/{family.original.id}")
        pairs = [row for row in family.rows if not row["tie"]]
        drawn = rng.choice(pairs if ties_of == "any" else pairs[:1])
        other = draw_other(originals, i, rng)
        if other is None:
            family.leave_out(SOURCE, None, NO_OTHER)
            continue
        answers = _text(drawn["chosen"]), _text(drawn["rejected"])
        about = {"origin": family.original.id, "answers_of": drawn["id"], "attribute": drawn["attribute"]}
        family.rows.append(make_row(other, family.name(SOURCE), SOURCE, answers) | about)


def draw_other(originals: Sequence[RewardPair], i: int, rng: random.Random) -> RewardPair | None:
    """Draws an original with another question in the same form: the first from a random place on."""
    own, start = originals[i], rng.randrange(len(originals))
    for k in range(len(originals)):
        other = originals[(start + k) % len(originals)]
        same_form = isinstance(other.prompt, str) == isinstance(own.prompt, str)
        if same_form and read_question(other.prompt) != read_question(own.prompt):
            return other
    return None


def _text(response: str | list[dict[str, str]]) -> str:
    return response if isinstance(response, str) else response[-1]["content"]


INSERTED = "inserted_phrase"


def add_inserted_phrases(families: Sequence[Family], phrases: Sequence[str], seed: int) -> None:
    """Adds one tie to each family, drawn by its original and the phrases alone: an answer, and it with a phrase."""
    for family in families:
        original = family.original
        rng = random.Random(f"{seed}/{INSERTED}/{original.id}")
        answer = rng.choice((original.chosen, original.rejected))
        family.add(INSERTED, None, (answer, insert_phrase(answer, rng.choice(phrases), FRONT)), None, None)


NO_NEUTRALS = "none"
TIES_OF = ("any", "original")


@dataclass(frozen=True, kw_only=True)
class CromeSettings(SamplingSettings):
    """What decides the pairs of `--method crome`."""

    num_attributes: int = NUM_ATTRIBUTES  # those of the largest weight, along which answers are edited
    neutrals: Sequence[str] = ("irrelevant_query",)  # kinds of ties, names in `NEUTRAL`
    ties_of: str = "any"  # whose answers an irrelevant query gets: of `any` pair (the paper), or of the `original` one
    phrases: Sequence[str] = ()  # of `inserted_phrase`
    temperature: float = 0.0
    max_new_tokens: int = 2048

    def __post_init__(self) -> None:
        """Checks the values."""
        super().__post_init__()
        if not 1 <= self.num_attributes <= NUM_ATTRIBUTES:
            raise UserError(f"`num_attributes` must lie between 1 and {NUM_ATTRIBUTES}, got {self.num_attributes}.")
        check_choice("ties_of", self.ties_of, TIES_OF)
        for name in self.neutrals:
            check_choice("neutrals", name, (*NEUTRAL, NO_NEUTRALS))
        if NO_NEUTRALS in self.neutrals and len(self.neutrals) > 1:
            raise UserError(f"`neutrals` has {NO_NEUTRALS} beside other kinds. Leave one of them out.")
        if INSERTED in self.neutrals and not self.phrases:
            raise UserError(
                f"`neutrals` has {INSERTED}, and there are no phrases. Give a file of them with `--phrases`, such as "
                "the `phrases.txt` of `align eval --mine`."
            )
        if self.phrases and INSERTED not in self.neutrals:
            raise UserError(f"`phrases` are put in by ties of the kind {INSERTED} only. Add it to `neutrals`.")
        # In a fixed order, so that the same kinds make the same data whichever is named first.
        object.__setattr__(self, "neutrals", [name for name in NEUTRAL if name in self.neutrals])
