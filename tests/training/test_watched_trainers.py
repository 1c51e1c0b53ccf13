import json
import random
import re
from functools import partial

import pandas as pd
import pytest
import torch
from datasets import Dataset
from some_recipes import PROMPTS, trainer_class
from started import ROOT, modules_after
from tiny import tiny_model, tiny_reward_model, tiny_tokenizer
from transformers import Trainer, TrainingArguments
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    RewardConfig,
    RewardTrainer,
    RLOOConfig,
    RLOOTrainer,
    SFTConfig,
    SFTTrainer,
)
from unruly_rewards import patient, unruly

import align
from align.errors import RewardError, UserError
from align.recipe.alarms import ALARMS, Alarm, Drawn
from align.training.guarded_rewards import RewardRules
from rewards.running.guard import GuardedReward
from rewards.running.scores import Composition

TOKENIZER = tiny_tokenizer()
BASE = {
    "max_steps": 3, "per_device_train_batch_size": 8, "learning_rate": 1e-2, "logging_steps": 1, "bf16": False,
    "use_cpu": True, "report_to": "none", "save_strategy": "no", "disable_tqdm": True, "gradient_checkpointing": False,
}  # fmt: skip
SAMPLED = {"num_generations": 4, "max_completion_length": 6}
PROMPT_ROWS = Dataset.from_list([{"prompt": f"q{i}?"} for i in range(24)])
PAIRS = Dataset.from_list([{"prompt": f"q{i}?", "chosen": f"a{i}", "rejected": f"b{i + 1}"} for i in range(24)])
TEXTS = Dataset.from_list([{"text": f"q{i}? the answer is {i}"} for i in range(24)])
IDS = Dataset.from_list([{name: TOKENIZER.encode(f"q{i:03}") for name in ("input_ids", "labels")} for i in range(24)])
CLOCKS = re.compile("time|second|runtime")


def by_length(completions, **kwargs):
    return [float(len(text) % 3) for text in completions]


def drawn(completions, **kwargs):
    return [random.random() + torch.rand(()).item() for _ in completions]


def model(kind=tiny_model):
    return kind(vocabulary=len(TOKENIZER))


def sampling(folder, funcs=by_length, trainer=GRPOTrainer, texts=(), **settings):
    """Builds a trainer of prompts; with `texts` these are taken for what it sampled."""
    args = GRPOConfig(str(folder), **BASE | SAMPLED | settings)
    built = trainer(model(), funcs, args=args, train_dataset=PROMPT_ROWS, processing_class=TOKENIZER)
    if texts:
        built._generate_single_turn = lambda prompt_ids, *args, **kwargs: (
            [[*TOKENIZER.encode(texts[i % len(texts)]), TOKENIZER.eos_token_id] for i in range(len(prompt_ids))],
            None,
        )
    return built


def with_leave_one_out(folder):
    args = RLOOConfig(str(folder), beta=0.0, **BASE | SAMPLED)
    return RLOOTrainer(model(), by_length, args=args, train_dataset=PROMPT_ROWS, processing_class=TOKENIZER)


def on_pairs(folder):
    args = DPOConfig(str(folder), **BASE)
    return DPOTrainer(model(), model(), args=args, train_dataset=PAIRS, processing_class=TOKENIZER)


def on_texts(folder):
    args = SFTConfig(str(folder), **BASE)
    return SFTTrainer(model(), args=args, train_dataset=TEXTS, processing_class=TOKENIZER)


def on_reward_pairs(folder):
    scorer = model(tiny_reward_model)
    args = RewardConfig(str(folder), **BASE)
    return RewardTrainer(scorer, args=args, train_dataset=PAIRS, processing_class=TOKENIZER)


def of_transformers(folder):
    return Trainer(model(), TrainingArguments(str(folder), **BASE), train_dataset=IDS)


def numbers_of(trainer, names=None):
    """Lists what a trainer logged, without times, and the sum of its weights."""
    logs = [
        {name: value for name, value in entry.items() if not CLOCKS.search(name) and (names is None or name in names)}
        for entry in trainer.state.log_history
    ]
    return logs, sum(weight.detach().double().abs().sum().item() for weight in trainer.model.parameters())


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


