"""`align rewards list`: those that a recipe can name; `new`: one to start from."""

import inspect
import keyword
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from rich.text import Text

from align.console import make_console, make_table
from align.errors import UserError
from align.runs.disk_space import check_writable
from rewards.catalog import REWARDS
from rewards.running.loading import find_dotted, package_of, shipped_rewards
from rewards.running.protocol import CALL_ARGUMENTS, TRAINER_ARGUMENTS

REWARD = Template('''\
"""The reward `$name`; name it in a recipe as `./$name.py:$name`."""

$imports


def $name(completions, $parameters, **kwargs):
    """$about

    Args:
        completions: One response per row: a text, or a list of messages. `completion_text` reads both. Policies write
            empty, cut-off and very long ones, too.
$arguments
        **kwargs: The other columns, and `prompts`, `completion_ids`, `trainer_state`, `log_extra` and `log_metric`.
            TRL passes them all, so this must stay.

    Returns:
        One number per response, or None where the reward has nothing to say.
    """
    scores = []
$loop
    return scores
''')

TEST = Template('''\
"""Tests of the reward `$name`: run `pytest test_$name.py`, and `align rewards check $name.py:$name`."""

import pytest
from $name import $name

from rewards import check_reward

ROWS = [{"prompt": "What is 17 + 25?", "answer": "42"}]


@pytest.mark.parametrize(
    ("response", "score"),
    [
$cases
    ],
)
def test_scores(response, score):
    assert $name([response], answer=["42"]) == [score]
    assert $name([[{"role": "assistant", "content": response}]], answer=["42"]) == [score]

$more
def test_trl_can_call_it():
    assert check_reward($name, ROWS, ["42"]) == []
''')


class Sketch(NamedTuple):
    """What a reward that one starts from has of its own."""

    about: str
    parameters: str
    arguments: str  # a line or two on each of the parameters
    loop: str
    cases: Sequence[tuple[str, float]]  # responses, as code, and what they earn
    imports: str = "from rewards import completion_text"
    more: str = ""  # tests


RIGHT = Sketch(
    "Rewards a response with exactly one answer, in answer tags or after `Answer:`, that is the right one.",
    "answer, weight=1.0",
    """\
        answer: A column of the data. Name each column you read; TRL passes a list with one value per response.
        weight: A setting, from `reward_kwargs` of the recipe.""",
    """\
    for completion, right in zip(completions, answer, strict=True):
        if right is None:
            scores.append(None)  # TRL leaves this row out; 0.0 would say that the response is bad
            continue
        given = parse_response(completion_text(completion)).answer  # None without exactly one answer
        scores.append(weight * float(given == str(right)))""",
    (
        ('"<think>17 + 25 = 42</think><answer>42</answer>"', 1.0),
        ('"17 + 25 = 42\\nAnswer: 42"', 1.0),
        ('"<think>17 + 25 = 43</think><answer>43</answer>"', 0.0),
        ('"<answer>42</answer><answer>43</answer>"', 0.0),
        ('"<answer>42 or 43</answer>"', 0.0),
        ('"<answer>42"', 0.0),
        ('""', 0.0),
    ),
    "from rewards import completion_text, parse_response",
    """
def test_a_row_without_an_answer_is_left_out():
    assert $name(["Answer: 42"], [None]) == [None]

""",
)

