"""Takes traces up in a student's tokens, and what it is asked before each, so that a model can score them once."""

from array import array
from bisect import bisect_right
from collections.abc import Callable
from typing import Any, NamedTuple

from align.auditing.entry import Entry
from align.data.questions.templates import PromptTemplate
from align.errors import UserError
from align.models.reading import render
from rewards.reading.traces import step_spans

TEMPLATE = "{question}\n\n{options}"  # without instructions: which ones the student gets is not the data's


class ScoredTrace(NamedTuple):
    """One trace under the student.

    Attributes:
        id: Of its row.
        file: Of its row.
        row: Where it stood.
        prompt: Number of its prompt.
        source: Who wrote it; None where no column says so.
        correct: Whether it is right; None where nothing says so.
        num_tokens: Of the trace.
        nll: Mean negative log-likelihood of its tokens, in nats.
        steps: The same of each of its steps; those without a token of their own are left out.
    """

    id: str
    file: str
    row: int
    prompt: int
    source: str | None
    correct: bool | None
    num_tokens: int
    nll: float
    steps: list[float]


class _Row(NamedTuple):
    id: str
    file: str
    row: int
    prompt: int
    source: str | None
    correct: bool | None
    start: int
    text: int
    end: int


class TraceData:
    """Takes traces up.

    Args:
        tokenizer: The student's, with a padding token.
        window: Tokens it can read; None if any number.

    Attributes:
        num_long: Traces that are longer than the window, with their prompt.
        window: As given.
        num_with_images: Traces of rows with images, which a text alone does not ask for.
        num_empty: Traces without a token.

    Raises:
        UserError: If the tokenizer does not say where a token stands in the text.
    """

    def __init__(self, tokenizer: Any, window: int | None) -> None:
        if not tokenizer.is_fast:
            raise UserError(
                f"{tokenizer.name_or_path}: the tokenizer does not say where a token stands, which steps need. Save "
                "it with `tokenizer.json`."
            )
        self._tokenizer, self.window = tokenizer, window
        self._template = PromptTemplate(TEMPLATE, conversational=False)
        self._rows: list[_Row] = []
        self._prompts: dict[tuple[int, ...], int] = {}
        self._ids = array("i")
        self._step = array("i")
        self.num_long = self.num_with_images = self.num_empty = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, entry: Entry) -> None:
        """Takes a row up; each text is tokenised once."""
        trace = entry.trace
        assert trace is not None
        if entry.images:
            self.num_with_images += 1
            return
        prompt = self._prompt(entry)
        encoded = self._tokenizer(trace, add_special_tokens=False, return_offsets_mapping=True)
        ids = list(encoded["input_ids"])
        if not ids or not prompt:
            self.num_empty += 1
            return
        if self.window is not None and len(prompt) + len(ids) > self.window:
            self.num_long += 1
            return
        starts = [start for start, _ in step_spans(trace)]
        steps = [max(0, bisect_right(starts, start) - 1) for start, _ in encoded["offset_mapping"]]
        begin = len(self._ids)
        self._ids.extend([*prompt, *ids])
        self._step.extend([*[-1] * len(prompt), *steps])
        number = self._prompts.setdefault(tuple(prompt), len(self._prompts))
        text = begin + len(prompt)
        self._rows.append(
            _Row(entry.id, entry.file, entry.row, number, entry.source, entry.correct, begin, text, len(self._ids))
        )

    def score(self, model: Any, advance: Callable[[int], None] = lambda num: None) -> list[ScoredTrace]:
        """Scores every trace with a model, in the order of the rows."""
        from align.models.likelihood import Tokens, token_nll

        tokens = [Tokens(self._ids[row.start : row.text], self._ids[row.text : row.end]) for row in self._rows]
        pad = self._tokenizer.pad_token_id or 0  # masked
        return [
            self._scored(row, nll)
            for row, nll in zip(
                self._rows, token_nll(model, tokens, pad_token_id=pad, advance=advance), strict=True
            )
        ]  # fmt: skip

    def _scored(self, row: _Row, nll: list[float]) -> ScoredTrace:
        steps: dict[int, list[float]] = {}
        for step, each in zip(self._step[row.text : row.end], nll, strict=True):
            steps.setdefault(step, []).append(each)
        means = [_mean(each) for _, each in sorted(steps.items())]
        return ScoredTrace(*row[:6], len(nll), _mean(nll), means)

    def _prompt(self, entry: Entry) -> list[int]:
        asked = entry.prompt if entry.asked is None else entry.asked
        if len(entry.sides) > 1:
            asked = self._template.render(entry.prompt, entry.sides)
        messages = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
        if self._tokenizer.chat_template is not None:
            ids = render(self._tokenizer, messages, add_generation_prompt=True, tokenize=True, return_dict=False)
            return list(ids)
        text = asked if isinstance(asked, str) else entry.prompt
        return list(self._tokenizer(f"{text}\n")["input_ids"])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
