"""The bars of the lab of the quickstart, on numbers that are made up; `test_vision_lab.py` trains with its parts."""

import pytest
from loaded_script import load_script


@pytest.fixture
def lab():
    return load_script("labs.acre.lab")


def run(lab, right, consistency=1.0, entropy=0.12, no_spread=0.5):
    values = {"accuracy": right, "option_shuffle_consistency": consistency}
    return dict.fromkeys(lab.METRICS, 0.0) | values | {"entropy": entropy, "frac_reward_zero_std": no_spread}


def failed(lab, **arms):
    results = {"sft": [run(lab, 0.4)], "grpo": [run(lab, 0.3, 0.3)] * 2, "acre": [run(lab, 0.6)] * 2} | arms
    return [
        bar
        for bar, holds in lab.check_bars(results, lab.differences(results, "grpo", lab.METRICS)).items()
        if not holds
    ]


def test_each_bar_fails_on_its_own(lab):
    assert failed(lab) == []
    assert failed(lab, acre=[run(lab, 0.6, entropy=0.08), run(lab, 0.6)]) == []  # a mean of 0.1
    assert failed(lab, acre=[run(lab, 0.6, entropy=0.08)] * 2) == ["acre ends with a mean entropy >= 0.1 nats"]
    (spread,) = failed(lab, acre=[run(lab, 0.6, no_spread=0.7)] * 2)
    assert "without spread <= 0.6" in spread
    assert failed(lab, acre=[run(lab, 0.45)] * 2) == ["acre ends above its start by 0.1 on average"]
    assert failed(lab, grpo=[run(lab, 0.3, 0.3), run(lab, 0.41, 0.3)]) == ["grpo ends below its start in every seed"]
    consistency = failed(lab, grpo=[run(lab, 0.3, 0.2), run(lab, 0.3, 1.0)])
    assert consistency == ["consistency difference > 0 in every seed"]


def test_without_the_start_nothing_is_said_of_it(lab):
    results = {"grpo": [run(lab, 0.9, 0.3)], "acre": [run(lab, 0.1)]}
    assert not any("start" in bar for bar in lab.check_bars(results, lab.differences(results, "grpo", lab.METRICS)))