@pytest.mark.parametrize("build", [sampling, with_leave_one_out])
def test_a_trainer_that_samples_keeps_its_numbers_and_gets_a_log_audits_and_a_page(tmp_path, build, capfd):
    plain = build(tmp_path / "plain")
    plain.train()
    watched = build(tmp_path / "watched")  # which seeds what it samples
    ours = align.watch(watched, audits=["manipulation", drawn, patient], stop_on=["invalid_share"])
    assert ours is watched
    assert (type(ours).__name__, isinstance(ours, type(plain))) == (type(plain).__name__, True)
    ours.train()
    before, weights = numbers_of(plain)
    assert len({entry["grad_norm"] for entry in before if "loss" in entry}) == 3
    assert numbers_of(ours, {name for entry in before for name in entry}) == (before, weights)
    folder = tmp_path / "watched"
    logged = lines(folder / "metrics.jsonl")
    assert [entry["step"] for entry in logged] == [1, 2, 3, 3]
    sides = {"audit/manipulation/mean": "lower", "audit/drawn/mean": "higher", "audit/patient/mean": "higher"}
    assert sides.keys() <= logged[0].keys()
    assert ours.state.better == sides, "which `audit_falls` asks"
    assert logged[0]["rewards/by_length/invalid_share"] == 0.0
    assert len(lines(folder / "rewards.jsonl")) == 3 * 4, "the reward and three audits, each step"
    page, said = (folder / "report.html").read_text(), capfd.readouterr().err
    assert "<b>Reward" in page
    assert f"The page of this run is {folder / 'report.html'}." in said
    if build is with_leave_one_out:
        assert "RLOOTrainer writes no tables of completions, so the page shows none. The rest is watched." in said
        return
    table = pd.read_parquet(folder / "completions" / "completions_00001.parquet")
    assert list(table["audit/patient"]) == [float(len(text)) for text in table["completion"]]
    assert "align.watch" not in said
    assert table["prompt"][0] in page


def scaled(completions, scale, **kwargs):
    return [scale * (len(text) % 3) for text in completions]


def test_awaited_and_partial_rewards_and_evaluations_keep_their_numbers_and_their_names(tmp_path):
    def run(name, around):
        trainer = around(sampling(tmp_path / name, [partial(scaled, scale=2.0), patient], max_steps=2))
        trainer.train()
        trainer.evaluate(PROMPT_ROWS.select(range(4)))
        return trainer

    plain = run("plain", lambda trainer: trainer)
    watched = run("watched", lambda trainer: align.watch(trainer, audits=[drawn], reward_repeats=0.5))
    before, weights = numbers_of(plain)
    assert any("eval_reward" in entry for entry in before)
    assert numbers_of(watched, {name for entry in before for name in entry}) == (before, weights)
    assert {line["reward"] for line in lines(tmp_path / "watched" / "rewards.jsonl")} == {"scaled", "patient", "drawn"}
    assert watched.state.log_history[0]["rewards/scaled/flaky_share"] == 0.0


@pytest.mark.parametrize("build", [on_pairs, on_texts, on_reward_pairs, of_transformers])
def test_any_other_trainer_keeps_its_numbers_and_gets_a_log_and_a_page(tmp_path, build, capfd):
    plain = build(tmp_path / "plain")
    plain.train()
    watched = align.watch(build(tmp_path / "watched"), audits=[by_length], stop_on=["length"])
    name = type(plain).__name__
    assert capfd.readouterr().err.strip().splitlines()[-1] == (
        f"`align.watch`: {name} scores no completions, so `audits` and `stop_on` cannot apply. The rest is watched."
    )
    watched.train()
    assert numbers_of(watched) == numbers_of(plain)
    assert [entry["step"] for entry in lines(tmp_path / "watched" / "metrics.jsonl")] == [1, 2, 3, 3]
    page = (tmp_path / "watched" / "report.html").read_text()
    assert "<b>Loss" in page
    assert "<b>Learning rate" in page


@pytest.mark.slow
def test_a_trainer_of_transformers_is_watched_without_trl():
    assert modules_after("from align import watch") & {"trl", "vllm", "deepspeed"} == set()


def test_with_nothing_to_add_nothing_is_said(tmp_path, capfd):
    align.watch(of_transformers(tmp_path))
    assert "align.watch" not in capfd.readouterr().err


