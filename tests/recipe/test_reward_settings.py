import math
from pathlib import Path

import pytest
from some_recipes import PAIRS, PROMPTS

from align.errors import RecipeError
from align.recipe.recipe import parse_recipe
from align.recipe.reward_settings import RewardSettings, short_name


def parse(**keys):
    content = {
        "method": PROMPTS,
        "model_name_or_path": "m",
        "dataset": {"path": "d.jsonl"},
        "reward_funcs": ["accuracy", "format", "my.rewards.fair", "./own.py:kind"],
    }
    return parse_recipe(content | keys, Path("recipe.yaml"))


def test_defaults_are_those_of_trl():
    settings = parse().rewards
    assert (settings.reward_workers, settings.reward_timeout, settings.on_invalid) == (0, None, "skip")
    assert settings.reward_repeats == 0.0
    assert settings.composition(parse().reward_funcs).changed == []


def test_gates_and_limits_find_their_reward():
    recipe = parse(reward_gates={"accuracy": "format", "kind": "fair"}, reward_clip={"fair": [-1, None]})
    composition = recipe.rewards.composition(recipe.reward_funcs)
    assert composition.gates == {0: 1, 3: 2}
    assert composition.limits == {2: (-1.0, float("inf"))}


def test_audits_may_have_settings():
    recipe = parse(audit_funcs="length", reward_kwargs={"length": {"max_length": 10}})
    assert recipe.reward_specs == [*recipe.reward_funcs, "length"]
    assert recipe.reward_kwargs == {"length": {"max_length": 10}}


def test_alarms_change_the_usual_ones():
    thresholds = parse(alarms={"length": None, "accuracy/format": 0.2}).rewards.thresholds()
    assert "length" not in thresholds
    assert thresholds["accuracy/format"] == 0.2
    assert thresholds["repetition"] == 0.2
    assert (thresholds["noise_share"], "flaky_share" in thresholds) == (0.2, False)


@pytest.mark.parametrize("given", ["auto", ["auto", "invalid_share"]])
def test_auto_stands_for_the_alarms_that_are_on_and_had_no_false_one(given):
    rewards = parse(stop_on=given, alarms={"length": None}).rewards
    assert rewards.stop_on == ["format", "repetition", *(["invalid_share"] if "invalid_share" in given else [])]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"reward_timeout": 0}, "`reward_timeout`: input should be greater than 0; got 0"),
        ({"reward_timeout": "five"}, "`reward_timeout`: input should be a valid number"),
        ({"reward_workers": -1}, "`reward_workers`: input should be greater than or equal to 0"),
        ({"on_invalid": "drop"}, "`on_invalid`: input should be 'raise', 'skip' or 'zero'; got 'drop'"),
        ({"max_invalid_share": 2}, "`max_invalid_share`: input should be less than or equal to 1"),
        ({"reward_repeats": 5}, "`reward_repeats`: input should be less than or equal to 1; got 5"),
        ({"reward_repeats": -0.1}, "`reward_repeats`: input should be greater than or equal to 0"),
        ({"alarms": {"flaky": 0.5}}, "Did you mean 'flaky_share'?"),
        ({"reward_timeuot": 1}, "Unknown key `reward_timeuot` in recipe.yaml. Did you mean 'reward_timeout'?"),
        ({"reward_memory_gb": 4}, "there are none. Set `reward_workers: 1`"),
        ({"reward_gates": {"acuracy": "format"}}, "got 'acuracy'. Did you mean 'accuracy'?"),
        ({"reward_gates": {"accuracy": "formt"}}, "`reward_gates.accuracy` must name one of accuracy, format"),
        ({"reward_gates": {"format": "format"}}, "a reward cannot be its own gate"),
        ({"reward_clip": {"lenght": [0, 1]}}, "`reward_clip` must name one of"),
        ({"reward_clip": {"format": [1, 0]}}, "null for no limit; got [1.0, 0.0]"),
        ({"reward_clip": {"format": [1]}}, "`reward_clip.format` must be [lowest, highest]"),
        ({"audit_funcs": ["format"]}, "`audit_funcs`: 'format' is named twice"),
        ({"alarms": {"accuracy/logp_difference": 0.5}}, "`alarms.accuracy/logp_difference` must not name a reward"),
        ({"stop_on": ["lenth"]}, "probe_parts; got 'lenth'. Did you mean 'length'?"),
        ({"stop_on": ["flaky_share"]}, "`stop_on` must name one of"),  # it is off
        ({"alarms": {"length": False}}, "`alarms.length`: input should be a valid number; got False"),
        ({"alarms": {"length": math.nan}}, "`alarms.length`: it must be a number, or null to turn it off"),
        ({"reward_clip": {"format": [False, 1]}}, "`reward_clip.format.0`: input should be a valid number; got False"),
        ({"error_rates": {"acuracy": [0.1, 0.1]}}, "`error_rates` must name one of accuracy, format"),
        ({"error_rates": {"accuracy": [0.5, 0.5]}}, "`error_rates.accuracy` ([0.5, 0.5]): A pass rate can be"),
        ({"error_rates": {"accuracy": [0.5, 1.5]}}, "two shares from 0 to 1; got [0.5, 1.5]"),
        ({"error_rates": {"accuracy": [0.1]}}, "must be [false positives, false negatives]"),
        ({"error_rates": {"accuracy": "nowhere.json"}}, "(nowhere.json): it holds no error rates"),
        ({"alarms": {"lenth": 0.5}}, "`alarms` must name one of length, format, repetition"),
        ({"alarms": {"acuracy/length": 0.5}}, "Did you mean 'accuracy'?"),
        ({"method": PAIRS, "reward_funcs": None, "on_invalid": "skip"}, "is for methods that reward completions"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_refused(keys, message):
    with pytest.raises(RecipeError) as error:
        parse(**keys)
    assert message in str(error.value)


def test_every_key_says_what_it_does():
    assert all(field.description for field in RewardSettings.model_fields.values())


def test_a_model_is_named_by_its_folder():
    assert short_name("./runs/rm-1.5b") == "rm-1.5b"
