"""Builds the facts data set: multiple-choice questions on chemical elements and countries, from PyPI packages.

    pip install "truealign[facts]"
    python -m scripts.labs.facts.make --out recipes/acre/assets/facts

Every question is about one entity (an element or a country). Entities are divided between training and evaluation
before any question is written, and the distractors that are entities come from the same side, so that an evaluated
fact never appears in training.
"""

import datetime
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from scripts.harness import Options, write_rows

LETTERS = "ABCD"
EVAL_SHARE = 0.2
MOST_PER_KIND = {"train": 105, "eval": 26}
TENDER_DATE = datetime.date(2026, 1, 1)  # babel dates its currencies
FAMILIES = ("Noble gases", "Alkali metals", "Alkaline earth metals", "Halogens", "Lanthanides", "Actinides")
GROUP_3_DISPUTED = ("La", "Ac", "Lu", "Lr")  # sources differ on their group and block


class Fact(NamedTuple):
    """One question before its distractors are drawn: `candidates` come best first and may hold the gold."""

    kind: str
    question: str
    gold: str
    candidates: list[str]
    package: str
    record: str


def elements() -> list[dict[str, Any]]:
    """Reads the 118 elements, keyed for the questions."""
    from mendeleev.fetch import fetch_table

    table = fetch_table("elements").merge(
        fetch_table("series").rename(columns={"id": "series_id", "name": "series"})[["series_id", "series"]]
    )
    columns = ["atomic_number", "symbol", "name", "period", "group_id", "block", "series"]
    rows = table.sort_values("atomic_number")[columns].to_dict("records")
    return [row | {"key": row["symbol"], "group": row["group_id"]} for row in rows]


def countries() -> list[dict[str, Any]]:
    """Reads the ISO 3166-1 countries whose name is a plain one, with currencies and subdivisions."""
    import pycountry
    from babel.numbers import get_currency_name, get_territory_currencies

    named = {c.alpha_2: getattr(c, "common_name", c.name) for c in pycountry.countries}
    places = Counter(place.name for place in pycountry.subdivisions)
    rows = []
    for country in sorted(pycountry.countries, key=lambda c: c.alpha_3):
        name = named[country.alpha_2]
        if "," in name:  # an inverted name ("Micronesia, Federated States of") reads badly in a question
            continue
        tender = get_territory_currencies(country.alpha_2, start_date=TENDER_DATE, end_date=TENDER_DATE)
        parts = pycountry.subdivisions.get(country_code=country.alpha_2) or []
        unique = sorted({p.name for p in parts if places[p.name] == 1 and p.parent_code is None and p.name.isascii()})
        rows.append(
            {
                "key": country.alpha_3,
                "name": name,
                "alpha_2": country.alpha_2,
                "alpha_3": country.alpha_3,
                "currencies": [get_currency_name(code, locale="en") for code in tender],
                "places": [p for p in unique if name not in p and p not in named.values() and "," not in p],
            }
        )
    return rows


def split(rows: list[dict[str, Any]], rng: random.Random) -> dict[str, list[dict[str, Any]]]:
    """Divides entities between `train` and `eval`, each in its original order."""
    chosen = set(rng.sample(range(len(rows)), round(EVAL_SHARE * len(rows))))
    return {
        "train": [row for i, row in enumerate(rows) if i not in chosen],
        "eval": [row for i, row in enumerate(rows) if i in chosen],
    }


def alike(word: str, words: Iterable[str], rng: random.Random) -> list[str]:
    """Orders words at random, those with the same first letter in front."""
    pool = rng.sample(sorted(set(words)), len(set(words)))
    return sorted(pool, key=lambda other: other[0] != word[0])


def element_facts(pool: list[dict[str, Any]], rng: random.Random) -> Iterator[Fact]:
    """Yields the questions on each element of one side."""
    # Single letters A-D would read as the letter of an option.
    symbols = [e["symbol"] for e in pool if e["symbol"] not in LETTERS]
    names = [e["name"] for e in pool]
    for e in pool:
        name, symbol, number = e["name"], e["symbol"], e["atomic_number"]
        lower = name.lower()

        def fact(kind: str, question: str, gold: object, candidates: Iterable[object], record: str = symbol) -> Fact:
            return Fact(f"element_{kind}", question, str(gold), [str(c) for c in candidates], "mendeleev", record)

        near = [n for n in range(max(1, number - 9), min(118, number + 9) + 1) if n != number]
        if symbol not in LETTERS:
            yield fact("symbol", f"What is the chemical symbol of {lower}?", symbol, alike(symbol, symbols, rng))
        yield fact("name", f'Which element has the chemical symbol "{symbol}"?', name, alike(name, names, rng))
        yield fact("number", f"What is the atomic number of {lower}?", number, rng.sample(near, 3))
        yield fact("by_number", f"Which element has atomic number {number}?", name, neighbours(e, pool))
        yield fact(
            "period", f"In which period of the periodic table is {lower}?", e["period"], shuffled(range(1, 8), rng)
        )
        if e["group"] == e["group"] and symbol not in GROUP_3_DISPUTED:  # NaN: no group
            groups = shuffled(range(1, 19), rng)
            yield fact("group", f"In which group of the periodic table is {lower}?", int(e["group"]), groups)
        if symbol not in GROUP_3_DISPUTED:
            blocks = [f"{block}-block" for block in "spdf"]
            yield fact(
                "block", f"To which block of the periodic table does {lower} belong?", f"{e['block']}-block", blocks
            )
        if e["series"] in FAMILIES:
            question = f"To which family of elements does {lower} belong?"
            yield fact("family", question, e["series"], shuffled(FAMILIES, rng))


