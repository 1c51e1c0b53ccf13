import random

import pytest
import torch
from tiny import tiny_model, tiny_tokenizer

from align.data.questions.multiple_choice import Question
from align.data.questions.templates import PromptTemplate
from align.evaluation.asking import Asker
from align.evaluation.suites.questions.answering import answer_questions
from align.models.policies.asking import Decoding
from align.models.policies.model_policy import make_policy

WORDS = ("gold", "iron", "zinc", "lead", "neon")
TEMPLATE = PromptTemplate("{question}\n{options}\n", conversational=False)
RESPONSE = "<think>it is gold.</think><answer>A</answer>"


def make_questions(count: int, options: tuple[str, ...] | None = None) -> list[Question]:
    rng = random.Random(0)
    drawn = [options or ("gold", *rng.sample(WORDS[1:], 3)) for _ in range(count)]
    orders = [tuple(rng.sample(row, len(row))) if options is None else row for row in drawn]
    return [
        Question(f"q{i}", "?" * (1 + i % 4), row, rng.randrange(len(row)), None, (), i) for i, row in enumerate(orders)
    ]


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def always_a(tokenizer):
    """A policy trained to think of gold and to answer A, whatever is shown."""
    model = tiny_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    prompts = [tokenizer(TEMPLATE.render(q.question, q.options))["input_ids"] for q in make_questions(32)]
    answer = [*tokenizer(RESPONSE)["input_ids"], tokenizer.eos_token_id]
    batch = tokenizer.pad({"input_ids": [prompt + answer for prompt in prompts]}, return_tensors="pt")
    labels = batch["input_ids"].clone()
    labels[:, : -len(answer)] = -100
    for _ in range(60):
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def evaluate(model, tokenizer, questions, *, template=TEMPLATE, max_new_tokens=40, batch_size=8, seed=1):
    asker = Asker(make_policy(model.eval(), tokenizer, template, batch_size=batch_size))
    return answer_questions(asker, questions, Decoding(max_new_tokens=max_new_tokens), num_shuffles=3, seed=seed)[0]


def test_a_policy_that_answers_by_position_follows_its_letter_and_not_its_trace(always_a, tokenizer):
    questions = make_questions(20)
    items = evaluate(always_a, tokenizer, questions)
    assert [item.completion for item in items] == [RESPONSE] * 20
    assert all(item.first_choice == 0 for item in items)
    # The letter stays A, so the content answered is whatever the shuffle puts first.
    assert all(item.second_choices == [order[0] for order in item.permutations] for item in items)
    assert [item.trace_choice for item in items] == [q.options.index("gold") for q in questions]


def test_no_shuffle_leaves_the_order_as_it_was(always_a, tokenizer):
    items = evaluate(always_a, tokenizer, make_questions(20, ("gold", "iron")))
    assert all(order == [1, 0] for item in items for order in item.permutations)


def test_shuffles_depend_on_the_question_and_the_seed_only(always_a, tokenizer):
    questions = make_questions(12)
    items = evaluate(always_a, tokenizer, questions)
    backwards = evaluate(always_a, tokenizer, questions[::-1], batch_size=5)
    assert backwards[::-1] == items
    other = evaluate(always_a, tokenizer, questions, seed=2)
    assert [item.permutations for item in other] != [item.permutations for item in items]


def test_options_that_refer_to_letters_are_not_shuffled(always_a, tokenizer):
    (item,) = evaluate(always_a, tokenizer, make_questions(1, ("gold", "iron", "both A and B")))
    assert (item.first_choice, item.second_choices, item.permutations) == (0, [], [])


def test_a_policy_that_answers_nothing_has_no_second_answers(tokenizer):
    items = evaluate(tiny_model(seed=3), tokenizer, make_questions(5))
    assert all(item.first_choice is None and item.second_choices is None for item in items)


def test_a_response_cut_off_before_its_answer_has_none(always_a, tokenizer):
    (item,) = evaluate(always_a, tokenizer, make_questions(1), max_new_tokens=12)
    assert RESPONSE.startswith(item.completion)
    assert item.first_choice is None


def test_conversational_prompts_go_through_the_chat_template(always_a, tokenizer):
    written_out = PromptTemplate("user: {question}\n{options}\nassistant: ", conversational=False)
    questions = make_questions(4)
    items = [
        evaluate(always_a, tokenizer, questions, template=template)
        for template in (PromptTemplate("{question}\n{options}"), written_out)
    ]
    assert items[0] == items[1]


def test_a_checkpoints_repetition_penalty_does_not_change_the_answers(always_a, tokenizer):
    questions = make_questions(4)
    expected = evaluate(always_a, tokenizer, questions)
    always_a.generation_config.repetition_penalty = 0.01
    try:
        assert evaluate(always_a, tokenizer, questions) == expected
    finally:
        always_a.generation_config.repetition_penalty = None
