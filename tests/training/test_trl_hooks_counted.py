"""The table of hooks is whole: what `align` reads of TRL that has no promise is found anew in its source."""

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import trl
from tree import ALIGN, ROOT

from align.checks.trl_hooks import hook_table

TABLE, TRL = hook_table(), Path(find_spec("trl").origin).parent
OWNERS = [
    *(TRL / "trainer" / f"{name}_trainer.py" for name in ("base", "grpo", "rloo", "dpo", "reward", "sft")),
    *sorted((TRL / "generation").glob("*.py")),
]
OF_OTHERS = {  # names that TRL has, too, of what has nothing of it
    "_get": ("models/samplers/chat_calls.py", "models/vllm_server.py"),
    "_generate": ("models/policies/model_policy.py", "models/samplers/local_model.py"),
    "_step": ("report/run/folder.py", "rehearsal/rows.py"),
    "_signature_columns": ("methods/deconfound/trainer.py",),  # of transformers, whose trainer that is
}


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


@cache
def private_names_of_trl():
    """Lists methods, attributes and class attributes of TRL's trainers and of its engine's side that begin with _."""
    found = set()
    for tree in map(ast.parse, (path.read_text("utf-8") for path in OWNERS)):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found |= {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
                targets = [each.targets for each in node.body if isinstance(each, ast.Assign)]
                found |= {each.id for every in targets for each in every if isinstance(each, ast.Name)}
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.attr)
    return set(filter(is_private, found))


def imported(node):
    """Names what is taken from inside of TRL and its front does not have."""
    match node:
        case ast.ImportFrom(module=str() as where) if where.partition(".")[0] == "trl":
            return {each.name for each in node.names if not is_promised(each.name)}
        case ast.Import():
            return {each.name.rpartition(".")[2] for each in node.names if each.name.startswith("trl.")}
        case ast.Attribute(value=ast.Name(id="trl"), attr=name) if not is_promised(name):
            return {name}
    return set()


def is_promised(name):
    """Tells whether `from trl import name` gives what is no module."""
    return name in dir(trl) and find_spec(f"trl.{name}") is None


def read_names(nodes, private):
    """Names what a module takes of TRL: attributes, methods, names in texts, and imports from inside."""
    found = set()
    for node in nodes:
        match node:
            case ast.Attribute(attr=name) | ast.FunctionDef(name=name) | ast.Name(id=name):
                found |= {name} & private
            case ast.Constant(value=str() as name):
                found |= {name} & private
        found |= imported(node)
    return found


def names_of_the_table():
    hooks = {name.rpartition(".")[2] for each in TABLE["hooks"].values() for name in each}
    reads = {name for each in TABLE["reads"].values() for name in each.split()}
    return hooks | reads | set(f"{TABLE['imports']} {TABLE['declares']}".split())


@cache
def names_read_by_align():
    private, found = private_names_of_trl(), {}
    for module in ALIGN:
        here = module.path.relative_to(ROOT / "align").as_posix()
        for name in read_names(module.nodes, private):
            if here not in OF_OTHERS.get(name, ()):
                found.setdefault(name, []).append(here)
    return found


def test_each_private_name_that_align_reads_or_overrides_is_in_the_table():
    missing = {name: where for name, where in names_read_by_align().items() if name not in names_of_the_table()}
    assert missing == {}


def test_the_table_names_nothing_that_align_does_without():
    read = names_read_by_align()
    listed = names_of_the_table()
    assert {name for name in listed if is_private(name)} - read.keys() == set()
    text = "\n".join(module.path.read_text("utf-8") for module in ALIGN)
    assert {name for name in listed if name not in text} == set()


def test_hooks_are_fewer_than_thirty_and_each_has_its_reason_on_the_page():
    functions, leans = ([name for each in TABLE[part].values() for name in each] for part in ("hooks", "leans"))
    attributes = {name for each in TABLE["reads"].values() for name in each.split() if is_private(name)}
    hooks = functions + TABLE["imports"].split()
    page = " ".join((ROOT / "docs" / "explanation" / "trl.md").read_text("utf-8").split())
    assert len(hooks) < 30
    assert f"**{len(hooks)} hooks**: {len(functions)} functions and four imports" in page
    assert f" {len(attributes)} private attributes, and three class attributes" in page
    assert f" {len(leans)} sources more" in page
    assert [name for name in hooks if f"`{name.rpartition('.')[2]}`" not in page] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from trl.trainer.utils import use_adapter", {"use_adapter"}),
        ("from trl.data_utils import prepare_multimodal_messages", set()),  # which `trl` itself has
        ("from trl.trainer import grpo_trainer", {"grpo_trainer"}),
        ("import trl.trainer.utils", {"utils"}),
        ("trl.trainer.utils.use_adapter", {"trainer"}),
        ("self._metrics['train']", {"_metrics"}),
        ("getattr(trainer, '_generate')", {"_generate"}),
        ("class Ours(T):\n    def _prepare_dataset(self): ...", {"_prepare_dataset"}),
        ("self._of_ours = 1", set()),
    ],
)
def test_the_counter_sees_each_way_to_a_private_name(source, found):
    assert read_names(ast.walk(ast.parse(source)), private_names_of_trl()) == found
