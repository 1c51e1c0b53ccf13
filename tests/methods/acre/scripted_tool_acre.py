"""Trainers of ACRE for turns whose transcripts stand in their prompts, and policies that answer behind results."""

import re

import pandas as pd
from calling import Scripted, trainer_of

from align.methods.acre.config import ACREConfig
from align.methods.acre.tool_trainer import ToolACRETrainer
from rewards import AnswerConsistency, number_accuracy

NEUTRAL = AnswerConsistency(both=1, first_only=1, second_only=0)
NUMBERS = {"three": "3", "four": "4", "all": "42"}  # a prompt says them in words only, as no result is to be in it


class Spelled:
    """Writes the turns of a prompt, with digits where that has words."""

    _generate_single_turn = Scripted._generate_single_turn

    def _turn(self, text, end):
        written = self._tokenizer.decode(Scripted._turn(self, text, end)[:-1])
        for word, digits in NUMBERS.items():
            written = written.replace(f"<answer>{word}<", f"<answer>{digits}<")
        return [*self._tokenizer.encode(written), self._tokenizer.eos_token_id]


class ScriptedTurns(Spelled, ToolACRETrainer):
    """Also answers behind a changed result by `second`, a function of the last result."""

    second = staticmethod(lambda told: f"<answer>{told}</answer>")

    def _write_answers(self, rows, places):
        self.asked = [self._tokenizer.decode([*row.prompt_ids, *row.prefix_ids]) for row in rows]
        texts = [self.second(re.findall(r"\ntool: (.*)\n", text)[-1]) for text in self.asked]
        return [[*self._tokenizer.encode(text), self._tokenizer.eos_token_id] for text in texts]


def answering(second, base=ScriptedTurns):
    """Makes a trainer whose policy answers so behind a changed result."""
    return type("Answering", (base,), {"second": staticmethod(second)})


def acre_of(
    folder, scripts, tools, *, kind=ScriptedTurns, rewards=None, golds=None, families=("other_value",), **more
):
    """Builds a trainer with one row for each script."""
    own = {"families": list(families), "answer_reward": number_accuracy}
    rows = [{"answer": "3"}] * len(scripts)
    rewards = rewards or [AnswerConsistency()]
    return trainer_of(
        folder, scripts, rows=rows, rewards=rewards, kind=kind, config=ACREConfig, tools={"tools": tools} | own, **more
    )


def table_of(folder, step=1):
    """Reads the completions of a step, one of each prompt."""
    return pd.read_parquet(folder / f"run/completions/completions_{step:05}.parquet")[::2].reset_index(drop=True)
