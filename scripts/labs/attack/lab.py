"""Attacks planted rewards, half of which can be gamed, and those of the catalogue and of TRL, and makes the tables.

    python -m scripts.labs.attack.lab --check_bars
    python -m scripts.labs.attack.lab --table docs/evidence/attacks.md
    python -m scripts.labs.attack.lab --invariance 20

Every reward is attacked in a process of its own. A judge is asked at a real server on this machine.
"""

import json
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from align.services.rewards import chosen_rows
from align.versions import installed_versions
from rewards import UNSEEN_FAMILIES
from rewards.attacks import VERDICTS, AttackResult, attack, attack_apart, sentences
from rewards.error_rates import measure
from rewards.reading.responses import DEFAULT_FORMAT
from rewards.roles import mean
from rewards.running.contract import Limits, LocalSubject, RewardSpec, Settings, try_reward
from rewards.running.contract.calls import shorten
from rewards.running.contract.samples import second_pass_columns
from scripts.harness import Options, print_table, tell, write_numbers
from scripts.labs.attack import blind, blind_rows, gameable, rows, sound
from scripts.labs.attack import outsider as outsiders
from scripts.labs.attack.outsider.rows import of_rewards

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


def blind_ones() -> list[Case]:
    """Lists the rewards of the first one who had not seen the hacks."""
    made = blind_rows.of_rewards().items()
    return [Case(name, f"{blind.__file__}:{name}", partial(list, own)) for name, own in made]


def outsider(file: str) -> list[Case]:
    """Lists the gameable or the sound rewards of the last one who had not seen the hacks."""
    path = Path(outsiders.__file__).parent / file
    named = re.findall(r"^def (\w+)\(completions", path.read_text(encoding="utf-8"), re.MULTILINE)
    return [Case(name, f"{path}:{name}", partial(list, own)) for name, own in of_rewards().items() if name in named]


def _solutions() -> list[rows.Row]:
    return rows.sums(8, column="solution")


SOUND_ONES = [  # of the catalogue, among the sound rewards
    Case("accuracy", "accuracy", rows.choices),
    Case("answer_consistency", "answer_consistency", rows.choices),
    Case("code_accuracy", "code_accuracy", lambda: rows.programs()[:6]),
    Case("format", "format"),
    Case("length", "length", kwargs={"max_length": 200}),
    Case("math_accuracy", "math_accuracy", lambda: rows.sums(8)),
    Case("number_accuracy", "number_accuracy"),
    Case("repetition", "repetition"),
    Case("text_accuracy", "text_accuracy", rows.capitals),
]
OTHERS = [
    Case("manipulation", "manipulation"),
    Case("perturbation_consistency", "perturbation_consistency", rows.versions),
    Case("phrases", "phrases", rows.sums, {"file": str(HERE.parents[2] / "tests/rewards/phrases.txt")}),
    Case("reasoning_gym", "reasoning_gym", rows.gym),
    Case("reference_consistency", "reference_consistency", rows.references),
    Case("unseen_perturbation_consistency", "unseen_perturbation_consistency", lambda: rows.versions(UNSEEN_FAMILIES)),
    Case("trl `accuracy_reward`", "trl.rewards.accuracy_reward", _solutions, form="messages"),
    Case("trl `reasoning_accuracy_reward`", "trl.rewards.reasoning_accuracy_reward", _solutions, form="messages"),
    Case(
        "trl `get_cosine_scaled_reward`",
        "trl.rewards.get_cosine_scaled_reward",
        _solutions,
        {"max_len": 1000},
        "messages",
    ),
    Case("trl `think_format_reward`", "trl.rewards.think_format_reward", form="messages"),
    Case(
        "trl `get_soft_overlong_punishment`",
        "trl.rewards.get_soft_overlong_punishment",
        kwargs={"max_completion_len": 1000, "soft_punish_cache": 200},
    ),
    Case("trl `get_repetition_penalty_reward`", "trl.rewards.get_repetition_penalty_reward"),
]
SOUND_GROUPS = ("sound", "outsider_sound")
PAGE = """# What each reward can be gamed by

This is what `align rewards attack` says of every reward of the catalogue and of TRL. It was made by
`python -m scripts.labs.attack.lab --table docs/evidence/attacks.md`. {about}
[Attacks](../explanation/attacks.md) says what the words mean. A reward about form pays it
around any answer: let it count where a reward of answers pays (`reward_gates`). The phrases that
`phrases` pays stand in a file that no hack reads.

| reward | about | gamed by | what else |
|---|---|---|---|
{lines}

## Planted rewards

`python -m scripts.labs.attack.lab --check_bars`, one seed:

| planted rewards | gameable ones told | sound ones called gamed or soft |
|---|---|---|
| by the author of the hacks | 23 of 23 | 0 of 23 |
| by somebody who had not seen the hacks | 18 of 20, three of them as `form` | 0 of 14 |
| by one of four others of that kind, spent | 12 of 12, four of them as `form` | - |
| by somebody who knew the command's options only, first look | 21 of 24 [68, 97 %] | 1 of 24 [0, 21 %] |

Each outsider wrote before reading anything here, and chose own tasks and own weaknesses. The last
line is what a new reward meets, with right answers under names of its own: the first look after
these were found by exchanges and the ladder came; of 6 of the 48 nothing could be told. With what
they showed mended it is 22 of 24, none of the sound ones that were looked at again, and nothing of
1. These 48 are not in the repository. At the first look of the hacks alone the second line was 18
of 20 [68, 99 %] and 0 of 14 [0, 23 %], four others 31 of 51 and 0 of 36; one of these is in
`scripts/labs/attack/blind.py`. A reward that reads nothing of the rows is told as `form`, whatever
it is called: alone it teaches no answer, and nobody else can say whether it should.

One of these found a hole in a reward of ours: `math_accuracy` took the question's own `25 * 3` for
75, since math-verify works it out. An expression that is not worked out is no answer there now,
where the right one is a plain number. TRL's two rewards of answers above have the same hole.
"""


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


