"""What both forms of ACRE share: when a second answer is asked for, and how it is timed, logged and handed on."""

import inspect
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel
from trl import GRPOTrainer

from align.console import say
from align.methods.acre.config import ACREConfig
from align.methods.rollouts.asked_rows import EarlierPasses, generate_with_images, score_with_videos
from align.methods.rollouts.zero_advantage import SkipZeroAdvantage
from align.models.videos import as_frames
from align.models.vllm_engine import vllm_rollouts
from align.training.as_in_trl import old_names_hidden, with_args
from align.training.guarded_rewards import GuardedRewards, RewardRules
from rewards.reading.responses import ResponseFormat


class Twice(NamedTuple):
    """What came of one batch."""

    columns: list[dict[str, Any]]  # per row what rewards get beside the data
    metrics: Mapping[str, list[float]]  # quantity to the values behind it
    table: list[dict[str, Any]]  # per row what the completions table shows


class SecondPassTrainer(GuardedRewards, SkipZeroAdvantage, GRPOTrainer):
    """GRPO with a second answer from the same trace; subclasses say what is asked, and how it is answered.

    Beside `SkipZeroAdvantage`, only `_calculate_rewards` differs from `GRPOTrainer`: before the reward functions are
    called, columns on both answers are added to the rows. Sampling, advantages, loss and checkpoints are TRL's (see
    `generate_with_images` for images), and no gradient flows through the second pass. When no reward can depend on the
    second answer, and with `skip_without_advantage: off`, the losses are those of `GRPOTrainer`, and when no audit
    can, either, no second pass is made.
    """

    _tag_names = ["trl", "grpo", "acre"]  # noqa: RUF012 - TRL declares it so
    _name = "ACRE"
    _paper = {  # noqa: RUF012
        "title": "Answer-Consistent Chain-of-thought Reinforcement Learning For Multi-modal Large Language Models",
        "id": "2510.10104",
    }
    args: ACREConfig
    model: PreTrainedModel

    def __init__(
        self, *args: Any, reward_rules: RewardRules | None = None, labels: str = "given", **kwargs: Any
    ) -> None:
        if labels not in ("given", "none"):
            raise ValueError(f"`labels` must be `given` or `none`, got {labels!r}.")
        self.labels = labels
        args, kwargs = with_args(GRPOTrainer.__init__, self, args, kwargs, ACREConfig)
        config = inspect.signature(GRPOTrainer.__init__).bind(self, *args, **kwargs).arguments["args"]
        with vllm_rollouts(config):
            super().__init__(*args, reward_rules=reward_rules, **kwargs)
        self.add_callback(EarlierPasses())
        self.response_format = ResponseFormat(self.args.think_tag, self.args.answer_tag)
        self._say_if_nothing_asks()

    def _say_if_nothing_asks(self) -> None:
        """Says why no second answer is asked for, where a function may read it from its `**kwargs`."""
        funcs: list[Any] = self.reward_funcs
        rewards = [*funcs, *self.reward_rules.audits]
        hidden = [
            name
            for name, reward in zip(self.reward_func_names, funcs, strict=True)
            if not isinstance(reward, torch.nn.Module) and not hasattr(reward, "needs_second_answer")
            and inspect.Parameter.VAR_KEYWORD in {each.kind for each in inspect.signature(reward).parameters.values()}
        ]  # fmt: skip
        asks = any(_depends_on_second(reward, is_right) for reward in rewards for is_right in (True, False))
        if hidden and not asks and self.args.second_pass != "off" and self.args.second_pass_rows == "needed":
            say(
                "No reward reads second answers, so none are asked for and this run is GRPO. If "
                f"`{hidden[0]}` reads `second_choices` or `second_right` from **kwargs, name it among its parameters."
            )

    @abstractmethod
    def _answer_twice(
        self, inputs: list[dict[str, Any]], completions: list[Any], completion_ids_list: list[Any]
    ) -> Twice:
        """Reads the first answers and asks for the second ones; every rank takes part, also with nothing to ask."""

    @abstractmethod
    def _check_columns(self, name: str, columns: Sequence[str]) -> None:
        """Refuses a data set that lacks what a second answer needs."""

    def _check_data(self) -> dict[str, Any]:
        """Checks the columns of the first training row, which it returns, and of what is to be evaluated on."""
        row: dict[str, Any] | None = next(iter(self.train_dataset), None)  # type: ignore[arg-type]
        if row is None:
            raise ValueError("The train dataset has no rows. Give it some, or look at what filtered them.")
        self.has_images = "images" in row or "image" in row
        self._check_columns("train", list(row))
        evaluated: Any = self.eval_dataset  # a data set, several by name, or none
        for name, rows in (evaluated if isinstance(evaluated, dict) else {"eval": evaluated}).items():
            if rows is not None and not isinstance(rows, str):
                self._check_columns(name, list(rows.column_names or next(iter(rows), ())))
        return row

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        if not self.model.training:  # maybe on other data than the trainer was built with
            self._check_columns("eval", list(inputs[0]))
        with old_names_hidden():
            return score_with_videos(self, super()._generate_and_score_completions, inputs)

    def _generate(self, prompts: list[Any]) -> Any:
        return generate_with_images(self, super()._generate, prompts)

    def _calculate_rewards(
        self, inputs: list[dict[str, Any]], prompts: list[Any], completions: list[Any], completion_ids_list: list[Any]
    ) -> torch.Tensor:
        inputs = [as_frames(row) for row in inputs]
        twice = self._answer_twice(inputs, completions, completion_ids_list)
        for name, values in twice.metrics.items():
            self._pending_metrics[name].extend(values)
        for name in twice.table[0]:
            self._pending_extra_logs[name].extend(row[name] for row in twice.table)
        inputs = [given | columns for given, columns in zip(inputs, twice.columns, strict=True)]
        return super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs as TRL does, with the second pass as a share of the step."""
        metrics = self._metrics["train" if self.model.training else "eval"]
        seconds, step_times = metrics.get("acre/second_pass_seconds"), metrics.get("step_time")
        if seconds and step_times:
            metrics["acre/second_pass_share"] = [sum(seconds) / sum(step_times)]
        super().log(logs, start_time)

    @contextmanager
    def _second_pass_timed(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._pending_metrics["acre/second_pass_seconds"].append(time.perf_counter() - started)

    def _is_needed(self, first_is_correct: bool | None) -> bool:
        """Tells whether a reward depends on the second answer; None for a first one of which nothing is known."""
        cases = (True, False) if first_is_correct is None else (first_is_correct,)
        rewards = (*self.reward_funcs, *self.reward_rules.audits)
        depends = any(_depends_on_second(reward, each) for reward in rewards for each in cases)
        return depends or self.args.second_pass_rows == "all"

    def _seed(self, question: str, index: int) -> str:
        """Names what is drawn for a row by its question and the step, so that ranks and resumed runs agree."""
        scope = f"{self.accelerator.process_index}/{index}" if self.args.permutation_scope == "row" else "group"
        return f"{self.args.seed}/{self.state.global_step}/{question}/{scope}"

    def _asks_engine(self) -> bool:
        """Tells whether vLLM gives second answers to prompts of text."""
        return self.args.second_pass == "vllm" or (self.args.second_pass == "auto" and self.use_vllm)

    def _most_batches(self, own: int) -> int:
        return int(self.accelerator.gather(torch.tensor([own], device=self.accelerator.device)).max())


def _depends_on_second(reward: Any, first_is_correct: bool) -> bool:
    """Asks a reward whether it depends on the second answer; a plain function does if it names the column."""
    if hasattr(reward, "needs_second_answer"):
        return bool(reward.needs_second_answer(first_is_correct))
    if isinstance(reward, torch.nn.Module):
        return False
    return bool({"second_choices", "second_right", "second_texts"} & set(inspect.signature(reward).parameters))
