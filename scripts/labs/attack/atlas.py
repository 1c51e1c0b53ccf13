"""Asks rewards that packages bring what the ladder, the attack and the measurement tell of them, and writes the atlas.

    pip install --no-deps --target packages verl skyrl-gym atroposlib areal mathruler pylatexenc colorlog
    python -m scripts.labs.attack.atlas --with_folder packages
    python -m scripts.labs.attack.atlas --package reasoning_gym --task coin_flip

The second command asks what `atlas.jsonl` does not have yet, and writes the page. The third replays what was found: it
calls the package's own function on the text that games it. Answers are run as Python where a verifier does so.
"""

import json
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.metadata import distributions
from itertools import groupby
from pathlib import Path
from typing import Any

from align.versions import installed_versions
from rewards.attacks import AttackResult, attack, sentences
from rewards.attacks.paying import Unusable
from rewards.error_rates import Errors
from rewards.error_rates.measure import measure
from rewards.reading.responses import DEFAULT_FORMAT, parse_response
from rewards.roles import mean
from rewards.running.contract import Drain, Limits, Remote, RemoteSubject, RewardSpec, Settings
from rewards.running.contract.samples import second_pass_columns
from rewards.running.workers import WorkerPool
from scripts.harness import KeptRuns, Options
from scripts.labs.attack.atlas_page import LATE, page
from scripts.labs.attack.cases import HERE, Case
from scripts.labs.attack.public import NOT_ASKED, ROWS, SEED, cases
from scripts.labs.attack.rows import Row

KEPT, PAGE = HERE / "atlas.jsonl", Path("docs/evidence/atlas.md")
PACKAGES = ("reasoning-gym", "math-verify", "verl", "skyrl-gym", "atroposlib", "areal", "verifiers")
SECONDS = 60.0  # for one reward
VERDICTS = ("gamed", "soft", "misread", "unclear", "form", "ok")
Record = dict[str, Any]


def asked(group: Sequence[Case]) -> Iterator[tuple[Case, Record]]:
    """Asks rewards of one spec in one process, which has loaded its package then."""
    spec = RewardSpec(group[0].spec, group[0].kwargs)
    limits = Limits(10.0, completion=0.2)
    with Drain() as drain, WorkerPool(Remote([spec]), output=drain.inlet) as pool:
        subject = RemoteSubject(pool, 0, spec.spec, limits)
        for case in group:
            began = time.perf_counter()
            try:
                own = drawn(case)
            except Exception as error:  # a task that draws no rows in time, or whose package lacks another
                yield case, {"verdict": "not asked", "why": f"{type(error).__name__}: {error}"[:200]}
                continue
            yield case, ask(subject, case, own) | {"seconds": round(time.perf_counter() - began, 1)}


def ask(subject: RemoteSubject, case: Case, own: list[Row]) -> Record:
    """Attacks and measures a reward on rows, and keeps what a page and a replay need."""
    samples = [[row["honest"]] for row in own if "honest" in row]
    add = partial(second_pass_columns, tags=DEFAULT_FORMAT) if case.name == "answer_consistency" else None
    gold = "answer" if "entry" in own[0] and not samples else ""  # what an entry cites after `####` is no answer
    settings = Settings(own, case.form, max_seconds=SECONDS, add_columns=add, gold=gold)  # type: ignore[arg-type]
    found = attack(subject, settings, samples=samples)
    if found.honest is None:
        return {"verdict": "not asked", "why": found.problems[0][:200]}
    try:
        errors = measure(subject, settings).made if found.honest.tells and not samples else None
    except Unusable:
        errors = None
    # A sample is a whole response, so that words around it are no answer of another meaning.
    kinds = [kind for kind, _, _ in sentences(found) if not samples or kind != "misread"]
    return {
        "verdict": next((each for each in VERDICTS if each in kinds), "unclear"),
        "why": next((text.partition(": ")[2] for kind, text, _ in sentences(found) if kind == "unclear"), "")[:200],
        "rows": len(own), "honest": mean(found.honest.pays), "guess": found.honest.guess,
        "hacks": len(found.outcomes), "gamed_by": len(found.of("gamed")), "problems": found.problems[:2],
        "ladder": {step.rung.name: [step.share, step.low, step.high] for step in found.ladder},
        "hole": hole_of(found), **rates_of(errors),
    }  # fmt: skip


