"""`align rewards list`: those that a recipe can name; `new`: one to start from; `export`: one for other frameworks."""

import inspect
import keyword
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any

from rich.text import Text

from align.console import make_console, make_table
from align.errors import UserError
from align.recipe.yaml_loader import read_yaml_option
from align.runs.disk_space import check_writable
from align.services.export import export_reward as write_export
from rewards.catalog import REWARDS
from rewards.running.loading import find_dotted, package_of, shipped_rewards
from rewards.running.protocol import CALL_ARGUMENTS, TRAINER_ARGUMENTS

REWARD = Template('''\
"""The reward `$name`; name it in a recipe as `./$name.py:$name`."""

from rewards import completion_text, parse_response


def $name(completions, answer, weight=1.0, **kwargs):
    """Rewards a response with exactly one answer, in answer tags or after `Answer:`, that is the right one.

    Args:
        completions: One response per row: a text, or a list of messages. `completion_text` reads both. Policies write
            empty, cut-off and very long ones, too.
        answer: A column of the data. Name each column you read; TRL passes a list with one value per response.
        weight: A setting, from `reward_kwargs` of the recipe.
        **kwargs: The other columns, and `prompts`, `completion_ids`, `trainer_state`, `log_extra` and `log_metric`.
            TRL passes them all, so this must stay.

    Returns:
        One number per response, or None where the reward has nothing to say.
    """
    scores = []
    for completion, right in zip(completions, answer, strict=True):
        if right is None:
            scores.append(None)  # TRL leaves this row out; 0.0 would say that the response is bad
            continue
        given = parse_response(completion_text(completion)).answer  # None without exactly one answer
        scores.append(weight * float(given == str(right)))
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
        ("<think>17 + 25 = 42</think><answer>42</answer>", 1.0),
        ("17 + 25 = 42\\nAnswer: 42", 1.0),
        ("<think>17 + 25 = 43</think><answer>43</answer>", 0.0),
        ("<answer>42</answer><answer>43</answer>", 0.0),
        ("<answer>42 or 43</answer>", 0.0),
        ("<answer>42", 0.0),
        ("", 0.0),
    ],
)
def test_scores(response, score):
    assert $name([response], ["42"]) == [score]
    assert $name([[{"role": "assistant", "content": response}]], ["42"]) == [score]


def test_a_row_without_an_answer_is_left_out():
    assert $name(["Answer: 42"], [None]) == [None]


def test_trl_can_call_it():
    assert check_reward($name, ROWS, ["42"]) == []
''')


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
    for path, template in contents.items():
        path.write_text(template.substitute(name=name), encoding="utf-8")
    reward, test = contents
    console = make_console()
    console.print(f"Wrote {reward} and {test}. Then:", soft_wrap=True)
    tested = [] if find_spec("pytest") else ["pip install pytest"]  # which a base install has not
    for line in (*tested, f"pytest {test}", f"align rewards check {reward}:{name}"):
        console.print(f"  {line}", style="bold cyan", soft_wrap=True)
    return 0


def export_reward(spec: str, framework: str, out: Path | None, reward_kwargs: str, **settings: Any) -> int:
    """Writes the file, and prints what names it in the framework and where columns come from."""
    kwargs = read_yaml_option("--reward_kwargs", reward_kwargs, "{max_length: 200}")
    written = write_export(spec, framework, out, reward_kwargs=kwargs, **settings)
    console = make_console()
    console.print(f"Wrote {written.path}. {written.columns} In {framework}:", soft_wrap=True)
    console.print(Text(f"  {written.use}", style="bold cyan"), soft_wrap=True)
    return 0
