"""Tools, with state over the calls of a rollout: a price that is looked up, and a basket."""

import verifiers.v1 as vf

PRICES = {"pear": 3, "plum": 4, "kiwi": 5}


class ShopState(vf.State):
    basket: list[str] = []
    looked_up: int = 0


class ShopData(vf.TaskData):
    item: str
    answer: str
    most: int = 0  # prices that may be looked up


class PricesConfig(vf.ToolsetConfig):
    pass


class Prices(vf.Toolset[PricesConfig, ShopState]):
    TOOL_PREFIX = None

    async def setup_task(self, task) -> None:
        self.task = task

    @vf.tool
    def price(self, item: str) -> int:
        """Looks up a price.

        Args:
            item: What is asked for.
        """
        self.state.looked_up += 1
        return PRICES[item]

    @vf.tool
    async def put(self, items: list[str], times: int = 1) -> str:
        """Puts items into the basket."""
        self.state.basket.extend(items * times)
        return f"{len(self.state.basket)} in the basket of {self.task.item}"


class ShopTask(vf.Task[ShopData, ShopState, vf.TaskConfig]):
    @classmethod
    def toolsets(cls, config):
        return [Prices(PricesConfig())]

    @vf.stop
    async def has_looked(self, trace: vf.Trace) -> bool:
        return 0 < self.data.most <= trace.state.looked_up

    @vf.reward
    async def right(self, task, trace) -> float:
        return float(task.answer in trace.last_reply)

    @vf.reward(weight=0.25)
    async def looked_up(self, trace) -> float:
        return float(trace.state.looked_up > 0)

    @vf.reward(weight=0.0)
    async def basket(self, trace) -> float:
        return float(len(trace.state.basket))

    @vf.metric
    async def tool_messages(self, trace) -> float:
        return float(len(trace.tool_messages))


class ShopConfig(vf.TasksetConfig):
    most: int = 0


class ShopTaskset(vf.Taskset[ShopTask, ShopConfig]):
    def load(self):
        for item, price in PRICES.items():
            prompt, most = f"What does the {item} cost?", self.config.most
            yield ShopTask(ShopData(prompt=prompt, item=item, answer=str(price), most=most))


__all__ = ["ShopTaskset"]
