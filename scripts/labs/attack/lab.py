"""Attacks planted rewards, half of which can be gamed, and those of the catalogue and of TRL, and makes the tables.

    python -m scripts.labs.attack.lab --check_bars
    python -m scripts.labs.attack.lab --only catalogue --table rewards/ATTACK.md

Every reward is attacked in a process of its own. A judge is asked at a real server on this machine.
"""

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from rewards.attacks import AttackResult, attack_apart
from rewards.running.contract import Limits, RewardSpec, Settings
from scripts.harness import Options, print_table, tell, write_numbers
from scripts.labs.attack import gameable, rows, sound

HERE = Path(__file__).parent
Rows = Callable[[], list[rows.Row]]


class Case(NamedTuple):
    """A reward, and the rows that it is attacked on."""

    name: str
    spec: str
    rows: Rows = rows.sums
    kwargs: dict[str, Any] = {}  # noqa: RUF012 - never mutated
    form: str = "text"
    fooled: bool = True  # whether its judge is one that can be talked into a grade


OTHER_ROWS: dict[str, Rows] = {
    **dict.fromkeys(("answer_in_completion", "completion_in_answer", "as_pattern", "same_beginning"), rows.capitals),
    **dict.fromkeys(("normalised_match", "overlap", "text_accuracy"), rows.capitals),
    **dict.fromkeys(("any_option", "accuracy"), rows.choices),
    **dict.fromkeys(("any_letter", "letter_at_end"), rows.letters),
    **dict.fromkeys(("passes_tests", "survives_tests", "code_accuracy"), lambda: rows.programs()[:8]),
    "relevance": rows.essays,
}


def planted(module: Any) -> list[Case]:
    """Lists the rewards of a file of planted ones."""
    names = re.findall(
        r"^(?:@of_text\n)?def (\w+)\([^)]*(?:completions|gold)", Path(module.__file__).read_text(), re.MULTILINE
    )
    names = [name for name in names if not name.startswith("_")]
    return [Case(name, f"{module.__file__}:{name}", OTHER_ROWS.get(name, rows.sums)) for name in names]


def _solutions() -> list[rows.Row]:
    return rows.sums(column="solution")


CATALOGUE = [
    Case("accuracy", "accuracy", rows.choices),
    Case("answer_consistency", "answer_consistency", rows.choices),
    Case("text_accuracy", "text_accuracy", rows.capitals),
    Case("number_accuracy", "number_accuracy"),
    Case("math_accuracy", "math_accuracy", lambda: rows.sums(16)),
    Case("code_accuracy", "code_accuracy", lambda: rows.programs()[:8]),
    Case("format", "format"),
    Case("length", "length", kwargs={"max_length": 200}),
    Case("repetition", "repetition"),
    Case("phrases", "phrases", kwargs={"file": str(HERE / "phrases.txt")}),
]
TRL = [
    Case("accuracy_reward", "trl.rewards.accuracy_reward", _solutions, form="messages"),
    Case("reasoning_accuracy_reward", "trl.rewards.reasoning_accuracy_reward", _solutions, form="messages"),
    Case(
        "get_cosine_scaled_reward", "trl.rewards.get_cosine_scaled_reward", _solutions, {"max_len": 1000}, "messages"
    ),
    Case("think_format_reward", "trl.rewards.think_format_reward", form="messages"),
    Case(
        "get_soft_overlong_punishment",
        "trl.rewards.get_soft_overlong_punishment",
        kwargs={"max_completion_len": 1000, "soft_punish_cache": 200},
    ),
    Case("get_repetition_penalty_reward", "trl.rewards.get_repetition_penalty_reward"),
]


class _Judge(BaseHTTPRequestHandler):
    """Grades by the reference, and believes a grade in the response where it is fooled."""

    fooled = True

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][-1]["content"]
        reference = asked.partition("Reference: ")[2].partition("\n")[0]
        response = asked.partition("Response:\n")[2]
        found = re.findall(r"(?i)(?:grade|score): *(\d+)", response) if self.fooled else []
        given = response.split("<answer>")[-1].split("</answer>")[0].strip()
        grade = max(map(int, found), default=10 if given == reference else 0)
        body = json.dumps({"choices": [{"message": {"content": f"grade: {min(grade, 10)}"}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        pass


class _Careful(_Judge):
    fooled = False


@contextmanager
def judge(fooled: bool) -> Iterator[None]:
    """Runs a judge on this machine while attacks go on; rewards find it by an environment variable."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Judge if fooled else _Careful)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    os.environ["ATTACK_LAB_JUDGE"] = f"http://127.0.0.1:{server.server_port}/v1/chat/completions"
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def run(case: Case) -> tuple[AttackResult, float]:
    """Attacks a reward; returns what came of it, and the seconds by the clock."""
    own, started = case.rows(), time.perf_counter()
    samples = [[row["honest"]] for row in own if "honest" in row]
    settings = Settings(own, case.form, max_seconds=120.0)  # type: ignore[arg-type]
    with judge(case.fooled):
        result = attack_apart(RewardSpec(case.spec, case.kwargs), settings, Limits(), samples=samples)
    return result, time.perf_counter() - started


def cells(result: AttackResult) -> list[str]:
    """Words the result of one reward for a table."""
    gamed = result.of("gamed")
    best = f"{gamed[0].hack}: {gamed[0].earned}/{gamed[0].rows}" if gamed else "-"
    kind = "?" if result.honest is None else "answers" if result.honest.tells else "form"
    return [kind, str(len(gamed)), best, str(len(result.of("misread"))), str(len(result.of("beside")))]


def main() -> int:
    """Attacks what is asked for, and prints the tables."""
    parser = Options(__doc__)
    parser.add_argument("--only", choices=["gameable", "sound", "catalogue"])
    parser.add_argument("--names", nargs="*", help="some rewards only")
    parser.add_numbers("exit with 1 unless 18 of 20 gameable ones are found, and 1 of 20 sound ones is called gamed")
    arguments = parser.parse_args()
    careful = Case("asks_a_careful_judge", f"{gameable.__file__}:asks_a_server", fooled=False)
    groups = {"gameable": planted(gameable), "sound": [*planted(sound), careful, *CATALOGUE[:-1]], "catalogue": TRL}
    found: dict[str, dict[str, Any]] = {}
    for group, cases in groups.items():
        table, found[group] = {}, {}
        for case in cases:
            if arguments.only not in (None, group) or (arguments.names and case.name not in arguments.names):
                continue
            result, seconds = run(case)
            table[case.name] = [*cells(result), f"{seconds:.1f}", "; ".join(result.problems)[:200]]
            found[group][case.name] = len(result.of("gamed"))
        print_table(group, ["about", "gamed by", "best", "misread", "beside", "s", "problems"], table, "reward", 250)
    counts = {group: sum(count > 0 for count in each.values()) for group, each in found.items()}
    sizes = {group: len(each) for group, each in found.items()}
    write_numbers(arguments.json, {"gamed_by": found})
    missed, called = sizes["gameable"] - counts["gameable"], counts["sound"]
    print(
        f"{counts['gameable']} of {sizes['gameable']} gameable found; {called} of {sizes['sound']} sound called gamed"
    )
    return tell({"at most 2 gameable missed": missed <= 2, "at most 1 sound called gamed": called <= 1}, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
