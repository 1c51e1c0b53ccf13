import re
from dataclasses import replace

import pytest

from align.checks.launch import Launch
from align.checks.rewards import handling_of
from align.models.rewards import resolve_rewards
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare

BROKEN = {
    "needs_a_column": ("def needs_a_column(completions, reference, **kwargs):\n    return [0.0]", "`reference`"),
    "no_keywords": ("def no_keywords(completions):\n    return [0.0] * len(completions)", "`**kwargs`"),
    "too_few": ("def too_few(completions, **kwargs):\n    return [0.0]", "returned 1 value for 2 completions"),
    "texts": ("def texts(completions, **kwargs):\n    return ['1'] * len(completions)", "a str is not a number"),
    "not_a_number": (
        "def not_a_number(completions, **kwargs):\n    return [float('nan')] * len(completions)",
        "TRL skips NaN silently",
    ),
    "one_number": ("def one_number(completions, **kwargs):\n    return 1.0", "not a list"),
    "raises": ("def raises(completions, **kwargs):\n    return [text.missing for text in completions]", "line 2"),
}
ABSENT = {
    "./own.py:absent": "has no 'absent'",
    "./none.py:reward": "there is no such file",
    "acuracy": "Did you mean 'accuracy'?",
    "no_such_package.reward": "importing 'no_such_package' failed",
    "./own.py:NUMBER": "is a int, not a function",
}


def reward_findings(path, **how):
    return [f for f in prepare(replace(load_recipe(path), **how), Launch()).findings if f.check == "rewards"]


def test_a_broken_reward_is_caught_and_named(tiny_recipe, tmp_path):
    for name, (source, _) in BROKEN.items():
        (tmp_path / f"{name}.py").write_text(source + "\n")
    path = tiny_recipe(reward_funcs=[f"./{name}.py:{name}" for name in BROKEN], reward_weights=[1.0] * len(BROKEN))
    for finding, (name, (_, words)) in zip(reward_findings(path), BROKEN.items(), strict=True):
        assert finding.level == "error"
        assert f"Reward `{name}`" in finding.text
        assert words in finding.text


@pytest.mark.parametrize("spec", ABSENT)
def test_a_reward_that_is_not_there_is_an_error(tiny_recipe, tmp_path, spec):
    recipe = load_recipe(tiny_recipe(reward_funcs=[spec], reward_weights=[1.0]))
    (tmp_path / "own.py").write_text("NUMBER = 3\n")
    with pytest.raises(ValueError, match=re.escape(ABSENT[spec])):
        resolve_rewards(recipe)


def test_where_one_is_not_there_the_check_says_so_and_goes_on(tiny_recipe):
    (finding,) = reward_findings(tiny_recipe(reward_funcs=["acuracy"], reward_weights=[1.0]))
    assert (finding.level, ABSENT["acuracy"] in finding.text) == ("error", True)


def test_settings_that_a_reward_lacks_are_an_error(tiny_recipe):
    (finding,) = reward_findings(tiny_recipe(reward_kwargs={"answer_consistency": {"bth": 1.0}}))
    assert finding.level == "error"
    assert "Did you mean 'both'?" in finding.text


def test_shipped_rewards_and_a_file_pass_on_messages(tiny_recipe):  # and on texts in test_check_command.py
    own = (
        "def shares(completions, first_choice, second_choices, options, **kwargs):\n"
        "    return [0.0 if choice is None else 0.5 for choice in first_choice]\n"
    )
    path = tiny_recipe(
        dataset={"conversational": True},
        reward_funcs=["accuracy", "answer_consistency", "./shares.py:shares"],
        reward_weights=[1, 1, 1],
    )
    (path.parent / "shares.py").write_text(own)
    kinds = [(finding.level, finding.numbers.get("kind")) for finding in reward_findings(path, is_checked=True)]
    assert kinds == [("ok", None), ("ok", "errors")] * 3
    assert [finding.level for finding in reward_findings(path)] == ["ok"] * 3, "a run prints no error rates"


def test_the_sample_responses_use_the_tags_of_the_recipe(tiny_recipe):
    source = (
        "def spy(completions, **kwargs):\n"
        "    return [float('<why>' in text and '<pick>' in text) for text in completions]\n"
    )
    path = tiny_recipe(reward_funcs=["./spy.py:spy"], reward_weights=[1.0], think_tag="why", answer_tag="pick")
    (path.parent / "spy.py").write_text(source)
    assert [finding.level for finding in reward_findings(path)] == ["ok"], "else it would be constant"


def test_two_rewards_of_one_name_are_an_error(tiny_recipe, tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(
            "def score(completions, **kwargs):\n    return [len(c) for c in completions]\n"
        )
    (finding,) = reward_findings(tiny_recipe(reward_funcs=["./one.py:score", "./two.py:score"], reward_weights=[1, 1]))
    assert finding.level == "error"
    assert "2 rewards are called `score`" in finding.text
    assert "one.py:score" in finding.text


def test_rewards_that_are_only_logged_are_tried_too(tiny_recipe, tmp_path):
    (tmp_path / "logged.py").write_text("def audit(completions, **kwargs):\n    return 0.5\n")
    path = tiny_recipe(
        reward_funcs=["format"], reward_weights=[1.0], audit_funcs=["./logged.py:audit"], reward_kwargs={}
    )
    found = reward_findings(path)
    assert [finding.level for finding in found] == ["ok", "error"], found
    assert "Reward `audit` returned 0.5" in found[1].text


def test_a_monitor_is_logged_and_refused_as_a_reward(tiny_recipe, tmp_path):
    audited = {"reward_funcs": ["format"], "reward_weights": [1.0], "reward_kwargs": {}}
    found = reward_findings(tiny_recipe(**audited, audit_funcs=["manipulation"]))
    assert [each.level for each in found] == ["ok", "ok"], found
    source = "def watch(completions, **kwargs):\n    return [0.0 for _ in completions]\nwatch.audit_only = True\n"
    (tmp_path / "mine.py").write_text(source)
    for spec in ("manipulation", f"{tmp_path}/mine.py:watch"):
        with pytest.raises(ValueError, match=f"`reward_funcs`: '{spec}' is a monitor, .* Name it in `audit_funcs`"):
            resolve_rewards(load_recipe(tiny_recipe(**audited | {"reward_funcs": [spec]})))
    (finding,) = [
        each for each in reward_findings(tiny_recipe(**audited | {"reward_funcs": [spec]})) if "mon" in each.text
    ]
    assert finding.level == "error"


def test_what_the_guard_of_a_recipe_survives(tiny_recipe):
    def bearable(**keys):
        return handling_of(load_recipe(tiny_recipe(**keys))).bearable

    assert bearable() == ("fails_on_odd",)
    assert bearable(on_invalid="raise", reward_workers=2, reward_timeout=1.0) == ()
    assert bearable(reward_workers=2) == ("fails_on_odd", "dies_sometimes")
    assert bearable(reward_workers=2, reward_timeout=1.0) == ("fails_on_odd", "dies_sometimes", "hangs_sometimes")


def test_one_process_of_a_launch_tries_the_rewards(tiny_recipe, tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("def broken(completions, **kwargs):\n    return 1.0\n")
    path = tiny_recipe(reward_funcs=["./broken.py:broken"], reward_weights=[1.0], reward_kwargs={})
    assert [finding.level for finding in reward_findings(path)] == ["error"]
    monkeypatch.setenv("RANK", "1")
    (finding,) = reward_findings(path)
    assert (finding.level, "by the first process" in finding.text) == ("ok", True), finding
