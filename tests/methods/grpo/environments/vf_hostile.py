"""Rewards that misbehave, each row by its word, and print a key."""

import os

import verifiers.v1 as vf
from hostile_tools import ACTS


class HostileData(vf.TaskData):
    word: str


class HostileTask(vf.Task[HostileData, vf.State, vf.TaskConfig]):
    @vf.reward
    async def acted(self, task) -> float:
        print(os.environ.get("HOSTILE_API_KEY"), flush=True)
        return ACTS[task.word]()


class HostileTaskset(vf.Taskset[HostileTask, vf.TasksetConfig]):
    def load(self):
        for word in ("nan", "surrogates", "sys_exit", "exit", "hang", "print_much"):
            yield HostileTask(HostileData(prompt=word, word=word))


__all__ = ["HostileTaskset"]
