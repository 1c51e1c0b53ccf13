"""Good rows of every kind of data set, and the loaders that read them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from some_recipes import originals_and_sources

from align.data import load_preferences, load_questions, load_reward_pairs
from align.data.pairs.candidates import load_candidates
from align.data.pairs.reward_bench import load_reward_bench
from align.data.problems import DataReport
from align.data.prompt_rows import load_prompts
from align.data.tables.observation_adapters import OBSERVATION_ADAPTERS
from align.data.tables.observations import ObservationReader, Roles, read_observations
from align.data.tables.reading import TableFile

load_originals, load_sources = originals_and_sources()
Loader = Callable[..., tuple[list[Any], DataReport]]


class Kind(NamedTuple):
    """Rows of one kind, and everything that reads such rows.

    Attributes:
        rows: Good ones.
        loaders: Take a path and `on_bad_rows`; return items and a report.
    """

    rows: list[dict[str, Any]]
    loaders: tuple[Loader, ...]


def _arc(path: str, **options: Any) -> tuple[list[Any], DataReport]:
    return load_questions(path, adapter="arc", **options)


def _mapped(path: str, **options: Any) -> tuple[list[Any], DataReport]:
    return load_questions(path, columns={"options": ["A", "B"], "answer": "label"}, **options)


def _observations(path: str, on_bad_rows: str) -> tuple[list[Any], DataReport]:
    return _read(TableFile(path, on_bad_rows=on_bad_rows), Roles("y", ("c",), text="t", groups="g"))


def _streamed(path: str, on_bad_rows: str) -> tuple[list[Any], DataReport]:
    return _read(TableFile(path, on_bad_rows=on_bad_rows, in_memory=0), Roles("y", ("c",), text="t"))


def _upworthy(path: str, on_bad_rows: str) -> tuple[list[Any], DataReport]:
    add, roles = OBSERVATION_ADAPTERS["upworthy"]
    return _read(TableFile(path, adapter=("upworthy", add), on_bad_rows=on_bad_rows), roles)


def _read(table: TableFile, roles: Roles) -> tuple[list[Any], DataReport]:
    """Reads observations as a list with one tuple of values per row."""
    rows, report = read_observations(ObservationReader(table, roles))
    columns = [rows.outcome, *rows.confounders.values(), rows.text]
    return list(zip(*(column for column in columns if column is not None), strict=True)), report


ASKED = [{"role": "user", "content": "Hé 😀?"}]
KINDS = {
    "questions": Kind(
        [
            {
                "id": f"i{i}",
                "question": f"Why {i} é?",
                "options": ["iron", "gold", "雪"],
                "answer": i % 3,
                "group": "g",
                "A": "x",
                "B": "y",
                "label": "A",
            }
            for i in range(6)
        ],
        (load_questions, _mapped),
    ),
    "arc": Kind(
        [
            {"id": f"i{i}", "question": "Q", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"}
            for i in range(5)
        ],
        (_arc,),
    ),
    "pairs": Kind(
        [
            {
                "id": f"i{i}",
                "prompt": "Q 😀?",
                "chosen": "It is <MASK>red</MASK>.",
                "rejected": "It is <MASK>blue é</MASK>.",
            }
            for i in range(5)
        ],
        (load_preferences, load_reward_pairs, load_reward_bench, load_originals),
    ),
    "pairs of messages": Kind(
        [
            {
                "prompt": ASKED,
                "chosen": [{"role": "assistant", "content": "red"}],
                "rejected": [{"role": "assistant", "content": "blue"}],
                "chosen_spans": [[0, 3]],
                "rejected_spans": [[0, 2]],
                "tie": False,
            }
            for _ in range(5)
        ],
        (load_preferences, load_reward_pairs),
    ),
    "prompts": Kind(
        [
            {
                "prompt": ASKED if i % 2 else "é?",
                "reference": "4",
                "context": "c",
                "n": 1.5,
                "wrong_answers": ["a", "b"],
            }
            for i in range(5)
        ],
        (load_prompts, load_sources),
    ),
    "candidates": Kind(
        [{"prompt": "q", "responses": ["a", "b"], "quality": [1, 0.5]} for _ in range(5)], (load_candidates,)
    ),
    "observations": Kind(
        [{"y": 1.5 * i, "c": i, "t": f"text é {i}", "g": "a"} for i in range(8)], (_observations, _streamed)
    ),
    "upworthy": Kind(
        [
            {
                "created_at": "2014-11-20 06:43:16.005",
                "clickability_test_id": "5",
                "headline": f"They é {i}",
                "impressions": 3052,
                "clicks": 150 + i,
            }
            for i in range(6)
        ],
        (_upworthy,),
    ),
}


def read(loader: Loader, path: Path, on_bad_rows: str) -> tuple[list[Any], DataReport]:
    """Reads a file in one of the ways of its kind."""
    return loader(str(path), on_bad_rows=on_bad_rows)
