"""Training options in another order each time a question is asked."""

from collections import defaultdict

import pytest
from datasets import Dataset
from rollouts_of_acre import of_letters
from test_acre_images import TEMPLATE
from test_acre_images import make_rows as make_image_rows
from test_acre_images import make_trainer as make_image_trainer
from tiny import tiny_model

from align.data.questions.rows import show_anew
from align.errors import RecipeError
from align.methods.acre.data import load
from align.methods.acre.trainer import ACRETrainer
from align.recipe.recipe import load_recipe
from align.training.build import build_trainer
from rewards import AnswerConsistency

SCRIPTED = of_letters.scripted(*(f"<think>{i}</think><answer>{letter}</answer>" for i, letter in enumerate("ABCD")))


def watched(folder, render=of_letters.render, make=of_letters.make_trainer, **settings):
    """Trains with a reward that keeps what it is shown; returns by step and question the prompts and right options."""
    seen = defaultdict(list)

    def keep(completions, question, options, answer, prompts, trainer_state, **kwargs):
        for asked, shown, right, prompt in zip(question, options, answer, prompts, strict=True):
            text = prompt if isinstance(prompt, str) else prompt[0]["content"]
            if not isinstance(text, str):
                text = text[-1]["text"]
            plain = render(asked, shown)
            assert text == (plain if isinstance(plain, str) else plain[0]["content"])
            seen[trainer_state.global_step, asked].append((tuple(shown), shown[right]))
        return of_letters.by_length([str(completion) for completion in completions])

    return make(folder, reward_funcs=[keep], **settings), seen


def with_seed(seed, parent=SCRIPTED, **more):
    return type(
        "ShuffledTrainer",
        (parent,),
        {"__init__": lambda self, *a, **k: parent.__init__(self, *a, shuffle_seed=seed, **more, **k)},
    )


def test_a_question_shows_one_order_to_its_group_and_another_at_the_next_visit(tmp_path):
    rows = of_letters.make_rows(2)
    trainer, seen = watched(tmp_path, rows=rows, trainer=with_seed(0), max_steps=8)
    trainer.train()
    golds = {row["question"]: row["options"][row["answer"]] for row in rows}
    orders = defaultdict(set)
    for (_, question), group in seen.items():
        assert len(group) == 4
        assert len(set(group)) == 1
        assert group[0][1] == golds[question]
        orders[question].add(group[0][0])
    assert all(len(shown) > 3 for shown in orders.values())


def test_within_a_group_each_completion_sees_an_order_of_its_own(tmp_path):
    rows = of_letters.make_rows(8)
    shuffled = with_seed(0, within_group=True)
    trainer, seen = watched(tmp_path, rows=rows, trainer=shuffled, max_steps=2, num_generations=8)
    trainer.train()
    golds = {row["question"]: row["options"][row["answer"]] for row in rows}
    for (step, question), group in seen.items():
        assert {right for _, right in group} == {golds[question]}
        assert len({shown for shown, _ in group}) > 3
        row = next(row for row in rows if row["question"] == question)
        again = [show_anew(of_letters.render, 0, row, f"{step}/{place}")["options"] for place in range(8)]
        assert [list(shown) for shown, _ in group] == again  # by place in the group, on whatever process


def test_second_answers_and_the_table_are_about_the_options_that_were_shown(tmp_path):
    rows = of_letters.make_rows(8)
    trainer = of_letters.make_trainer(tmp_path, [AnswerConsistency()], rows, trainer=with_seed(0), max_steps=1)
    table = of_letters.table(trainer, tmp_path)
    assert not set(table["prompt"]) <= {row["prompt"] for row in rows}
    model = tiny_model(vocabulary=len(of_letters.TOKENIZER))
    for _, row in table.iterrows():
        assert row["second_answers"] == of_letters.second_answer_by_hand(model, row)


def test_a_resumed_run_shows_what_an_uninterrupted_one_would_have_shown(tmp_path):
    saved = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4, "rows": of_letters.make_rows(8)}
    whole, shown = watched(tmp_path / "whole", trainer=with_seed(5, ACRETrainer), **saved)
    whole.train()
    resumed, after = watched(tmp_path / "resumed", trainer=with_seed(5, ACRETrainer), **saved)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole/checkpoint-2"))
    assert {step for step, _ in after} == {2, 3}
    assert after == {key: group for key, group in shown.items() if key[0] >= 2}
    losses = [[entry["loss"] for entry in run.state.log_history if "loss" in entry] for run in (whole, resumed)]
    assert losses[0] == losses[1]


def test_evaluation_questions_stay_as_they_are(tmp_path):
    rows = of_letters.make_rows(8)
    trainer, seen = watched(tmp_path, trainer=with_seed(0), per_device_eval_batch_size=8)
    trainer.evaluate(Dataset.from_list(rows))
    assert {group[0][0] for group in seen.values()} == {tuple(row["options"]) for row in rows}


@pytest.mark.slow
@pytest.mark.nightly  # questions of texts are shown anew the same way
@pytest.mark.parametrize("family", ["qwen2_5_vl"])
def test_rows_with_images_are_shown_anew_too(tmp_path, family):
    def make(folder, reward_funcs, **settings):
        return make_image_trainer(folder, family, reward_funcs, **settings)

    rows = make_image_rows()
    trainer, seen = watched(tmp_path, TEMPLATE.render, make, rows=rows, trainer=with_seed(1, ACRETrainer))
    trainer.train()
    given = {row["question"]: row for row in rows}
    assert all(group[0][1] == given[asked]["options"][given[asked]["answer"]] for (_, asked), group in seen.items())
    assert any(list(group[0][0]) != given[asked]["options"] for (_, asked), group in seen.items())


def test_an_order_depends_on_seed_row_and_visit_and_anchored_options_stay():
    def shown(name="a", seed=0, visit=0):
        row = {"id": name, "question": "Which?", "options": [*"pqrstu", "None of the above"], "answer": 6}
        found = show_anew(of_letters.render, seed, row, str(visit))
        assert found["options"][found["answer"]] == "None of the above" == found["options"][-1]
        return tuple(found["options"])

    assert shown() == shown()
    assert len({shown(), shown("b"), shown(seed=1), shown(visit=1)}) == 4


def test_the_key_of_a_recipe_leaves_the_rows_and_reaches_the_trainer(tiny_recipe):
    path = tiny_recipe(
        dataset={"shuffle_options": "every_visit", "seed": 3},
        reward_funcs=["answer_consistency"],
        reward_weights=[1.0],
    )
    recipe = load_recipe(path)
    data = load(recipe)
    assert data.rows == load(load_recipe(path, ["--dataset.shuffle_options", "false"])).rows
    trainer = build_trainer(recipe, data, [AnswerConsistency()])
    shown = show_anew(data.extra.render, 3, data.rows[0], "0")
    assert trainer._show_anew(data.rows[0], "0") == shown
    with pytest.raises(RecipeError, match=r"`dataset.shuffle_options`: input should be false, true, 'every_visit' or"):
        load_recipe(path, ["--dataset.shuffle_options", "every_step"])
