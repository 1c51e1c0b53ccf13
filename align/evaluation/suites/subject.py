"""A model as a suite asks it: what it answers, and how likely it finds texts; nothing is asked twice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from align.data.questions.templates import PromptTemplate
from align.evaluation.kept_answers import KeptAnswers
from align.evaluation.prompts.asking import complete_prompts
from align.models.policies.asking import Completes, Completion, Decoding, Prompt
from rewards.reading.responses import DEFAULT_FORMAT, ResponseFormat

TEXTS_AT_ONCE = 64  # whose likelihoods are kept together


class Text(NamedTuple):
    """A text behind a prompt.

    Attributes:
        id: Of its item.
        prompt: A text, or messages.
        text: What is scored, as if the model had written it.
    """

    id: str
    prompt: str | list[dict[str, Any]]
    text: str


Scores = Callable[[Sequence[Text]], list[list[float]]]  # log-probabilities of each text's tokens, in nats


@dataclass(frozen=True)
class Asking:
    """How models are asked, the same for all.

    Attributes:
        decoding: Of responses.
        response_format: Tags of trace and answer.
        options: The suite's own options, by name.
        seed: Of what is drawn.
    """

    decoding: Decoding
    response_format: ResponseFormat = DEFAULT_FORMAT
    options: Any = None
    seed: int = 0


class Subject:
    """A model that is asked.

    Args:
        policy: Answers prompts.
        scores: How likely it finds texts; None where an engine cannot say it.
        kept: Keeps answers.
        conversational: Whether a question that a suite words is a message.
        system_prompt: Before such messages.
        template: Makes prompts of questions with options; by default ours.
        model: What transformers runs, for a suite that reads it itself; None of another engine.
        tokenizer: Of it.
        identity: Of weights, precision and engine: two subjects with the same one answer alike.
    """

    def __init__(
        self,
        policy: Completes,
        scores: Scores | None,
        kept: KeptAnswers,
        *,
        conversational: bool = False,
        system_prompt: str | None = None,
        template: PromptTemplate | None = None,
        model: Any = None,
        tokenizer: Any = None,
        identity: str = "",
    ) -> None:
        self.policy = policy
        self.kept = kept
        self.conversational = conversational
        self.system_prompt = system_prompt
        self.template = template or PromptTemplate(system_prompt=system_prompt, conversational=conversational)
        self.model = model
        self.tokenizer = tokenizer
        self.identity = identity or policy.fingerprint
        self._scores = scores

    def word(self, question: str) -> str | list[dict[str, Any]]:
        """Makes a prompt of a question that stands in no data: a text, or messages where the model reads those."""
        if not self.conversational:
            return question
        first = [{"role": "system", "content": self.system_prompt}] if self.system_prompt else []
        return [*first, {"role": "user", "content": question}]

    def complete(
        self, prompts: Sequence[Prompt], decoding: Decoding, *, stage: str = "answering"
    ) -> list[list[Completion]]:
        """Returns S responses to each prompt."""
        return complete_prompts(self.policy, prompts, decoding, self.kept, stage=stage)

    def log_probs(self, texts: Sequence[Text], *, stage: str = "reading") -> list[list[float]]:
        """Returns the log-probabilities of the tokens of each text behind its prompt, in nats, each read once.

        Raises:
            ValueError: If the engine cannot say it.
        """
        if self._scores is None:
            raise ValueError("This policy does not say how likely texts are.")
        scores = self._scores
        different = list(dict.fromkeys((_key(each.prompt), each.text) for each in texts))
        first = {(_key(each.prompt), each.text): each for each in reversed(texts)}
        asked = [first[key] for key in different]

        def ask(part: list[int]) -> list[Any]:
            return scores([asked[i] for i in part])

        contents = [[self.identity, "log-probs", each.prompt, each.text] for each in asked]
        lengths = [len(key) + len(text) for key, text in different]
        found = dict(zip(different, self.kept.ask(stage, ask, contents, lengths, TEXTS_AT_ONCE), strict=True))
        return [found[_key(each.prompt), each.text] for each in texts]


def model_scores(model: Any, tokenizer: Any) -> Scores:
    """Returns what reads texts with a model; prompt and text are tokenised apart, as when generating."""

    def scores(texts: Sequence[Text]) -> list[list[float]]:
        from align.models.likelihood import Tokens, token_nll
        from align.models.policies.token_policy import TokenPrompts

        prompts = TokenPrompts(tokenizer, PromptTemplate())
        encoded = prompts.encode_prompts([Prompt(each.id, each.prompt) for each in texts])
        start = [tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id]
        rows = [
            Tokens(ids or start, tokenizer(each.text, add_special_tokens=False)["input_ids"])
            for ids, each in zip(encoded, texts, strict=True)
        ]
        found = token_nll(model, rows, pad_token_id=int(tokenizer.pad_token_id))
        return [[-nll for nll in each] for each in found]

    return scores


def _key(prompt: str | list[dict[str, Any]]) -> str:
    return prompt if isinstance(prompt, str) else repr(prompt)
