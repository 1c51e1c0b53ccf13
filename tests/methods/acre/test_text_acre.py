import json
import random

import pytest
import torch
from awaited_rewards import in_turn
from datasets import Dataset
from scripted_text_acre import (
    NEUTRAL,
    RIGHT,
    TOKENIZER,
    Copying,
    Scripted,
    by_length,
    losses,
    make_rows,
    make_trainer,
    nothing,
    other_names,
    scripted,
    table,
)
from tiny import tiny_model
from trl import GRPOTrainer

from align.errors import DataError
from rewards import AnswerConsistency
from rewards.scoring.perturbations import FAMILIES


@pytest.mark.by_day("settings0")
@pytest.mark.parametrize(
    "settings",
    [{"gradient_checkpointing": True}, {"beta": 0.1, "gradient_accumulation_steps": 2, "num_iterations": 2}],
)
def test_neutral_settings_give_the_losses_of_grpo(tmp_path, settings):
    path = str(tmp_path / "model")  # TRL loads the reference model from where the policy came from
    tiny_model(vocabulary=len(TOKENIZER)).save_pretrained(path)
    settings = settings | {"model": path, "model_init_kwargs": {"dtype": "float32"}}
    weights = {"reward_weights": [0.0, 1.0]}
    parent = losses(make_trainer(tmp_path, [by_length], trainer=GRPOTrainer, **settings))
    assert len(set(parent)) == 3
    settings["skip_without_advantage"] = "off"
    assert losses(make_trainer(tmp_path, [by_length], second_pass="off", **settings)) == parent
    assert losses(make_trainer(tmp_path, [NEUTRAL, by_length], **settings | weights)) == parent


class ScriptedGRPO(GRPOTrainer):
    _generate_single_turn = Scripted._generate_single_turn
    responses = ("<think>x</think><answer>Ann</answer>", "<think>x</think><answer>Bob</answer>", "no", "Answer: ann.")


def test_the_coefficients_one_one_zero_reward_what_the_text_reward_does(tmp_path):
    cls = scripted(*ScriptedGRPO.responses)
    parent = losses(make_trainer(tmp_path, [RIGHT], trainer=ScriptedGRPO))
    assert any(parent)
    assert losses(make_trainer(tmp_path, [NEUTRAL], trainer=cls)) == parent


def test_an_answer_reward_that_draws_random_numbers_does_not_move_those_of_the_rollouts(tmp_path):
    def judge(completions, **kwargs):
        torch.rand(3)
        return [float(random.random() < 0.5) for _ in completions]

    parent = losses(make_trainer(tmp_path, [by_length], trainer=GRPOTrainer))
    own = {"reward_weights": [0.0, 1.0], "skip_without_advantage": "off"}
    assert losses(make_trainer(tmp_path, [NEUTRAL, by_length], answer_reward=judge, **own)) == parent


@pytest.mark.parametrize("is_trained_on", [False, True])
def test_an_answer_reward_may_be_awaited(tmp_path, is_trained_on):
    judge = in_turn()
    rewards = [NEUTRAL, judge] if is_trained_on else [NEUTRAL]
    plain = scripted(*ScriptedGRPO.responses[:1], "")
    assert losses(make_trainer(tmp_path, rewards, trainer=plain, answer_reward=judge))


@pytest.mark.by_day("1.0")
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_second_pass_does_not_move_the_random_numbers_of_the_rollouts(tmp_path, temperature):
    def texts(**settings):
        sampled = []
        rewards = [AnswerConsistency(), lambda completions, **k: sampled.extend(completions) or by_length(completions)]
        trainer = make_trainer(tmp_path, rewards, reward_weights=[0.0, 1.0], max_steps=2, **settings)
        sample = trainer._generate_single_turn

        def generate(*args, **kwargs):
            ids, logps = sample(*args, **kwargs)
            ends = TOKENIZER.encode("<think>a"), TOKENIZER.encode("</think><answer>Ann</answer>")
            return [ends[0] + [i for i in each if 3 <= i < 100] + ends[1] for each in ids], logps

        trainer._generate_single_turn = generate
        trainer.train()
        return sampled, trainer.state.log_history[0].get("acre/asked_again")

    plain = texts(second_pass="off")
    asked = texts(second_pass_rows="all", second_answer_temperature=temperature)
    assert asked[1] == 1.0
    assert plain[0] == asked[0]


