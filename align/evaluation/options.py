"""The options that evaluations share, by what they are about; those of one suite stand in its folder."""

from dataclasses import dataclass
from pathlib import Path

from align.options import COLUMNS, Computing, Reading, option


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """What is evaluated."""

    baseline: list[str] | None = option(None, "What to compare with, on the same items; several words.")
    data: str | None = option(None, "The rows: a file, a folder or a hub id.")
    out: Path = option(..., "Folder for the results; the same command continues in it.")
    recipe: str | None = option(
        None,
        "Recipe for prompt, tags, length and columns; by default the `recipe.yaml` of the model's run.",
    )
    columns: str = option("", COLUMNS)
    seed: int = option(0, "Seed of all that is drawn: samples, shuffles, changes to traces, probed pairs.")

    @property
    def asked(self) -> str:
        """The model that is asked about."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class PolicyOptions(EvaluationOptions):
    """What is evaluated."""

    model: str = option(..., "Policy: folder or hub id of a model or an adapter.")

    @property
    def asked(self) -> str:
        """The policy."""
        return self.model


@dataclass(frozen=True, kw_only=True)
class Tagged:
    """How models are asked."""

    think_tag: str = option("think", "Tag around traces.", rare=True)
    answer_tag: str = option("answer", "Tag around answers.", rare=True)
    max_new_tokens: int = option(256, "Longest response in tokens.")


@dataclass(frozen=True, kw_only=True)
class Worded:
    """How models are asked."""

    system_prompt: str | None = option(None, "Message before every prompt.")
    conversational: bool | None = option(None, "Whether prompts are messages; by default if there is a chat template.")


@dataclass(frozen=True, kw_only=True)
class WithDecoding:
    """How models are asked."""

    temperature: float = option(0.0, "0 takes the likeliest token.")
    top_p: float = option(1.0, "Probability mass that sampling keeps.", rare=True)


@dataclass(frozen=True, kw_only=True)
class WithSamples(WithDecoding):
    """How models are asked."""

    num_samples: int = option(1, "Responses to each question.")


@dataclass(frozen=True, kw_only=True)
class ByEngine(Computing):
    """What runs the models."""

    backend: str = option("transformers", "transformers or vllm.")


@dataclass(frozen=True, kw_only=True)
class OfPolicies(Computing, Tagged, Reading, PolicyOptions):
    """What every evaluation of policies takes."""


@dataclass(frozen=True, kw_only=True)
class OwnRows(Worded, WithSamples, ByEngine, OfPolicies):
    """What every suite with rows of its own takes."""


@dataclass(frozen=True, kw_only=True)
class WithAdapter:
    """What is measured."""

    adapter: str | None = option(None, "Public schema of the rows, such as arc or mmlu.")


@dataclass(frozen=True, kw_only=True)
class WithOptions(WithAdapter):
    """What is measured."""

    prompt_template: str | None = option(None, "The prompt, with {question} and {options} once each.")


@dataclass(frozen=True, kw_only=True)
class WithReference:
    """What is measured."""

    reference: str | None = option(
        None,
        "Model that log-probs are compared with; by default adapter's base, recipe's model or only baseline.",
    )


@dataclass(frozen=True, kw_only=True)
class WithControl:
    """What is measured."""

    control: str | None = option(None, "Model that was trained on something harmless, beside the others.")


@dataclass(frozen=True, kw_only=True)
class WithJudge:
    """What is measured."""

    judge: str | None = option(None, "Model that judges the responses.")
