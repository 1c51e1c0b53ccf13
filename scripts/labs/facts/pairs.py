"""Turns the facts questions into preference pairs: one sentence with the right fact, the same one with a wrong fact.

    python -m scripts.labs.facts.pairs --out recipes/rrpo/assets/facts

Rows also name the right answer (`reference`) and the other options (`wrong_answers`), so that `align augment --method
rrpo` can make pairs of a model's own mistakes from the same file.
"""

import json
import random
import re
from pathlib import Path
from typing import Any

from scripts.harness import Options, write_rows

# Per group of questions: what to read in the question, and the answer as a sentence.
SENTENCES = {
    "element_symbol": (r"symbol of (.+)\?", "The chemical symbol of {subject} is {answer}."),
    "element_name": (r'symbol "(.+)"\?', "The element with the chemical symbol {subject} is {answer}."),
    "element_number": (r"number of (.+)\?", "The atomic number of {subject} is {answer}."),
    "element_by_number": (r"number (.+)\?", "The element with atomic number {subject} is {answer}."),
    "element_period": (r"table is (.+)\?", "In the periodic table, {subject} is in period {answer}."),
    "element_group": (r"table is (.+)\?", "In the periodic table, {subject} is in group {answer}."),
    "element_block": (r"does (.+) belong\?", "In the periodic table, {subject} belongs to the {answer}."),
    "element_family": (r"does (.+) belong\?", "The element {subject} belongs to the family of {answer}."),
    "country_alpha_2": (r"code for (.+)\?", "The two-letter code for {subject} is {answer}."),
    "country_alpha_3": (r"code for (.+)\?", "The three-letter code for {subject} is {answer}."),
    "country_by_alpha_2": (r'code "(.+)"\?', "The code {subject} stands for {answer}."),
    "country_by_alpha_3": (r'code "(.+)"\?', "The code {subject} stands for {answer}."),
    "country_currency": (r"territory: (.+)\?", "The currency that is legal tender in {subject} is the {answer}."),
    "country_subdivision": (r"named (.+)\?", "The subdivision named {subject} belongs to {answer}."),
}


def make_pair(question: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Makes the pair of a question; the wrong fact is one of its other options.

    Example:
        >>> row = {"id": "x", "question": "What is the chemical symbol of iron?", "options": ["Fe", "Ir"]}
        >>> make_pair(row | {"answer": "A", "group": "element_symbol"}, random.Random(0))["rejected"][0]["content"]
        'The chemical symbol of iron is Ir.'
    """
    pattern, sentence = SENTENCES[question["group"]]
    subject = re.search(pattern, question["question"])[1]
    right = question["options"]["ABCD".index(question["answer"])]
    others = [option for option in question["options"] if option != right]
    chosen, rejected = (
        [{"role": "assistant", "content": sentence.format(subject=subject, answer=answer)}]
        for answer in (right, rng.choice(others))
    )
    return {
        "id": question["id"],
        "prompt": [{"role": "user", "content": question["question"]}],
        "chosen": chosen,
        "rejected": rejected,
        "reference": right,
        "wrong_answers": others,
        "group": question["group"],
    }


def main() -> None:
    """Writes the pairs of both sides."""
    parser = Options(__doc__)
    parser.add_argument("--questions", type=Path, default=Path("recipes/acre/assets/facts"))
    parser.add_argument("--out", type=Path, default=Path("recipes/rrpo/assets/facts"))
    parser.add_argument("--seed", type=int, default=0, help="draws the wrong facts")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    for side in ("train", "eval"):
        lines = (args.questions / f"{side}.jsonl").read_text(encoding="utf-8").splitlines()
        pairs = [make_pair(json.loads(line), rng) for line in lines]
        size = write_rows(args.out / f"{side}.jsonl", pairs, ensure_ascii=False)
        print(f"{side}: {len(pairs)} pairs, {size // 1024} KiB")


if __name__ == "__main__":
    main()
