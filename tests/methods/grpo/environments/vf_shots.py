"""Prompts of several messages, and rewards that a recipe weighs anew and adds to."""

import verifiers.v1 as vf


async def exclaims(trace) -> float:
    return float("!" in trace.last_reply)


class EchoTask(vf.Task[vf.TaskData, vf.State, vf.TaskConfig]):
    @vf.reward
    async def echoed(self, task, trace) -> float:
        return float(task.prompt[-1].content in trace.last_reply)


class EchoTaskset(vf.Taskset[EchoTask, vf.TasksetConfig]):
    def load(self):
        for word in ("pear", "plum", "kiwi"):
            prompt = [
                {"role": "user", "content": "cherry"},
                {"role": "assistant", "content": "cherry"},
                {"role": "user", "content": word},
            ]
            yield EchoTask(vf.TaskData(prompt=prompt), self.config.task)


__all__ = ["EchoTaskset"]
