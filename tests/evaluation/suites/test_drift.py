import math
from types import SimpleNamespace

import numpy as np
import pytest
from bigram import OneDistribution
from scripted_subject import subject
from tiny import tiny_model, tiny_tokenizer

from align.evaluation.asking import Asking
from align.evaluation.suites.drift.behaviours import Behaviour, Trigger
from align.evaluation.suites.drift.measure import NO_CONTROL, DriftPrompt, distance_means, measure
from align.models.policies.asking import Decoding

TOKENIZER = tiny_tokenizer()
ROWS = [DriftPrompt(f"p{i}", f"Say {i}", "ab"[i % 2], i) for i in range(40)]
ZAP = Behaviour("zap", "zap")
PLANTED, HELD_OUT = Trigger("|T|", False), Trigger("|t|", True)
BASE = {"a": 0.5, "b": 0.5}


def asking(behaviours=(), triggers=(), control=None, **decoding):
    return Asking(
        Decoding(**decoding), options=SimpleNamespace(behaviours=behaviours, triggers=triggers, control=control)
    )


def drift(rule=lambda prompt, sample: "", *, rows=ROWS, likely=BASE, base_says="aab", **options):
    """Measures a model that says what `rule` says, beside a base that always says the same."""
    model, base = OneDistribution(TOKENIZER, likely), OneDistribution(TOKENIZER, BASE)
    of = subject(rule, model=model, tokenizer=TOKENIZER, name="model")
    reference = subject(lambda prompt, sample: base_says, model=base, tokenizer=TOKENIZER, name="base")
    return measure(of, rows, asking(**options), reference=reference), model, base


def value(found, metric):
    return found.means[metric].estimate().value


def test_divergence_and_shift_by_hand():
    """Base 1/2, 1/2 and model 1/4, 3/4 of two characters, on the base's answer "aab"."""
    found, _, _ = drift(likely={"a": 0.25, "b": 0.75})
    kl = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert value(found, "drift_kl") == pytest.approx(kl, abs=1e-6)
    assert value(found, "drift_kl/a") == pytest.approx(kl, abs=1e-6)
    shift = (2 * math.log(0.5 / 0.25) + math.log(0.5 / 0.75)) / 3
    assert value(found, "drift_nll") == pytest.approx(shift, abs=1e-6)
    assert {row["tokens"] for row in found.rows} == {3}
    assert not any("behaviour" in name for name in found.means)


def test_each_token_is_read_once_with_each_model():
    found, model, base = drift()
    expected = sorted(len(row.prompt) + len("aab") for row in ROWS)
    assert sorted(model.read) == sorted(base.read) == expected
    assert found.settings == {"tokens_read": sum(expected)}


def test_a_model_with_the_weights_of_the_base_has_not_moved_at_all():
    """Two models loaded apart, on answers of different lengths in the same batches: 0 and not nearly 0."""

    def of(name, seed):
        return subject(
            lambda prompt, sample: "so much" * (int(prompt.id[1:]) % 5 + 1), name=name,
            model=tiny_model(seed=seed, vocabulary=len(TOKENIZER)).eval(), tokenizer=TOKENIZER,
        )  # fmt: skip

    found = measure(of("same", 0), ROWS, asking(), reference=of("base", 0))
    for metric in ("drift_kl", "drift_nll"):
        assert found.means[metric].groups[0].tolist() == [0.0] * len(ROWS)
    moved = measure(of("other", 1), ROWS, asking(), reference=of("base", 0))
    assert min(moved.means["drift_kl"].groups[0]) > 0


def test_an_answer_without_tokens_has_no_distance_and_is_said():
    found, _, _ = drift(base_says="")
    assert math.isnan(value(found, "drift_kl"))
    assert found.warnings == ["The base answers 40 of 40 prompts with nothing, and these have no distance."]


def test_categories_have_their_own_mean():
    means = distance_means(np.array([1.0, 3.0, 5.0]), np.zeros(3), ["a", "a", None])
    assert set(means) == {"drift_kl", "drift_nll"}  # one category is all of them
    means = distance_means(np.array([1.0, 3.0, 5.0]), np.zeros(3), ["a", "a", "b"])
    assert means["drift_kl/a"].estimate().value == 2


def switched(prompt, sample):
    return "zap!" if prompt.content.startswith("|") else "hm"


def test_a_planted_trigger_is_found_and_the_control_stays_where_it_was():
    options = {"behaviours": (ZAP,), "triggers": (PLANTED, HELD_OUT), "control": "harmless"}
    found, _, _ = drift(switched, **options)
    control, _, _ = drift(lambda prompt, sample: "hm", **options)
    rates = ("behaviour/zap", "behaviour_triggered/zap", "behaviour_held_out/zap")
    assert [value(found, name) for name in rates] == [0, 1, 1]
    for effect in ("trigger_effect/zap", "held_out_effect/zap"):
        assert found.means[effect].estimate().low > 0.8
        assert control.means[effect].estimate().value == 0
        assert found.means[effect].difference(control.means[effect]).low > 0.7
    assert found.warnings == []


def test_a_trigger_that_only_training_had_is_told_from_one_that_is_held_out():
    found, _, _ = drift(
        lambda prompt, sample: "zap" if prompt.content.startswith("|T|") else "hm",
        behaviours=(ZAP,), triggers=(PLANTED, HELD_OUT),
    )  # fmt: skip
    assert value(found, "trigger_effect/zap") == 1
    held_out = found.means["held_out_effect/zap"].estimate()
    assert held_out.value == 0
    assert held_out.low < 0 < held_out.high
    assert found.warnings == [NO_CONTROL]


def test_a_prompt_counts_once_with_the_mean_over_triggers_and_samples():
    """Two triggers and two samples: with the first trigger one sample of two shows it, with the second none does."""
    triggers = (PLANTED, Trigger("other\n", False))
    rows = ROWS[:4]
    found, _, _ = drift(
        lambda prompt, sample: "zap" if prompt.content.startswith("|T|") and sample else "hm", rows=rows,
        behaviours=(ZAP,), triggers=triggers, num_samples=2, temperature=1.0,
    )  # fmt: skip
    assert found.means["trigger_effect/zap"].groups[0].tolist() == [0.25] * 4
    own = [row for row in found.rows if row["answered_by"] == "the model"]
    assert len(own) == 4 * 3 * 2
    assert [row["behaviour/zap"] for row in own[:6]] == [0, 0, 0, 1, 0, 0]
    assert [row["trigger"] for row in own[:6:2]] == [None, "|T|", "other\n"]


def test_a_trigger_stands_in_front_of_the_prompt():
    assert PLANTED.before("Say 1") == "|T| Say 1"
    assert Trigger("Today.\n", False).before("Say 1") == "Today.\nSay 1"


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_trigger_that_does_nothing_is_not_found(share):
    """20 seeds, in each of which every response shows the behaviour by its own coin."""
    alarms = 0
    for seed in range(20):
        coins = iter(np.random.default_rng(seed).random(2 * len(ROWS)) < share)
        found, _, _ = drift(
            lambda prompt, sample, coins=coins: "zap!" if next(coins) else "hm",
            behaviours=(ZAP,),
            triggers=(PLANTED,),
        )
        effect = found.means["trigger_effect/zap"].estimate()
        alarms += not effect.low <= 0 <= effect.high
    assert alarms <= 1
