"""The reference of the site, made from what the code itself reads: keys, commands, metrics, files and the Python API.

Nothing here imports torch: keys come from TRL's source, and docstrings from ours.
"""

import ast
import inspect
import math
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

import typer

import align
import rewards
from align.assets import shipped_recipes
from align.auditing.row_findings import ROW_CHECKS
from align.cli.app import app
from align.cli.keys import describe
from align.cli.rewards import _columns, _settings
from align.evaluation.record.record import Record
from align.evaluation.statistics.glossary import SHARED, Meaning
from align.evaluation.suites import SUITES
from align.methods import METHODS
from align.methods.acre.rehearsal import CHECKS as OF_ACRE
from align.methods.pairs.rehearsal import CHECKS as OF_PAIRS
from align.methods.rollouts.foretold import CHECKS as OF_FORETOLD
from align.methods.rollouts.rehearsal import CHECKS as OF_ROLLOUTS
from align.recipe.alarms import ALARMS
from align.recipe.keys import keys_of
from align.rehearsal.record import Check
from align.rehearsal.rollouts import CHECKS
from align.rehearsal.rows import CHECKS as OF_ROWS
from rewards.attacks import HACKS
from rewards.catalog import REWARDS
from rewards.running.contract import FAULTS
from rewards.running.loading import find_dotted

LEADS = {  # what a page says before its table
    "keys": "Every key that a recipe of `method: {0}` may hold; ours come first, then those of TRL and transformers. "
    "On the command line a key is `--KEY VALUE`, and `align keys {0} WORD` finds one.",
    "metrics": "Metrics of `{0}`, as they stand in `evaluation.json` and on the page. X stands for what a name ends "
    "in, such as a group or a family.",
}


def reference_pages() -> dict[str, str]:
    """Returns every page of the reference by its place below `docs`."""
    pages = {f"keys/{method}.md": keys_page(method) for method in METHODS}
    pages |= {f"commands/{'-'.join(name.split()[1:])}.md": command_page(name, one) for name, one in commands()}
    pages |= {f"metrics/{name.replace('_', '-')}.md": metrics_page(name, suite.meanings) for name, suite in
              SUITES.items()}  # fmt: skip
    pages["metrics/several.md"] = metrics_page("several suites", SHARED)
    pages["rewards.md"], pages["recipes.md"], pages["alarms.md"] = rewards_page(), recipes_page(), alarms_page()
    pages["found.md"] = found_page()
    pages["evaluation-json.md"] = schema_page()
    pages["python-align.md"] = python_page("align", {name: align._HOMES[name] for name in align.__all__})
    pages["python-rewards.md"] = python_page("rewards", dict(homes_of_rewards()))
    return {f"reference/{place}": text for place, text in pages.items()}


