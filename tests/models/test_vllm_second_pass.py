import math
import random

import pytest
from second_rows import forward_scores, make_rows

from align.models.second_pass.answers import write_answers
from align.models.second_pass.forward import SecondPassRow
from align.models.second_pass.vllm import _restricted, second_answers, written_answers

TOLERANCE = 1e-4  # nats; both sides compute in fp32


@pytest.mark.slow
def test_second_answers_are_those_of_a_plain_forward(rollout_trainer):
    rollout_trainer.vllm_generation.sync_weights()
    rows = make_rows(24)
    answers = second_answers(rollout_trainer.vllm_generation, rows).found
    for row, scores in zip(rows, answers, strict=True):
        expected = forward_scores(rollout_trainer.model, row)
        assert scores == pytest.approx(expected, abs=TOLERANCE)
        assert scores.index(max(scores)) == expected.index(max(expected))
        assert sum(map(math.exp, scores)) == pytest.approx(1)


@pytest.mark.slow
def test_letters_beyond_the_twenty_most_likely_are_never_chosen(rollout_trainer):
    rollout_trainer.vllm_generation.sync_weights()
    row = make_rows(1)[0]._replace(letter_ids=list(range(40, 66)))
    scores = second_answers(rollout_trainer.vllm_generation, [row]).found[0]
    expected = forward_scores(rollout_trainer.model, row)
    assert scores.count(-math.inf) == 6
    assert scores.index(max(scores)) == expected.index(max(expected))


@pytest.mark.slow
def test_rows_that_share_a_prompt_read_it_once(rollout_trainer):
    generation = rollout_trainer.vllm_generation
    rng = random.Random(1)
    prompt = [rng.randrange(3, 100) for _ in range(100)]
    group = [row._replace(prompt_ids=prompt) for row in make_rows(8)]
    generation.llm.reset_prefix_cache()
    shared = second_answers(generation, group)
    generation.llm.reset_prefix_cache()
    unshared = second_answers(generation, make_rows(8, seed=2))
    assert shared.cached_token_share > 0.5
    assert unshared.cached_token_share == 0
    generation.llm.reset_prefix_cache()
    alone = second_answers(generation, group[-1:]).found[0]
    assert shared.found[-1] == pytest.approx(alone, abs=TOLERANCE)


@pytest.mark.slow
def test_texts_are_those_that_the_policy_itself_writes(rollout_trainer):
    generation, eos = rollout_trainer.vllm_generation, rollout_trainer.eos_token_ids
    generation.sync_weights()
    rows = make_rows(12)
    found = written_answers(generation, rows, max_new_tokens=6)
    own = write_answers(
        rollout_trainer.model, rows, lambda i, ids: ids[-1] in eos, pad_token_id=0, batch_size=4, max_new_tokens=6
    )
    assert found.found == own
    assert 0 <= found.cached_token_share <= 1
    again = [written_answers(generation, rows, max_new_tokens=6, temperature=1.0, seed=seed).found for seed in (3, 3)]
    assert again[0] == again[1] != own
    alike = written_answers(generation, rows[:1] * 8, max_new_tokens=6, temperature=1.0, seed=3).found
    assert len(set(map(tuple, alike))) > 1
    first = rollout_trainer._tokenizer.decode(own[0][:1])
    assert written_answers(generation, rows[:1], max_new_tokens=6, stop=first).found[0] == own[0][:1] != own[0]


@pytest.mark.slow
def test_no_rows_give_no_answers(rollout_trainer):
    assert second_answers(rollout_trainer.vllm_generation, []) == ([], None)
    assert written_answers(rollout_trainer.vllm_generation, [], max_new_tokens=2) == ([], None)


def test_log_probs_from_before_the_restriction_are_refused():
    row = SecondPassRow(prompt_ids=[3], prefix_ids=[], letter_ids=[5, 6])
    with pytest.raises(ValueError, match=r"\[5, 6\] only.*\[9\] too.*--logprobs-mode processed_logprobs"):
        _restricted([{5: -0.1, 9: -0.2}], [row])
