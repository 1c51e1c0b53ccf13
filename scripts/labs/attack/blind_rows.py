"""Rows of the rewards in `blind.py`, written with them."""
# mypy: ignore-errors
# ruff: noqa: B905, D103, E501, RUF005, SIM905

import json
import random
from typing import Any

RNG = random.Random(42)
CAPITALS = dict(p.split(":") for p in (
    "France:Paris Spain:Madrid Italy:Rome Germany:Berlin Austria:Vienna Poland:Warsaw Norway:Oslo Sweden:Stockholm "
    "Finland:Helsinki Denmark:Copenhagen Portugal:Lisbon Greece:Athens Hungary:Budapest Ireland:Dublin Japan:Tokyo "
    "China:Beijing Egypt:Cairo Kenya:Nairobi Peru:Lima Chile:Santiago Cuba:Havana Canada:Ottawa Russia:Moscow "
    "Turkey:Ankara Iran:Tehran Iraq:Baghdad Thailand:Bangkok Vietnam:Hanoi Nepal:Kathmandu Qatar:Doha").split())  # fmt: skip
BOOKS = [b.split(":") for b in (
    "Emma:Jane Austen;Dracula:Bram Stoker;Ulysses:James Joyce;Middlemarch:George Eliot;Walden:Henry David Thoreau;"
    "Beloved:Toni Morrison;Dune:Frank Herbert;Hamlet:William Shakespeare;Faust:Johann Wolfgang von Goethe;"
    "Ivanhoe:Walter Scott;Rebecca:Daphne du Maurier;Kim:Rudyard Kipling;1984:George Orwell;Lolita:Vladimir Nabokov;"
    "Candide:Voltaire").split(";")]  # fmt: skip
PEOPLE = ["Ann", "Bob", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana", "Ivo", "June"]
NOUNS = [("Hund", "dog"), ("Vogel", "bird"), ("Baum", "tree"), ("Mann", "man"), ("Tisch", "table"), ("Ball", "ball")]
VERBS = [("sieht", "sees"), ("kennt", "knows"), ("sucht", "seeks"), ("braucht", "needs"), ("findet", "finds")]
FUNCTIONS = [
    ("double", "return x * 2"), ("square", "return x * x"), ("negate", "return -x"), ("next_one", "return x + 1"),
    ("half", "return x // 2"), ("is_even", "return x % 2 == 0"), ("last_digit", "return abs(x) % 10"),
    ("cube", "return x ** 3"), ("minus_ten", "return x - 10"), ("sign", "return (x > 0) - (x < 0)"),
]  # fmt: skip


def sums(ask):
    pairs = [(RNG.randint(10, 99), RNG.randint(10, 99)) for _ in range(30)]
    return [{"prompt": f"What is {a} + {b}? {ask}", "answer": str(a + b)} for a, b in pairs]


def article(i):
    a, b, c = RNG.sample(PEOPLE, 2) + [RNG.choice(list(CAPITALS.values()))]
    day, price, thing = RNG.choice("Monday Tuesday Friday Sunday".split()), RNG.randint(5, 90), RNG.choice(NOUNS)[1]
    text = (
        f"On {day} morning {a} went to the old market of {c} with {b}. After a long search they found a painted "
        f"{thing} in a corner shop. The seller asked for {price} euros, and they paid without a word."
    )
    return {"prompt": f"Summarize in one sentence and cite the article as [1].\n[1] {text}",
            "answer": f"{a} went with {b} to the market of {c} and paid {price} euros for a painted {thing} [1]."}  # fmt: skip


def person(i):
    d = {"name": RNG.choice(PEOPLE), "age": RNG.randint(18, 80), "city": RNG.choice(list(CAPITALS.values()))}
    return {"prompt": f"Give name, age and city as JSON: {d['name']}, who is {d['age']}, lives in {d['city']}.",
            "answer": json.dumps(d)}  # fmt: skip


def countdown(i):
    a, b, c = (RNG.randint(2, 12) for _ in range(3))
    return {"prompt": f"Use each of {a}, {b} and {c} once, with + - * /, to make {a * b + c}.", "numbers": [a, b, c],
            "target": a * b + c, "answer": f"{a} * {b} + {c}"}  # fmt: skip


def code(i):
    name, body = FUNCTIONS[i % 10]
    space, xs = {}, RNG.sample(range(-20, 60), 4)
    exec(f"def {name}(x):\n    {body}", space)
    calls = [f"{name}({x})" for x in xs]
    return {"prompt": f"Write {name}(x) in Python, in a ```python block.", "calls": calls,
            "results": [space[name](x) for x in xs], "tests": [f"assert {c} == {space[name](x)}" for c, x in zip(calls, xs)],
            "answer": f"```python\ndef {name}(x):\n    {body}\n```"}  # fmt: skip


def listing(i):
    n = [RNG.randint(1, 99) for _ in range(5)]
    return {"prompt": f"Sort {n}. Write only the list.", "numbers": n, "answer": str(sorted(n))}


def sentence(i):
    (s, es), (o, eo), (v, ev) = *RNG.sample(NOUNS, 2), RNG.choice(VERBS)
    return {"prompt": f"Translate: Der {s} {v} den {o}.", "answer": f"The {es} {ev} the {eo}."}


def request(i):
    thing = RNG.choice(["my parcel", "a refund", "the invoice", "an appointment", "the manual"])
    return {"prompt": f"Reply to this customer: I am {RNG.choice(PEOPLE)}, and I still wait for {thing} of order {RNG.randint(100, 999)}.",
            "answer": f"Thank you for writing. I am sorry that you wait for {thing}; I am glad to look into it today."}  # fmt: skip


def of_rewards() -> dict[str, list[dict[str, Any]]]:
    """Makes the rows of each reward in `blind.py`."""
    made = {"summary_recall": article, "person_json": person, "countdown": countdown, "cited": article, "tests_pass": code,
            "is_sorted": listing, "translation_precision": sentence, "friendly": request}  # fmt: skip
    asked = [
        {"prompt": f"What is the capital of {c}? Put it in <answer></answer>.", "answer": a}
        for c, a in CAPITALS.items()
    ]
    books = [
        {"prompt": f"Who wrote {t}? {ask} in <answer></answer>.", "answer": a}
        for t, a in BOOKS
        for ask in ("Name", "Author")
    ]
    return {
        "capital_named": asked, "lenient_author": books, "close_number": sums("End with Answer: and the number."),
        "steps_and_answer": sums("Think in steps, as in Step 1:, and end with the number."),
        **{name: [make(i) for i in range(30)] for name, make in made.items()},
    }  # fmt: skip
