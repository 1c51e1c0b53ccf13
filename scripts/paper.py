r"""Runs all arms and seeds of a table of a paper, measures them, and writes one page with the paper's numbers beside.

    python scripts/paper.py                                     # the sets, and what each needs
    python scripts/paper.py deconfound-simulation
    python scripts/paper.py deconfound-upworthy --tiny          # the same commands on made rows and a tiny model
    python scripts/paper.py deconfound-upworthy --data data/upworthy --dry_run --gpus 8  # what it costs
    python scripts/paper.py --check 8                           # all trainings of all sets, as for 8 GPUs

The same command goes on where it was stopped: what is finished is skipped, a run that was killed continues from its
newest checkpoint. `--out` gets `report.html`, `numbers.json` with machine, versions and seeds, and the folder of
every run.
"""

import json
import os
import shlex
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where `scripts` is a package

from align.errors import UserError
from align.versions import installed_versions
from align.whole_files import as_json, write_whole
from scripts.harness import Options, print_table
from scripts.papers import crome, deconfound, videos
from scripts.papers.cost import cost_of
from scripts.papers.page import build_page, gathered
from scripts.papers.plan import Asked
from scripts.papers.ready import check_sets
from scripts.stages import run_stages

SETS = deconfound.SETS | crome.SETS | videos.SETS
TINY_SEEDS = 2
MADE = (
    "Rows and model are made by the script, in the schema and of the architecture of the real ones. It shows that "
    "every command works, and nothing about the paper."
)


def main(argv: list[str] | None = None) -> int:
    """Runs what is not finished, and writes the page."""
    parser = Options(__doc__)
    parser.add_argument("set", nargs="?", choices=SETS, help="without it, all are listed")
    parser.add_argument("--tiny", action="store_true", help="made rows and a tiny model, minutes on a CPU")
    parser.add_argument("--out", type=Path, help="outputs/paper-SET, or paper-SET-tiny, if not given")
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder of the files that the set needs")
    parser.add_argument("--arms", nargs="+", help="some of the arms, the first of which others are compared with")
    parser.add_argument("--seeds", type=int, help=f"how many; those of the set, or {TINY_SEEDS}, if not given")
    parser.add_argument("--first_seed", type=int, default=0)
    parser.add_argument(
        "--oracle", default="", help="Crome: words of `align augment`, such as '--endpoint https://HOST/v1 --model M'"
    )
    parser.add_argument("--gpus", type=int, default=1, help="that train, under ZeRO-3 if several, and evaluate")
    parser.add_argument("--dry_run", action="store_true", help="print what it costs and the commands, run none")
    parser.add_argument(
        "--check", type=int, metavar="GPUS", help="check the trainings of the set, or of all, for so many GPUs"
    )
    arguments = parser.parse_args(argv)
    for name in ("check", "gpus"):
        if (number := getattr(arguments, name)) is not None and number < 1:
            parser.error(f"--{name}: {number} GPUs are none. Give a number from 1.")
    if arguments.tiny and arguments.gpus > 1:
        parser.error(f"--tiny runs in one process, and --gpus is {arguments.gpus}. Leave one of them out.")
    if arguments.check is not None:
        chosen = SETS if arguments.set is None else {arguments.set: SETS[arguments.set]}
        return int(check_sets(chosen, arguments.check, arguments.data) > 0)
    if arguments.set is None:
        rows = {
            name: [paper.title, ", ".join(paper.arms), "; ".join(paper.files) or "nothing"]
            for name, paper in SETS.items()
        }
        print_table("Sets", ("what it is", "arms", "needs"), rows, "set", 200)
        return 0
    paper = SETS[arguments.set]
    if unknown := [arm for arm in arguments.arms or () if arm not in paper.arms]:
        parser.error(f"--arms: {unknown[0]!r} is no arm of {arguments.set}. There are {', '.join(paper.arms)}.")
    out = arguments.out or Path("outputs") / f"paper-{arguments.set}{'-tiny' if arguments.tiny else ''}"
    seeds = arguments.seeds or (TINY_SEEDS if arguments.tiny else paper.seeds)
    data = out / "data" if arguments.tiny and paper.make_tiny else arguments.data
    numbers = range(arguments.first_seed, arguments.first_seed + seeds)
    oracle = tuple(shlex.split(arguments.oracle))
    asked = Asked(out, numbers, arguments.arms or list(paper.arms), data, arguments.tiny, oracle, arguments.gpus)
    try:
        jobs = list(paper.jobs(asked))
    except UserError as error:
        parser.error(str(error))
    print("\n".join(f"# {line}" for line in cost_of(paper, jobs, asked)), flush=True)
    if arguments.dry_run:
        print("\n".join(stage.line for job in jobs for stage in job.stages))
        return 0
    if arguments.tiny and paper.make_tiny and not (data / "made").exists():
        paper.make_tiny(data, arguments.first_seed)
        write_whole(data / "made", "")
    if missing := [name for name in paper.files if not (data / name).exists()]:
        print(f"error: {data / missing[0]} is missing. {paper.files[missing[0]]}", file=sys.stderr)
        return 1
    for job in jobs:
        print(f"\n== {job.name}", flush=True)
        if code := run_stages(job.stages, out / "stages" / job.name):
            return code
    values = gathered([job.read() for job in jobs])
    lines = [stage.line for job in jobs for stage in job.stages]
    made = MADE if arguments.tiny else ""
    page, record = build_page(arguments.set, paper, values, numbers, lines, out, made)
    write_whole(out / "numbers.json", json.dumps(as_json(installed_versions() | record), indent=1) + "\n")
    rows = {arm: [f"{sum(v) / len(v):.3f}" for v in cells.values()] for arm, cells in values.items()}
    print_table(f"{arguments.set}, means over {len(numbers)} seeds", next(iter(values.values())), rows)
    print(f"The page is {page}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
