"""What rewards that compare answers would do, foretold of policies that are planted, and of the lab's."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
from test_probe import lines, recipe_of

import align
from align.methods import METHODS
from align.methods.rollouts.foretold import foretell
from align.methods.rollouts.prompt_data import showing
from align.rehearsal.plan import Plan, Rehearsing
from align.rehearsal.record import Rehearsed
from rewards import AnswerAgreement, FollowsTrace, VoteAgreement

ROWS, SIZE = 60, 8


def likes_a(row, rng):
    """Names the right option, and answers A."""
    return row["options"][row["answer"]], "A"


def is_sure(row, rng):
    """Says what is right on most rows, whatever the order."""
    return (row["options"][row["answer"]],) * 2 if int(row["question"][:3]) % 4 else (min(row["options"]),) * 2


def sharper(row, rng):
    """Is right three times of four: most say what is right."""
    text = row["options"][row["answer"]] if rng.random() < 0.75 else rng.choice(row["options"])
    return text, text


def duller(row, rng):
    """Is right with four of ten, and wrong in one way with the others: most say what is wrong."""
    gold = row["options"][row["answer"]]
    text = gold if rng.random() < 0.4 else sorted({*row["options"]} - {gold})[0]
    return text, text


def misleads(row, rng):
    """Answers well behind traces that name what is wrong."""
    gold = row["options"][row["answer"]]
    return sorted({*row["options"]} - {gold})[0], gold


def foretold(tmp_path, policy, rewards, *, with_probe=True, size=SIZE):
    """Rehearses a planted policy, as a recipe of GRPO would be; returns what was found."""
    recipe = recipe_of(tmp_path, "grpo", ROWS if with_probe else 0)
    data = METHODS["grpo"].part("load")(recipe)
    golds = {
        row["question"]: row["options"]["ABCD".index(row["answer"])]
        for name in ("train", "eval")
        for row in lines(name)
    }

    def ask(plan):
        groups = []
        for row in plan.data.rows:
            rng = random.Random(str(row["prompt"]))
            known = row | {"answer": row["options"].index(golds[row["question"]])}
            drawn = [policy(known, rng) for _ in range(size)]
            letters = [text if text in ("A", "") else "ABCD"[row["options"].index(text)] for _, text in drawn]
            texts = [
                f"<think>So {said}.</think><answer>{x}</answer>" for (said, _), x in zip(drawn, letters, strict=True)
            ]
            groups.append([SimpleNamespace(text=text) for text in texts])
        return SimpleNamespace(completions=groups)

    found = Rehearsed()
    plan = Plan(recipe, data, rewards, Rehearsing(num_prompts=40), tmp_path, None, {})
    foretell(plan, found, ask, showing(recipe.dataset))
    return found


def of(found, name):
    return next((each.estimate for each in found.measures if each.name == name), None)


def line(found, reward):
    return next(row for row in found.tables[-1].rows if row[0] == reward)[2]


VOTE = VoteAgreement(fixed_order=True)


@pytest.mark.parametrize("with_probe", [True, False])
def test_a_vote_of_a_policy_that_likes_a_letter_is_named_with_and_without_labels(with_probe, tmp_path):
    found = foretold(tmp_path, likes_a, [VOTE], with_probe=with_probe)
    (finding,) = found.findings
    assert (finding.level, finding.check) == ("warning", "letters")  # accepted by name: `fixed_order: true`
    assert "100% of the way from an even share to all" in finding.text
    assert of(found, "vote_letter").value == pytest.approx(1)
    assert of(found, "orders_agree").value < 0.5
    assert line(found, "vote_agreement").endswith("over one order, ruins them: one letter wins")
    assert ("not told: nothing says what is right" in line(found, "vote_agreement")) != with_probe


def test_the_same_policy_is_no_disaster_of_rewards_that_shuffle(tmp_path):
    found = foretold(tmp_path, likes_a, [VoteAgreement(), AnswerAgreement(), FollowsTrace()])
    assert {each.level for each in found.findings} == {"ok"}
    assert "`follows_trace` asks what `answer_agreement` does" in found.findings[0].text
    assert of(found, "states").value == 1
    assert of(found, "follows_trace").low > 0.5
    assert line(found, "follows_trace").startswith("lifts answers by")


@pytest.mark.parametrize(
    ("policy", "name", "side"),
    [(sharper, "vote_agreement", 1), (duller, "vote_agreement", -1), (misleads, "follows_trace", -1)],
)
def test_what_is_paid_for_is_held_against_answers_on_the_probe(policy, name, side, tmp_path):
    found = foretold(tmp_path, policy, [VoteAgreement(), FollowsTrace()])
    gain = of(found, name)
    assert side * gain.value > 0.05
    assert (gain.low if side > 0 else -gain.high) > 0
    errors = [each for each in found.findings if each.level == "error"]
    assert len(errors) == (side < 0)
    assert all(f"`{name}`" in each.text for each in errors)


def test_a_reward_that_is_not_in_the_recipe_is_told_and_refused_nothing(tmp_path):
    found = foretold(tmp_path, duller, [FollowsTrace()])
    assert of(found, "vote_agreement").high < 0
    assert line(found, "vote_agreement").startswith("ruins answers by")
    assert not [each for each in found.findings if each.check == "vote"]


def test_a_policy_that_answers_by_content_is_called_healthy(tmp_path):
    found = foretold(tmp_path, is_sure, [VOTE, FollowsTrace()])
    assert not [each for each in found.findings if each.level != "ok"]
    assert of(found, "orders_agree").value == 1
    assert of(found, "vote_letter").low < 0.1


def test_recipes_with_other_rewards_are_rehearsed_as_before(tmp_path):
    def own(completions, **kwargs):
        return [1.0] * len(completions)

    found = foretold(tmp_path, is_sure, [own])
    assert not found.measures
    assert not found.tables


def test_agreement_is_rehearsed_without_labels_and_no_check_of_a_key_speaks(tmp_path):
    recipe_of(tmp_path, max_completion_length=12)
    result = align.rehearse(tmp_path / "recipe.yaml", out=tmp_path / "out", num_prompts=4)
    found = result.record.found
    assert result.is_ready, result
    assert {each.check for each in found.findings} <= {"agreement", "sampling", "spread"}
    measured = {each.name for each in found.measures}
    assert {"vote_letter", "orders_agree", "vote_agreement", "answer_agreement", "follows_trace", "states"} <= measured
    assert not measured & {"pass_rate", "same_answer", "unmoved", "second_differs"}
    assert of(found, "answer_agreement").n == 50


def test_a_policy_without_answers_foretells_nothing(tmp_path):
    found = foretold(tmp_path, lambda row, rng: ("nothing", ""), [VOTE, FollowsTrace()])
    assert [each.check for each in found.findings] == ["agreement"]  # traces that state nothing
    assert np.isnan(of(found, "vote_letter").value)
    assert of(found, "vote_agreement").value == 0
