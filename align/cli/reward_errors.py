"""What `align rewards measure` prints."""

import json
import math
from typing import Any

from rich.text import Text

from align.console import make_console, make_table
from align.secrets import mask
from align.services.options import MeasuringErrors
from align.services.reward_errors import MeasuredErrors
from align.services.reward_errors import measure_reward as measured
from align.whole_files import as_json as plain
from rewards.error_rates import Errors, Rate
from rewards.running.contract.calls import shorten

UNCLEAR = 2  # exit code where a rate cannot be told


def measure_reward(subject: str, as_json: bool, how: MeasuringErrors) -> int:
    """Prints both error rates; returns 1 if one is told to be as bad as `fail_on` says, and 2 if none can be told."""
    result = measured(subject, how)
    if as_json:
        print(json.dumps(mask(plain(result)), indent=2))
    else:
        _show(result)
    return 1 if result.met else UNCLEAR if result.found.unclear or result.unclear else 0


def _show(result: MeasuredErrors) -> None:
    found, console = result.found, make_console(least=100)
    for errors, what in ((found.made, f"written in other ways, {found.form}"), (found.labelled, "as labelled")):
        if errors is not None:
            text = f"`{found.reward}`, answers {what}; accepted from a pay of {errors.right_from:.4g} on:"
            console.print(Text(text), soft_wrap=True)
            console.print(_rate("right answers refused", "false negatives", errors.fnr))
            console.print(_rate("wrong answers paid", "false positives", errors.fpr))
            console.print(_table(errors))
            if errors.no_number:
                console.print(f"{errors.no_number} texts got no number, which counts as no pay.", soft_wrap=True)
    if result.true_rate is not None:
        console.print(f"So the true pass rate is {result.true_rate} (Rogan and Gladen).", style="bold", markup=False)
    said = [*found.problems, *result.met, *(each for each in (found.unclear, result.unclear) if each)]
    for sentence in said:
        console.print(Text(f"`{found.reward}`: {sentence}", "yellow"), soft_wrap=True)


def _rate(what: str, name: str, rate: Rate) -> Text:
    counted = f"{rate} ({name}; {rate.hits} of {rate.of} texts, {rate.rows} rows)"
    return Text(f"  {what}: {counted if rate.of else 'none was there'}", "bold")


def _table(errors: Errors) -> Any:
    table = make_table("", "kind", "what it writes", "n", "taken wrongly", "answer", "completion", "pay")
    for rate, shown in errors.kinds:
        side, pay = "right" if shown.is_right else "wrong", "none" if math.isnan(shown.pay) else f"{shown.pay:.4g}"
        text = " ".join(shown.text.split())
        text = shorten(text if len(text) <= 40 else f"...{text[-37:]}")
        gold = shorten(shown.gold, 24) if shown.gold else ""
        table.add_row(*map(Text, (side, shown.kind, shown.words, str(rate.of), str(rate), gold, text, pay)))
    return table
