"""What cannot be run here, one for each `kind`."""

import verifiers.v1 as vf


class RefusedConfig(vf.TasksetConfig):
    kind: str = "container"


class AnyTask(vf.Task[vf.TaskData, vf.State, vf.TaskConfig]):
    @vf.reward
    async def fine(self) -> float:
        return 1.0


class RefusedTaskset(vf.Taskset[AnyTask, RefusedConfig]):
    @classmethod
    def toolsets(cls, config):
        return [vf.Toolset(vf.ToolsetConfig(url="http://elsewhere/mcp"))] if config.kind == "url" else []

    def load(self):
        picture = {"type": "image_url", "image_url": {"url": "x.png"}}
        rows = {
            "container": vf.TaskData(prompt="?", image="python:3.12"),
            "user": vf.TaskData(),
            "image": vf.TaskData(prompt=[{"role": "user", "content": [picture]}]),
            "url": vf.TaskData(prompt="?"),
        }
        if self.config.kind in rows:
            yield AnyTask(rows[self.config.kind])


__all__ = ["RefusedTaskset"]
