"""Which rewards measure the answers to prompts, and how they are called: as the recipe says, or the command line."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from align.data.prompt_rows import PromptRow, prompts_to_rows
from align.errors import RewardError, UserError
from align.evaluation.asked_models import Engine
from align.evaluation.asking import KeptAnswers, Progress
from align.evaluation.divided import current
from align.evaluation.engine import Stages
from align.evaluation.statistics.metrics import Values
from align.evaluation.suites.prompts import ByRewards
from align.evaluation.with_tools import said_to
from align.models.transcripts.toolbox import AT_ONCE, INSTANCES
from align.models.transcripts.transcript import Transcript
from align.recipe.reward_settings import named_model, short_name
from align.recipe.yaml_loader import read_yaml_option
from rewards.reading.responses import ResponseFormat
from rewards.running.contract.signature import check_signature, read_parameters
from rewards.running.guard import GuardedReward, GuardSettings, guard_rewards
from rewards.running.protocol import CALL_ARGUMENTS, HIGHER, TRAINER_ARGUMENTS, better_side, is_async, result_of
from rewards.running.scores import Score

if TYPE_CHECKING:
    from align.recipe.recipe import Recipe


ROWS_AT_ONCE = 256
Behind = Callable[[Sequence[Any], Sequence[Any]], Sequence[Any]]  # environments of rows and their transcripts


class Rewarded(NamedTuple):
    """The values of a reward on the samples of one policy."""

    values: Values  # `(N, S)`; nan where it has nothing to say, or failed
    scores: list[Score]  # of `N * S` samples, with failures; empty for a reward model

    @property
    def failures(self) -> dict[str, int]:
        """Invalid values by what they are."""
        return dict(Counter(score.failure for score in self.scores if score.failure))


def check_columns(reward: Callable[..., Any], rows: Sequence[Mapping[str, Any]], *more: str) -> None:
    """Refuses a reward that cannot be called with the columns of the data, and what is given beside them."""
    columns = [name for name in rows[0] if name not in ("prompt", *CALL_ARGUMENTS)]
    name = str(getattr(reward, "__name__", reward))
    arguments = [*CALL_ARGUMENTS, *columns, *TRAINER_ARGUMENTS, *more]
    problems = check_signature(name, read_parameters(reward), arguments)
    if problems:
        raise UserError(f"{problems[0]} Nothing was generated.")


def call_reward(
    reward: GuardedReward,
    prompts: Sequence[PromptRow],
    completions: Sequence[Sequence[Any]],  # `Completion` or `Transcript`
    progress: Progress,
    behind: Behind | None = None,
) -> Rewarded:
    """Calls a guarded reward on all samples, the samples of a prompt in one call; environments if it reads them."""
    from transformers import TrainerState

    num_samples, rows, state = len(completions[0]), prompts_to_rows(list(prompts)), TrainerState()
    reads = behind is not None and reads_environments(reward)
    size = max(1, (AT_ONCE if reads else ROWS_AT_ONCE) // num_samples)
    values: list[float | None] = []
    reward.take_scores()
    for start in range(0, len(rows), size):
        part = [row for row in rows[start : start + size] for _ in range(num_samples)]
        said = [each for group in completions[start : start + size] for each in group]
        reward.left_out = {place for place, each in enumerate(said) if getattr(each, "lost", "")}
        given = trl_arguments(part, said) | {"trainer_state": state, "log_extra": _unread, "log_metric": _unread}
        if reads and behind is not None:
            given[INSTANCES] = behind(part, said)
        found = reward(**given)
        values += result_of(found) if is_async(reward) else found
        progress(f"reward {reward.__name__}", min(start + size, len(rows)), len(rows))
    lost = [bool(getattr(each, "lost", "")) for group in completions for each in group]
    values = [None if is_lost else value for is_lost, value in zip(lost, values, strict=True)]
    return Rewarded(_table(values, num_samples), reward.take_scores())


def reads_environments(reward: Callable[..., Any]) -> bool:
    """Tells whether a reward asks for the environments of its rows."""
    read = read_parameters(reward)
    return INSTANCES in (*read.required, *read.optional, *read.asked_for)


def trl_arguments(rows: Sequence[Mapping[str, Any]], completions: Sequence[Any]) -> dict[str, Any]:
    """Makes the arguments of TRL's call: completions of messages are messages, and every column is a list."""
    said = [said_to(row["prompt"], each) for row, each in zip(rows, completions, strict=True)]
    given: dict[str, Any] = {
        "prompts": [prompt for prompt, _ in said],
        "completions": [completion for _, completion in said],
        "completion_ids": [list(each.ids or ()) for each in completions],
    }
    return given | {name: [row[name] for row in rows] for name in rows[0] if name != "prompt"}


