import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from align.data import PromptTemplate, questions_to_rows
from align.data.questions.multiple_choice import Question
from align.recipe.dataset import DEFAULT_TEMPLATE, MultipleChoiceDatasetConfig

PLAIN = PromptTemplate("{question}|{options}", conversational=False)


def question(name, options=("iron", "gold", "zinc", "tin"), answer=0, images=()):
    return Question(name, f"Which is {name}?", tuple(options), answer, None, tuple(images), row=1)


def test_rows_show_the_options_as_given_unless_they_are_shuffled():
    rows, num_fixed = questions_to_rows([question("a", answer=2)], PLAIN)
    assert rows == [
        {
            "id": "a",
            "prompt": "Which is a?|A. iron\nB. gold\nC. zinc\nD. tin",
            "question": "Which is a?",
            "options": ["iron", "gold", "zinc", "tin"],
            "answer": 2,
            "group": None,
        }
    ]
    assert num_fixed == 0


@given(st.integers(0, 99), st.integers(0, 3))
def test_shuffling_keeps_the_gold_content_and_renders_the_new_order(seed, answer):
    questions = [question(f"q{i}", answer=answer) for i in range(5)]
    rows, _ = questions_to_rows(questions, PLAIN, shuffle_options=True, seed=seed)
    for row in rows:
        assert row["options"][row["answer"]] == questions[0].options[answer]
        assert sorted(row["options"]) == sorted(questions[0].options)
        assert row["prompt"] == PLAIN.render(row["question"], row["options"])


def test_an_order_depends_on_seed_and_id_alone():
    questions = [question(f"q{i}") for i in range(50)]
    rows, _ = questions_to_rows(questions, PLAIN, shuffle_options=True, seed=1)
    fewer, _ = questions_to_rows(questions[30:], PLAIN, shuffle_options=True, seed=1)
    other, _ = questions_to_rows(questions, PLAIN, shuffle_options=True, seed=2)
    assert fewer == rows[30:]
    assert [row["options"] for row in other] != [row["options"] for row in rows]
    assert len({tuple(row["options"]) for row in rows}) > 10


def test_questions_that_have_to_stay_in_order_stay_and_are_counted():
    fixed = question("b", ["iron", "gold", "Both A and B"], answer=2)
    rows, num_fixed = questions_to_rows([question("a"), fixed], PLAIN, shuffle_options=True)
    assert (rows[1]["options"], rows[1]["answer"]) == (list(fixed.options), 2)
    assert num_fixed == 1
    assert questions_to_rows([fixed], PLAIN)[1] == 0


def test_images_are_a_column_of_all_rows_or_of_none():
    rows, _ = questions_to_rows([question("a"), question("b", images=["x.png"])], PLAIN)
    assert [row["images"] for row in rows] == [[], ["x.png"]]


def test_messages_carry_the_system_prompt():
    template = PromptTemplate("{options}\n{question}", system_prompt="Think.")
    assert template.render("Rusts?", ["iron", "gold"]) == [
        {"role": "system", "content": "Think."},
        {"role": "user", "content": "A. iron\nB. gold\nRusts?"},
    ]
    assert [message["role"] for message in PromptTemplate().render("Rusts?", ["iron", "gold"])] == ["user"]


def test_braces_in_questions_and_templates_are_ordinary_text():
    template = PromptTemplate(r"\boxed{} {question} {x} {options}", conversational=False)
    assert template.render("{options} {0}", ["{question}", "b"]) == "\\boxed{} {options} {0} {x} A. {question}\nB. b"


BAD_PROMPTS = [
    ({"template": "{question}"}, r"\{options\} once, it has it 0 times"),
    ({"template": "{question} {question} {options}"}, r"\{question\} once, it has it 2 times"),
    ({"system_prompt": "Think.", "conversational": False}, "`system_prompt` needs `conversational: true`"),
]


@pytest.mark.parametrize(("settings", "message"), BAD_PROMPTS)
def test_prompts_that_cannot_be_rendered_are_refused_here_and_in_the_recipe(settings, message):
    with pytest.raises(ValueError, match=message):
        PromptTemplate(**settings)
    block = {"prompt_template" if key == "template" else key: value for key, value in settings.items()}
    with pytest.raises(ValidationError, match=message):
        MultipleChoiceDatasetConfig(path="x.jsonl", **block)


@pytest.mark.parametrize(
    "block", [{"max_rows": 0}, {"on_bad_rows": "ignore"}, {"adapter": "sciqq"}, {"shufle_options": True}]
)
def test_the_data_set_block_is_strict(block):
    with pytest.raises(ValidationError, match=next(iter(block))):
        MultipleChoiceDatasetConfig(path="x.jsonl", **block)


def test_the_default_prompt_is_the_same_in_recipe_and_code():
    assert MultipleChoiceDatasetConfig(path="x.jsonl").prompt_template == PromptTemplate().template == DEFAULT_TEMPLATE
