"""Second answers that are sampled from the letters rather than the likeliest one."""

import math
import random
from collections import Counter

import pytest
import torch
from rollouts_of_acre import letters, of_letters
from tiny import tiny_model

from align.methods.acre.letters import take_letter
from rewards import AnswerConsistency

DRAWS = 150


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_draws_follow_the_distribution_at_their_temperature(temperature):
    scores, rng = [math.log(share) for share in (0.6, 0.3, 0.1)] + [-math.inf], random.Random(0)
    weights = [math.exp(score / temperature) for score in scores]
    found = Counter(take_letter(scores, temperature, rng) for _ in range(20_000))
    for place, weight in enumerate(weights):
        assert found[place] / 20_000 == pytest.approx(weight / sum(weights), abs=0.015)


def test_no_temperature_takes_the_first_of_the_likeliest():
    assert take_letter([-3.0, -1.0, -1.0], 0.0, None) == 1  # and draws nothing
    assert {take_letter([-3.0, -1.0, -2.0], 1e-9, random.Random(seed)) for seed in range(20)} == {1}


def drawn(folder, **settings):
    folder.mkdir()
    base = {"max_steps": 1, "exclude_identity": True, "second_answer_temperature": 1.0}
    rows = of_letters.make_rows(8, options=["iron", "gold"])
    trainer = of_letters.scripted("<think>x</think><answer>A</answer>", "<think>yz</think><answer>B</answer>")
    made = of_letters.make_trainer(folder, [AnswerConsistency()], rows, trainer=trainer, **base | settings)
    return of_letters.table(made, folder)


def share_of_a(model, row):
    """Asks the turned question in one plain forward pass; returns how likely the content at A of the first pass is."""
    prompt = row["prompt"].replace("A. iron\nB. gold", "A. gold\nB. iron")
    ids = of_letters.TOKENIZER.encode(prompt + row["completion"].split("<answer>")[0] + "<answer>")
    places = of_letters.TOKENIZER.convert_tokens_to_ids(["A", "B"])
    model.eval()
    with torch.no_grad():
        return float(model(input_ids=torch.tensor([ids])).logits[0, -1, places].softmax(-1)[1])


def test_sampled_answers_follow_the_policy_and_each_completion_draws_its_own(tmp_path):
    table = drawn(tmp_path / "run", num_shuffles=DRAWS)
    model = tiny_model(vocabulary=len(of_letters.TOKENIZER))
    assert len(set(table["second_answers"])) == len(table)
    for _, row in table.iterrows():
        wanted = share_of_a(model, row)
        assert 0.02 < wanted < 0.98
        found = row["second_answers"].split().count("A") / DRAWS
        assert found == pytest.approx(wanted, abs=4.5 * math.sqrt(wanted * (1 - wanted) / DRAWS))


def test_two_runs_draw_the_same_and_another_seed_draws_others(tmp_path):
    found = [
        drawn(tmp_path / name, num_shuffles=9, shuffle_dataset=False, seed=seed)
        for name, seed in (("a", 0), ("b", 0), ("c", 7))
    ]
    answers = [table["second_answers"].tolist() for table in found]
    assert answers[0] == answers[1] != answers[2]


def test_a_temperature_of_zero_is_the_default(tmp_path):
    assert letters(tmp_path).args.second_answer_temperature == 0.0
