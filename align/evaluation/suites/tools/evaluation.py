"""Policies answer prompts with tools; rewards and environments say what the answers are worth."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from align.errors import UserError
from align.evaluation.asking import KeptAnswers
from align.evaluation.engine import Beside
from align.evaluation.statistics.group_metrics import by_group
from align.evaluation.statistics.item_means import ItemMean
from align.evaluation.statistics.metrics import Values, mean_of_known
from align.evaluation.suite import Measured
from align.evaluation.suites.prompts.evaluation import PromptEvaluation, group_of
from align.evaluation.suites.prompts.measured_rewards import CalledRewards, NamedReward
from align.evaluation.with_tools import NamedTools
from align.models.checkpoint import Checkpoint
from align.models.policies.answer_keys import digest
from align.models.samplers.endpoint import EndpointSampler
from align.models.transcripts.transcript import Transcript
from rewards.reading.responses import ResponseFormat
from rewards.running.protocol import HIGHER

_MOST_TURNS = 5  # whose tokens have a metric each
_MEASURES: Mapping[str, tuple[Callable[[Transcript], float], tuple[float, float]]] = {
    "turns": (lambda each: each.counts.turns, (0.0, np.inf)),
    "calls": (lambda each: len(each.calls), (0.0, np.inf)),
    "failed_calls": (lambda each: sum(call.failure is not None for call in each.calls), (0.0, np.inf)),
    "call_seconds": (lambda each: sum(call.seconds for call in each.calls), (0.0, np.inf)),
    "tokens": (lambda each: sum(each.mask), (0.0, np.inf)),
    "called": (lambda each: bool(each.calls), (0.0, 1.0)),
    "cut_off": (lambda each: each.cut_off, (0.0, 1.0)),
    "unanswered": (lambda each: each.unanswered, (0.0, 1.0)),
    "lost": (lambda each: bool(each.lost), (0.0, 1.0)),
}


class ToolEvaluation(PromptEvaluation):
    """What rewards say of policies' answers with tools, and how tools are used."""

    def find_rewards(self, tags: ResponseFormat) -> CalledRewards:
        """Finds the tools, and what measures; an environment that rewards needs no other reward."""
        given = self.options
        self.named = NamedTools.of_recipe(self.recipe).told(
            given.tools or (), given.environment, given.tool_timeout, given.max_tool_calling_iterations
        )
        if not self.named and self.named.hosted is None:
            where = "there is no recipe beside the model" if self.recipe is None else f"{self.recipe.path} names none"
            raise UserError(
                f"`align eval tools` needs tools, and {where}. Name them, such as `--tools ./mine.py:search` or "
                "`--environment ./mine.py:Shop`, or a `--recipe` that does; `align eval prompts` asks without."
            )
        if self.paid and not given.rewards and not (self.recipe and self.recipe.reward_specs):
            return CalledRewards([], tags)
        return super().find_rewards(tags)

    def load(self) -> None:
        """Finds tools and rewards, and reads the prompts."""
        super().load()
        specs = [each.spec for each in (self.named.environments or {}).values()] or [str(self.named.hosted)]
        for name in self.paid:
            if name not in [each.name for each in self.rewards]:
                spec = next((each for each in specs if each.endswith(f":{name}")), specs[0])
                self.rewards.append(NamedReward(name, spec, "reward", "", HIGHER))
        if self.options.endpoint is not None:
            self.engine = self.engine._replace(backend="endpoint")

    def find(self, path: str) -> Checkpoint:
        """Finds a model; of a server it is known by its name and address."""
        if self.options.endpoint is None:
            return super().find(path)
        return Checkpoint(path, None, digest(dict(self._sampler(path).identity)))

    def _sampler(self, model: str) -> EndpointSampler:
        options = self.options
        how = {"api_key_env": options.api_key_env, "concurrency": options.concurrency}
        return EndpointSampler(options.endpoint, model, **how)

    def measure(self, name: str, checkpoint: Checkpoint, kept: KeptAnswers, beside: Beside) -> None:
        """Asks for the transcripts of one model."""
        if self.options.endpoint is None:
            super().measure(name, checkpoint, kept, beside)
        else:
            self.transcribe(name, self.named.answers(self.toolbox, None, self._sampler(checkpoint.path)), kept)

    def more(self, name: str) -> dict[str, Measured]:
        """Measures success and the use of tools; a group of prompts apart from others."""
        transcripts, least = self.completions[name], self.options.right_from
        values = self.rewarded[name][self.rewards[0].name].values
        right = np.where(np.isnan(values), np.nan, values > 0 if least is None else values >= least)
        lost = _table(transcripts, lambda each: bool(getattr(each, "lost", ""))) > 0
        known = {"success": (np.where(lost, 0.0, right), (0.0, 1.0))}
        if self.named:  # else an environment that only rewards
            known |= {what: (_table(transcripts, count), bounds) for what, (count, bounds) in _MEASURES.items()}
            longest = max(len(each.tokens_by_turn) for group in transcripts for each in group)
            for turn in range(min(longest, _MOST_TURNS)):
                known[f"tokens/turn_{turn + 1}"] = _table(transcripts, _tokens_in(turn)), (0.0, np.inf)
        means = {
            f"tools/{what}": ItemMean((mean_of_known(each),), bounds=bounds) for what, (each, bounds) in known.items()
        }
        return {"tools": Measured(means | by_group(means, [group_of(row) for row in self.prompts]))}


def _tokens_in(turn: int) -> Callable[[Transcript], float]:
    return lambda each: each.tokens_by_turn[turn] if turn < len(each.tokens_by_turn) else np.nan


def _table(transcripts: list[list[Any]], count: Callable[[Any], float]) -> Values:
    return np.array([[float(count(each)) for each in group] for group in transcripts])
