import pytest

from align.data.problems import BadRow
from align.data.row_templates import RowTemplate
from align.data.versions import perturb_rows, word_in_turn
from align.errors import DataError
from align.recipe.dataset import Perturbation
from rewards import FAMILIES

TEMPLATE = RowTemplate(("{question}\n{options}\n",), conversational=False)
ROW = {"id": "q", "question": "Which metal rusts?", "options": ["iron", "gold"], "answer": "A", "topic": "metals"}


def test_the_families_of_a_recipe_are_those_of_the_rewards():
    assert set(Perturbation.__args__) == set(FAMILIES)


def test_a_question_and_its_versions_stand_next_to_each_other_with_answers_that_moved():
    rows, unchanged = perturb_rows([TEMPLATE.fill(ROW)], ["option_order", "whitespace"], TEMPLATE)
    assert unchanged == {}
    assert [(row["id"], row["origin"], row["family"], row["topic"]) for row in rows] == [
        ("q", "q", "original", "metals"),
        ("q/option_order", "q", "option_order", "metals"),
        ("q/whitespace", "q", "whitespace", "metals"),
    ]
    assert [row["prompt"] for row in rows[:2]] == [
        "Which metal rusts?\nA. iron\nB. gold\n",
        "Which metal rusts?\nA. gold\nB. iron\n",
    ]
    assert rows[2]["prompt"].split() == rows[0]["prompt"].split()
    assert rows[2]["prompt"] != rows[0]["prompt"]
    assert [(row["options"], row["answer"], row["permutation"]) for row in rows] == [
        (["iron", "gold"], 0, [0, 1]),
        (["gold", "iron"], 1, [1, 0]),
        (["iron", "gold"], 0, [0, 1]),
    ]


def test_of_a_prompt_the_last_message_of_the_user_is_perturbed_and_other_columns_stay():
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 1 + 1?"}]
    row = {"id": "a", "prompt": prompt, "question": "as it was", "options": ["1", "2"], "answer": 1}
    rows, _ = perturb_rows([row], ["distractor"], None, seed=3)
    assert rows[0] == row | {"origin": "a", "family": "original", "permutation": None}
    changed = rows[1]["prompt"]
    assert changed[0] == prompt[0]
    assert changed[1]["content"].endswith(". What is 1 + 1?")
    assert rows[1] == rows[0] | {"id": "a/distractor", "family": "distractor", "prompt": changed}
    assert perturb_rows([row], ["distractor"], None, seed=3)[0] == rows


def test_a_row_that_a_family_cannot_change_is_left_out_and_counted():
    fixed = TEMPLATE.fill(ROW | {"id": "b", "options": ["iron", "all of the above"]})
    rows, unchanged = perturb_rows([TEMPLATE.fill(ROW), fixed], ["option_order", "whitespace"], TEMPLATE)
    assert {row["origin"] for row in rows} == {"q"}
    assert unchanged == {"option_order": 1}
    image = {"id": "i", "prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "a b"}]}]}
    with pytest.raises(DataError, match="`whitespace` changes 0 of 1 rows, and no row is left"):
        perturb_rows([image], ["whitespace"], None)


def test_prompts_without_options_cannot_be_reordered():
    with pytest.raises(DataError, match=r"`option_order` changes 0 of 1 rows.*a `prompt_template` with \{question\}"):
        perturb_rows([{"id": "a", "prompt": "What is 1 + 1?"}], ["option_order", "whitespace"], None)


def test_without_families_rows_are_named_as_originals():
    rows, unchanged = perturb_rows([{"id": "a", "prompt": "x"}], [], None)
    assert rows == [{"id": "a", "prompt": "x", "origin": "a", "family": "original", "permutation": None}]
    assert unchanged == {}


def test_rows_that_are_versions_already_are_refused():
    with pytest.raises(
        DataError, match=r"`dataset\.perturb` makes the column `family`, and the rows already have one"
    ):
        perturb_rows([{"id": "a", "prompt": "a b", "family": "x"}], ["whitespace"], None)


def test_a_row_is_asked_in_every_wording():
    template = RowTemplate(("Who wrote {title}?", "Authors of {title}, {{title}}?"), "Be brief.")
    rows = word_in_turn([template.fill({"id": "e", "title": "Emma"})], template)
    system = {"role": "system", "content": "Be brief."}
    assert rows == [
        {"id": "e", "title": "Emma", "origin": "e",
         "prompt": [system, {"role": "user", "content": "Who wrote Emma?"}]},
        {"id": "e/wording_2", "title": "Emma", "origin": "e",
         "prompt": [system, {"role": "user", "content": "Authors of Emma, {title}?"}]},
    ]  # fmt: skip


@pytest.mark.parametrize("value", [None, ["a"], True])
def test_what_cannot_be_written_into_a_prompt_names_the_column(value):
    with pytest.raises(BadRow, match="column `title`: the value is neither a text nor a number"):
        RowTemplate(("{title}?",)).fill({"title": value})


def test_numbers_are_written_and_other_braces_are_text():
    template = RowTemplate(('{"sum": {n}} and {a b} of {n}',), conversational=False)
    assert template.columns == ("n",)
    assert template.fill({"n": 3})["prompt"] == '{"sum": 3} and {a b} of 3'
