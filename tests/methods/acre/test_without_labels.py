"""Training on questions whose right answers nobody knows."""

import json

import pytest
import scripted_text_acre as of_texts
import test_acre as of_letters
import yaml
from datasets import Dataset
from written_questions import write_questions

from align.methods.acre.data import check, load
from align.models.rewards import resolve_rewards
from align.recipe.recipe import load_recipe
from align.training.build import build_trainer
from rewards import AnswerAgreement

ANSWERS = [f"<think>{word}</think><answer>{letter}</answer>" for word, letter in zip("wxyz", "ABCD", strict=True)]
OF_THE_KEY = ("first_right", "outcome_", "gold_share", "quotes_answer")


def without(parent):
    return type(
        "WithoutLabels", (parent,), {"__init__": lambda self, *a, **k: parent.__init__(self, *a, labels="none", **k)}
    )


def unlabelled(rows):
    return [{name: value for name, value in row.items() if name != "answer"} for row in rows]


def logged(trainer):
    trainer.train()
    return {name for entry in trainer.state.log_history for name in entry}


def test_questions_without_labels_log_nothing_that_reads_one(tmp_path):
    rows = unlabelled(of_letters.make_rows())
    with pytest.raises(
        ValueError, match=r"the train dataset has no answer .*without right answers, use `labels: none`"
    ):
        of_letters.make_trainer(tmp_path, [AnswerAgreement()], rows)
    trainer = without(of_letters.scripted(*ANSWERS))
    trainer = of_letters.make_trainer(tmp_path, [AnswerAgreement()], rows, trainer=trainer)
    names = logged(trainer)
    assert {"acre/consistency_rate", "acre/answer_share_A", "rewards/answer_agreement/mean"} <= names
    assert not [name for name in names if any(each in name for each in OF_THE_KEY)]
    entry = trainer.state.log_history[0]
    assert entry["rewards/answer_agreement/mean"] == pytest.approx(entry["acre/consistency_rate"])
    labelled = Dataset.from_list(of_letters.make_rows(8))
    assert "eval_acre/first_right" in trainer.evaluate(labelled)  # which has a key, and says it


def test_labels_or_none_learn_the_same_of_a_reward_that_reads_none(tmp_path):
    rows = of_letters.make_rows()
    parent = of_letters.scripted(*ANSWERS)
    losses = [
        of_letters.losses(of_letters.make_trainer(tmp_path, [AnswerAgreement()], given, trainer=kind))
        for given, kind in ((rows, parent), (unlabelled(rows), without(parent)))
    ]
    assert losses[0] == losses[1]
    assert any(losses[0])


def test_texts_without_labels_are_held_against_each_other(tmp_path):
    answers = [f"<think>t{i}</think><answer>{name}</answer>" for i, name in enumerate(("Ann", "Eve"))]
    trainer = without(of_texts.scripted(*answers, base=of_texts.Copying))
    rows = unlabelled(of_texts.make_rows())
    families = [lambda row, rng: row["prompt"] + " Now."]  # which keeps the name that is copied
    settings = {"trainer": trainer, "rows": rows, "answer_reward": None, "families": families}
    trainer = of_texts.make_trainer(tmp_path, [AnswerAgreement()], **settings)
    names = logged(trainer)
    assert not [name for name in names if any(each in name for each in OF_THE_KEY)]
    entry = trainer.state.log_history[0]
    assert entry["acre/consistency_rate"] == entry["rewards/answer_agreement/mean"] == 0.5


@pytest.fixture
def found(tmp_path, tiny_recipe):
    def read(**changes):
        write_questions(tmp_path / "train.jsonl", count=8)
        path = tiny_recipe()
        content = yaml.safe_load(path.read_text())
        content["dataset"] |= {"labels": "none"} | changes.pop("dataset", {})
        content.pop("reward_weights", None)
        path.write_text(yaml.safe_dump(content | {"reward_funcs": ["answer_agreement"], "beta": 0.1} | changes))
        recipe = load_recipe(path)
        rewards = resolve_rewards(recipe)
        data = load(recipe)
        assert all(("answer" in row) == (recipe.dataset.labels == "given") for row in data.rows)
        told = [each for each in check(recipe, data, rewards) if each.level != "ok" and each.check != "probe"]
        return [f"{each.level} {each.text}" for each in told]

    return read


def test_a_recipe_without_labels_asks_rewards_that_need_none(found):
    assert found() == []
    (text,) = found(reward_funcs=["answer_consistency"])
    assert text.startswith("error `answer_consistency` reads the column `answer`")
    (text,) = found(reward_funcs=["follows_trace"], beta=0.0)
    assert text.startswith("warning `beta` is 0: `follows_trace` is paid in full where all answers agree")


@pytest.mark.parametrize(
    ("changes", "is_refused"),
    [
        ({}, True),
        ({"dataset": {"shuffle_options": "every_visit"}}, True),  # one order for all of a group
        ({"dataset": {"shuffle_options": "within_group"}}, False),
        ({"reward_kwargs": {"vote_agreement": {"fixed_order": True}}}, False),
        ({"reward_kwargs": {"vote_agreement": {"votes": "second"}}}, True),
        ({"reward_kwargs": {"vote_agreement": {"votes": "second"}}, "permutation_scope": "row"}, False),
    ],
)
def test_a_vote_in_one_order_is_refused_unless_it_is_asked_for(found, changes, is_refused):
    texts = found(reward_funcs=["vote_agreement"], **changes)
    assert [text.startswith("error `vote_agreement` is a vote of a group") for text in texts] == [True] * is_refused


def test_a_key_that_is_in_the_file_reaches_no_trainer(tiny_recipe, tmp_path):
    recipe = load_recipe(
        tiny_recipe(dataset={"labels": "none"}, reward_funcs=["answer_agreement"], reward_weights=[1.0])
    )
    assert "answer" in json.loads((tmp_path / "train.jsonl").read_text().splitlines()[0])
    data = load(recipe)
    trainer = build_trainer(recipe, data, [AnswerAgreement()])
    assert trainer.labels == "none"
    assert "answer" not in trainer.train_dataset.column_names
