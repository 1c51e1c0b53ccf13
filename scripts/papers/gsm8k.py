r"""Makes prompts of GSM8K's rows, whose answers `number_accuracy` reads, for the candidates of best of n.

    python -m scripts.papers.gsm8k data/gsm8k.jsonl --out prompts.jsonl

A row has `question`, and `answer` with the number behind `####`, as in openai/gsm8k. The wording is ours.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rewards.reading.numbers import read_number
from scripts.harness import Options, write_rows
from scripts.papers.winners import read

MARK = "####"
ASKED = "{question}\nThink step by step. Then give the number alone, without a unit: <answer>NUMBER</answer>"


def prompts(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    r"""Yields a prompt of messages and its number for each row.

    Raises:
        ValueError: If a row is none of GSM8K's, by its number.

    Example:
        >>> next(prompts([{"question": "3+4?", "answer": "Add.\n#### 7"}]))["answer"]
        '7'
    """
    for number, row in enumerate(rows, 1):
        question, answer = row.get("question"), row.get("answer")
        gold = answer.rpartition(MARK)[2].strip() if isinstance(answer, str) and MARK in answer else ""
        if not isinstance(question, str) or read_number(gold) is None:
            raise ValueError(
                f"row {number} is none of GSM8K's: it needs a text `question`, and an `answer` with a number behind "
                f"{MARK}; got {answer!r:.80}. Take the rows of openai/gsm8k as they are."
            )
        content = ASKED.replace("{question}", question)
        yield {"id": f"gsm8k-{number}", "prompt": [{"role": "user", "content": content}], "answer": gold}


def main(argv: list[str] | None = None) -> int:
    """Writes the prompts; returns 1 where there are none."""
    parser = Options(__doc__)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(argv)
    try:
        found = list(prompts(read(arguments.rows)))
        if not found:
            raise ValueError("there is no row. Take the rows of openai/gsm8k")
    except ValueError as error:  # a line that is no JSON is one, too
        print(f"error: {arguments.rows}: {error}", file=sys.stderr)
        return 1
    write_rows(arguments.out, found)
    print(f"{len(found):,} prompts in {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
