import zlib
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from itertools import islice
from random import Random
from typing import Any

from align.data.problems import RawRow
from align.errors import DataError
from rewards.extras import require
from rewards.reading.gym import TaskSpec, make_task, read_spec, write_entry

INSTRUCTION = "Think it through inside <think> and </think>. Then write only the answer inside <answer> and </answer>."
AS_SHOWN = "Write only the answer inside <answer> and </answer>."  # where solved questions show no thoughts
SPLITS = ("train", "test")
HELD_OUT = 4  # one question of so many is of the split `test`
DRAWS = 8  # for each row that is asked for, at most
LIMIT = 2**31


def gym_rows(path: str, split: str | None = None) -> Iterator[RawRow]:
    """Draws the rows of `reasoning_gym:TASK?setting=value&...`, each question once.

    `seed` says which are drawn, `size` how many, `shots` how many solved ones stand in front of each. Whether a
    question is one of `train` or of `test` is told by its text, whatever the seed, so that none is in both.
    """
    wanted = split or "train"
    if wanted not in SPLITS:
        raise DataError(f"{path} has no split {wanted!r}. It has: {', '.join(SPLITS)}. Set `split`.")
    try:
        require("reasoning-gym", f"`{path}`")
        spec = read_spec(path)
        task = make_task(_drawn_from(spec))
    except (ImportError, ValueError) as error:
        raise DataError(str(error)) from error
    shown = list(islice(_draw(task, spec, path, "train"), spec.shots))
    rows = islice(_draw(task, spec, path, wanted), spec.shots if wanted == "train" else 0, None)
    number, size = 0, spec.settings["size"]
    for number, item in enumerate(islice(rows, size), start=1):
        yield RawRow(number, _row(item, shown, path))
    if number < size:
        raise DataError(
            f"{path} asks for {size} questions, and {size * DRAWS} draws gave {number} different ones for {wanted!r}. "
            f"Set `size={number}`, or settings with more of them."
        )


def _drawn_from(spec: TaskSpec) -> TaskSpec:
    """Spreads seeds: the library draws item i from `seed + i`, so that seeds 0 and 1 share all items but two."""
    seed = Random(spec.settings["seed"]).randrange(LIMIT)
    return spec._replace(settings={**spec.settings, "seed": seed, "size": spec.settings["size"] * DRAWS})


def _draw(task: Any, spec: TaskSpec, path: str, split: str) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    for index in range(spec.settings["size"] * DRAWS):
        try:
            with redirect_stdout(StringIO()):  # some tasks print as they draw
                item = task[index]
        except Exception as error:  # whatever a task raises that finds no item, or meets another version of a library
            raise DataError(f"{path} cannot draw item {index}: {type(error).__name__}: {error}") from error
        question = item["question"]
        if SPLITS[zlib.crc32(question.encode()) % HELD_OUT == 0] == split and question not in seen:
            seen.add(question)
            yield {**item, "id": f"{spec.name}-{index}"}


def _row(item: dict[str, Any], shown: list[dict[str, Any]], path: str) -> dict[str, Any]:
    prompt: list[dict[str, str]] = []
    for each in shown:
        if each["answer"] is None:
            raise DataError(f"{path} knows no answers, only whether one is right. Remove `shots`.")
        prompt.append({"role": "user", "content": f"{each['question']}\n{AS_SHOWN}"})
        prompt.append({"role": "assistant", "content": f"<answer>{each['answer']}</answer>"})
    asked = f"{item['question']}\n{AS_SHOWN}" if shown else f"{item['question']}\n\n{INSTRUCTION}"
    entry = {name: item[name] for name in ("question", "answer", "metadata")}
    try:
        text = write_entry(entry)
    except TypeError as error:
        raise DataError(f"{path} has items that cannot be written as text: {error}") from error
    return {
        "id": item["id"],
        "prompt": [*prompt, {"role": "user", "content": asked}],
        "question": item["question"],
        "answer": item["answer"],
        "task": path,
        "entry": text,
    }
