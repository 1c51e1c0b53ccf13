"""Measures planted rewards whose error rates are known, and says how often an interval holds the truth.

    python -m scripts.labs.measure.lab --check_bars

Each reward is measured on 100 rows in two ways: on writings that are made of right answers, and on labelled
completions, which are written here and by no code of the package. The truth is the share among thousands of texts of
rows that the measurement has not seen, for which the reward is called directly; of `noise` it is planted.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rewards.error_rates import WRITINGS, Errors, Labelled, Rate, measure
from rewards.error_rates.golds import read_golds
from rewards.running.contract import LocalSubject, Settings
from rewards.scoring.math_accuracy import math_accuracy
from rewards.scoring.number_accuracy import number_accuracy
from rewards.scoring.text_accuracy import TextAccuracy, text_accuracy
from scripts.harness import Options, print_table, seeds_of, tell, write_numbers
from scripts.labs.measure.planted import JUDGES, reward

ROWS, FRESH = 100, 2000
TOWNS = ("Paris", "London", "Oslo", "Rome", "Madrid", "Berlin", "Vienna", "Prague", "Lisbon", "Warsaw", "Dublin")
Row = dict[str, Any]
Reward = Callable[..., Sequence[float | None]]


def draw_rows(count: int, drawn: random.Random) -> list[Row]:
    """Draws questions whose right answers are whole numbers, decimals, fractions, lengths and towns."""
    rows = []
    for number in range(count):
        a, b = drawn.randint(2, 60), drawn.randint(2, 60)
        golds = (str(a * b), str(-a), f"{a}/{b}", f"{a}.{drawn.randint(1, 9)}", f"{a * b} km", drawn.choice(TOWNS))
        rows.append({"prompt": f"Question {number} of {a} and {b}?", "answer": drawn.choice(golds)})
    return rows


def tagged(answer: str) -> str:
    """Writes a completion."""
    return f"I look at it.\n<answer>{answer}</answer>"


def labelled(row: Row, drawn: random.Random) -> Iterator[Labelled]:
    """Writes four completions to a row, right or wrong, as a grader who knows the answer labels them."""
    gold = row["answer"]
    right = [gold, gold, f"{gold} ", f"${gold}$", f"{gold}.", f"about that: {gold}"]
    wrong = [f"{gold} or 3", "", f"9{gold}", f"-{gold}" if gold[0] != "-" else gold[1:], "unknown", f"no {gold}"]
    for _ in range(4):
        is_right = drawn.random() < 0.5
        yield Labelled(row, tagged(drawn.choice(right if is_right else wrong)), is_right)


def pays(func: Reward, texts: Sequence[Labelled]) -> Iterator[tuple[bool, bool]]:
    """Calls a reward directly; yields whether a text is right, and whether it is paid."""
    found = func(
        prompts=[each.row["prompt"] for each in texts],
        completions=[each.text for each in texts],
        answer=[each.row["answer"] for each in texts],
    )
    for each, pay in zip(texts, found, strict=True):
        yield each.is_right, (pay or 0.0) >= 0.5


def true_rates(func: Reward, texts: Sequence[Labelled], *, of_judged: bool) -> tuple[float, float]:
    """Returns the shares of right texts that are refused, and of wrong ones that are paid."""
    if of_judged:  # without rows whose right answer gets no number
        golds = [each.row["answer"] for each in texts]
        plain = func(prompts=golds, completions=list(map(tagged, golds)), answer=golds)
        texts = [each for each, pay in zip(texts, plain, strict=True) if pay is not None]
    paid: Mapping[bool, list[bool]] = {True: [], False: []}
    for is_right, is_paid in pays(func, texts):
        paid[is_right].append(is_paid)
    return 1 - sum(paid[True]) / len(paid[True]), sum(paid[False]) / len(paid[False])


def written(rows: Sequence[Row]) -> list[Labelled]:
    """Writes all that is made of rows, each text of a row once."""
    texts = []
    for row, gold in zip(rows, read_golds(rows, [row["answer"] for row in rows]), strict=True):
        known = {text: each.is_right for each in WRITINGS[::-1] if (text := each.write(gold)) is not None}
        texts += [Labelled(row, tagged(text), is_right) for text, is_right in known.items()]
    return texts


def holds(rate: Rate, truth: float) -> bool:
    """Tells whether an interval holds the truth."""
    return rate.low - 1e-9 <= truth <= rate.high + 1e-9


def main() -> int:
    """Measures all planted rewards with each seed, and prints what came of it."""
    parser = Options(__doc__)
    parser.add_seeds(5)
    parser.add_numbers("exit with 1 unless 19 of 20 intervals hold the truth, in both ways")
    arguments = parser.parse_args()
    rewards: dict[str, Reward] = {name: reward(judge) for name, judge in JUDGES.items()}
    own = [math_accuracy, number_accuracy, text_accuracy]
    rewards |= {each.__name__: each for each in own} | {
        "text_accuracy, no articles": TextAccuracy(ignore_articles=True)
    }
    names = ["exact", *(each.__name__ for each in own)]
    rows = [{"prompt": f"Question {i}?", "answer": f"{i}/{i + 1}"} for i in range(1, 41)]
    table: dict[str, list[str]] = {}
    for place, name in enumerate(names):
        made = measure(LocalSubject(rewards[name]), Settings(rows, "text", max_seconds=600.0)).made
        for kind in made.kinds if made else ():
            if kind.example.is_right:
                table.setdefault(kind.example.kind, ["-"] * len(names))[place] = str(kind.rate)
    print_table("Right writings of 1/2, 2/3, ... refused", names, table, "writing", 170)
    drawn = random.Random("fresh rows")
    fresh = draw_rows(FRESH, drawn)
    corpora = {"made": written(fresh), "labelled": [each for row in fresh for each in labelled(row, drawn)]}
    truths = {}
    for name, func in rewards.items():
        some = 10 if name == "math_accuracy" else 1  # it takes a millisecond for each
        truths[name] = {
            way: true_rates(func, texts[: len(texts) // some], of_judged=way == "made")
            for way, texts in corpora.items()
        }
    both, singles = dict.fromkeys(corpora, 0), dict.fromkeys(corpora, 0)
    runs, table = 0, dict[str, list[str]]()
    for seed in seeds_of(arguments):
        drawn = random.Random(seed)
        rows = draw_rows(ROWS, drawn)
        judged = [each for row in rows for each in labelled(row, drawn)]
        for name, func in rewards.items():
            found = measure(LocalSubject(func), Settings(rows, "text", max_seconds=600.0), labelled=judged)
            runs, cells = runs + 1, list[str]()
            for way, errors in (("made", found.made), ("labelled", found.labelled)):
                if not isinstance(errors, Errors):
                    cells += [found.unclear, ""]
                    continue
                pairs = list(zip((errors.fnr, errors.fpr), truths[name][way], strict=True))
                held = [holds(*pair) for pair in pairs]
                both[way], singles[way] = both[way] + all(held), singles[way] + sum(held)
                cells += [f"{rate} ({100 * truth:.1f}){'' if is_in else ' !'}"
                          for (rate, truth), is_in in zip(pairs, held, strict=True)]  # fmt: skip
            table[f"{seed} {name}"] = cells
    columns = ["made fnr", "made fpr", "labelled fnr", "labelled fpr"]
    print_table("95 % intervals (truth; ! where it lies outside)", columns,
                table, "seed, reward", 170)  # fmt: skip
    for way in corpora:
        print(
            f"{way}: {singles[way]} of {2 * runs} intervals hold the truth; both of a reward in {both[way]} of {runs}"
        )
    numbers = {"runs": runs, "rewards": len(rewards), "both": both, "single": singles, "table": table}
    write_numbers(arguments.json, numbers)
    return tell(
        {f"95 % of intervals, {way}": 20 * count >= 19 * 2 * runs for way, count in singles.items()}, arguments
    )


if __name__ == "__main__":
    raise SystemExit(main())