def written_by_hand(model, prompt, prefix, count):
    ids = TOKENIZER.encode(prompt + prefix)
    length = len(ids)
    model.eval()
    with torch.no_grad():
        for _ in range(count):
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] in (TOKENIZER.eos_token_id, *TOKENIZER.encode("</answer>")):
                break
    return TOKENIZER.decode(ids[length:], skip_special_tokens=True)


def test_second_answers_are_those_of_the_policy_behind_the_changed_prompt(tmp_path):
    cls = scripted(*(f"<think>trace {n}</think><answer>Ann</answer>" for n in range(4)))
    asked = []

    def spy(completions, prompts, answer, **kwargs):
        asked.extend(zip(prompts, completions, answer, strict=True))
        return RIGHT(completions, answer)

    trainer = make_trainer(
        tmp_path, [AnswerConsistency()], trainer=cls, answer_reward=spy, max_steps=1, second_answer_tokens=5
    )
    trainer.train()
    model = tiny_model(vocabulary=len(TOKENIZER))  # the weights of the first step
    firsts, seconds = asked[:8], asked[8:]
    assert len(seconds) == 8
    assert {gold for _, _, gold in firsts} == {"Ann"}
    for (prompt, completion, _), (changed, again, gold) in zip(firsts, seconds, strict=True):
        assert changed == prompt.replace("Ann", gold) != prompt
        prefix = completion.split("Ann<")[0]
        assert again == prefix + written_by_hand(model, changed, prefix, 5)
    assert len({changed for changed, _, _ in seconds[:4]}) == 1  # one version for a group


@pytest.mark.parametrize("conversational", [False, True])
def test_the_mapped_gold_decides_and_what_follows_the_closing_tag_is_cut(tmp_path, conversational):
    answers = [f"<think>t</think><answer>{name}</answer>" for name in ("Ann", "Eve")]
    trainer = make_trainer(
        tmp_path, [AnswerConsistency()], trainer=scripted(*answers, base=Copying), max_steps=1,
        rows=make_rows(conversational=conversational), families=[on_text(other_names)],
    )  # fmt: skip
    rows = table(trainer, tmp_path)
    assert rows["outcome"].tolist() == ["both", "second_only"] * 4
    assert rows["answer_consistency"].tolist() == [1.0, pytest.approx(0.2)] * 4
    assert (rows["second_texts"] == rows["second_gold"]).all()
    assert set(rows["second_texts"]) <= {"Bob", "Cid", "Dan"}
    assert set(rows["family"]) == {"other_names"}
    log = trainer.state.log_history[0]
    assert (log["acre/outcome_both"], log["acre/consistency_rate"], log["acre/has_version"]) == (0.5, 0.5, 1.0)
    assert 0 < log["acre/second_pass_share"] < 1


def on_text(family):
    """Lets a family of texts change messages."""

    def change(row, rng):
        if isinstance(row["prompt"], str):
            return family(row, rng)
        text, gold = family(dict(row) | {"prompt": row["prompt"][0]["content"]}, rng)
        return [{"role": "user", "content": text}], gold

    change.__name__ = family.__name__
    return change


def test_rows_without_a_version_are_rewarded_as_in_grpo_and_counted(tmp_path):
    answers = [f"<think>t</think><answer>{name}</answer>" for name in ("Ann", "Eve")]
    trainer = make_trainer(
        tmp_path, [AnswerConsistency()], trainer=scripted(*answers, base=Copying), max_steps=1, families=[nothing]
    )
    rows = table(trainer, tmp_path)
    assert rows["answer_consistency"].tolist() == [1.0, 0.0] * 4
    log = trainer.state.log_history[0]
    assert (log["acre/has_version"], log["acre/asked_again"], log["acre/first_right"]) == (0.0, 0.0, 0.5)
    assert "acre/outcome_both" not in log


def test_a_family_that_fails_in_training_costs_rows_and_is_named_once(tmp_path, capfd):
    def fails(row, rng):
        raise KeyError("fact")

    trainer = make_trainer(tmp_path, [AnswerConsistency()], trainer=Scripted, families=[fails], max_steps=2)
    trainer.train()
    log = trainer.state.log_history[0]
    assert (log["acre/version_failed"], log["acre/has_version"], log["rewards/answer_consistency/mean"]) == (1, 0, 1)
    assert capfd.readouterr().err.count("Family `fails`, row 'r") == 1


def test_only_rows_whose_reward_can_depend_on_it_are_asked_again(tmp_path):
    answers = [f"<think>t</think><answer>{name}</answer>" for name in ("Ann", "Eve")]
    reward = AnswerConsistency(both=1, first_only=0, second_only=0)
    trainer = make_trainer(tmp_path, [reward], trainer=scripted(*answers, "no answer", base=Copying), max_steps=1)
    rows = table(trainer, tmp_path)
    assert rows["outcome"].fillna("-").tolist() == ["both", "-", "-", "both", "-", "-", "both", "-"]


