"""Asks models: questions, prompts, and how likely texts are; chunk by chunk, and nothing twice."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

from align.data.media.video import VideoMetadata
from align.data.prompt_rows import PromptRow
from align.data.questions.multiple_choice import Question
from align.data.questions.templates import PromptTemplate
from align.errors import UserError
from align.evaluation.divided import current
from align.models.answer_cache import AnswerCache
from align.models.policies.answer_keys import VERSION, digest, question_key, shown_names
from align.models.policies.asking import (
    Answered,
    Completes,
    Completion,
    Decoding,
    LetterQuestion,
    Policy,
    Prompt,
    read,
)
from rewards.reading.responses import DEFAULT_FORMAT, ResponseFormat

Progress = Callable[[str, int, int], None]  # what is asked, how many are done, of how many


class KeptAnswers:
    """Asks in the order of length, in chunks, so that a run that was killed, or is divided, asks the same chunks."""

    def __init__(self, cache: AnswerCache | None = None, progress: Progress | None = None) -> None:
        self.num_cached = 0  # answers that came from the cache
        self._cache = cache
        self._progress = progress or (lambda stage, done, total: None)

    def ask(
        self,
        stage: str,
        ask: Callable[[list[int]], list[Any]],
        contents: Sequence[Any],  # what each answer depends on, for JSON; equal contents have equal answers
        lengths: Sequence[int],
        size: int,  # items of a chunk
    ) -> list[Any]:
        """Returns an answer to each item."""
        division = current()
        has_keys = self._cache is not None or division.compares
        keys = [digest([VERSION, *content]) for content in contents] if has_keys else []
        division.begin(stage, keys)
        found: dict[int, Any] = {}
        twins: dict[int, int] = {}  # items by the place of an equal one in an earlier chunk
        places: dict[str, int] = {}
        waiting: list[list[int]] = []
        order = sorted(range(len(contents)), key=lambda i: (lengths[i], i))
        chunks = [order[start : start + size] for start in range(0, len(order), size)]
        for number, part in enumerate(chunks):
            if self._cache is not None:
                twins |= {i: places[keys[i]] for i in part if keys[i] in places}
                places |= {keys[i]: i for i in part if i not in twins}
                known = division.from_main(partial(list, map(self._cache.get, [keys[i] for i in part])))
                found |= {i: answer for i, answer in zip(part, known, strict=True) if answer is not None}
            missing = [i for i in part if i not in found and i not in twins]
            self.num_cached += len(part) - len(missing)
            waiting += [missing] if missing else []
            if len(waiting) == division.size or number == len(chunks) - 1:
                for asked, answers in division.answer(waiting, ask):
                    found |= zip(asked, answers, strict=True)
                    if self._cache is not None and division.is_main:
                        self._cache.put({keys[i]: found[i] for i in asked})
                waiting = []
            self._progress(stage, min((number + 1) * size, len(order)), len(order))
        return [found[i] if i in found else found[twins[i]] for i in range(len(contents))]


class Asker:
    """Asks one policy, with its answers kept by item, in chunks of `policy.chunk_size`; see `KeptAnswers`."""

    def __init__(
        self,
        policy: Policy,
        *,
        response_format: ResponseFormat = DEFAULT_FORMAT,
        kept: KeptAnswers | None = None,
    ) -> None:
        self.policy = policy
        self.response_format = response_format
        self._kept = kept or KeptAnswers()

    def respond(
        self, questions: Sequence[Question], decoding: Decoding, *, stage: str = "answering"
    ) -> list[list[Answered]]:
        """Returns S responses to each question."""

        def ask(part: list[int]) -> list[Any]:
            return self.policy.generate([questions[i] for i in part], decoding)

        lengths = [_length(question) for question in questions]
        whose, profile = [self.policy.fingerprint, "responses"], asdict(decoding)
        contents = [[*whose, [*question_key(each), profile]] for each in questions]
        found = self._kept.ask(stage, ask, contents, lengths, self.policy.chunk_size)
        return [
            [read(question, _completion(each), self.response_format) for each in responses]
            for question, responses in zip(questions, found, strict=True)
        ]

    def choose(self, stage: str, groups: Sequence[Sequence[LetterQuestion]]) -> list[list[int]]:
        """Returns the likeliest letter of each question as an index into its own options, by groups of one item."""

        def ask(part: list[int]) -> list[Any]:
            scores = iter(self.policy.score_letters([row for i in part for row in groups[i]]))
            return [[next(scores) for _ in groups[i]] for i in part]

        lengths = [_length(rows[0].question) if rows else 0 for rows in groups]
        contents = [[self.policy.fingerprint, "letters", _letter_keys(rows)] for rows in groups]
        widest = max((len(rows) for rows in groups), default=1) or 1
        found = self._kept.ask(stage, ask, contents, lengths, max(1, 4 * self.policy.chunk_size // widest))
        return [
            [row.order[scores.index(max(scores))] for row, scores in zip(rows, answers, strict=True)]
            for rows, answers in zip(groups, found, strict=True)
        ]


def _completion(kept: Sequence[Any]) -> Completion:
    text, ids = kept
    return Completion(text, None if ids is None else tuple(ids))


def _letter_keys(rows: Sequence[LetterQuestion]) -> list[Any]:
    """Lists what the answers depend on, each thing that the rows share once."""
    questions = {id(row.question): question_key(row.question) for row in rows}
    firsts = {id(row.first): list(row.first.completion.ids or ()) for row in rows if row.first is not None}
    prefixes = list(dict.fromkeys(row.prefix for row in rows))
    shown = [[row.order, prefixes.index(row.prefix), row.first is not None] for row in rows]
    return [list(questions.values()), list(firsts.values()), prefixes, shown]


def _length(question: Question) -> int:
    return len(question.question) + sum(map(len, question.options))


def complete_prompts(
    policy: Completes, prompts: Sequence[Prompt], decoding: Decoding, kept: KeptAnswers, *, stage: str = "answering"
) -> list[list[Completion]]:
    """Returns S responses to each prompt; those that are kept are not asked for again."""

    def ask(part: list[int]) -> list[Any]:
        return policy.complete([prompts[i] for i in part], decoding)

    profile = asdict(decoding)
    contents = [[policy.fingerprint, "completions", [*_seen(prompt), profile]] for prompt in prompts]
    lengths = [len(str(prompt.content)) + len(prompt.prefix) for prompt in prompts]
    found = kept.ask(stage, ask, contents, lengths, policy.chunk_size)
    return [list(map(_completion, each)) for each in found]


def as_prompts(rows: Sequence[PromptRow]) -> list[Prompt]:
    """Takes what a policy sees out of rows."""
    return [Prompt(row.id, row.prompt, row.images, video=row.video) for row in rows]


def check_ks(ks: Sequence[int], num_samples: int) -> tuple[int, ...]:
    """Returns each k once, in order; by default 1 and the number of samples."""
    for k in ks:
        if k < 1 or k > num_samples:
            raise UserError(
                f"`pass_at_k` must lie between 1 and `num_samples`, got {k} with {num_samples} sample(s) of each "
                f"prompt. Give `--num_samples {max(k, 2)} --temperature 1`, or a smaller k."
            )
    return tuple(sorted({*ks} or {1, num_samples}))


def _seen(prompt: Prompt) -> list[Any]:
    seen: list[Any] = [prompt.id, prompt.content, *shown_names(prompt.images, prompt.video)]
    if prompt.template:
        seen.append({"template": dict(prompt.template)})
    return [*seen, {"prefix": prompt.prefix, "stop": prompt.stop}] if prompt.prefix or prompt.stop else seen


TEXTS_AT_ONCE = 64  # whose likelihoods are kept together


class Text(NamedTuple):
    """A text behind a prompt, scored as if the model had written it."""

    id: str
    prompt: str | list[dict[str, Any]]
    text: str
    images: tuple[Any, ...] = ()  # of the prompt; the frames of a video included
    video: VideoMetadata | None = None  # where the images are its frames

    @property
    def key(self) -> tuple[str, ...]:
        """Names what a model reads; equal texts are read once."""
        prompt = self.prompt if isinstance(self.prompt, str) else repr(self.prompt)
        return (prompt, self.text, *map(str, shown_names(self.images, self.video)))


Scores = Callable[[Sequence[Text]], list[list[float]]]  # log-probabilities of each text's tokens, in nats


@dataclass(frozen=True)
class Asking:
    """How models are asked, the same for all."""

    decoding: Decoding
    response_format: ResponseFormat = DEFAULT_FORMAT
    options: Any = None  # the suite's own
    seed: int = 0
    task: Any = None  # what `load` hands on beside the rows
    name: str = ""  # of the model
    path: str = ""  # and where it is


@dataclass
class Subject:
    """A model that is asked."""

    policy: Completes
    scores: Scores | None  # None where an engine cannot say how likely texts are
    kept: KeptAnswers
    _: KW_ONLY
    conversational: bool = False  # whether a question that a suite words is a message
    system_prompt: str | None = None
    template: Any = None  # makes prompts of questions with options; by default ours
    model: Any = None  # what transformers runs, for a suite that reads it itself; None of another engine
    tokenizer: Any = None  # or the processor, where there are images
    checkpoint: Any = None  # where it is from
    identity: str = ""  # of weights, precision and engine: two subjects with the same one answer alike

    def __post_init__(self) -> None:
        ours = PromptTemplate(system_prompt=self.system_prompt, conversational=self.conversational)
        self.template = self.template or ours
        self.identity = self.identity or self.policy.fingerprint

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
        """Returns the log-probabilities of the tokens of each text behind its prompt, in nats, each read once."""
        if (scores := self.scores) is None:
            raise ValueError("This policy does not say how likely texts are.")
        keys = [each.key for each in texts]
        different = list(dict.fromkeys(keys))
        first = dict(zip(reversed(keys), reversed(texts), strict=True))
        asked = [first[key] for key in different]

        def ask(part: list[int]) -> list[Any]:
            return scores([asked[i] for i in part])

        contents = [
            [self.identity, "log-probs", each.prompt, each.text, *shown_names(each.images, each.video)]
            for each in asked
        ]
        lengths = [len(prompt) + len(text) for prompt, text, *_ in different]
        found = dict(zip(different, self.kept.ask(stage, ask, contents, lengths, TEXTS_AT_ONCE), strict=True))
        return [found[key] for key in keys]


def model_scores(model: Any, tokenizer: Any) -> Scores:
    """Returns what reads texts with a model and its tokenizer or processor.

    Prompt and text are tokenised apart, as when generating.
    """
    words = getattr(tokenizer, "tokenizer", tokenizer)

    def scores(texts: Sequence[Text]) -> list[list[float]]:
        from align.models.likelihood import Tokens, token_nll
        from align.models.policies.token_policy import TokenPrompts
        from align.models.policies.vision_prompts import VisionPrompts

        prompts = [Prompt(each.id, each.prompt, each.images, video=each.video) for each in texts]
        encoded: list[tuple[list[int], dict[str, Any]]]
        if words is tokenizer:
            encoded = [(ids, {}) for ids in TokenPrompts(words, PromptTemplate()).encode_prompts(prompts)]
        else:
            made = map(VisionPrompts(tokenizer, PromptTemplate()).process, prompts)
            encoded = [(row.prompt_ids, row.images) for row in made]
        start = [words.bos_token_id if words.bos_token_id is not None else words.eos_token_id]
        rows = [
            Tokens(ids or start, words(each.text, add_special_tokens=False)["input_ids"], images)
            for (ids, images), each in zip(encoded, texts, strict=True)
        ]
        found = token_nll(model, rows, pad_token_id=int(words.pad_token_id))
        return [[-nll for nll in each] for each in found]

    return scores
