"""Tasks without an end, tools that all of them share, and a reward that gives several scores."""

import itertools

import verifiers.v1 as vf


class ClockConfig(vf.ToolsetConfig):
    hour: int = 3


class Clock(vf.Toolset[ClockConfig, vf.State]):
    @vf.tool
    async def ask(self, zone: str) -> str:
        """Tells the hour.

        Args:
            zone: Where.
        """
        return f"{self.config.hour} in {zone}"


class HourTask(vf.Task[vf.TaskData, vf.State, vf.TaskConfig]):
    @vf.reward(weight=0.5)
    async def parts(self, trace) -> dict[str, float]:
        return {"said": float("3" in trace.last_reply), "short": float(len(trace.last_reply) < 5)}

    @vf.stop
    async def asked_twice(self, trace: vf.Trace) -> bool:
        return len(trace.tool_messages) > 1


class HourTaskset(vf.Taskset[HourTask, vf.TasksetConfig]):
    INFINITE = True

    @classmethod
    def toolsets(cls, config):
        return [Clock(ClockConfig())]

    def load(self):
        for number in itertools.count():
            yield HourTask(vf.TaskData(prompt=f"What is the hour, {number}?"))


__all__ = ["HourTaskset"]
