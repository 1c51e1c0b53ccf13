"""Recipes of every method with a few keys or letters changed."""

import json
import random
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from odd_values import ATOMS, nested, odd_value
from some_recipes import OUTCOMES, QUESTIONS

from align.methods import METHODS
from align.recipe.combinations import UNREAD
from align.recipe.fields import config_fields
from align.recipe.keys import REWARD_KEYS
from align.recipe.model import ModelSettings
from align.recipe.rules import rules_of

SECRETS = ("hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ012345", "correct-Horse-7-battery", "sk-proj-abcdefghijklmnop1234")
SECRET_KEYS = ("hub_token", "api_key", "password", "client_secret", "Authorization")
FRAGMENTS = [
    "\t",
    "\n",
    "\r",
    "  ",
    ":",
    ": ",
    "-",
    "- ",
    "#",
    "{",
    "}",
    "[",
    "]",
    "[" * 40,
    ",",
    "'",
    '"',
    "|",
    ">",
    "&a ",
    "*a",
]
FRAGMENTS += [
    "!!python/object:os.system ",
    "!!int ",
    "!!binary ",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "<<: ",
    "? ",
    "\ufeff",
]
FRAGMENTS += ["\0", "\x85", "\u2028", "é", "1e400", "1" * 5_000, "null", "yes", "a: 1\na: 2\n", "a: &a [*a]\n"]
EXAMPLES = {"bool": [True, False], "int": [1, 2, 3, 4, 8, 16, 100], "float": [0.1, 0.5, 1.0, 1e-5, 2]}
EXAMPLES |= {"str": ["x", "a b"], "dict": [{}, {"a": 1}, {"min_lr": 0.1}], "None": [None]}

ARGUMENTS = [str(value) for value in ATOMS if value != "\0"]  # no process can be given a NUL


class Drawn(NamedTuple):
    """A recipe file's text, words of the command line, and the secret in one of them."""

    text: str
    words: list[str]
    secret: str | None


def write_bases(folder: Path) -> dict[str, dict[str, Any]]:
    """Writes the rows that all recipes read; returns a recipe of each method that can be trained."""
    row = {"prompt": "q?", "question": "q?", "options": ["1", "2"], "answer": "A", "chosen": "1", "rejected": "2"}
    rows = [row | {"id": f"{i}", "t": f"x {i}", "y": i % 3 + 0.5, "c": i % 5} for i in range(24)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    (folder / "own.py").write_text("def f(completions, **kwargs):\n    return [float(len(t)) for t in completions]\n")
    common = {"model_name_or_path": "./model", "max_steps": 2, "use_cpu": True, "bf16": False, "report_to": "none"}
    common |= {"learning_rate": 1e-4, "per_device_train_batch_size": 4, "output_dir": "./run"}
    answers = {"reward_funcs": ["format"], "num_generations": 4, "max_completion_length": 8, "beta": 0.0}
    asked = {"conversational": False, "prompt_template": "{question}\n{options}\n"}
    observed = {"text": "t", "outcome": "y", "confounders": ["c"], "estimator": "ols"}
    own = {QUESTIONS: asked, OUTCOMES: observed}
    return {
        name: {"method": name} | common | (answers if method.has_rewards else {})
        | {"dataset": {"path": "./rows.jsonl"} | own.get(name, {})}
        for name, method in METHODS.items()
    }  # fmt: skip


def draw_fitting_recipe(rng: random.Random, bases: dict[str, dict[str, Any]]) -> Drawn:
    """Changes keys of a recipe to values of the right type, so that most are parsed."""
    content = json.loads(json.dumps(bases[rng.choice(sorted(bases))]))
    method = content["method"]
    alone = {*UNREAD, *(name for names in rules_of(method).read_with.values() for name in names)}  # are refused
    for key in rng.sample(sorted({*config_fields(method)} - alone), rng.randint(1, 3)):
        content[key] = _fitting_value(rng, method, key)
    return Drawn(yaml.safe_dump(content, sort_keys=False), [], None)


def draw_recipe(rng: random.Random, bases: dict[str, dict[str, Any]]) -> Drawn:
    """Changes some keys of a recipe, and now and then its text and the command line; hides a secret in some."""
    content = json.loads(json.dumps(bases[rng.choice(sorted(bases))]))
    method = content["method"]
    names = sorted({*config_fields(method), *ModelSettings.model_fields, *REWARD_KEYS, "dataset", "method"})
    for _ in range(rng.choice([1, 1, 1, 2])):
        _change(rng, method, content, rng.choice(names))
    secret = _hide_secret(rng, content) if rng.random() < 0.2 else None
    text = yaml.safe_dump(content, allow_unicode=rng.random() < 0.5, sort_keys=False)
    if secret is None and rng.random() < 0.2:
        text = _spoil(rng, text)
    words = []
    if rng.random() < 0.15:
        key = rng.choice([*names, "dataset.path", "dataset.max_rows", "a.b.c", "a..b", "", "=", ".", "é", "\x1b"])
        words = [f"--{key}", *(rng.choice(ARGUMENTS) for _ in range(rng.randrange(3)))]
    return Drawn(text, words, secret)


def _change(rng: random.Random, method: str, content: dict[str, Any], key: str) -> None:
    kind = rng.random()
    if key == "dataset" and kind < 0.85:
        content["dataset"][rng.choice(sorted(METHODS[method].part("dataset").model_fields))] = odd_value(rng)
    elif kind < 0.05:
        content.pop(key, None)
    elif kind < 0.1:
        content[key.upper() if kind < 0.07 else key[1:]] = content.pop(key, 1)
    elif kind < 0.12:
        content[key] = nested(rng, rng.choice([3, 28, 29, 30, 60]))
    else:
        content[key] = _fitting_value(rng, method, key) if kind < 0.8 else odd_value(rng)


def _fitting_value(rng: random.Random, method: str, key: str) -> Any:
    """Draws a value of the right type, so that what comes behind the types is reached."""
    field = config_fields(method).get(key)
    if choices := rules_of(method).choices.get(key) or (field.choices if field else ()):
        return rng.choice(choices)
    kind = str(field.type) if field else ""
    fitting = [value for word, values in EXAMPLES.items() if word in kind for value in values]
    return rng.choice(fitting) if fitting else odd_value(rng)


def _hide_secret(rng: random.Random, content: dict[str, Any]) -> str:
    secret = rng.choice(SECRETS)
    key = rng.choice(SECRET_KEYS)
    places = {
        "key": lambda: content.update({key: secret}),
        "dataset": lambda: content["dataset"].update({key: secret}),
        "login": lambda: content["dataset"].update(path=f"https://me:{secret}@host/rows.jsonl"),
        "reward": lambda: content.update(reward_kwargs={"format": {key: secret}}),
        "model": lambda: content.update(model_init_kwargs={key: [secret]}),
        "wrong type": lambda: content.update(hub_token=[secret, 1]),
    }
    places[rng.choice(sorted(places))]()
    return secret


def _spoil(rng: random.Random, text: str) -> str:
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(text) + 1)
        kind = rng.random()
        if kind < 0.6:
            text = text[:place] + rng.choice(FRAGMENTS) + text[place:]
        elif kind < 0.8:
            text = text[:place] + text[place + rng.randint(1, 20) :]
        elif kind < 0.9:
            text = text[:place]
        else:
            text += text[place:]
    return text
