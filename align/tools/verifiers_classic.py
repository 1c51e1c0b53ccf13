"""Environments of verifiers 0.3, held in a worker: what a package's `load_environment` makes, with its rubric."""

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from align.tools.described import ENTRY, Described, Page, Scores, UnusableError, chat_messages, library_messages

# What answers is elsewhere: in a container, a browser, or behind a port.
ELSEWHERE = ("SandboxEnv", "PythonEnv", "CliAgentEnv", "HarborEnv", "MCPEnv", "BrowserEnv", "GymEnv", "OpenEnvEnv")


class Classic:
    """An environment, and the rollout that is under way."""

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        import verifiers as vf

        try:
            self.env: Any = vf.load_environment(name, **settings)
        except (ValueError, RuntimeError, AttributeError) as error:
            cause = error.__cause__ or error
            text = f"{type(cause).__name__}: {cause}".rstrip(".")
            raise UnusableError(f"cannot be loaded by verifiers {version('verifiers')}: {text}.") from error
        self.name = name
        self._check_plain()
        self._has_ended = False

    def _check_plain(self) -> None:
        import verifiers as vf

        kind, rubric = type(self.env), self.env.rubric
        named = {base.__name__ for base in kind.__mro__}
        answers = {vf.ToolEnv.env_response, vf.StatefulToolEnv.env_response}
        if elsewhere := [each for each in ELSEWHERE if each in named]:
            raise UnusableError(
                f"is a {elsewhere[0]}: what answers the policy is in a container or on another server."
            )
        if not isinstance(self.env, vf.SingleTurnEnv) and kind.env_response not in answers:
            raise UnusableError(
                f"answers the policy in its own words (`{kind.__name__}.env_response`), as a simulated user does, and "
                "here a rollout is one policy with tools."
            )
        if rubric.has_group_rewards or rubric.has_advantages:
            raise UnusableError("has rewards of whole groups, and each rollout is scored by itself.")
        if self.env.message_type != "chat":
            raise UnusableError("has prompts that are plain texts, and prompts of messages are asked.")
        self.weights: dict[str, float] = {}
        for part in getattr(rubric, "rubrics", [rubric]):
            if type(part).__name__.endswith("MonitorRubric"):  # counts turns and calls
                continue
            for name, weight in zip(part._get_reward_func_names(), part._get_reward_weights(), strict=True):
                if self.weights.setdefault(name, float(weight)) != weight:
                    raise UnusableError(f"has two rewards called {name!r} with different weights. Rename one.")

    async def describe(self) -> Described:
        """Lists tools and rewards."""
        tools = [
            {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
            for tool in self.env.tool_defs or ()
        ]
        return Described(f"verifiers {version('verifiers')}", tools, list(self.weights.items()), [])

    def rows(self, split: str | None, start: int, count: int) -> Page:
        """Returns the next rows, each with what the library has of it as JSON."""
        if split == "eval" and self.env.eval_dataset is None and self.env.eval_dataset_source is None:
            raise UnusableError("has no rows for evaluation. Name those of `dataset.eval_path`.")
        found = self.env.get_eval_dataset() if split == "eval" else self.env.get_dataset()
        part = found.select(range(start, min(start + count, len(found))))
        rows = [self._row(row, start + place) for place, row in enumerate(part)]
        return Page(rows, start + count < len(found))

    def _row(self, row: Mapping[str, Any], number: int) -> dict[str, Any]:
        own, prompt = {"answer": row["answer"]} if isinstance(row.get("answer"), str) else {}, row["prompt"]
        return own | {
            "id": f"{self.name}-{number}",
            "prompt": chat_messages([{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt),
            ENTRY: json.dumps(row, default=str, ensure_ascii=False),
        }

    async def reset(self, entry: Mapping[str, Any]) -> None:
        """Begins the rollout of a row; the client that its state holds reaches nobody."""
        from verifiers.types import ClientConfig

        client = ClientConfig(api_base_url="http://127.0.0.1:9/v1", api_key_var="NONE")
        self.state = await self.env.init_state(dict(entry), client, "policy")
        self.state = await self.env.setup_state(self.state) or self.state
        self._has_ended = False

    async def call(self, name: str, arguments: dict[str, Any]) -> Any:
        """Calls a tool, with the arguments that the environment adds; the messages before are those of the prompt."""
        if hasattr(self.env, "update_tool_args"):
            arguments = self.env.update_tool_args(name, arguments, self.state["prompt"], self.state)
        return (await self.env.call_tool(name, arguments, "call")).content

    async def score(self, messages: Sequence[Mapping[str, Any]]) -> Scores:
        """Scores a finished rollout by the rubric; a reward that raises is 0 there, as the library has it."""
        from verifiers.utils.message_utils import normalize_messages

        state, said = self.state, normalize_messages(library_messages(messages), field_name="completion")
        state["completion"], state["is_completed"], prompt = said, True, state["prompt"]
        state["trajectory"] = [
            _step([*prompt, *said[:place]], message, state["trajectory_id"])
            for place, message in enumerate(said)
            if message.role == "assistant"
        ]
        if not self._has_ended:
            self._has_ended = True
            await self.env.cleanup(state)
        await self.env.rubric.score_rollout(state)
        found = {name: float(value) for name, value in state["metrics"].items()}
        metrics = {name: value for name, value in found.items() if name not in self.weights}
        return Scores({name: found[name] for name in self.weights}, metrics)


def _step(prompt: list[Any], message: Any, number: str) -> dict[str, Any]:
    lacking = dict.fromkeys(("response", "tokens", "reward", "advantage"))
    own = {"prompt": prompt, "completion": [message], "trajectory_id": number}
    return own | lacking | {"is_truncated": False, "extras": {}}
