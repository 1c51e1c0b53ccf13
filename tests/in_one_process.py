"""Runs `align` commands in one interpreter: reads their words as JSON, writes their results.

echo '[["recipes"], ["check", "recipe.yaml"]]' | python tests/in_one_process.py
"""

import json
import sys
import traceback

from typer.testing import CliRunner

from align.cli.app import app


def run(words: list[str]) -> dict[str, object]:
    done = CliRunner().invoke(app, words, env={"COLUMNS": "1000"})
    crash = done.exception if not isinstance(done.exception, SystemExit | None) else None
    return {"code": done.exit_code, "output": done.output, "crash": "".join(traceback.format_exception(crash))}


if __name__ == "__main__":
    print(json.dumps([run(words) for words in json.load(sys.stdin)]))
