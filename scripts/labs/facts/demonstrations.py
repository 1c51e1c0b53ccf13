"""Makes the facts questions into a warm start and what follows it: demonstrations, and questions in other words.

    python -m scripts.labs.facts.demonstrations --out recipes/sft/assets/facts

All four files are about the same facts, drawn from `recipes/acre/assets/facts/train.jsonl`. Each asks in words of its
own, with options drawn again. `questions.jsonl` asks about half of the facts, with A right in three of four questions,
and `held_out.jsonl` about both halves, with each letter right as often.
"""

import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scripts.harness import Options, write_rows
from scripts.labs.facts.make import LETTERS, alike
from scripts.labs.facts.pairs import SENTENCES

PER_KIND = 80
LETTER_ROWS = 2  # demonstrations with options for each fact, beside one without
# Of the letter alone: 800 rows of the other forms did not teach SmolLM2-135M that it follows from the trace.
LOOKED_UP_ROWS = 4
SHARE_AT_A = 0.75
HELD_OUT = 40  # of each kind
# How the questions for reinforcement learning and the held-out ones ask; demonstrations ask as the source does.
WORDINGS = {
    "element_symbol": ("How do chemists abbreviate {subject}?", "Which symbol stands for {subject}?"),
    "element_name": (
        "What does the chemical symbol {subject} stand for?",
        "{subject} is the symbol of which element?",
    ),
    "country_alpha_2": ("Which two-letter code does {subject} have?", "How is {subject} abbreviated in two letters?"),
    "country_by_alpha_2": (
        "What does the two-letter code {subject} stand for?",
        "{subject} is the code of which place?",
    ),
    "country_currency": ("With which currency does one pay in {subject}?", "What is the currency of {subject}?"),
}


class Fact(NamedTuple):
    """What is asked about, the sentence that says it, and what is wrong instead, best first."""

    source: dict[str, Any]
    subject: str
    gold: str
    sentence: str
    others: list[str]


def read_facts(rows: Sequence[dict[str, Any]], rng: random.Random) -> list[Fact]:
    """Draws the facts of each kind."""
    facts = []
    for kind in WORDINGS:
        of_kind = [row for row in rows if row["group"] == kind]
        golds = {row["id"]: row["options"][LETTERS.index(row["answer"])] for row in of_kind}
        # Only what was wrong somewhere: a currency of several countries may be right elsewhere, too.
        wrong = {option for row in of_kind for option in row["options"] if option != golds[row["id"]]}
        pattern, sentence = SENTENCES[kind]
        for row in rng.sample(of_kind, PER_KIND):
            subject, gold = re.search(pattern, row["question"])[1], golds[row["id"]]
            others = alike(gold, wrong - {gold}, rng)
            facts.append(Fact(row, subject, gold, sentence.format(subject=subject, answer=gold), others))
    return facts


def options_of(fact: Fact, letter: str, rng: random.Random) -> list[str]:
    """Draws three of the six most similar wrong answers and puts the right one at its letter."""
    options = rng.sample(fact.others[:6], 3)
    options.insert(LETTERS.index(letter), fact.gold)
    return options


def balanced(count: int, rng: random.Random) -> list[str]:
    """Returns letters in equal numbers and random order."""
    return rng.sample(letters := (LETTERS * count)[:count], len(letters))


def mostly_a(count: int, rng: random.Random) -> list[str]:
    """Returns A for three of four, the other letters in equal numbers, in random order."""
    at_a = round(SHARE_AT_A * count)
    return rng.sample(letters := "A" * at_a + (LETTERS[1:] * count)[: count - at_a], len(letters))