def _table(values: Sequence[float | None], num_samples: int) -> Values:
    return np.array([np.nan if value is None else float(value) for value in values]).reshape(-1, num_samples)


def _unread(*_: Any) -> None:
    """Takes what a reward logs; an evaluation has no step to log it at."""


class NamedReward(NamedTuple):
    """A reward that measures."""

    name: str  # as in a training log
    spec: str  # as it was named
    role: str  # `reward`, or `audit`
    reward: GuardedReward | str  # a guarded function, or the path of a reward model; empty of an environment
    better: str  # which of its values are: `higher`, `lower`, or `neither`


class CalledRewards(NamedTuple):
    """The rewards of an evaluation."""

    rewards: list[NamedReward]
    response_format: ResponseFormat
    on_invalid: str = "skip"  # with `raise` the first invalid value ends the evaluation
    max_invalid_share: float = 0.5  # share of a reward's values of one model above which it ends
    behind: Behind | None = None  # where there are environments

    def close(self) -> None:
        """Ends the workers."""
        for each in self.rewards:
            if not isinstance(each.reward, str):
                each.reward.close()


def find_rewards(
    words: ByRewards, recipe: "Recipe | None", tags: ResponseFormat, paid: Sequence[str] = ()
) -> CalledRewards:
    """Finds the rewards that are named, or those of the recipe with its audits; `paid` are those of environments."""
    keys = None if recipe is None else recipe.rewards
    workers = words.reward_workers if words.reward_workers is not None else keys.reward_workers if keys else 0
    timeout = words.reward_timeout if words.reward_timeout is not None else keys.reward_timeout if keys else None
    on_invalid = keys.on_invalid if keys else "skip"
    try:
        settings = GuardSettings(workers, timeout, keys.reward_memory_gb if keys and workers else None, on_invalid)
        found = _named(words, tags, paid) if words.rewards else _of_recipe(recipe)
        if settings.timeout is not None and not settings.workers:
            raise UserError(
                f"`--reward_timeout` = {settings.timeout:g} cannot stop a reward in this process. Give "
                "`--reward_workers 1`."
            )
    except (ValueError, TypeError, OSError) as error:
        raise error if isinstance(error, UserError) else UserError(str(error)) from error
    guarded = iter(guard_rewards([each.reward for each in found if not isinstance(each.reward, str)], settings))
    rewards = [each if isinstance(each.reward, str) else each._replace(reward=next(guarded)) for each in found]
    return CalledRewards(rewards, tags, on_invalid, keys.max_invalid_share if keys else 0.5)


def check_rewards(rewards: Sequence[NamedReward], prompts: Sequence[PromptRow], *more: str) -> None:
    """Refuses, before anything is generated, what cannot be called on these rows."""
    from align.checks.rewards import check_reward_model

    rows = prompts_to_rows(list(prompts))
    for each in rewards:
        if not isinstance(each.reward, str):
            check_columns(each.reward, rows, *more)
        elif (
            each.reward and not (Path(each.reward) / "adapter_config.json").is_file()
        ):  # of an adapter the loader knows more
            found = check_reward_model(each.spec, each.reward, [row["prompt"] for row in rows])
            if errors := [finding.text for finding in found if finding.level == "error"]:
                raise UserError(errors[0])


def reward_all(
    called: CalledRewards,
    engine: Engine,
    prompts: Sequence[PromptRow],
    completions: Mapping[str, Sequence[Sequence[Any]]],
    stages: Stages,
) -> dict[str, dict[str, Rewarded]]:
    """Calls rewards on each policy's samples, one model in memory at a time; one of the processes calls functions."""
    rewarded: dict[str, dict[str, Rewarded]] = {name: {} for name in completions}
    for each in called.rewards:
        if each.reward == "":  # an environment's, which has said it
            continue
        if isinstance(each.reward, str):
            from align.models.reward_model import RewardModel

            how: dict[str, Any] = {"dtype": engine.dtype, "device": engine.device, "batch_size": engine.batch_size}
            ask = KeptAnswers(progress=stages.advance).ask
            model = RewardModel.load(each.reward, on_too_long="nan", ask=ask, **how)
        for name, answered in completions.items():
            stages.start(name)
            texts = [completion.text for group in answered for completion in group]
            shown = [
                [*each.prompt, *each.completion[:-1]] if isinstance(each, Transcript) else row.prompt
                for row, group in zip(prompts, answered, strict=True)
                for each in group
            ]
            if isinstance(each.reward, str):
                scores = list(model.score(shown, texts))  # nan where a text is too long
                rewarded[name][each.name] = Rewarded(_table(scores, len(answered[0])), [])
            elif current().is_main:
                found = rewarded[name][each.name] = call_reward(
                    each.reward, prompts, answered, stages.advance, called.behind
                )
                check_invalid(each.name, found, shown, texts, called)
    return rewarded


