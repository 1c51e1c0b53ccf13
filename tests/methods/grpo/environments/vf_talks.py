"""A conversation that the environment leads."""

import verifiers.v1 as vf
from vf_refused import AnyTask


class TalksTaskset(vf.Taskset[AnyTask, vf.TasksetConfig]):
    def load(self):
        yield AnyTask(vf.TaskData(prompt="?"))


class TalksEnv(vf.Env[vf.EnvConfig]):
    async def run(self, task, agents):
        """Asks nobody."""


__all__ = ["TalksEnv", "TalksTaskset"]