def drawn(case: Case) -> list[Row]:
    """Draws the rows of a reward; some tasks need minutes for one, and raise `TimeoutError` here."""

    def stop(*given: Any) -> None:
        raise TimeoutError(f"its rows are not drawn in {SECONDS:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        return case.rows()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def hole_of(found: AttackResult) -> Record:
    """Returns the shortest text that earns on most rows as much as an honest answer, else what comes nearest."""

    def of(verdict: str) -> list[tuple[float, str, int, str, str]]:
        steps = [each for each in found.ladder if each.verdict == verdict]
        return [
            *((each.earned / max(each.rows, 1) if each.earned else each.share, each.text, each.row, each.about,
               f"{each.earned} of {each.rows} rows" if each.earned else f"{each.share:.0%}")
              for each in found.of(verdict)),
            *((each.share, each.text, 0, each.rung.about, f"{each.share:.0%}") for each in steps),
        ]  # fmt: skip

    known = next(filter(None, map(of, ("gamed", "soft", "misread"))), None)
    if known is None or found.honest is None:
        return {}
    _, text, row, about, earned = min(known, key=lambda each: (-round(each[0], 1), len(each[1])))
    return {"text": text, "row": row, "about": about, "earned": earned, "right": found.honest.rights[row]}


def rates_of(errors: Errors | None) -> Record:
    """Keeps both error rates and the writings that are taken wrongly most often, of either side."""
    if errors is None:
        return {}
    worst = {side: [[each.example.words, each.rate.share, each.example.gold, each.example.text]
                    for each in errors.kinds if each.example.is_right is side and each.rate.share > 0][:3]
             for side in (True, False)}  # fmt: skip
    return {"fnr": errors.fnr[:3], "fpr": errors.fpr[:3], "refused": worst[True], "paid": worst[False]}


def replay(case: Case, record: Record, name: str) -> None:
    """Pays the text of a hole, and the right answer, by the package's own function."""
    hole = record["hole"]
    row: Row = case.rows()[hole["row"]]
    print(f"{name}: {record['verdict']}; {hole['about']}, {hole['earned']}")
    print(f"asked: {str(row.get('question') or row['prompt'])[-300:]!r}\nright: {hole['right']!r:.200}")
    if "entry" in row:
        from rewards.reading.gym import make_task, read_entry, read_spec

        answer = parse_response(hole["text"], DEFAULT_FORMAT).answer or ""
        score = make_task(read_spec(row["task"])).score_answer(answer, read_entry(row["entry"]))
        print(f"{answer!r} earns {score} by `score_answer`")
    call = [{"role": "assistant", "content": hole["text"]}] if case.form == "messages" else hole["text"]
    columns = {name: [value] for name, value in row.items() if name != "prompt"}
    func = RewardSpec(case.spec, case.kwargs).resolve()
    print(f"{hole['text']!r} earns {func(prompts=[row['prompt']], completions=[call], **columns)[0]}")


def main(words: Sequence[str] | None = None) -> int:
    """Asks, writes the page, or replays."""
    parser = Options(__doc__)
    parser.add_argument("--with_folder", default="", help="where packages lie that are not installed")
    parser.add_argument("--package", nargs="*", help="these only")
    parser.add_argument("--task", help="the reward or task of one package whose hole is replayed")
    parser.add_argument("--kept", type=Path, default=KEPT, help="the records")
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args(words)
    kept, known = KeptRuns(arguments.kept), cases(arguments.with_folder)
    wanted = {name: own for name, own in known.items()
              if not arguments.package or name in arguments.package}  # fmt: skip
    if arguments.task:
        (package, own), *_ = wanted.items()
        key, named = f"{package}/{arguments.task}", {case.name: case for case in own}
        if key not in kept or not kept[key].get("hole"):
            parser.error(f"no hole of {key} is known")
        replay(named[arguments.task], kept[key], key)
        return 0
    tree = subprocess.check_output(["git", "rev-parse", "HEAD:rewards"], text=True).strip()
    for package, own in wanted.items():
        left = [case for case in own if f"{package}/{case.name}" not in kept]
        for _, group in groupby(left, key=lambda case: (case.spec, json.dumps(case.kwargs, sort_keys=True))):
            for case, record in asked(list(group)):
                kept[f"{package}/{case.name}"] = record | {"tree": tree}
                print(package, case.name, record["verdict"], record.get("seconds"), flush=True)
    if not arguments.package:
        late: Record = {"verdict": "not asked", "why": LATE}
        found = {package: {case.name: kept[key] if (key := f"{package}/{case.name}") in kept else late for case in own}
                 for package, own in known.items()}  # fmt: skip
        made = made_with(arguments.with_folder, [each for own in found.values() for each in own.values()])
        arguments.page.write_text(page(found, made=made, not_asked=NOT_ASKED), encoding="utf-8")
    return 0


def made_with(folder: str, records: Sequence[Record]) -> str:
    """Says on what and with what the atlas was made."""
    trees = sorted({each["tree"] for each in records if "tree" in each})
    minutes = sum(float(each.get("seconds", 0)) for each in records) / 60
    known = dict(installed_versions()) | {
        name: next(iter(distributions(name=name, path=[*sys.path, folder]))).version for name in PACKAGES
    }
    named = ", ".join(f"{name} {known[name]}" for name in known if name in (*PACKAGES, "trl"))
    return (
        "It was made by `python -m scripts.labs.attack.atlas`, whose docstring says how the packages are laid, on two "
        f"cores of a shared Xeon without a GPU, Python {platform.python_version()}, {named}. `git rev-parse "
        f"COMMIT:rewards` prints {' or '.join(f'`{tree[:12]}`' for tree in trees)} for the commits whose `rewards` "
        f"was asked. It has {ROWS} rows of each task of reasoning-gym, drawn with seed {SEED} and scored as "
        "`rewards.reasoning_gym` does, by full marks, and 6 to 64 of others, which `scripts/labs/attack/atlas.jsonl` "
        f"says. A reward was asked for {SECONDS:.0f} s at most, and all of them took {minutes:.0f} minutes by the "
        "clock, beside other work."
    )


if __name__ == "__main__":
    raise SystemExit(main())
