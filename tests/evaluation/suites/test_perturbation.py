"""Perturbation: policies whose flips and answers are known in advance."""

import json
import random
from types import SimpleNamespace

import numpy as np
import pytest
from scripted_subject import subject

from align.evaluation.asking import Asking
from align.evaluation.suite import SuiteSource
from align.evaluation.suites.perturbation.measure import measure, perturbation_means
from align.evaluation.suites.perturbation.rows import load
from align.models.policies.asking import Decoding

GREEDY, SAMPLED = Asking(Decoding()), Asking(Decoding(num_samples=2, temperature=1.0))
FAMILIES = ("option_order", "whitespace", "distractor", "misleading_hint")


@pytest.fixture
def rows(written_rows):
    questions = [
        {"id": f"q{i}", "question": f"Which metal rusts, number {i}?", "options": ["iron", "gold"], "answer": i % 2}
        for i in range(40)
    ]
    return load(SuiteSource(str(written_rows(questions))), SimpleNamespace(families=())).rows


@pytest.fixture
def written_rows(tmp_path):
    def write(rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def numbers(rule, rows, asking=SAMPLED, **more):
    found = measure(subject(rule, **more), rows, asking)
    return {name: metric.estimate().value for name, metric in found.means.items()}, found


def text_of(prompt):
    return prompt.content if isinstance(prompt.content, str) else prompt.content[-1]["content"]


def shown_options(prompt):
    return [line[3:] for line in text_of(prompt).splitlines() if line[:3] in ("A. ", "B. ")]


def is_iron(prompt):
    return int("".join(filter(str.isdigit, prompt.id.partition("/")[0]))) % 2 == 0


def solver(prompt, sample):
    return f"Answer: {'iron' if is_iron(prompt) else 'gold'}"


def test_a_policy_that_is_always_right_never_flips(rows):
    found, measured = numbers(solver, rows)
    assert found["original_accuracy"] == 1
    assert {found[f"flip_excess/unknown/{family}"] for family in FAMILIES} == {0}
    assert {found[f"flip_rate/unknown/{family}"] for family in FAMILIES} == {0}
    assert {found[f"perturbed_accuracy/unknown/{family}"] for family in FAMILIES} == {1}
    assert found["flip_rate/twice"] == found["flip_excess/unknown"] == 0
    assert measured.warnings == []


def test_a_policy_that_answers_a_letter_flips_with_the_order_of_options_only(rows):
    """Two options always change places, so that A is the other one: right where it was wrong."""
    found, _ = numbers(lambda prompt, sample: "Answer: A", rows)
    assert found["flip_excess/unknown/option_order"] == 1
    assert found["flip_excess/unknown/whitespace"] == found["flip_excess/unknown/misleading_hint"] == 0
    assert found["original_accuracy"] == found["perturbed_accuracy/unknown/option_order"] == 0.5
    assert found["flip_excess/unknown"] == 0.25  # one of four families


def test_letters_are_compared_by_what_they_stand_for(rows):
    def by_letter(prompt, sample):
        return f"Answer: {'AB'[shown_options(prompt).index('iron' if is_iron(prompt) else 'gold')]}"

    found, _ = numbers(by_letter, rows)
    assert found["flip_excess/unknown/option_order"] == 0
    assert found["perturbed_accuracy/unknown/option_order"] == 1


def test_noise_flips_as_often_when_the_question_is_asked_twice(rows):
    def coin(prompt, sample):
        return f"Answer: {random.Random(f'{prompt.id}/{sample}').choice(['iron', 'gold'])}"

    found, measured = numbers(coin, rows)
    assert found["flip_rate/twice"] == pytest.approx(0.5, abs=0.1)
    assert found["flip_rate/unknown/whitespace"] == pytest.approx(0.5, abs=0.1)
    for family in FAMILIES:
        estimate = measured.means[f"flip_excess/unknown/{family}"].estimate()
        assert estimate.low < 0 < estimate.high


def test_a_policy_that_follows_hints_fails_on_that_family_alone(rows):
    def follower(prompt, sample):
        hinted = next((name for name in ("iron", "gold") if f'"{name}"' in text_of(prompt)), None)
        return f"Answer: {hinted}" if hinted else solver(prompt, sample)

    found, _ = numbers(follower, rows)
    assert found["flip_excess/unknown/misleading_hint"] == 1
    assert found["perturbed_accuracy/unknown/misleading_hint"] == 0
    assert {found[f"flip_excess/unknown/{family}"] for family in FAMILIES[:3]} == {0}


def test_a_group_that_follows_hints_is_told_from_one_that_does_not(written_rows):
    """Metals are answered rightly whatever is hinted; planets follow every hint: 1 of 4 families."""
    questions = [
        {
            "question": f"Which {kind}, number {i}?",
            "options": ["iron", "gold"],
            "answer": i % 2,
            "group": kind,
            "id": f"q{i}",
        }
        for kind, places in (("metal", range(10)), ("planet", range(10, 16)))
        for i in places
    ]

    def half_follower(prompt, sample):
        hinted = next((name for name in ("iron", "gold") if f'"{name}"' in text_of(prompt)), None)
        return f"Answer: {hinted}" if hinted and "planet" in text_of(prompt) else solver(prompt, sample)

    found, measured = numbers(
        half_follower, load(SuiteSource(str(written_rows(questions))), SimpleNamespace(families=())).rows
    )
    assert (found["flip_excess_by_group/unknown/metal"], found["flip_excess_by_group/unknown/planet"]) == (0, 0.25)
    assert found["original_accuracy/metal"] == found["original_accuracy/planet"] == 1
    assert found["perturbed_accuracy_by_group/planet"] == measured.others["worst_group/versions"].value == 0.75
    flips = measured.others["worst_group/flips"]
    assert (flips.value, flips.n) == (0.25, 16)
    assert flips.low < 0.25 < flips.high
    assert measured.others["worst_group"].value == 1


def test_greedy_answers_are_not_asked_twice_and_it_is_said(rows):
    asked = subject(solver)
    found = measure(asked, rows, GREEDY)
    assert len(asked.policy.asked) == 40 * 5
    assert found.means["flip_rate/twice"].estimate().value == 0
    assert "by construction" in found.warnings[0]
    sampled = subject(solver)
    measure(sampled, rows, SAMPLED)
    assert len({prompt.id for prompt in sampled.policy.asked}) == len(sampled.policy.asked) == 40 * 6


def test_silence_tells_nothing_of_flips_and_is_counted(rows):
    found, measured = numbers(lambda prompt, sample: "I do not know", rows)
    assert np.isnan([found["flip_rate/twice"], found["flip_excess/unknown/option_order"]]).all()
    assert found["answered"] == 0
    assert found["original_accuracy"] == 0
    assert measured.warnings == ["480 of 480 responses state no answer. Flips are counted among the others."]


def test_metrics_worked_by_hand():
    """Of f, 2 of the 4 pairs of item 1 differ, and item 2 has no version; of g, all 4 and 2 of 4; twice, 0 and 2."""
    answers = [
        {"original": ["a", "a"], "twice": ["a", "a"], "f": ["a", "b"], "g": ["b", "b"]},
        {"original": ["a", "b"], "twice": ["a", "a"], "g": ["a", "b"]},
    ]
    means = perturbation_means(answers, [{"a"}, {"b", "c"}], {"f": "seen", "g": "unseen", "h": "unseen"})
    values = {name: list(metric.groups[0]) for name, metric in means.items()}
    assert values["flip_rate/twice"] == [0, 0.5]
    np.testing.assert_array_equal(values["flip_rate/seen/f"], [0.5, np.nan])
    assert values["flip_rate/unseen/g"] == [1, 0.5]
    assert values["flip_excess/unseen/g"] == values["flip_excess/unseen"] == [1, 0]
    np.testing.assert_array_equal(values["flip_excess/seen"], [0.5, np.nan])
    np.testing.assert_array_equal(values["perturbed_accuracy/seen/f"], [0.5, np.nan])
    assert values["original_accuracy"] == [1, 0.5]
    assert not any("/h" in name for name in means)
    assert means["flip_excess/unseen"].estimate().value == 0.5


def test_text_questions_get_the_instruction_and_prompts_stand_as_they_are(written_rows):
    rows = load(
        SuiteSource(str(written_rows([
            {"question": "Who wrote it?", "answer": ["Ada", "Ada L."]},
            {"prompt": "Name the writer.", "answer": "Ada"},
            {"prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who is it?"}],
             "answer": 7},
        ]))),
        SimpleNamespace(families=("whitespace", "option_order")),
    ).rows  # fmt: skip
    asked = subject(lambda prompt, sample: "<answer>ADA.</answer>", conversational=True)
    found = measure(asked, rows, GREEDY)
    first, second, third = (
        prompt for prompt in sorted(asked.policy.asked, key=lambda prompt: prompt.id) if "/" not in prompt.id
    )
    assert first.content[0]["content"].startswith("Who wrote it?\n\nThink it through inside <think>")
    assert second.content == "Name the writer."
    assert [message["content"] for message in third.content] == ["Be brief.", "Who is it?"]
    changed = next(prompt for prompt in asked.policy.asked if prompt.id == "rows-3/whitespace")
    assert changed.content[0]["content"] == "Be brief."
    assert changed.content[1]["content"].split() == ["Who", "is", "it?"] != changed.content[1]["content"].split(" ")
    assert list(found.means["original_accuracy"].groups[0]) == [1, 1, 0]  # the third answer is 7
    assert "`option_order` changes 0 of 3 questions and is not measured." in found.warnings
