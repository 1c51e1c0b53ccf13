"""A task that runs a program on this machine: what the policy wrote is checked by a script in its folder."""

import sys

import verifiers.v1 as vf

CHECK = "import sys; print(sys.argv[1].count('a'))"


class CountData(vf.TaskData):
    answer: str = "2"


class CountTask(vf.Task[CountData, vf.State, vf.TaskConfig]):
    async def setup(self, trace, runtime) -> None:
        await runtime.write("check.py", CHECK.encode())

    @vf.reward
    async def counted(self, trace, runtime) -> float:
        done = await runtime.run([sys.executable, "check.py", trace.last_reply], {})
        return float(done.stdout.strip() or 0)


class CountTaskset(vf.Taskset[CountTask, vf.TasksetConfig]):
    def load(self):
        for place in range(4):
            yield CountTask(CountData(prompt=f"Write {place} a."))


__all__ = ["CountTaskset"]
