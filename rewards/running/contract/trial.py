"""A reward under test: what is known of it and of the data, every call of it, and how long they take."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

from rewards.places import NOT_DATA, Row
from rewards.reading.responses import DEFAULT_FORMAT, ResponseFormat
from rewards.running.contract.calls import Call, Called
from rewards.running.contract.problem import FAULTS, RewardProblem
from rewards.running.contract.samples import SECOND_PASS, Sample, answer_samples, second_pass_columns, synthetic_rows
from rewards.running.contract.subject import Description, LocalSubject, RemoteSubject, Stopped

Form = Literal["text", "messages"]
TOLERANCE = 1e-4


def row_in_form(row: Mapping[str, Any], form: Form) -> dict[str, Any]:
    """Returns a row whose prompt is in a form."""
    prompt = row.get("prompt")
    if form == "messages" and isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    elif form == "text" and isinstance(prompt, list):
        prompt = "\n".join(str(message.get("content", "")) for message in prompt)
    return {**row, "prompt": prompt}


def first_difference(one: Sequence[float | None], other: Sequence[float | None]) -> int | None:
    """Finds the first place at which values differ by more than rounding."""
    for index, (a, b) in enumerate(zip(one, other, strict=True)):
        if a is None or b is None:
            if a is not b:
                return index
        elif abs(a - b) > TOLERANCE * max(1.0, abs(a), abs(b)):
            return index
    return None


def write_value(value: float | None) -> str:
    """Writes a value in few digits."""
    return "None" if value is None else f"{value + 0.0:.4g}"


class Settings(NamedTuple):
    """What a trial knows beside the reward."""

    rows: Sequence[Row] = ()  # of the data; without any, rows are made up
    form: Form | None = None  # how the data's completions come; None tries both
    response_format: ResponseFormat = DEFAULT_FORMAT  # tags of the right answers that are tried
    completions_per_step: int = 64  # that a process rewards, for the time of a step
    add_columns: Callable[[Sample], Mapping[str, Any]] | None = None  # that a trainer adds, such as ACRE's
    max_seconds: float = 20.0  # for all calls together, about; slow rewards are tried on fewer responses
    gold: str = ""  # where right answers stand, such as `answer` or `meta.gold`; exchanges find it if not given
    ways: Sequence[tuple[str, Callable[[str], str]]] | None = None  # in which episodes hand answers over
    error_rates: bool = True  # how often it refuses right answers and pays wrong ones is measured


class Made(NamedTuple):
    """A call that was made, and what came of it."""

    samples: Sequence[Sample]
    form: Form
    in_thread: bool
    called: Called


class Trial:
    """One reward under test: its calls, counted, and its values.

    `seen` has every value it has given, `num_compared` says how many were compared with one that they should equal,
    `remarks` is what was seen beside the values, the first of each kind, and `processes` are how many child processes
    there were after each call.
    """

    def __init__(self, subject: LocalSubject | RemoteSubject, settings: Settings) -> None:
        self.subject = subject
        self.settings = settings
        self.num_completions = self.num_compared = 0
        self.made: list[Made] = []
        self.seen: list[float | None] = []
        self.remarks: dict[str, RewardProblem] = {}
        self.processes: list[int] = []
        self.errors: Any = None
        self.description: Description = subject.describe()
        self.name = self.description.name
        self.remarks |= {remark.kind: remark for remark in self.description.remarks}
        self.is_synthetic = not settings.rows
        self.rows = list(settings.rows) or synthetic_rows(self.description.parameters)

    @property
    def read(self) -> list[str]:
        """The columns of the data that the reward is seen to read."""
        return [name for name in self.description.parameters.read if name in self.rows[0] and name not in NOT_DATA]

    def answers(self, count: int) -> list[Sample]:
        """Makes right and wrong responses to some rows."""
        return answer_samples(self.rows, count, self.read, self.settings.response_format, self.settings.gold)

    def problem(self, fault: str, **seen: Any) -> RewardProblem:
        """Words a problem of this reward."""
        return RewardProblem.of(self.name, fault, **seen)

    def make_call(self, samples: Sequence[Sample], form: Form, *, in_thread: bool = False) -> Call:
        """Makes a call on samples in a form, with the columns a trainer would add."""
        add, tags = self.settings.add_columns, self.settings.response_format
        if add is None and self.is_synthetic and set(SECOND_PASS) & set(self.description.parameters.columns):
            add = partial(second_pass_columns, tags=tags)
        rows = [row_in_form({**sample.row, **(add(sample) if add else {})}, form) for sample in samples]
        texts = [sample.text for sample in samples]
        completions = texts if form == "text" else [[{"role": "assistant", "content": text}] for text in texts]
        return Call(rows, completions, [sample.name for sample in samples], in_thread)

    def call(self, samples: Sequence[Sample], form: Form, *, in_thread: bool = False) -> Called:
        """Calls the reward on samples."""
        try:
            called = self.subject.call(self.make_call(samples, form, in_thread=in_thread))
        except Stopped as stopped:
            problem, sometimes = stopped.problem, f"{stopped.problem.kind}_sometimes"
            if self.seen and sometimes in FAULTS:  # not one that hangs or dies at once
                problem = problem._replace(kind=sometimes)
            raise Stopped(problem) from stopped
        self.made.append(Made(samples, form, in_thread, called))
        self.num_completions += len(samples)
        self.seen += called.values
        self.processes.append(called.processes)
        for remark in called.remarks:
            self.remarks.setdefault(remark.kind, remark)
        return called

    def difference(self, one: Sequence[float | None], other: Sequence[float | None]) -> int | None:
        """Finds the first place at which values differ that should be equal."""
        self.num_compared += len(other)
        return first_difference(one, other)


SCORED_PER_SAMPLE = 8  # how often a trial scores each of its responses, about
LEAST_SAMPLES = 4


class Speed(NamedTuple):
    """Seconds of a call with `size` completions, and of one with a single one."""

    size: int
    together: float
    alone: float

    def seconds(self, completions: int) -> float:
        """Projects the time of a call; what a call costs in itself is paid once."""
        each = max(0.0, (self.together - self.alone) / max(self.size - 1, 1))
        return self.alone + each * (completions - 1)

    @property
    def each(self) -> float:
        """Seconds per completion, the call's own share included."""
        return self.together / self.size


def affordable(trial: Trial, speed: Speed, samples: Sequence[Sample]) -> tuple[list[Sample], RewardProblem | None]:
    """Leaves samples out of a slow reward's trial, and says so."""
    count = int(trial.settings.max_seconds / SCORED_PER_SAMPLE / max(speed.each, 1e-9))
    if count >= len(samples):
        return list(samples), None
    kept = list(samples[: max(LEAST_SAMPLES, count)])
    return kept, trial.problem("few_samples", each=speed.each, kept=len(kept), of=len(samples))