def test_a_reward_that_fails_costs_its_row_and_too_many_end_training_with_a_page(tmp_path):
    texts = ["aa", "b", "nan", "ccc"]
    kept = align.watch(sampling(tmp_path / "kept", unruly, texts=texts), stop_on=["length"])
    kept.train()
    assert {line["invalid"]["not finite"] for line in lines(tmp_path / "kept" / "rewards.jsonl")} == {2}
    assert (
        "Rows a reward failed on" in (tmp_path / "kept" / "report.html").read_text()
        or "not finite" in (tmp_path / "kept" / "report.html").read_text()
    )
    lost = align.watch(sampling(tmp_path / "lost", unruly, texts=["nan", "raise x", "a", "inf"]))
    with pytest.raises(RewardError, match="Reward `unruly`: 6 of 8 values of this step are invalid"):
        lost.train()
    with pytest.raises(ValueError, match="invalid literal for int"):
        sampling(tmp_path / "plain", unruly, texts=["raise x"]).train()


def shouts(text):
    return sum(map(str.isupper, text))


def loud(completions, **kwargs):
    return [float(shouts(text)) for text in completions]


def test_an_alarm_is_one_entry_which_is_measured_heard_and_on_the_page(tmp_path, monkeypatch):
    words, chart = "{} goes up with capital letters", Drawn("Capital letters", "Within a prompt.")
    monkeypatch.setitem(
        ALARMS,
        "shouting",
        Alarm("shouting", "audit/{}/shouting", 0.3, words, "Read the loudest.", chart, feature=f"{__name__}:shouts"),
    )
    texts = ["a", "B", "CC", "DDD"]
    trainer = align.watch(sampling(tmp_path, loud, texts=texts, max_steps=9), stop_on=["shouting"])
    expected = r"step 5: The total reward goes up with capital letters: 1\.00 \[0\.64, 1\.00; 30 comparisons\], "
    with pytest.raises(UserError, match=expected):
        trainer.train()
    page = (tmp_path / "report.html").read_text()
    assert "Audit: The total reward goes up with capital letters: 1.00 [5 logs], above 0.3" in page
    assert "Read the loudest." in page
    assert "<h3>Capital letters" in page or ">Capital letters<" in page


def test_an_alarm_that_stops_ends_training_and_the_page_is_written(tmp_path):
    texts = ["aa", "b", "nan", "ccc"]
    trainer = align.watch(sampling(tmp_path, unruly, texts=texts, max_steps=9), stop_on=["invalid_share"])
    with pytest.raises(UserError, match=r"Training ends here since `stop_on` names invalid_share"):
        trainer.train()
    assert trainer.state.global_step == 5
    assert (tmp_path / "report.html").is_file()
    assert not (tmp_path / "finished.json").exists()


def test_the_keys_of_a_recipe_hold_here(tmp_path):
    keys = {"reward_clip": {"unruly": [0, 2]}, "on_invalid": "zero", "alarms": {"length": None}}
    trainer = align.watch(sampling(tmp_path, unruly, texts=["aaa", "b", "nan", "cc"], max_steps=1), **keys)
    trainer.train()
    table = pd.read_parquet(tmp_path / "completions" / "completions_00001.parquet")
    assert list(table["unruly"]) == [2.0, 1.0, 0.0, 2.0] * 2
    assert list(table["unruly_raw"]) == [3.0, 1.0, 0.0, 2.0] * 2


def test_guarded_rewards_and_reward_models_stay_what_they_are(tmp_path, tiny_model_folder):
    scorer = model(tiny_reward_model)
    scorer.save_pretrained(tmp_path / "scorer")
    TOKENIZER.save_pretrained(tmp_path / "scorer")
    guarded = align.guard(by_length)
    trainer = align.watch(sampling(tmp_path / "run", [guarded, str(tmp_path / "scorer")], max_steps=1))
    assert trainer.reward_funcs[0] is guarded
    assert isinstance(trainer.reward_funcs[1], torch.nn.Module)
    trainer.train()
    assert {line["reward"] for line in lines(tmp_path / "run" / "rewards.jsonl")} == {"by_length"}


def test_our_own_trainer_keeps_its_rules_and_gets_audits(tmp_path, capfd):
    rules = RewardRules(Composition(limits={0: (0.0, 1.0)}))
    args = GRPOConfig(str(tmp_path), **BASE | SAMPLED | {"max_steps": 1})
    own = trainer_class(PROMPTS)(
        model(), by_length, args=args, train_dataset=PROMPT_ROWS, processing_class=TOKENIZER, reward_rules=rules
    )
    align.watch(own, audits=[drawn], on_invalid="zero")
    assert "was built with rules of its own, so `on_invalid` cannot apply" in capfd.readouterr().err
    assert own.reward_rules.composition.limits == {0: (0.0, 1.0)}
    assert isinstance(own.reward_funcs[0], GuardedReward)
    own.train()
    assert "audit/drawn/mean" in lines(tmp_path / "metrics.jsonl")[0]


