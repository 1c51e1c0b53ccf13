import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from written_run import VERSIONS

from align.methods.rollouts.tool_report import SIGNS
from align.report import build_report
from align.report.run.finding import Sign, ends, look_at
from align.report.run.folder import Series


def metrics(**values):
    return {
        f"tools/{key}": Series(np.arange(1, 21), np.broadcast_to(np.asarray(each, dtype=float), 20))
        for key, each in values.items()
    }


def row(tool, failure, result="?", **arguments):
    call = {"tool": tool, "arguments": arguments, "result": result, "seconds": 0.5, "failure": failure}
    return {"step": 1, "prompt": "p", "completion": "c", "tool_calls": json.dumps([call])}


@pytest.mark.parametrize(
    ("logged", "title"),
    [
        ({"used_share": 0.0}, "No completion called a tool"),
        ({"used_share": np.linspace(1.2, -0.2, 20).clip(0, 1) ** 4}, "The policy gave its tools up"),
        ({"used_share": 1.0, "failure_frequency": 0.4}, "40 % [5 logs] of the calls of tools fail"),
        ({"used_share": 1.0, "lost_share": 0.1}, "10 % [5 logs] of completions lost their tool or environment"),
        ({"used_share": 0.9, "failure_frequency": 0.1, "lost_share": 0.0}, None),
        ({}, None),
    ],
)
def test_calls_that_are_missing_or_fail_are_found(logged, title):
    found = look_at(SimpleNamespace(metrics=metrics(**logged), completions=[]), SIGNS)
    assert [each.title.startswith(title) for each in found] == ([True] if title else []), found


def test_a_sign_from_outside_is_a_finding():
    own = Sign("It rained {share}", "Take an umbrella.", ends("tools/used_share", above=0.2))
    (found,) = look_at(SimpleNamespace(metrics=metrics(used_share=1.0), completions=[], recipe={}), (*SIGNS, own))
    assert found == ("It rained 100 % [5 logs]", "Take an umbrella.", "doubt")


def test_the_most_frequent_failure_is_quoted():
    rows = [row("cost", "unknown", "{'error': \"there is no tool 'cost'\"}")] * 4 + [row("price", None)] * 2
    logged = metrics(used_share=1.0, failure_frequency=0.5)
    (found,) = look_at(SimpleNamespace(metrics=logged, completions=rows * 2), SIGNS)
    assert "4 x cost: unknown; such as {'error': \"there is no tool 'cost'\"}" in found.detail


def test_a_page_shows_calls_and_escapes_what_model_and_tool_wrote(tmp_path):
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"method": "grpo", "tools": ["./shop.py:price"]}))
    (tmp_path / "versions.json").write_text(json.dumps(VERSIONS))
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 0.1, "reward": 0.2, "tools/used_share": 1.0}\n')
    function = {"name": "price", "arguments": json.dumps({"item": "<b>pear</b>"})}
    talk = [
        {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]},
        {"role": "tool", "content": "<i>3</i>", "tool_calls": None},
    ]
    rows = [row("price", "timeout", "<i>3</i>", item="<b>pear</b>") | {"completion": talk, "own": 1.0}]
    (tmp_path / "completions").mkdir()
    pd.DataFrame(rows).to_parquet(tmp_path / "completions" / "completions_00001.parquet")
    page = build_report(tmp_path).read_text()
    assert "Calls of tools" in page
    assert page.count("price(item=&#39;&lt;b&gt;pear&lt;/b&gt;&#39;)") == 3  # closed line, completion, table
    assert "0.5 s" in page
    assert "timeout" in page
    assert "<b>pear" not in page
    assert "<i>3" not in page