def check_invalid(
    name: str, rewarded: Rewarded, prompts: Sequence[Any], texts: Sequence[str], called: CalledRewards
) -> None:
    """Ends an evaluation whose reward fails as often as would end training."""
    from align.training.reward_records import describe_failed, record_calls

    failed = sum(rewarded.failures.values())
    share = failed / max(len(rewarded.scores), 1)
    if not failed or (called.on_invalid != "raise" and share <= called.max_invalid_share):
        return
    record = record_calls(name, rewarded.scores, prompts, texts)
    kinds = ", ".join(f"{count} x {kind}" for kind, count in rewarded.failures.items())
    raise RewardError(
        f"Reward `{name}`: {failed} of {len(rewarded.scores)} values are invalid ({kinds}). Worst rows:\n"
        f"{describe_failed(record)}\nMend the reward and give the same command again; no answer is asked for twice."
    )


def _named(words: ByRewards, tags: ResponseFormat, paid: Sequence[str]) -> list[NamedReward]:
    from align.models.rewards import check_names, find_reward_model
    from rewards.catalog import resolve_reward

    settings, specs = _kwargs(words), words.rewards or ()
    found: list[NamedReward] = []
    for spec in specs:
        if spec in paid:
            found.append(_with_name(spec, "reward", ""))
            continue
        model = find_reward_model(named_model(spec)[1], Path.cwd())
        own = settings.get(short_name(spec), {})
        if model is not None and own:
            raise UserError(f"Reward {spec!r} is a model and takes no settings. Remove its `--reward_kwargs`.")
        found.append(_with_name(spec, "reward", model or resolve_reward(spec, own, response_format=tags)))
    check_names([each.name for each in found], specs)
    return found


def _of_recipe(recipe: "Recipe | None") -> list[NamedReward]:
    from align.models.rewards import resolve_rewards

    if recipe is None or not recipe.reward_specs:
        where = "there is no recipe beside the model" if recipe is None else f"{recipe.path} names none"
        raise UserError(
            f"Prompts are measured by rewards, and {where}. Name some, such as `--rewards number_accuracy "
            "./mine.py:brevity`; `align rewards list` shows those there are."
        )
    try:
        resolved = resolve_rewards(recipe)
    except (ValueError, TypeError) as error:
        raise UserError(f"{error} The rewards are those of {recipe.path}; `--rewards` names others.") from error
    roles = ["reward"] * len(recipe.reward_funcs) + ["audit"] * len(recipe.rewards.audit_funcs)
    return [_with_name(*each) for each in zip(recipe.reward_specs, roles, resolved, strict=True)]


def _kwargs(words: ByRewards) -> Mapping[str, dict[str, Any]]:
    content = read_yaml_option("--reward_kwargs", words.reward_kwargs, "{length: {max_length: 200}}")
    names = [short_name(spec) for spec in words.rewards or ()]
    if not all(isinstance(each, dict) for each in content.values()):
        raise UserError(
            "`--reward_kwargs` must hold the settings of each reward, such as '{length: {max_length: 200}}', got "
            f"{words.reward_kwargs!r}."
        )
    if unknown := [name for name in content if name not in names]:
        raise UserError(f"`--reward_kwargs` must name one of {', '.join(names)}, got {unknown[0]!r}.")
    return content


def _with_name(spec: str, role: str, reward: Any) -> NamedReward:
    from rewards.catalog import REWARDS
    from rewards.running.protocol import reward_name

    if isinstance(reward, str):
        return NamedReward(short_name(spec), spec, role, reward, HIGHER)
    # What a model scores, or the catalogue pays, is worth the same to an audit.
    better = better_side(reward, is_audit=role == "audit" and spec not in REWARDS)
    return NamedReward(reward_name(reward), spec, role, reward, better)