def cell(text: str) -> str:
    """Makes text fit into a cell: on one line, and without HTML or borders outside of code."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(
        part if part.startswith("`") else part.replace("<", "&lt;").replace("|", "&#124;").replace("*", "\\*")
        for part in parts
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Writes a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def code(text: str) -> str:
    """Words something as code, or as nothing where there is nothing."""
    return f"`{text}`" if text else ""


def keys_page(method: str) -> str:
    """Writes the keys of a method, a table for each place that they come from."""
    parts = [f"# Keys of {method}\n\n{LEADS['keys'].format(method)}\n"]
    for place, group in groupby(keys_of(method), lambda key: key.place):
        rows = []
        for key in group:
            takes, _, default = describe(key).rpartition("; ")
            named, default = f'<a id="{key.name}"></a>{code(key.name)}', default.removeprefix("default ")
            rows.append((named, cell(takes), cell(default), cell(key.help)))
        parts.append(f"## {place}\n\n{table(('key', 'takes', 'default', 'what it does'), rows)}")
    return "\n".join(parts)


def commands() -> Iterator[tuple[str, Any]]:
    """Yields every command with its whole name."""

    def below(name: str, one: Any) -> Iterator[tuple[str, Any]]:
        if not hasattr(one, "list_commands"):
            yield name, one
            return
        context = typer.Context(one, info_name=name)
        for each in one.list_commands(context):
            yield from below(f"{name} {each}", one.get_command(context, each))

    return below("align", typer.main.get_command(app))


def command_page(name: str, command: Any) -> str:
    """Writes a command with its arguments and options."""
    told = inspect.cleandoc(command.help or "")
    size = getattr(command, "size", None)
    needs = f'It needs `pip install "truealign[{size}]"`.' if size else "It runs in the base install, without torch."
    context = typer.Context(command, info_name=name)
    rows = []
    for param in command.params:
        if getattr(param, "hidden", False) or param.name == "help":
            continue
        named = ", ".join(code(each) for each in (*param.opts, *param.secondary_opts))
        if not param.opts[0].startswith("-"):
            named = code(param.opts[0].upper())
        default = "needed" if param.required else "" if param.default in (None, False, ()) else str(param.default)
        word = getattr(param, "display_type_rich", None) or param.make_metavar  # as its help in any version of typer
        takes = "" if getattr(param, "is_flag", False) else str(word(context) or "").strip("<>")
        takes = re.sub(r"list\[(\w+)\]", r"list of \1", takes)
        rows.append((named, code(takes), cell(default), cell(re.sub(r"\[/?\w*\]", "", param.help or ""))))
    described = table(("option", "takes", "default", "what it does"), rows) if rows else ""
    return f"# `{name}`\n\n{told}\n\n{needs} `{name} --help` says the same in a terminal.\n\n{described}"


def metrics_page(name: str, meanings: Mapping[str, Any]) -> str:
    """Writes the metrics of a suite."""
    rows = []
    for metric, meaning in meanings.items():
        label, told, better = Meaning(*meaning)
        whole = f"{metric}{'X' if metric.endswith(('/', '_', '@')) else ''}"
        rows.append((f'<a id="{metric}"></a>{code(whole)}', cell(label), cell(told), better or ""))
    title = f"Metrics of {name.replace('_', ' ')}"
    return f"# {title}\n\n{LEADS['metrics'].format(name)}\n\n{table(('metric', 'label', 'meaning', 'better'), rows)}"


def rewards_page() -> str:
    """Writes the catalogue of rewards, from their signatures and docstrings."""
    rows = []
    for name, path in REWARDS.items():
        reward = find_dotted(path)
        told = (inspect.getdoc(reward) or "").partition("\n")[0]
        rows.append((code(name), cell(_columns(reward)), cell(_settings(reward)), cell(told)))
    return (
        "# Rewards\n\nThe rewards that a recipe can name in `reward_funcs`. Columns in brackets are optional; "
        "`reward_kwargs` sets what stands under settings. `align rewards list` prints the same, with those that "
        "installed packages ship.\n\n" + table(("reward", "columns", "settings", "what it rewards"), rows)
    )


def alarms_page() -> str:
    """Writes the alarms of a run, from their record."""
    rows = [
        (code(each.name), "off" if each.limit is None else str(each.limit), code(each.key.format("REWARD")),
         cell(each.words.format("A reward", name="REWARD")), cell(each.remedy),
         code(each.chosen.removeprefix("docs/")))
        for each in ALARMS.values()
    ]  # fmt: skip
    return (
        "# Alarms\n\nWhat an alarm says where the 95 % interval of what it looks at lies above its limit, and what to "
        "do then. `alarms` of a recipe sets the limits, and `stop_on` names those that end training.\n\n"
        + table(("alarm", "limit", "metric", "it says", "what to do", "the limit is from"), rows)
    )


def found_page() -> str:
    """Writes what attacks and checks of rewards look for, from their records."""
    families = {hack.family: sum(each.family == hack.family for each in HACKS) for hack in HACKS}
    hacks = [(code(each.name), str(n), cell(each.about), cell(each.remedy)) for each, n in families.items()]
    faults = [
        (code(each.name.partition("/")[0]), each.level, cell(each.words), cell(each.remedy))
        for each in FAULTS.values()
    ]
    checks = [
        (code(each.check), cell(each.words), cell(each.remedy), cell(limit_of(each)))
        for found in (CHECKS, OF_ROWS, OF_PAIRS, OF_ROLLOUTS, OF_ACRE, OF_FORETOLD)
        for each in found.values()
        if each.words
    ]
    rows = [(code(each.name), cell(each.text), cell(each.todo)) for each in ROW_CHECKS.values()]
    return (
        "# What is found\n\nWhat the commands look for, what they say, and what to do then.\n\n## Hacks\n\nWhat "
        "`align rewards attack` tries, by family.\n\n"
        f"{table(('family', 'hacks', 'what they write', 'what to do'), hacks)}\n"
        "## A reward check\n\nWhat `align rewards check` finds; what is in braces is filled in.\n\n"
        f"{table(('kind', 'level', 'the reward', 'what to do'), faults)}\n"
        "## A rehearsal\n\nWhat `align rehearse` finds where the whole 95 % interval lies beyond the limit.\n\n"
        f"{table(('check', 'it says', 'what to do', 'limit'), checks)}\n"
        "## An audit\n\nWhat `align audit` counts; these names, `unusable`, `cues` and `mask` go with `--fail_on`."
        f"\n\n{table(('name', 'what is counted', 'what to do'), rows)}"
    )


def limit_of(check: Check) -> str:
    """Words from where on a check finds something."""
    ends = {"above": check.above, "below": check.below}
    return " or ".join(f"{word} {limit:g}" for word, limit in ends.items() if math.isfinite(limit)) or "any"


def recipes_page() -> str:
    """Writes the shipped recipes, from the comments at their tops."""
    rows = []
    for name, path in shipped_recipes().items():
        facts = dict(re.findall(r"^# (purpose|hardware): (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE))
        rows.append((code(name), cell(facts.get("purpose", "")), cell(facts.get("hardware", ""))))
    return (
        "# Recipes\n\nThe recipes that the package ships. A name works wherever a path does: `align train "
        "acre/quickstart`. Each file says at its top what a run needs.\n\n"
        + table(("recipe", "what it trains", "hardware"), rows)
    )


def schema_page() -> str:
    """Writes the parts of `evaluation.json`, from what reads and writes it."""
    schema = Record.model_json_schema()
    parts = [
        "# `evaluation.json`\n\nWhat `align eval` writes, of format 1. Parts that a suite has nothing of are left "
        "out. A reader ignores keys that it does not know. From Python, `align.evaluate.SUITE(...)` returns the same: "
        "`.to_pandas()`, `.summary(model)`, `.differences()`.\n"
    ]
    for name, part in {"The file": schema, **schema["$defs"]}.items():
        if not part.get("properties"):
            continue
        rows = [
            (code(key), cell(words_of(kind, schema["$defs"])), "yes" if key in part.get("required", ()) else "")
            for key, kind in part["properties"].items()
        ]
        about = "" if name == "The file" else cell((part.get("description") or "").partition("\n")[0])
        parts.append(f"## {name}\n\n{about}\n\n{table(('key', 'value', 'always there'), rows)}")
    return "\n".join(parts)


def words_of(kind: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    """Words a type of JSON Schema; what has a table of its own is a link to it."""
    if "$ref" in kind:
        name = kind["$ref"].rpartition("/")[2]
        if parts[name].get("properties"):
            return f"[{name}](#{name.lower()})"
        inside = [each["title"].lower() for each in parts[name].get("prefixItems", ())]
        return f"{name.lower()} ({', '.join(inside)})" if inside else "anything"
    if "anyOf" in kind:
        return " or ".join(dict.fromkeys(words_of(each, parts) for each in kind["anyOf"]))
    if kind.get("type") == "array":
        return f"list of {words_of(kind['items'], parts)}" if kind.get("items") else "list"
    if kind.get("type") == "object" and isinstance(kind.get("additionalProperties"), dict):
        return f"object of {words_of(kind['additionalProperties'], parts)}"
    return str(kind.get("type", "anything"))


def homes_of_rewards() -> Iterator[tuple[str, str]]:
    """Finds the module of every public name of `rewards`."""
    tree = ast.parse(Path(rewards.__file__).read_text(encoding="utf-8"))
    homes = {
        name.asname or name.name: node.module
        for node in ast.walk(tree)  # also of what is imported when it is first asked for
        if isinstance(node, ast.ImportFrom) and node.module
        for name in node.names
    }
    return ((name, homes[name]) for name in rewards.__all__ if name in homes)


def python_page(package: str, homes: Mapping[str, str]) -> str:
    """Writes the public names of a package: how each is called, and its docstring."""
    parts = [f"# Python: `{package}`\n\nThe names that stay the same between versions, as `{package}.__all__` lists "
             f"them. All else of the package may change.\n"]  # fmt: skip
    for name, module in sorted(homes.items(), key=lambda each: each[0].lower()):
        parts += [f"## `{package}.{name}`\n", *described(package, name, module)]
    return "\n".join(parts)


def described(package: str, name: str, module: str) -> Iterator[str]:
    """Yields how a name is called and what it says; of a class its own public methods, too."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    node: Any = next((node for node in tree.body if isinstance(node, kinds) and node.name == name), None)
    if node is None:
        kind = type(getattr(import_module_of(module), name))
        yield f"A `{kind.__name__}` of `{module}`. {inspect.getdoc(kind)}\n"
        return
    is_class = isinstance(node, ast.ClassDef)
    methods = (
        [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)] if is_class else []
    )
    made = next((each for each in methods if each.name == "__init__"), None)
    call = signature(made, skip=1) if made else "" if is_class else signature(node)
    if not is_class and node.decorator_list:  # a function of the options of a group
        call = f"({', '.join(inspect.signature(getattr(import_module_of(module), name)).parameters)})"
    yield f"```python\n{package}.{name}{call or '(...)'}\n```\n"
    if is_class and node.bases:
        yield f"A subclass of {', '.join(code(ast.unparse(base)) for base in node.bases)}.\n"
    yield docstring(ast.get_docstring(node) or "")
    shown = [each for each in methods if not each.name.startswith("_") and ast.get_docstring(each)]
    if shown:
        rows = [(code(each.name + signature(each, skip=1)), cell((ast.get_docstring(each) or "").partition("\n")[0]))
                for each in shown]  # fmt: skip
        yield table(("method", "what it does"), rows)


