"""What `evaluation.json` holds of policies that a suite with rows of its own measured."""

from pydantic import Field, JsonValue

from align.evaluation.record.answers import Answers, Decoded, Run
from align.evaluation.record.policies import Source


class Prompted(Decoded):
    """How responses were decoded and read, and whether questions were messages."""

    conversational: bool | None
    system_prompt: str | None
    think_tag: str
    answer_tag: str


class AboutSuite(Run):
    """What was run; `headline` has the metrics to show first, `settings` the suite's own options by name."""

    rows: str
    headline: list[str]
    profile: Prompted
    reference: Source | None
    judge: Source | None = None  # written where one was asked
    settings: dict[str, JsonValue]


class SuiteRecord(Answers):
    """An evaluation by one suite; `shares` has the metrics whose values lie between 0 and 1 by their nature."""

    about: AboutSuite
    shares: list[str] = Field(default_factory=list)
