"""Trains with rewards that behave otherwise on each rank; run by test_two_processes.py."""

import json
from functools import cache
from pathlib import Path
from traceback import format_exc

from accelerate import PartialState
from datasets import Dataset
from some_recipes import PROMPTS, trainer_class
from tiny import tiny_model, tiny_reward_model, tiny_tokenizer
from trl import GRPOConfig
from unruly_rewards import unruly

from align import load_reward_model
from align.errors import RewardError
from align.training.guarded_rewards import RewardRules
from rewards.running.guard import GuardSettings, guard_rewards
from rewards.running.scores import Composition

TOKENIZER = tiny_tokenizer()
TEXTS = {0: ["a", "bb", "ccc", "dddd"], 1: ["nan", "sleep 99", "cc", "none"]}  # by rank


def rank():
    return PartialState().process_index


def uneven(completions, log_extra, log_metric, **kwargs):
    """Logs on the first rank, and has no opinion on the second."""
    if rank() == 1:
        return [None] * len(completions)
    log_extra("seen", list(completions))
    log_metric("own/rows", len(completions))
    return [float(len(text)) for text in completions]


@cache
def model(folder):
    return load_reward_model(folder)


def judged(completions, prompts, folder, **kwargs):
    """Asks a model of its own, on the first rank only."""
    if rank() == 1:
        return [0.0] * len(completions)
    return model(folder[0]).score(prompts, completions).tolist()


CALLS = []


def second_thoughts(completions, **kwargs):
    """Gives 1 more at every other call, on the second rank only."""
    CALLS.append(1)
    return [float(len(text)) + rank() * (len(CALLS) % 2) for text in completions]


def failing(completions, **kwargs):
    """Raises on the second rank."""
    return [1.0 if rank() == 0 else 1 / 0 for _ in completions]


def train(policy: str, reward_model: str, folder: str, what: str) -> None:
    """Trains two steps, and writes what the test reads."""
    rewards = guard_rewards([failing] if what == "fail" else [uneven, judged], GuardSettings())
    audits = guard_rewards([unruly], GuardSettings(workers=1, timeout=2.0))
    audits += guard_rewards([second_thoughts], GuardSettings())
    trainer = trainer_class(PROMPTS)(
        policy,
        reward_funcs=rewards,
        reward_rules=RewardRules(Composition(limits={0: (0.0, 3.0)}), audits, max_invalid_share=0.4, repeats=0.05),
        args=GRPOConfig(
            output_dir=folder, max_steps=2, per_device_train_batch_size=4, num_generations=4, max_completion_length=12,
            learning_rate=1e-2, logging_steps=1, bf16=False, use_cpu=True, report_to="none", save_strategy="no",
            disable_tqdm=True, log_completions=True, num_completions_to_print=0,
            model_init_kwargs={"dtype": "float32"},
        ),
        train_dataset=Dataset.from_list([{"prompt": f"q{i}?", "folder": reward_model} for i in range(24)]),
        processing_class=TOKENIZER,
    )  # fmt: skip
    trainer._generate_single_turn = lambda prompt_ids, *args, **kwargs: (
        [[*TOKENIZER.encode(text), TOKENIZER.eos_token_id] for text in TEXTS[rank()]],
        None,
    )
    trainer.train()
    if trainer.accelerator.is_main_process:
        found = model(reward_model).score(["q0?"], ["a"]).tolist()
        facts = {"history": trainer.state.log_history, "score": found, "processes": trainer.accelerator.num_processes}
        (Path(folder) / "facts.json").write_text(json.dumps(facts))


def save_models(folder: Path) -> None:
    """Makes the policy and the reward model that `run` reads."""
    tokenizer = tiny_tokenizer()
    tiny_model(vocabulary=len(tokenizer)).save_pretrained(folder / "policy")
    tiny_reward_model(vocabulary=len(tokenizer)).save_pretrained(folder / "rm")
    tokenizer.save_pretrained(folder / "rm")


def run(folder: Path, what: str) -> None:
    """Trains into `folder/WHAT`; a run that fails leaves there what each process said."""
    try:
        train(str(folder / "policy"), str(folder / "rm"), str(folder / what), what)
    except RewardError:
        (folder / what).mkdir(exist_ok=True)
        (folder / what / f"error-{rank()}.txt").write_text(format_exc())