_EACH = "    for completion in completions:\n        text = completion_text(completion)\n"
BRIEF = Sketch(
    "Rewards a response of at most `max_words` words; one of twice as many earns half, an empty one nothing.",
    "max_words=50",
    "        max_words: A setting, from `reward_kwargs` of the recipe.",
    f"{_EACH}        words = len(text.split())\n        scores.append(min(1.0, max_words / words) if words else 0.0)",
    (('"It is 42."', 1.0), ('"word " * 100', 0.5), ('""', 0.0), ('" "', 0.0)),
)
JSON = Sketch(
    "Rewards a response that is one JSON object, with all of `keys`, and nothing else.",
    "keys=()",
    "        keys: A setting, from `reward_kwargs` of the recipe: names that the object must have.",
    f"""{_EACH}        try:
            found = json.loads(text)
        except ValueError:
            found = None
        scores.append(float(isinstance(found, dict) and all(key in found for key in keys)))""",
    (
        ("'{\"answer\": 42}'", 1.0),
        ("'{\"answer\": 42'", 0.0),
        ("'Yes: {\"answer\": 42}'", 0.0),
        ('"42"', 0.0),
        ('""', 0.0),
    ),
    "import json\n\nfrom rewards import completion_text",
)
PLAIN = Sketch(
    "Rewards a response without Markdown: each line with a heading, a list, a fence or bold text takes `step` off.",
    "step=0.25",
    "        step: A setting, from `reward_kwargs` of the recipe.",
    f"""{_EACH}        marked = len(re.findall(r"^.*(?:^\\s*(?:#|[-*+] |```)|\\*\\*).*$", text, re.MULTILINE))
        scores.append(max(0.0, 1.0 - step * marked) if text.strip() else 0.0)""",
    (('"It is 42."', 1.0), (r'"# Sum\nIt is **42**."', 0.5), (r'"- a\n" * 5', 0.0), ('""', 0.0)),
    "import re\n\nfrom rewards import completion_text",
)
SKETCHES = {
    **dict.fromkeys(("brevity", "brief", "concise", "conciseness", "short"), BRIEF),
    **dict.fromkeys(("valid_json", "is_json", "json_format"), JSON),
    **dict.fromkeys(("no_markdown", "plain", "plain_text"), PLAIN),
}  # others begin with the right answer


def list_rewards() -> None:
    """Prints name, columns, settings and purpose of every reward, from its own signatures and docstring."""
    table = make_table("reward", "columns", "settings", "what it rewards")
    for name, path in REWARDS.items():
        reward = find_dotted(path)
        about = (inspect.getdoc(reward) or "").partition("\n")[0]
        table.add_row(name, Text(_columns(reward)), _settings(reward), Text(about))
    for name, points in shipped_rewards().items():
        if name not in REWARDS:
            table.add_row(name, "", "", Text(f"{points[0].value}, shipped by {package_of(points[0])}"))
    console = make_console()
    console.print(table)
    console.print(
        "Columns in brackets are optional. Every reward may also read what TRL passes, such as `prompts`.", style="dim"
    )
    console.print("Your own: `align rewards new NAME`, then `reward_funcs: [./NAME.py:NAME]`.", style="dim")


def _columns(reward: Any) -> str:
    found = [
        each
        for each in inspect.signature(reward.__call__).parameters.values()
        if each.name not in ("self", *CALL_ARGUMENTS, *TRAINER_ARGUMENTS) and each.kind is not each.VAR_KEYWORD
    ]
    return ", ".join(each.name if each.default is each.empty else f"[{each.name}]" for each in found)


def _settings(reward: Callable[..., Any]) -> str:
    parameters = inspect.signature(reward).parameters.values()
    return ", ".join(str(each).partition(":")[0] for each in parameters if each.name != "response_format")


def new_reward(name: str, folder: Path) -> int:
    """Writes both files and prints what to do next."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UserError(f"A reward's name must be a Python name such as `brevity`, got {name!r}.")
    if name in REWARDS or name == "rewards":
        raise UserError(f"`{name}` is the name of a built-in reward. Choose another: TRL logs rewards by name.")
    contents = {folder / f"{name}.py": REWARD, folder / f"test_{name}.py": TEST}
    for path in contents:
        if path.exists():
            raise UserError(f"{path} is there already and is not overwritten. Choose another name, or move it.")
    check_writable(folder, "--folder")
    folder.mkdir(parents=True, exist_ok=True)
    sketch = SKETCHES.get(name.lower(), RIGHT)
    words = sketch._asdict() | {"name": name, "more": Template(sketch.more).substitute(name=name)}
    words |= {"cases": "\n".join(f"        ({text}, {score})," for text, score in sketch.cases)}
    for path, template in contents.items():
        path.write_text(template.substitute(words), encoding="utf-8")
    reward, test = contents
    console = make_console()
    console.print(f"Wrote {reward} and {test}. Then:", soft_wrap=True)
    tested = [] if find_spec("pytest") else ["pip install pytest"]  # which a base install has not
    for line in (*tested, f"pytest {test}", f"align rewards check {reward}:{name}"):
        console.print(f"  {line}", style="bold cyan", soft_wrap=True)
    return 0