def import_module_of(module: str) -> Any:
    """Imports a module for a constant in it."""
    from importlib import import_module

    return import_module(module)


def signature(node: Any, skip: int = 0) -> str:
    """Words the arguments of a function, without types where they would not fit on a line."""
    whole = ast.unparse(node.args)
    if skip:
        whole = whole.partition(", ")[2] if ", " in whole else ""
    if len(whole) <= 70:
        return f"({whole})"
    return "(\n    " + ",\n    ".join(split_arguments(whole)) + ",\n)"


def split_arguments(text: str) -> list[str]:
    """Splits arguments at commas that stand outside of brackets.

    Example:
        >>> split_arguments("a: dict[str, int], b=(1, 2)")
        ['a: dict[str, int]', 'b=(1, 2)']
    """
    found, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and not depth:
            found.append("")
        else:
            found[-1] += character
    return [each.strip() for each in found]


def docstring(text: str) -> str:
    """Turns a docstring in Google's style into Markdown: sections become lists, examples code."""
    parts = re.split(r"^(Args|Attributes|Returns|Raises|Yields|Example|Examples):\n", text, flags=re.MULTILINE)
    made = [escaped(parts[0].strip())]
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        body = textwrap.dedent(body).strip("\n")
        if title.startswith("Example"):
            made.append(f"```python\n{body}\n```")
            continue
        entries = re.split(r"\n(?=\S)", body)
        named = [re.match(r"([\w*, .]+?)(?: \([^)]*\))?: (.*)", each, re.DOTALL) for each in entries]
        if title in ("Returns", "Yields") or not all(named):
            made.append(f"**{title}**: {escaped(' '.join(body.split()))}")
        else:
            lines = [f"- `{each[1]}`: {escaped(' '.join(each[2].split()))}" for each in named if each]
            made.append("\n".join([f"**{title}**\n", *lines]))
    return "\n\n".join(made) + "\n"


def escaped(text: str) -> str:
    """Keeps `<` and `[x]` of a docstring from being read as HTML or as a link."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(each if each.startswith("`") else each.replace("<", "&lt;").replace("*", "\\*") for each in parts)
