from dataclasses import replace

import pytest
from simpo import SIMPO
from written_card import card

from align.methods import METHODS
from align.report.run.facts import run_facts
from align.report.run.folder import RunFolder

KNOB = """from dataclasses import dataclass, field

from simpo.config import SimPOConfig


@dataclass
class WithKnob(SimPOConfig):
    delta: float = field(default=0.25, metadata={"help": "A knob that was added."})
"""
RECIPE = {"model_name_or_path": "owner/base", "dataset": {"path": "pairs.jsonl"}, "gamma": 0.3}


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe of a method that builds on another one and adds a knob."""
    (tmp_path / "knobbed").mkdir()
    (tmp_path / "knobbed" / "__init__.py").touch()
    (tmp_path / "knobbed" / "config.py").write_text(KNOB)
    monkeypatch.syspath_prepend(tmp_path)
    chain = (("knobbed", "config.py", "WithKnob"), *SIMPO.config_chain)
    monkeypatch.setitem(METHODS, "knobbed", replace(SIMPO, name="knobbed", config_chain=chain))
    return RECIPE | {"method": "knobbed"}


@pytest.mark.parametrize(("stated", "value"), [({}, 0.25), ({"delta": 0.5}, 0.5)])
def test_a_knob_that_a_config_gains_is_on_the_card(tmp_path, recipe, stated, value):
    text = card(tmp_path, recipe | stated)
    for line in (f"| delta | {value} |", "| gamma | 0.3 |", "| beta | 0.1 |", "| learning_rate | 1e-06 |"):
        assert line in text


def test_a_knob_that_a_config_gains_is_on_the_page_of_a_run_that_states_it(tmp_path, recipe):
    facts = [run_facts(RunFolder(tmp_path, "", recipe | stated, {}, {})) for stated in ({}, {"delta": 0.5})]
    assert [each.get("delta") for each in facts] == [None, "0.5"]
    assert [each["gamma"] for each in facts] == ["0.3"] * 2
