"""Scores answers with the verifiers of reasoning-gym, without a time limit: in a process that can be killed."""

from typing import Any, NamedTuple

from rewards.reading.gym_entries import check_python, read_entry
from rewards.reading.gym_tasks import EVALUATED, make_task, read_spec


class Graded(NamedTuple):
    """What a verifier says.

    Attributes:
        score: Of the answer, in the task's own terms; 1 is right.
        unread: What the verifier raised at the answer, though it reads the task's own.
    """

    score: float
    unread: str = ""


class GymGrader:
    """Scores an answer with the verifier of its task.

    Raises:
        ImportError: If reasoning-gym is not installed.
    """

    def __init__(self) -> None:
        make_task(read_spec("reasoning_gym:chain_sum"))  # loads the library, before the clock of a call starts
        self._tasks: dict[str, Any] = {}

    def __call__(self, item: tuple[str, str, str]) -> Graded:
        """Scores one item: the task, its entry as `write_entry` wrote it, and the answer."""
        spec, entry, answer = item
        if spec not in self._tasks:
            self._tasks[spec] = make_task(read_spec(spec))
        task, known = self._tasks[spec], read_entry(entry)
        check_python(read_spec(spec).name, known)
        try:
            return Graded(float(task.score_answer(answer, known)))
        except Exception as error:
            if known["answer"] is None:
                raise
            task.score_answer(known["answer"], known)  # raises where the fault is not the answer's
            return Graded(0.0, f"{type(error).__name__}: {error}")


def evaluates(spec: str) -> bool:
    """Tells whether the verifier of a task runs an answer as Python."""
    return read_spec(spec).name in EVALUATED