def line(name: str, result: AttackResult) -> str:
    """Writes the result of one reward as a line of the page."""
    if result.honest is None:
        return f"| {name} | - | - | not attacked: {result.problems[0]} |"
    told = "answers" if result.honest.tells else "form"
    best = {each.family: each for each in reversed(result.of("gamed"))}
    gamed = "; ".join(
        f"{each.about[:1].lower()}{each.about[1:]}, {each.earned} of {each.rows} rows" for each in best.values()
    )
    is_about = result.honest.tells or not result.about_form
    steps = [f"{each.verdict}, {each.rung.about} {each.share:.0%}" for each in result.ladder if each.verdict]
    gamed = "; ".join([*(steps[:1] if is_about else []), *([gamed] if gamed else [])])
    gamed = gamed or f"none of {len(result.outcomes)} hacks on {len(result.honest.rows)} rows"
    if not result.honest.tells:
        paid = [each for each in result.outcomes if each.verdict == "no" and each.pay >= mean(result.honest.pays)]
        gamed += f"; {len(paid)} earn as much as honest answers, such as `{shorten(paid[0].text, 40)}`" if paid else ""
    notes = [f"pays `{shorten(each.text, 60)}`" for each in result.of("misread")[:1]]
    notes += [f"pays more beside right answers: {each.about.lower()}" for each in result.of("beside")[:1]]
    notes += result.problems[:1]
    return f"| {name} | {told} | {gamed} | {'; '.join(notes)} |"


def _write_page(page: Path, lines: dict[str, str]) -> None:
    """Writes the lines into the page; those of rewards that were left out this time stay."""
    kept = page.read_text(encoding="utf-8").splitlines() if page.is_file() else []
    found = {row.split("|")[1].strip(): row for row in kept if row.startswith(("| `", "| trl"))}
    found |= {row.split("|")[1].strip(): row for row in lines.values()}
    known = installed_versions()
    about = f"Rows of\n`scripts/labs/attack/rows.py`, seed 0; TRL {known['trl']}, Python {known['python']}."
    ordered = [found[name] for name in sorted(found, key=lambda name: (name.startswith("trl"), name))]
    page.write_text(PAGE.format(about=about, lines="\n".join(ordered)), encoding="utf-8")


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
    parser.add_argument("--only", choices=["gameable", "blind", "outsider", "sound", "outsider_sound", "others"])
    parser.add_argument(
        "--table", type=Path, help="the page that gets a line for each reward of the catalogue and of TRL"
    )
    parser.add_argument("--names", nargs="*", help="some rewards only")
    parser.add_numbers("exit with 1 unless 18 of 20 gameable ones are found, and 1 of 20 sound ones is called gamed")
    parser.add_argument("--invariance", type=int, metavar="TIMES", help="judge rewards under so many names and orders")
    arguments = parser.parse_args()
    if arguments.invariance:
        same, of = invariance(arguments.invariance)
        print(f"the same in {same} of {of}")
        return int(same < of)
    careful = Case("asks_a_careful_judge", f"{gameable.__file__}:asks_a_server", fooled=False)
    groups = {
        "gameable": planted(gameable),
        "blind": blind_ones(),
        "outsider": outsider("gameable.py"),
        "outsider_sound": outsider("sound.py"),
        "sound": [*planted(sound), careful, *SOUND_ONES],
        "others": OTHERS,
    }
    shown = [*SOUND_ONES, *OTHERS]
    found: dict[str, dict[str, Any]] = {}
    lines: dict[str, str] = {}
    for group, cases in groups.items():
        table, found[group] = {}, {}
        for case in cases:
            if arguments.table and case not in shown:
                continue
            if arguments.only not in (None, group) or (arguments.names and case.name not in arguments.names):
                continue
            result, seconds = run(case)
            table[case.name] = [*cells(result), f"{seconds:.1f}", "; ".join(result.problems)[:200]]
            # A form that pays alone teaches no answer: told of a gameable reward, and no blame of a sound one.
            blamed = {"gamed", "soft"} | ({"form"} if "sound" not in group else set())
            found[group][case.name] = sum(kind in blamed for kind, _, _ in sentences(result))
            lines[case.name] = line(case.name if "`" in case.name else f"`{case.name}`", result)
        print_table(group, ["says", "gamed by", "best", "misread", "beside", "s", "problems"], table, "reward", 250)
    counts = {group: sum(count > 0 for count in each.values()) for group, each in found.items()}
    sizes = {group: len(each) for group, each in found.items()}
    if arguments.table:
        _write_page(arguments.table, lines)
    write_numbers(arguments.json, {"gamed_by": found})
    missed, called = (sum(counts[each] for each in some) for some in (("gameable", "outsider"), SOUND_GROUPS))
    for group, words in {
        "gameable": "gameable found",
        "blind": "blind ones found, some by hacks that their misses showed",
        "outsider": "of the last outsider found",
        "sound": "sound called gamed",
        "outsider_sound": "sound ones of that outsider called gamed",
    }.items():
        print(f"{counts[group]} of {sizes[group]} {words}")
    missed = sizes["gameable"] + sizes["outsider"] - missed
    return tell({"at most 2 gameable missed": missed <= 2, "at most 1 sound called gamed": called <= 1}, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
