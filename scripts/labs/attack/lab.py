"""Attacks planted rewards, half of which can be gamed, and prints the tables.

    python -m scripts.labs.attack.lab --check_bars
    python -m scripts.labs.attack.lab --invariance 20

Every reward is attacked in a process of its own. A judge is asked at a real server on this machine.
"""

import json
import os
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from align.services.rewards import chosen_rows
from rewards.attacks import VERDICTS, AttackResult, attack, attack_apart, sentences
from rewards.error_rates import measure
from rewards.reading.responses import DEFAULT_FORMAT
from rewards.running.contract import Limits, LocalSubject, RewardSpec, Settings, try_reward
from rewards.running.contract.samples import second_pass_columns
from scripts.harness import Options, print_table, tell, write_numbers
from scripts.labs.attack import gameable, rows, sound
from scripts.labs.attack.cases import SOUND_ONES, Case, Rows

OTHER_ROWS: dict[str, Rows] = {
    **dict.fromkeys(("answer_in_completion", "completion_in_answer", "as_pattern", "same_beginning"), rows.capitals),
    **dict.fromkeys(("normalised_match", "overlap", "text_accuracy"), rows.capitals),
    **dict.fromkeys(("any_option", "accuracy"), rows.choices),
    **dict.fromkeys(("any_letter", "letter_at_end"), rows.letters),
    **dict.fromkeys(("passes_tests", "survives_tests", "code_accuracy"), lambda: rows.programs()[:6]),
    "relevance": rows.essays,
}


def planted(module: Any) -> list[Case]:
    """Lists the rewards of a file of planted ones."""
    names = re.findall(
        r"^(?:@of_text\n)?def (\w+)\([^)]*(?:completions|gold)", Path(module.__file__).read_text(), re.MULTILINE
    )
    names = [name for name in names if not name.startswith("_")]
    return [Case(name, f"{module.__file__}:{name}", OTHER_ROWS.get(name, rows.sums)) for name in names]


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
    add = partial(second_pass_columns, tags=DEFAULT_FORMAT) if case.name == "answer_consistency" else None
    settings = Settings(own, case.form, max_seconds=90.0, add_columns=add)  # type: ignore[arg-type]
    with judge(case.fooled):
        result = attack_apart(RewardSpec(case.spec, case.kwargs), settings, Limits(), samples=samples)
    return result, time.perf_counter() - started


def cells(result: AttackResult) -> list[str]:
    """Words the result of one reward for a table."""
    gamed = result.of("gamed")
    kinds = [kind for kind, _, _ in sentences(result) if kind in VERDICTS or kind == "ok"]
    best = f"{gamed[0].hack}: {gamed[0].earned}/{gamed[0].rows}" if gamed else "-"
    return ["; ".join(kinds), str(len(gamed)), best, str(len(result.of("misread"))), str(len(result.of("beside")))]


RULES = {
    "exact": "text.strip() == gold", "contains": "gold in text", "begins": "text.strip().startswith(gold)",
    "part": "text.strip() in gold", "any": "bool(text)", "long": "len(text) / 1000",
    "lower": "text.strip().lower() == gold",
    "tagged": "text.split('<answer>')[-1].split('</answer>')[0].strip() == gold",
    "ends": "text.strip().endswith(gold)",
    "words": "len({*text.split()} & {*gold.split()}) / max(1, len(text.split()))",
}  # fmt: skip


def invariance(times: int) -> tuple[int, int]:
    """Judges rewards under random names of column and function, in shuffled rows, each third time slowly.

    Returns how often attack, measure and check all said what they said at first, and of how many times.
    """
    draw, same = random.Random(0), 0
    for name, rule in RULES.items():
        own = [{"prompt": f"Which is {i}?", "x": f"{i * 7}/{i + 3}", "y": i % 5} for i in range(32)]
        said = []
        for turn in range(times):
            x, y, func = ("".join(draw.choices("abcdefghijklm", k=6)) for _ in range(3))
            draw.shuffle(own)
            named = [{"prompt": row["prompt"], x: row["x"], y: row["y"]} for row in own]
            scope: dict[str, Any] = {"wait": time.sleep, "seconds": 0.0005 * (turn % 3 == 2)}
            body = f"wait(seconds); return [float({rule}) for text, gold in zip(completions, {x})]"
            exec(f"def {func}(completions, {x}, **kwargs): {body}", scope)
            settings = Settings(chosen_rows(named, 24), "text", max_seconds=900.0)
            subject = LocalSubject(scope[func])
            result, tried, rates = attack(subject, settings), try_reward(subject, settings), measure(subject, settings)
            problems = [
                (each.kind, each.problem.replace(x, "-")) for each in tried.problems if each.kind != "not_picklable"
            ]
            kinds, steps = [kind for kind, _, _ in sentences(result)], [each[1:4] for each in result.ladder]
            errors = [each and (each.fnr, each.fpr) for each in (rates.made, result.errors, tried.errors)]
            said.append(repr((problems, kinds, steps, len(result.of("gamed")), errors)).replace(func, "-"))
        same += sum(each == said[0] for each in said)
        print(f"{name}: {len({*said})} different verdicts in {times} times", flush=True)
    return same, len(RULES) * times


def main() -> int:
    """Attacks what is asked for, and prints the tables."""
    parser = Options(__doc__)
    parser.add_argument("--only", choices=["gameable", "sound"])
    parser.add_argument("--names", nargs="*", help="some rewards only")
    parser.add_numbers("exit with 1 where over 2 gameable ones are missed, or over 1 sound one is called gamed")
    parser.add_argument("--invariance", type=int, metavar="TIMES", help="judge rewards under so many names and orders")
    arguments = parser.parse_args()
    if arguments.invariance:
        same, of = invariance(arguments.invariance)
        print(f"the same in {same} of {of}")
        return int(same < of)
    careful = Case("asks_a_careful_judge", f"{gameable.__file__}:asks_a_server", fooled=False)
    groups = {
        "gameable": planted(gameable),
        "sound": [*planted(sound), careful, *SOUND_ONES],
    }
    found: dict[str, dict[str, Any]] = {}
    for group, cases in groups.items():
        table, found[group] = {}, {}
        for case in cases:
            if arguments.only not in (None, group) or (arguments.names and case.name not in arguments.names):
                continue
            result, seconds = run(case)
            table[case.name] = [*cells(result), f"{seconds:.1f}", "; ".join(result.problems)[:200]]
            # A form that pays alone teaches no answer: told of a gameable reward, and no blame of a sound one.
            blamed = {"gamed", "soft"} | ({"form"} if group != "sound" else set())
            found[group][case.name] = sum(kind in blamed for kind, _, _ in sentences(result))
        print_table(group, ["says", "gamed by", "best", "misread", "beside", "s", "problems"], table, "reward", 250)
    counts = {group: sum(count > 0 for count in each.values()) for group, each in found.items()}
    sizes = {group: len(each) for group, each in found.items()}
    write_numbers(arguments.json, {"gamed_by": found})
    for group, words in {
        "gameable": "gameable found",
        "sound": "sound called gamed",
    }.items():
        print(f"{counts[group]} of {sizes[group]} {words}")
    missed = sizes["gameable"] - counts["gameable"]
    return tell(
        {"at most 2 gameable missed": missed <= 2, "at most 1 sound called gamed": counts["sound"] <= 1}, arguments
    )


if __name__ == "__main__":
    raise SystemExit(main())
