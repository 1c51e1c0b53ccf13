"""Trainers of ACRE on texts with rows of their own, and responses that are given in place of sampled ones."""

import pandas as pd
from datasets import Dataset
from tiny import tiny_model, tiny_tokenizer
from trl import GRPOConfig

from align.methods.acre.config import ACREConfig
from align.methods.acre.text_trainer import TextACRETrainer
from rewards import AnswerConsistency, TextAccuracy

TOKENIZER = tiny_tokenizer()
QUIET = {"bf16": False, "use_cpu": True, "report_to": "none", "save_strategy": "no", "disable_tqdm": True}
QUIET |= {"gradient_checkpointing": False}  # which the neutral run has, as users do
NEUTRAL = AnswerConsistency(both=1, first_only=1, second_only=0)
RIGHT = TextAccuracy()


def make_rows(count=16, conversational=False):
    rows = [{"id": f"r{i}", "prompt": f"Ann has {i}. Who?", "answer": "Ann"} for i in range(count)]
    if conversational:
        rows = [row | {"prompt": [{"role": "user", "content": row["prompt"]}]} for row in rows]
    return rows


def other_names(row, rng):
    name = rng.choice(["Bob", "Cid", "Dan"])
    return row["prompt"].replace("Ann", name), name


def nothing(row, rng):
    return None


def make_trainer(tmp_path, reward_funcs, *, trainer=TextACRETrainer, rows=None, families=(other_names,), **settings):
    base = QUIET | {
        "output_dir": str(tmp_path),
        "max_steps": 3,
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": 6,
        "learning_rate": 1e-2,
        "logging_steps": 1,
    }
    own = issubclass(trainer, TextACRETrainer)
    if own:
        base["second_answer_tokens"] = 4
    extra = {"families": families, "answer_reward": settings.pop("answer_reward", RIGHT)} if own else {}
    config = ACREConfig if own else GRPOConfig
    return trainer(
        settings.pop("model", None) or tiny_model(vocabulary=len(TOKENIZER)),
        reward_funcs=reward_funcs,
        args=config(**base | settings),
        train_dataset=Dataset.from_list(rows or make_rows()),
        processing_class=TOKENIZER,
        **extra,
    )


class Scripted(TextACRETrainer):
    """Replaces what was sampled by given responses, in turn; everything after the sampling is real."""

    responses = ("<think>it is Ann</think><answer>Ann</answer>",)

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        texts = [self.responses[i % len(self.responses)] for i in range(len(prompt_ids))]
        return [[*TOKENIZER.encode(text), TOKENIZER.eos_token_id] for text in texts], None


class Copying(Scripted):
    """Also replaces the second answers, by the word of the changed prompt that stands first."""

    def _write_answers(self, rows, places):
        names = [TOKENIZER.decode(row.prompt_ids).removeprefix("user: ").split()[0] for row in rows]
        return [TOKENIZER.encode(f"{name}</answer> and more") for name in names]


def scripted(*responses, base=Scripted, beside=()):
    return type("ScriptedTrainer", (base, *beside), {"responses": responses})


def losses(trainer):
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def table(trainer, folder):
    trainer.args.log_completions = trainer.log_completions = True
    (folder / "completions").mkdir(exist_ok=True)
    trainer.num_completions_to_print = 0
    trainer.train()
    return pd.concat([pd.read_parquet(path) for path in sorted((folder / "completions").glob("*.parquet"))])


def by_length(completions, **kwargs):
    return [float(len(str(completion)) % 3) for completion in completions]