def test_several_versions_are_averaged_and_answers_that_cannot_be_judged_do_not_count(tmp_path):
    def judge(completions, answer, **kwargs):
        golds = [gold if gold != "Bob" else None for gold in answer]
        return RIGHT(completions, golds)

    trainer = make_trainer(
        tmp_path, [AnswerConsistency()], trainer=Copying, answer_reward=judge, max_steps=2, num_shuffles=6
    )
    rows = table(trainer, tmp_path)
    known = rows["second_gold"].str.split(" | ", regex=False).map(lambda names: 6 - names.count("Bob"))
    assert (rows["outcome"].str.split().str.len() == known).all()
    assert known.min() < 6
    assert rows["answer_consistency"].tolist() == [1.0] * len(rows)


def test_boxed_and_plain_answers_are_asked_again_too(tmp_path):
    answers = [r"so \boxed{Ann}", "Because.\nAnswer: Ann", r"\boxed{a} so \boxed{{Ann}}!"]
    seen = []

    def spy(completions, **kwargs):
        seen.extend(completions)
        return [1.0] * len(completions)

    class Braces(Scripted):
        responses = tuple(answers)

        def _write_answers(self, rows, places):
            ends = {"}": "{x}} tail}", "\n": "x\ntail"}
            return [TOKENIZER.encode(ends[place.end]) for place in places]

    trainer = make_trainer(tmp_path, [AnswerConsistency()], trainer=Braces, answer_reward=spy, max_steps=1)
    trainer.train()
    expected = [r"so \boxed{{x}}", "Because.\nAnswer: x\n", r"\boxed{a} so \boxed{{x}}"]
    assert seen[8:] == [expected[i % 3] for i in range(8)]


def test_evaluation_asks_again_too(tmp_path):
    trainer = make_trainer(tmp_path, [AnswerConsistency()], trainer=Scripted, per_device_eval_batch_size=8)
    metrics = trainer.evaluate(Dataset.from_list(make_rows(8)))
    assert metrics["eval_acre/asked_again"] == 1.0


def test_two_runs_draw_the_same_versions_and_another_seed_draws_others(tmp_path):
    def drawn(name, **settings):
        folder = tmp_path / name
        folder.mkdir()
        rows = table(make_trainer(folder, [AnswerConsistency()], trainer=Scripted, max_steps=2, **settings), folder)
        return json.dumps(rows["second_gold"].tolist())

    settings = {"second_answer_temperature": 1.0, "shuffle_dataset": False}
    assert drawn("a", **settings) == drawn("b", **settings) != drawn("c", seed=7, **settings)


def test_rows_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no such column \(id, prompt, answer\)"):
        make_trainer(tmp_path, [by_length], gold_column="solution")
    with pytest.raises(ValueError, match="must list families"):
        make_trainer(tmp_path, [by_length], families=[])
    with pytest.raises(DataError, match="rows have images"):
        make_trainer(tmp_path, [by_length], rows=[row | {"image": "a.png"} for row in make_rows()])


def test_a_family_may_be_named_and_what_cannot_be_used_is_refused(tmp_path):
    trainer = make_trainer(tmp_path, [by_length], families=["distractor", nothing])
    assert [family.name for family in trainer.families] == ["distractor", "nothing"]
    with pytest.raises(ValueError, match=r"the eval dataset has no such column \(prompt\)"):
        trainer.evaluate(Dataset.from_list([{"prompt": "q"}]))
    for given, error, message in (
        ({"families": "distractor"}, ValueError, "must list families; got 'distractor'"),
        ({"families": [7]}, TypeError, "`families` must hold names, .*; got 7"),
        ({"answer_reward": "text_accuracy"}, TypeError, "`answer_reward` must be a reward function"),
        ({"scrub_letters": True}, ValueError, "`scrub_letters` is about letters of options"),
    ):
        with pytest.raises(error, match=message):
            make_trainer(tmp_path, [by_length], **given)


def test_a_built_in_family_keeps_the_gold(tmp_path):
    trainer = make_trainer(
        tmp_path, [AnswerConsistency()], trainer=Scripted, families=[FAMILIES["distractor"]], max_steps=1
    )
    rows = table(trainer, tmp_path)
    assert set(rows["family"]) == {"distractor"}
    assert rows["second_gold"].isna().all()
