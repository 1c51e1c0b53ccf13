import logging
from collections.abc import Sequence
from typing import Any

from rewards.reading.gym import GymGrader, evaluates, is_task
from rewards.reading.responses import DEFAULT_FORMAT, Completion, ResponseFormat, completion_text, parse_response
from rewards.running.graders import Graders, LogMetric

logger = logging.getLogger(__name__)


class ReasoningGym:
    """Rewards an answer that the verifier of its reasoning-gym task finds right with 1.0 and every other with 0.0.

    Rows are those of `path: reasoning_gym:TASK`, with their columns `task` and `entry`; the answer is read as by
    `number_accuracy`, in the answer tags or on a last line `Answer: ...`. Verifiers run in worker processes that are
    killed at the time limit. A row that takes too long, or whose verifier fails at the task's own answer too, is None,
    counted in `reasoning_gym/timeout_rate` and `/error_rate`. An answer that a verifier raises at is wrong, and
    counted in `/unread_rate`.

    Some verifiers give a part to answers that are not right: to any text in which the right one occurs, or to any
    answer at all, so that a policy that lists numbers earns. Only full marks count unless `partial`.

    Args:
        partial: Whether the reward is what the verifier gives, parts too.
        evaluate_answers: Whether tasks are allowed whose verifiers run an answer as Python, such as `countdown`: the
            worker has a time limit, and your files and network.
        timeout: Seconds for one answer, from when it starts.
        workers: Number of worker processes, each with about 150 MB.
        memory_gb: Memory a worker may use; an answer that needs more is an error.
    """

    __name__ = "reasoning_gym"
    extra = "reasoning-gym"  # of `rewards.extras`

    def __init__(
        self,
        partial: bool = False,
        evaluate_answers: bool = False,
        timeout: float = 10.0,
        workers: int = 1,
        memory_gb: float = 2.0,
        response_format: ResponseFormat = DEFAULT_FORMAT,
    ) -> None:
        self.partial, self.evaluate_answers, self.response_format = partial, evaluate_answers, response_format
        self._told: set[str] = set()
        self._graders = Graders("reasoning_gym", "reasoning-gym", GymGrader, timeout, workers, memory_gb)

    def __call__(
        self,
        completions: Sequence[Completion],
        task: Sequence[str | None],
        entry: Sequence[str | None],
        log_metric: LogMetric | None = None,
        **kwargs: Any,
    ) -> list[float | None]:
        """Scores completions; a row whose `task` or `entry` is None is skipped.

        `task` is `reasoning_gym:TASK` with its settings, `entry` what the verifier reads, as `path:
        reasoning_gym:TASK` writes it. `log_metric` gets the shares of answers without a verdict, and of those no
        verifier could read. Raises `ImportError` if reasoning-gym is not installed, `ValueError` if a task is unknown,
        or runs answers and that is not allowed.
        """
        for name in dict.fromkeys(filter(None, task)):
            self._check(name)
        answers = [parse_response(completion_text(text), self.response_format).answer for text in completions]
        rows = list(zip(task, entry, answers, strict=True))
        scores = [None if name is None or known is None else 0.0 for name, known, _ in rows]
        places = [place for place, row in enumerate(rows) if None not in row]
        items = [rows[place] for place in places]
        graded = self._graders.grade(items, _describe, log_metric)
        for place, verdict in zip(places, graded, strict=True):
            scores[place] = None if verdict is None else self._score(verdict.score)
        unread = [(item, each.unread) for item, each in zip(items, graded, strict=True) if each and each.unread]
        self._tell(unread, len(items), log_metric)
        return scores

    def _check(self, name: str) -> None:
        if not is_task(name):
            raise ValueError(f"Column `task` must hold tasks such as 'reasoning_gym:chain_sum', got {name!r:.80}.")
        if evaluates(name) and not self.evaluate_answers:
            raise ValueError(
                f"The verifier of {name!r} runs an answer as Python, which could then read your files and use your "
                "network. Choose another task, or set `reward_kwargs: {reasoning_gym: {evaluate_answers: true}}`."
            )

    def _score(self, score: float) -> float:
        return score if self.partial else float(score >= 1.0)

    def _tell(self, unread: Sequence[tuple[Any, str]], count: int, log_metric: LogMetric | None) -> None:
        if log_metric is not None:
            log_metric("reasoning_gym/unread_rate", len(unread) / max(count, 1))
        for (task, _, answer), error in unread:
            if task not in self._told:  # once for a task: a policy may write them by the hundred
                self._told.add(task)
                logger.warning("The verifier of %r raised at the answer %.100r: %s. It earns 0.", task, answer, error)


def _describe(item: tuple[str, str, str]) -> str:
    task, _, answer = item
    return f"score {answer!r:.100} with the verifier of {task!r}"


reasoning_gym = ReasoningGym()
