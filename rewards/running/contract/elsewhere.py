"""Whether a reward gives the same in another process: Python salts `hash` in each of them."""

from rewards.running.contract.completions import first_difference, write_value
from rewards.running.contract.problem import RewardProblem
from rewards.running.contract.subject import Stopped, Subject
from rewards.running.contract.trial import Steady

ELSEWHERE_REMEDY = (
    "Ranks and runs differ likewise. Python salts `hash`, and with it the order of a set, in every process: use "
    "`zlib.crc32(text.encode())`, sort sets, and draw from a generator that is seeded with the row."
)


def check_elsewhere(subject: Subject, steady: Steady) -> list[RewardProblem]:
    """Calls a reward in another process as in the first one.

    Args:
        subject: The reward, in a process that has another salt.
        steady: A call, and the values that it gave time and again.
    """
    try:
        name = subject.describe().name
        called = subject.call(steady.call)
    except Stopped as stopped:
        problem = stopped.problem
        return [problem._replace(problem=f"{problem.problem}, in another process")]
    if called.problem is not None:
        return [called.problem._replace(problem=f"{called.problem.problem}, in another process")]
    index = first_difference(steady.values, called.values)
    if index is None:
        return []
    here, there = write_value(steady.values[index]), write_value(called.values[index])
    text = f"gave {steady.call.names[index]} {here} in one process and {there} in another"
    return [RewardProblem(name, "differs_in_process", text, ELSEWHERE_REMEDY)]
