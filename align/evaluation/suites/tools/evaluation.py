"""Policies answer prompts with tools; rewards and environments say what the answers are worth."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from align.data.prompt_rows import PromptRow
from align.errors import UserError
from align.evaluation.asking import Asking, KeptAnswers, Subject
from align.evaluation.engine import Evaluation, Finished
from align.evaluation.statistics.group_metrics import by_group
from align.evaluation.statistics.item_means import ItemMean
from align.evaluation.statistics.metrics import Values, mean_of_known
from align.evaluation.suite import LoadedRows, Measured
from align.evaluation.suites.prompts.evaluation import PromptTask, arranged, group_of, load_with, reward
from align.evaluation.suites.prompts.evaluation import measure as ask
from align.evaluation.suites.prompts.measured_rewards import NamedReward
from align.evaluation.suites.tools import ToolOptions
from align.evaluation.with_tools import NamedTools, answer_prompts
from align.models.checkpoint import Checkpoint
from align.models.policies.answer_keys import digest
from align.models.samplers.endpoint import EndpointSampler
from align.models.transcripts.toolbox import Answers
from align.models.transcripts.transcript import Transcript
from rewards.running.protocol import HIGHER

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


def load(run: Evaluation, options: ToolOptions) -> LoadedRows:
    """Finds tools and rewards, and reads the prompts."""
    named = NamedTools.of_recipe(run.recipe).told(
        options.tools or (), options.environment, options.tool_timeout, options.max_tool_calling_iterations
    )
    if not named and named.hosted is None:
        where = "there is no recipe beside the model" if run.recipe is None else f"{run.recipe.path} names none"
        raise UserError(
            f"`align eval tools` needs tools, and {where}. Name them, such as `--tools ./mine.py:search` or "
            "`--environment ./mine.py:Shop`, or a `--recipe` that does; `align eval prompts` asks without."
        )
    loaded = load_with(run, named)
    task: PromptTask = loaded.task
    specs = [each.spec for each in (named.environments or {}).values()] or [str(named.hosted)]
    for name in task.paid:
        if name not in [each.name for each in task.rewards]:
            spec = next((each for each in specs if each.endswith(f":{name}")), specs[0])
            task.rewards.append(NamedReward(name, spec, "reward", "", HIGHER))
    if options.endpoint is None:
        return loaded
    run.engine = run.engine._replace(backend="endpoint")

    def sampler(model: str) -> EndpointSampler:
        key, size = options.api_key_env, options.concurrency
        return EndpointSampler(str(options.endpoint), model, api_key_env=key, concurrency=size)

    def find(path: str) -> Checkpoint:
        return Checkpoint(path, None, digest(dict(sampler(path).identity)))  # known by its name and address

    def open_sampler(checkpoint: Checkpoint, kept: KeptAnswers) -> AbstractContextManager[Any]:
        return nullcontext((sampler(checkpoint.path), kept))

    return loaded._replace(find=find, open=open_sampler)


def transcribe(subject: Any, rows: Sequence[PromptRow], asking: Asking) -> tuple[Answers | None, KeptAnswers]:
    """Asks one model, a policy or a server; returns what answers with tools, None without any, and what keeps it."""
    task: PromptTask = asking.task
    if not isinstance(subject, Subject):
        sampler, kept = subject
        answers = task.named.answers(task.toolbox, None, sampler)
    elif task.named:
        answers, kept = task.named.answers(task.toolbox, subject.policy), subject.kept
    else:
        ask(subject, rows, asking)
        return None, subject.kept
    task.completions[asking.name] = [*answer_prompts(answers, rows, asking.decoding, kept)]
    return answers, kept


def measure(subject: Any, rows: Sequence[PromptRow], asking: Asking) -> None:
    """Asks for the transcripts of one model."""
    transcribe(subject, rows, asking)


def finish(run: Evaluation, loaded: LoadedRows, _: Mapping[str, Any]) -> Finished:
    """Calls the rewards, and arranges what they say beside the use of tools."""
    reward(loaded.task, loaded.rows)
    return arranged(run, loaded, use_of_tools)


def use_of_tools(task: PromptTask, loaded: LoadedRows, name: str) -> dict[str, Measured]:
    """Measures success and the use of tools; a group of prompts apart from others."""
    transcripts, least = task.completions[name], task.run.options.right_from
    values = task.rewarded[name][task.rewards[0].name].values
    right = np.where(np.isnan(values), np.nan, values > 0 if least is None else values >= least)
    lost = _table(transcripts, lambda each: bool(getattr(each, "lost", ""))) > 0
    known = {"success": (np.where(lost, 0.0, right), (0.0, 1.0))}
    if task.named:  # else an environment that only rewards
        known |= {what: (_table(transcripts, count), bounds) for what, (count, bounds) in _MEASURES.items()}
    means = {
        f"tools/{what}": ItemMean((mean_of_known(each),), bounds=bounds) for what, (each, bounds) in known.items()
    }
    return {"tools": Measured(means | by_group(means, [group_of(row) for row in loaded.rows]))}


def _table(transcripts: list[list[Any]], count: Callable[[Any], float]) -> Values:
    return np.array([[float(count(each)) for each in group] for group in transcripts])
