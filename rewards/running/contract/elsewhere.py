"""Whether a reward gives the same in another process: Python salts `hash` in each of them."""

from rewards.running.contract.completions import first_difference, write_value
from rewards.running.contract.problem import RewardProblem
from rewards.running.contract.subject import Stopped, Subject
from rewards.running.contract.trial import Steady
from rewards.running.contract.twice import REMEDY

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
        index = None if called.problem else first_difference(steady.values, called.values)
        again = None if index is None else subject.call(steady.call)
    except Stopped as stopped:
        problem = stopped.problem
        return [problem._replace(problem=f"{problem.problem}, in another process")]
    if called.problem is not None:
        return [called.problem._replace(problem=f"{called.problem.problem}, in another process")]
    if index is None or again is None:
        return []
    if again.problem is not None:
        return [again.problem._replace(problem=f"{again.problem.problem}, in one of several equal calls")]
    changed = first_difference(called.values, again.values)
    if changed is not None:
        once, then = write_value(called.values[changed]), write_value(again.values[changed])
        text = f"gave {steady.call.names[changed]} {once} and then {then}"
        return [RewardProblem(name, "not_deterministic", text, REMEDY)]
    here, there = write_value(steady.values[index]), write_value(called.values[index])
    text = f"gave {steady.call.names[index]} {here} in one process and {there} in another"
    return [RewardProblem(name, "differs_in_process", text, ELSEWHERE_REMEDY)]