def country_facts(pool: list[dict[str, Any]], rng: random.Random) -> Iterator[Fact]:
    """Yields the questions on each country of one side."""
    names = [c["name"] for c in pool]
    users = Counter(m for c in pool for m in c["currencies"])
    # A currency of several countries (US Dollar) may circulate in one that babel does not list.
    national = [m for m, count in users.items() if count == 1]
    for c in pool:
        name = c["name"]

        def fact(kind: str, question: str, gold: str, candidates: list[str], package: str, record: str) -> Fact:
            return Fact(f"country_{kind}", question, gold, candidates, package, record)

        for part in ("alpha_2", "alpha_3"):
            code, iso = c[part], f"ISO 3166-1 {part.replace('_', '-')} code"
            codes = alike(code, [other[part] for other in pool], rng)
            yield fact(part, f"What is the {iso} for {name}?", code, codes, "pycountry", c["alpha_3"])
            by_code = f'Which country or territory has the {iso} "{code}"?'
            yield fact(f"by_{part}", by_code, name, alike(name, names, rng), "pycountry", c["alpha_3"])
        if len(c["currencies"]) == 1:
            gold = c["currencies"][0]
            same_unit = sorted(shuffled(national, rng), key=lambda m: m.split()[-1] != gold.split()[-1])
            question = f"Which currency is legal tender in this country or territory: {name}?"
            yield fact("currency", question, gold, same_unit, "babel", c["alpha_2"])
        if c["places"]:
            place = rng.choice(c["places"])
            question = f"Which country or territory has a subdivision named {place}?"
            yield fact("subdivision", question, name, shuffled(names, rng), "pycountry", c["alpha_3"])


def neighbours(element: dict[str, Any], pool: list[dict[str, Any]]) -> list[str]:
    """Orders the names of elements by distance in atomic number."""
    ordered = sorted(pool, key=lambda other: abs(other["atomic_number"] - element["atomic_number"]))
    return [other["name"] for other in ordered]


def shuffled(values: Iterable[Any], rng: random.Random) -> list[Any]:
    """Returns the values in random order, independent of the order they came in."""
    return rng.sample(ordered := sorted(values), len(ordered))


def write_questions(facts: list[Fact], most: int, rng: random.Random) -> list[dict[str, Any]]:
    """Draws the facts of each kind, three distractors each, and gold letters in equal numbers."""
    kept: list[Fact] = []
    for kind in sorted({fact.kind for fact in facts}):
        of_kind = [fact for fact in facts if fact.kind == kind]
        kept += rng.sample(of_kind, min(most, len(of_kind)))
    rows = []
    letters: list[str] = []
    for fact in kept:
        letters = letters or rng.sample(LETTERS, 4)  # each letter once in any four questions of a kind
        letter = letters.pop()
        others = [c for c in dict.fromkeys(fact.candidates) if c.casefold() != fact.gold.casefold()][:6]
        options = rng.sample(others, 3)
        options.insert(LETTERS.index(letter), fact.gold)
        rows.append(
            {
                "id": f"{fact.kind}/{fact.record}",
                "question": fact.question,
                "options": options,
                "answer": letter,
                "group": fact.kind,
                "source": {"package": fact.package, "version": version(fact.package), "record": fact.record},
            }
        )
    return rng.sample(rows, len(rows))  # kinds mixed, so that any first N rows hold all of them


def build(seed: int) -> dict[str, list[dict[str, Any]]]:
    """Builds both sides of the data set."""
    rng = random.Random(seed)
    sides = [split(elements(), rng), split(countries(), rng)]
    return {
        side: write_questions(
            [*element_facts(sides[0][side], rng), *country_facts(sides[1][side], rng)], MOST_PER_KIND[side], rng
        )
        for side in ("train", "eval")
    }


def main() -> int:
    """Writes `train.jsonl` and `eval.jsonl`."""
    parser = Options(__doc__)
    parser.add_argument("--out", type=Path, default=Path("recipes/acre/assets/facts"), help="folder to write to")
    parser.add_argument("--seed", type=int, default=0, help="draws the split, the distractors and the letters")
    args = parser.parse_args()
    try:
        sides = build(args.seed)
    except ModuleNotFoundError as error:
        print(
            f"error: {error.name} is missing: pip install mendeleev==1.3.0 pycountry==26.2.16 babel==2.18.0",
            file=sys.stderr,
        )
        return 1
    for side, rows in sides.items():
        size = write_rows(args.out / f"{side}.jsonl", rows, ensure_ascii=False)
        letters = dict(sorted(Counter(row["answer"] for row in rows).items()))
        print(f"{side}: {len(rows)} questions, gold letters {letters}, {size // 1024} KiB")
        print("   ", dict(sorted(Counter(row["group"] for row in rows).items())))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