def demonstrations(facts: Sequence[Fact], rng: random.Random) -> Iterator[dict[str, Any]]:
    """Yields each fact as a plain answer, and as a trace before a letter, in the words of the source."""
    for fact in facts:
        name, question = fact.source["id"], fact.source["question"]
        yield {"id": f"{name}/sentence", "prompt": f"{question}\n", "completion": fact.sentence, "correct": True}
    for visit in range(LETTER_ROWS):
        for fact, letter in zip(facts, balanced(len(facts), rng), strict=True):
            listed = list_options(fact, letter, rng)
            yield {
                "id": f"{fact.source['id']}/{visit}",
                "prompt": f"{fact.source['question']}\n{listed}\n",
                "completion": f"<think>{fact.sentence}</think><answer>{letter}</answer>",
                "correct": True,
            }


def letters_alone(facts: Sequence[Fact], rng: random.Random) -> Iterator[dict[str, Any]]:
    """Yields only the letter of an answer that is given."""
    for visit in range(LOOKED_UP_ROWS):
        for fact, letter in zip(facts, balanced(len(facts), rng), strict=True):
            yield {
                "id": f"{fact.source['id']}/letter-{visit}",
                "prompt": f"{list_options(fact, letter, rng)}\n<think>The answer is {fact.gold}.</think><answer>",
                "completion": f"{letter}</answer>",
                "correct": True,
            }


def list_options(fact: Fact, letter: str, rng: random.Random) -> str:
    """Writes options as a question shows them."""
    return "\n".join(f"{a}. {b}" for a, b in zip(LETTERS, options_of(fact, letter, rng), strict=True))


def questions(
    facts: Sequence[Fact], letters: Sequence[str], wording: int, groups: Sequence[str], rng: random.Random
) -> Iterator[dict[str, Any]]:
    """Yields a question about each fact in one of the two other wordings."""
    for fact, letter, group in zip(facts, letters, groups, strict=True):
        kind = fact.source["group"]
        yield {
            "id": fact.source["id"],
            "question": WORDINGS[kind][wording].format(subject=fact.subject),
            "options": options_of(fact, letter, rng),
            "answer": letter,
            "group": group,
            "kind": kind,
        }


def build(rows: Sequence[dict[str, Any]], seed: int) -> dict[str, list[dict[str, Any]]]:
    """Builds the four files."""
    rng = random.Random(seed)
    facts = read_facts(rows, rng)
    asked = [fact for index, fact in enumerate(facts) if index % PER_KIND < PER_KIND // 2]
    # Half of the held-out questions are about facts that the questions ask about, half about the others.
    first, last = (PER_KIND - HELD_OUT) // 2, (PER_KIND + HELD_OUT) // 2
    held_out = [fact for index, fact in enumerate(facts) if first <= index % PER_KIND < last]
    known = {fact.source["id"] for fact in asked}
    groups = ["asked in training" if fact.source["id"] in known else "other facts" for fact in held_out]
    learnt = list(demonstrations(facts, rng))
    files = {
        "train": learnt,
        "eval": [row for row in demonstrations(held_out, rng) if row["completion"].startswith("<think>")][:HELD_OUT],
        "questions": list(questions(asked, mostly_a(len(asked), rng), 0, ["asked in training"] * len(asked), rng)),
        "held_out": list(questions(held_out, balanced(len(held_out), rng), 1, groups, rng)),
    }
    files = {name: rng.sample(made, len(made)) for name, made in files.items()}
    own = random.Random(seed + 1)  # the other files stay as they are, however many of these there are
    train = [*files["train"], *letters_alone(facts, own)]
    return files | {"train": own.sample(train, len(train))}


def main(argv: list[str] | None = None) -> None:
    """Writes the four files."""
    parser = Options(__doc__)
    parser.add_argument("--questions", type=Path, default=Path("recipes/acre/assets/facts/train.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("recipes/sft/assets/facts"))
    parser.add_argument("--seed", type=int, default=0, help="draws facts, options and letters")
    arguments = parser.parse_args(argv)
    rows = [json.loads(line) for line in arguments.questions.read_text(encoding="utf-8").splitlines()]
    for name, made in build(rows, arguments.seed).items():
        size = write_rows(arguments.out / f"{name}.jsonl", made, ensure_ascii=False)
        print(f"{name}: {len(made)} rows, {size // 1024} KiB")


if __name__ == "__main__":
    main()
