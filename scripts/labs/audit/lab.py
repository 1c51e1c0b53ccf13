"""How often `align audit` finds a cue that is there, and how often one that is not.

Clean sets of 600 pairs of drawn words have no cue, so what is named there is a false alarm; sets with a phrase in more
chosen than rejected answers have one. Takes about a minute on one core.
"""

import json
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from align.auditing.reading import Source
from align.auditing.run import audit
from scripts.harness import Options, write_rows

WORDS = 400
PHRASE = "to be sure"
POWER = ((0.15, 0.10), (0.20, 0.10), (0.30, 0.15))


def draw_pairs(num: int, seed: int) -> list[dict[str, Any]]:
    """Draws pairs of 10 to 60 words, whose frequencies fall as in language (Zipf)."""
    draw = random.Random(f"audit {seed}")
    words, weights = [f"w{i}" for i in range(WORDS)], [1 / (1 + i) for i in range(WORDS)]

    def text() -> str:
        return " ".join(draw.choices(words, weights, k=draw.randint(10, 60)))

    return [{"id": f"p{i}", "prompt": f"question {i}", "chosen": text(), "rejected": text()} for i in range(num)]


def plant(rows: Sequence[Mapping[str, Any]], chosen: float, rejected: float, seed: int) -> list[dict[str, Any]]:
    """Puts the phrase into shares of both sides."""
    draw = random.Random(f"plant {seed}")

    def put(text: str, share: float) -> str:
        words = text.split()
        place = draw.randint(2, len(words) - 2)
        return " ".join([*words[:place], PHRASE, *words[place:]]) if draw.random() < share else text

    return [
        dict(row) | {"chosen": put(row["chosen"], chosen), "rejected": put(row["rejected"], rejected)} for row in rows
    ]


def cues_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names the cues that the audit finds, with those shown as one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.jsonl"
        write_rows(path, rows)
        cues = audit([Source(str(path))], near=False).record.cues
    return [name for cue in (cues.found if cues else []) for name in (cue.name, *cue.also)]


def words_of(name: str) -> list[str]:
    """Lists the words of a cue's name."""
    return name.replace('"', " ").split()


def measure(num_pairs: int, clean_seeds: Sequence[int], power_seeds: Sequence[int]) -> dict[str, Any]:
    """Runs the lab."""
    alarms = {seed: found for seed in clean_seeds if (found := cues_of(draw_pairs(num_pairs, seed)))}
    power = {}
    for chosen, rejected in POWER:
        found = [cues_of(plant(draw_pairs(num_pairs, 1_000 + seed), chosen, rejected, seed)) for seed in power_seeds]
        ours = [[any(word in PHRASE.split() for word in words_of(name)) for name in names] for names in found]
        power[f"{chosen:.0%} against {rejected:.0%}"] = {
            "found": sum(map(any, ours)),
            "with_others": sum(not all(each) for each in ours),
        }
    return {
        "pairs": num_pairs,
        "clean_sets": len(clean_seeds),
        "sets_with_false_alarms": {str(seed): found for seed, found in alarms.items()},
        "power_sets": len(power_seeds),
        "power": power,
    }


def main(words: Sequence[str] | None = None) -> int:
    """Prints the numbers; returns 1 if there are more false alarms than 5 % of the sets, and bars are checked."""
    parser = Options(__doc__)
    parser.add_argument("--pairs", type=int, default=600)
    parser.add_argument("--clean", type=int, default=40, help="clean sets, of the seeds 0 to this")
    parser.add_argument("--power", type=int, default=20, help="sets with a cue, of the seeds 0 to this")
    parser.add_numbers("exit code 1 if a bar is missed")
    options = parser.parse_args(words)
    found = measure(options.pairs, range(options.clean), range(options.power))
    alarms = found["sets_with_false_alarms"]
    sets = f"{options.clean} clean sets of {options.pairs} pairs (seeds 0 to {options.clean - 1})"
    print(f"False alarms in {len(alarms)} of {sets}: {alarms}")
    for shares, counts in found["power"].items():
        others = f"other cues beside it in {counts['with_others']}"
        print(f"A phrase in {shares}: found in {counts['found']} of {options.power} sets, {others}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return int(options.check_bars and len(alarms) > 0.05 * options.clean)


if __name__ == "__main__":
    sys.exit(main())
