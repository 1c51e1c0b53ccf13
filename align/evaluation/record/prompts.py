"""What `evaluation.json` holds of policies whose answers to prompts were measured by rewards."""

from pydantic import Field, FiniteFloat, JsonValue

from align.evaluation.record.answers import Answers, Decoded, Run
from align.evaluation.record.values import Part


class MeasuredReward(Part):
    """A reward that measured; `invalid` counts its failures by model and kind."""

    name: str
    spec: str
    role: str  # `reward` or `audit`
    better: str | None = None  # which values are: `higher`, `lower` or `neither`; None in files of earlier versions
    right_from: FiniteFloat | None  # a response with less is wrong; None if no value says so
    invalid: dict[str, dict[str, int]]


class Sampled(Decoded):
    """How responses were decoded and read."""

    think_tag: str
    answer_tag: str
    pass_at_k: list[int]
    media: dict[str, JsonValue] | None = None  # written where prompts have images


class AboutPrompts(Run):
    """What was run; each suite has the name of its reward."""

    profile: Sampled
    rewards: list[MeasuredReward]


class PromptsRecord(Answers):
    """An evaluation of policies on prompts; `shares` has the metrics that are shares of responses, or chances."""

    about: AboutPrompts
    shares: list[str] = Field(default_factory=list)

    @property
    def sides(self) -> dict[str, str]:
        """Which values of each reward are better, by its name."""
        by_role = {"reward": "higher", "audit": "neither"}
        return {each.name: each.better or by_role.get(each.role, "neither") for each in self.about.rewards}
