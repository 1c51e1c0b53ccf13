"""What became of the calls of rewards in one step, on every rank: counted, timed, and with the worst rows."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from align.secrets import mask
from rewards.reading.responses import completion_text
from rewards.running.scores import LEFT_OUT, Score

NUM_ROWS = 3  # shown of each kind
LONGEST_TEXT = 300  # characters of a prompt or completion in a record
STEPS_IN_WINDOW = 10
SLOW = 0.01  # seconds below which a call is not worth a line

REWARDS_FILE = "rewards.jsonl"
GOES_ON_AFTER = "goes_on_after"  # a line of the file with the step of the checkpoint that a process went on from


class CallRecord(NamedTuple):
    """The calls of one reward on one rank."""

    reward: str
    failures: Counter[str]  # failure to count
    num_none: int  # rows it had nothing to say about
    seconds: list[float]  # of each row
    failed: list[dict[str, Any]]  # at most three as objects for JSON, one of each failure first
    slowest: list[dict[str, Any]]  # at most three, the slowest first
    spent: Mapping[str, float] = {}  # what it asked of a model that has to be paid or waited for, by name


def record_calls(
    reward: str, scores: Sequence[Score], prompts: Sequence[Any], completions: Sequence[Any]
) -> CallRecord:
    """Counts the scores of one reward on this rank's rows, without those it was not asked about."""
    asked = [row for row in zip(scores, prompts, completions, strict=True) if row[0].failure != LEFT_OUT]
    scores = [score for score, _, _ in asked]
    rows: list[dict[str, Any]] = [
        {
            "seconds": round(score.seconds, 4),
            "prompt": _last_part(_prompt_text(prompt)),
            "completion": _first_part(shown_text(completion)),
        }
        | ({"failure": score.failure, "message": score.message} if score.failure else {})
        for score, prompt, completion in asked
        if score.failure or score.seconds >= SLOW
    ]
    failed = [row for row in rows if "failure" in row]
    firsts = list({row["failure"]: row for row in reversed(failed)}.values())
    return CallRecord(
        reward,
        Counter(score.failure for score in scores if score.failure),
        sum(score.value is None and score.failure is None for score in scores),
        [score.seconds for score in scores],
        (firsts + [row for row in failed if row not in firsts])[:NUM_ROWS],
        sorted(rows, key=lambda row: -row["seconds"])[:NUM_ROWS],
    )


def join_records(records: Sequence[CallRecord]) -> CallRecord:
    """Joins the records of one reward from all ranks."""
    return CallRecord(
        records[0].reward,
        sum((record.failures for record in records), Counter()),
        sum(record.num_none for record in records),
        [seconds for record in records for seconds in record.seconds],
        [row for record in records for row in record.failed][:NUM_ROWS],
        sorted((row for record in records for row in record.slowest), key=lambda row: -row["seconds"])[:NUM_ROWS],
        add_spending(record.spent for record in records),
    )


def take_spending(reward: Callable[..., Any]) -> Mapping[str, float]:
    """Returns what a reward asked since this was called last; nothing of one that does not say so."""
    take = getattr(reward, "take_spending", None)
    return {} if take is None else take()


def add_spending(spent: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Adds what was asked, name by name."""
    total: Counter[str] = Counter()
    for each in spent:
        total.update(each)  # type: ignore[arg-type]  # a Counter adds any numbers
    return dict(total)


def call_metrics(record: CallRecord) -> dict[str, float]:
    """Returns what is logged of a reward's calls."""
    size = max(len(record.seconds), 1)
    return {
        f"rewards/{record.reward}/invalid_share": record.failures.total() / size,
        f"rewards/{record.reward}/none_share": record.num_none / size,
        f"rewards/{record.reward}/seconds_p95": float(np.percentile(record.seconds or [0.0], 95)),
    }


def call_line(record: CallRecord, step: int, mode: str) -> dict[str, Any]:
    """Makes the line of `rewards.jsonl`."""
    quantiles = np.percentile(record.seconds or [0.0], [50, 95, 100])
    return {
        "step": step,
        "mode": mode,
        "reward": record.reward,
        "rows": len(record.seconds),
        "none": record.num_none,
        "invalid": dict(record.failures),
        "seconds": dict(zip(("p50", "p95", "max"), np.round(quantiles, 6).tolist(), strict=True)),
        "failed": record.failed,
        "slowest": record.slowest,
    } | ({"spent": dict(record.spent)} if record.spent else {})


def append_calls(folder: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Adds lines to `rewards.jsonl`, without secrets and behind what a run that was killed left of a line."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / REWARDS_FILE).open("a+b") as file:
        file.seek(max(0, file.tell() - 1))
        torn = file.read() not in (b"", b"\n")
        file.write(("\n" * torn + "".join(json.dumps(mask(line)) + "\n" for line in lines)).encode())


def invalid_share(state: Any, what: str, invalid: int, rows: int) -> float:
    """Returns the share of values, or of rows, that were invalid in the last steps, and counts this one.

    The counts are in the trainer's state, which a checkpoint has, so that a run that goes on ends where one that was
    never stopped would. transformers keeps what callbacks say of themselves there; a callback could not go on from a
    checkpoint that has nothing of it.
    """
    steps = state.stateful_callbacks.setdefault("invalid_shares", {}).setdefault(what, [])
    steps.append([invalid, rows])
    del steps[:-STEPS_IN_WINDOW]
    bad, whole = (sum(numbers) for numbers in zip(*steps, strict=True))
    return float(bad / max(whole, 1))


def describe_failed(record: CallRecord) -> str:
    """Lists the failed rows of a record for an error message."""
    lines = [
        f"  {i}. {row['failure']}: {row['message']}\n     prompt: {row['prompt']!r}\n"
        f"     completion: {row['completion']!r}"
        for i, row in enumerate(record.failed, 1)
    ]
    return "\n".join(lines)


def failure_text(record: CallRecord, why: str) -> str:
    """Words why the values of a reward end a run, with its worst rows."""
    kinds = ", ".join(f"{count} x {failure}" for failure, count in record.failures.most_common())
    return (
        f"Reward `{record.reward}`: {record.failures.total()} of {len(record.seconds)} values of this step are "
        f"invalid ({kinds}), {why}. Worst rows:\n{describe_failed(record)}\n"
        f"All of them are counted in {REWARDS_FILE} of the run folder. Mend the reward, or allow more with "
        "`on_invalid`, `max_invalid_share` and `reward_timeout`."
    )


def shown_text(completion: Any) -> str:
    """Reads a completion, or says what it is where it has no text, as a call of a tool."""
    try:
        return completion_text(completion)
    except TypeError:
        return str(completion)


def _prompt_text(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else shown_text(prompt)


def _last_part(text: str) -> str:
    """Keeps the end of a prompt, where its question is."""
    return text if len(text) <= LONGEST_TEXT else f"... {text[-LONGEST_TEXT:]}"


def _first_part(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} ..."