def test_a_new_run_sets_the_log_aside_and_one_that_goes_on_appends(tmp_path):
    align.watch(sampling(tmp_path, max_steps=2, save_strategy="steps", save_steps=2)).train()
    align.watch(sampling(tmp_path, max_steps=3)).train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert [entry["step"] for entry in lines(tmp_path / "metrics.jsonl")] == [1, 2, 2, 3, 3]
    assert not (tmp_path / "earlier-1").exists()
    again = align.watch(on_pairs(tmp_path))
    again.evaluate(PAIRS)  # is logged before training, and stays
    again.train()
    assert [entry["step"] for entry in lines(tmp_path / "metrics.jsonl")] == [0, 1, 2, 3, 3]
    assert [entry["step"] for entry in lines(tmp_path / "earlier-1" / "metrics.jsonl")][:5] == [1, 2, 2, 3, 3]
    again.train()
    assert [entry["step"] for entry in lines(tmp_path / "metrics.jsonl")] == [1, 2, 3, 3]


def test_completions_are_not_uploaded_unasked(tmp_path, capfd):
    trainer = sampling(tmp_path)
    trainer.args.report_to = ["wandb"]
    align.watch(trainer)
    assert trainer.log_completions is False
    assert (
        "would upload completions to `wandb`, so none are kept; `log_completions=True` allows"
        in capfd.readouterr().err
    )


def test_a_page_that_cannot_be_made_does_not_undo_the_training(tmp_path, capfd):
    trainer = align.watch(of_transformers(tmp_path))
    (tmp_path / "report.html").mkdir()
    assert trainer.train().global_step == 3
    assert "This run has no page: " in capfd.readouterr().err


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"stop_on": ["lenght"]}, "`stop_on` must name one of .*got 'lenght'. Did you mean 'length'"),
        ({"alarm": {}}, "Unknown key `alarm`. Did you mean 'alarms'"),
        ({"audits": ["repetitions"]}, "`audits`: Unknown reward 'repetitions'.*Did you mean 'repetition'"),
        ({"audits": [by_length]}, "`audits`: 'by_length' is named twice; a reward is either trained on or audited"),
        ({"reward_memory_gb": 1.0}, "`reward_memory_gb` needs workers, and there are none. Set `reward_workers: 1`"),
        ({"on_invalid": "drop"}, "`on_invalid`: input should be 'raise', 'skip' or 'zero'; got 'drop'"),
    ],
)
def test_settings_without_a_meaning_are_refused_with_a_remedy(tmp_path, settings, words):
    trainer = sampling(tmp_path)
    with pytest.raises(UserError, match=words):
        align.watch(trainer, **settings)
    assert type(trainer) is GRPOTrainer, "nothing was changed"
    assert trainer.reward_funcs == [by_length]


def test_what_cannot_be_watched_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(UserError, match=r"`align.watch` takes a trainer of TRL or transformers, got int"):
        align.watch(3)
    trainer = align.watch(of_transformers(tmp_path))
    with pytest.raises(UserError, match=r"is watched already. Give all `audits` and `stop_on` in one call"):
        align.watch(trainer)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "recipe.yaml").write_text("method: own\n")
    with pytest.raises(UserError, match=r"holds a recipe.yaml that `align.watch` did not write.*another `output_dir`"):
        align.watch(of_transformers(tmp_path / "other"))


def test_the_lines_of_the_page_run(tmp_path, monkeypatch, tiny_model_folder):
    text = (ROOT / "docs" / "explanation" / "guards-and-alarms.md").read_text()
    section = text[text.index("## In a script of your own") :]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    small = ", ".join(f"{name}={value!r}" for name, value in (BASE | SAMPLED | {"max_steps": 1}).items())
    code = code.replace('"Qwen/Qwen3-0.6B"', repr(str(tiny_model_folder)))
    code = code.replace('GRPOConfig("outputs/mine")', f'GRPOConfig("outputs/mine", {small})')
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "guards-and-alarms.md", "exec"), {})
    assert (tmp_path / "outputs" / "mine" / "report.html").is_file()
    assert "audit/repetition/mean" in lines(tmp_path / "outputs" / "mine" / "metrics.jsonl")[0]
