"""What an evaluation asks of a policy: responses to questions, and a letter that follows from a given beginning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from align.data.media.video import VideoMetadata
from align.data.questions.multiple_choice import Question
from align.errors import UserError
from rewards.reading.options import parse_choice
from rewards.reading.responses import DEFAULT_FORMAT, Response, ResponseFormat, parse_response


@dataclass(frozen=True)
class Decoding:
    """How responses are decoded; recorded with every result."""

    temperature: float = 0.0  # 0 is greedy
    top_p: float = 1.0  # probability mass that sampling keeps
    num_samples: int = 1  # S, responses to each question
    max_new_tokens: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("num_samples", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise UserError(f"`{name}` must be at least 1, got {getattr(self, name)}.")
        if not 0 <= self.temperature < float("inf"):
            raise UserError(f"`temperature` must be a number from 0 (greedy), got {self.temperature}.")
        if not 0 < self.top_p <= 1:
            raise UserError(f"`top_p` must lie above 0 and be at most 1, got {self.top_p}.")
        if self.greedy and self.num_samples > 1:
            raise UserError(
                f"`num_samples` = {self.num_samples} greedy responses would all be the same. Give a `temperature` "
                "above 0."
            )

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken."""
        return self.temperature == 0

    @property
    def cuts(self) -> dict[str, float]:
        """What else bends the probabilities, by the name that transformers and vLLM have for it; nothing here."""
        return {}


@dataclass(frozen=True)
class CutDecoding(Decoding):
    """Decoding with what trainers may also set; of another type, so that what was kept before is found again."""

    top_k: int = 0  # tokens that are drawn from; 0 is all
    min_p: float = 0.0  # least probability, as a share of the likeliest token's
    repetition_penalty: float = 1.0  # divides the logits of tokens that were there

    @property
    def cuts(self) -> dict[str, float]:
        """What is not neutral."""
        return {name: getattr(self, name) for name, neutral in NO_CUTS.items() if getattr(self, name) != neutral}


NO_CUTS = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


class Prompt(NamedTuple):
    """What a policy answers, as it stands in the data."""

    id: str  # by which it is sampled
    content: str | list[dict[str, Any]]  # a text, or messages
    images: tuple[Any, ...] = ()  # in front of the text
    prefix: str = ""  # how the response begins; what is returned goes on from it
    stop: str = ""  # the response ends behind this text
    template: Mapping[str, Any] = {}  # `tools` and `chat_template_kwargs`, for the chat template
    video: VideoMetadata | None = None  # where the images are its frames


class Completion(NamedTuple):
    """One response."""

    text: str
    ids: tuple[int, ...] | None = None  # its tokens as generated; None from a policy without tokens


class Answered(NamedTuple):
    """A response that was read."""

    completion: Completion
    response: Response
    choice: int | None

    @property
    def before_letter(self) -> str | None:
        """The text up to the answer; None if there is no trace, or not one valid answer, to go on from."""
        if self.response.trace is None or self.choice is None:
            return None
        return self.completion.text[: self.response.answer_start]


class LetterQuestion(NamedTuple):
    """A question whose options are shown in some order, with the beginning of a response to it."""

    question: Question
    order: tuple[int, ...]  # option `order[j]` stands in place `j`
    prefix: str  # the response up to, and without, the letter
    first: Answered | None = None  # the response that `prefix` was cut from, if nothing was changed


class Completes(Protocol):
    """What a runner needs of a policy that answers prompts; a model behind any engine, or a script."""

    fingerprint: str  # two policies with the same one give the same answers
    chunk_size: int  # prompts whose answers are kept at once

    def complete(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[list[Completion]]:
        """Returns S responses to each prompt."""


class Policy(Protocol):
    """What the runners need of a policy; a model behind any engine, or a script."""

    fingerprint: str  # two policies with the same one give the same answers
    chunk_size: int  # questions whose answers are kept at once

    def generate(self, questions: Sequence[Question], decoding: Decoding) -> list[list[Completion]]:
        """Returns S responses to each question, its options in their own order."""

    def score_letters(self, rows: Sequence[LetterQuestion]) -> list[list[float]]:
        """Returns, for each row, K log-probabilities of the live letters as the next token."""

    def show_prompt(self, question: Question) -> str:
        """Returns the prompt as the policy reads it."""


def read(question: Question, completion: Completion, response_format: ResponseFormat = DEFAULT_FORMAT) -> Answered:
    """Takes a response apart and reads its choice."""
    response = parse_response(completion.text, response_format)
    return Answered(completion, response, parse_choice(response.answer, question.options))
