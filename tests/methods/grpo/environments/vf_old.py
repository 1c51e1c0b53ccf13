"""Environments as packages for verifiers 0.3 write them, one for each `kind`."""

import verifiers as vf
from datasets import Dataset

PRICES = {"pear": 3, "plum": 4, "kiwi": 5}


def right(completion, answer, **kwargs) -> float:
    return float(answer in str(completion[-1].content))


async def short(completion, **kwargs) -> float:
    return 1.0 / (1 + len(str(completion[-1].content)))


def of_group(completions, **kwargs) -> list[float]:
    return [0.0] * len(completions)


def price(item: str) -> int:
    """Looks up a price.

    Args:
        item: What is asked for.
    """
    return PRICES[item]


def put(item: str, basket: list) -> str:
    """Puts an item into the basket.

    Args:
        item: Which.
        basket: Where.
    """
    basket.append(item)
    return f"{len(basket)} in the basket"


class Baskets(vf.StatefulToolEnv):
    async def setup_state(self, state):
        state["basket"] = []
        return state

    def update_tool_args(self, tool_name, tool_args, messages, state, **kwargs):
        return {**tool_args, "basket": state["basket"]}


def filled(state, **kwargs) -> float:
    return float(len(state["basket"]))


class Chatting(vf.MultiTurnEnv):
    async def env_response(self, messages, state, **kwargs):
        return [{"role": "user", "content": "And now?"}]


def load_environment(kind: str = "single", rows: int = 3) -> vf.Environment:
    items = list(PRICES.items())[:rows]
    asked = [{"question": f"What does the {item} cost?", "answer": str(cost)} for item, cost in items]
    data = Dataset.from_list(asked)
    rubric = vf.Rubric(funcs=[right, short], weights=[1.0, 0.25])
    if kind == "single":
        return vf.SingleTurnEnv(dataset=data, eval_dataset=data.select([0]), rubric=rubric, system_prompt="Be short.")
    if kind == "tools":
        return vf.ToolEnv(dataset=data, rubric=rubric, tools=[price])
    if kind == "stateful":
        env = Baskets(dataset=data, rubric=vf.Rubric(funcs=[filled]))
        env.add_tool(put, args_to_skip=["basket"])
        return env
    if kind == "group":
        return vf.SingleTurnEnv(dataset=data, rubric=vf.Rubric(funcs=[of_group]))
    if kind == "chatting":
        return Chatting(dataset=data, rubric=rubric)
    raise RuntimeError(f"no kind {kind}")
