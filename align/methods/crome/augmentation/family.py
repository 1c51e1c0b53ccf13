"""What is made from one pair: rows for a trainer, and what was left out and why."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from align.data.conversations import write_response
from align.data.pairs.reward_pairs import NEUTRAL, RewardPair, check_reward_pair
from align.data.problems import BadRow
from align.data.texts import check_values
from align.methods.crome.augmentation.oracle import Case, Profile
from align.methods.crome.augmentation.originals import read_question

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
