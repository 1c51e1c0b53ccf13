"""What the page that is written while a run trains takes of its steps.

    OMP_NUM_THREADS=1 python -m scripts.benches.live_page --minutes 4 --check_bars

Trains a shipped quickstart in this process, as `align train` does, until the time is over, and gives what writing the
page took as a share of the time of the training loop and of its processor time, which other work on the machine hardly
changes. Then it renders the page of a generated run of 10,000 steps and 50,000 completions, in the same process, and
gives how often such a page would be written. The bar is 1 % of the loop.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from align.report.page import run_page
from align.services.train import run
from align.training import callbacks
from scripts.benches.long_run import write_run
from scripts.harness import Options, tell, write_numbers

BAR = callbacks.SHARE


class CountedPage(callbacks.LivePage):
    """Counts steps, pages, and the processor time of the loop and of the pages in it."""

    made: ClassVar[list["CountedPage"]] = []

    def __init__(self, write: Any) -> None:
        self.pages: list[float] = []
        self.steps = 0
        self.page_cpu = 0.0
        super().__init__(lambda: self._counted(write))
        self.made.append(self)

    def _counted(self, write: Any) -> None:
        started, cpu = time.perf_counter(), time.process_time()
        write()
        self.pages.append(time.perf_counter() - started)
        self.page_cpu += time.process_time() - cpu

    def on_train_begin(self, *given: Any, **kwargs: Any) -> None:
        """Starts the clocks."""
        super().on_train_begin(*given, **kwargs)
        self.cpu = time.process_time()

    def on_step_end(self, *given: Any, **kwargs: Any) -> None:
        """Counts a step, and stops the clocks."""
        self.steps += 1
        self.seconds, self.seconds_cpu = self.clock() - self.began, time.process_time() - self.cpu


def train(recipe: str, minutes: float) -> dict[str, Any]:
    """Trains for some time and returns what the page took."""
    callbacks.LivePage = CountedPage  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        words = ["--output_dir", f"{folder}/run", "--max_steps", "1000000", "--logging_steps", "1"]
        run(recipe, words, None, f"{round(60 * minutes)}s")
    (found,) = CountedPage.made
    return {
        "steps": found.steps,
        "seconds": found.seconds,
        "step_seconds": (found.seconds - sum(found.pages)) / found.steps,
        "page_seconds": found.pages,
        "share": sum(found.pages) / found.seconds,
        "cpu_share": found.page_cpu / found.seconds_cpu,
    }


def render_long(steps: int, completions: int) -> float:
    """Returns the processor time of the page of a long run, once the code is loaded."""
    with tempfile.TemporaryDirectory() as folder:
        long = write_run(Path(folder) / "run", steps, completions)
        started = time.process_time()
        run_page(long, in_training=True)
        return time.process_time() - started


def main(argv: list[str] | None = None) -> int:
    """Runs the benchmark; returns 1 if the bar was to be checked and is missed."""
    parser = Options(__doc__)
    parser.add_argument("--recipe", default="acre/quickstart-text")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--steps", type=int, default=10_000, help="of the generated run")
    parser.add_argument("--completions", type=int, default=50_000, help="of the generated run")
    parser.add_numbers(f"exit code 1 above {BAR:.0%}% of the loop")
    arguments = parser.parse_args(argv)
    found = train(arguments.recipe, arguments.minutes)
    pages = found["page_seconds"]
    mean = sum(pages) / max(1, len(pages))
    print(
        f"{found['steps']:,} steps of {found['step_seconds']:.3f} s and {len(pages)} pages of {mean:.3f} s in "
        f"{found['seconds']:.0f} s: {found['share']:.2%} of the loop, {found['cpu_share']:.2%} of its processor time"
    )
    long = render_long(arguments.steps, arguments.completions)
    every = max(callbacks.EVERY_SECONDS, long / BAR)
    print(
        f"A page of {arguments.steps:,} steps and {arguments.completions:,} completions takes {long:.2f} s of the "
        f"processor: every {every:.0f} s at most, {long / every:.2%}"
    )
    held = found["share"] <= BAR and bool(pages)
    write_numbers(arguments.json, found, {"long_page_cpu_seconds": long})
    return tell({f"the page takes at most {BAR:.0%} of the loop": held}, arguments)


if __name__ == "__main__":
    sys.exit(main())
