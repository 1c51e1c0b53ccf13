"""Finds the reward a recipe names: a built-in or shipped name, a dotted path, or a function in a file."""

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rewards.extras import missing
from rewards.reading.responses import DEFAULT_FORMAT, ResponseFormat
from rewards.running.loading import did_you_mean, find_reward
from rewards.running.protocol import CALL_ARGUMENTS, TRAINER_ARGUMENTS, is_async, reward_name
from rewards.running.worker import end_if_copied

REWARDS = {
    "accuracy": "rewards.scoring.accuracy.Accuracy",
    "answer_agreement": "rewards.scoring.answer_agreement.AnswerAgreement",
    "answer_consistency": "rewards.scoring.consistency.AnswerConsistency",
    "code_accuracy": "rewards.scoring.code_accuracy.CodeAccuracy",
    "follows_trace": "rewards.scoring.follows_trace.FollowsTrace",
    "format": "rewards.scoring.format.Format",
    "length": "rewards.scoring.length.Length",
    "manipulation": "rewards.scoring.manipulation.Manipulation",
    "math_accuracy": "rewards.scoring.math_accuracy.MathAccuracy",
    "number_accuracy": "rewards.scoring.number_accuracy.NumberAccuracy",
    "perturbation_consistency": "rewards.scoring.perturbation_consistency.PerturbationConsistency",
    "phrases": "rewards.scoring.phrases.Phrases",
    "reasoning_gym": "rewards.scoring.reasoning_gym.ReasoningGym",
    "reference_consistency": "rewards.scoring.reference_consistency.ReferenceConsistency",
    "repetition": "rewards.scoring.repetition.Repetition",
    "text_accuracy": "rewards.scoring.text_accuracy.TextAccuracy",
    "unseen_perturbation_consistency": "rewards.scoring.perturbation_consistency.UnseenPerturbationConsistency",
    "vote_agreement": "rewards.scoring.vote_agreement.VoteAgreement",
}

_AS_REWARD = (
    f". A function that takes none of {', '.join(CALL_ARGUMENTS)} is called to make the reward; if it is the reward, "
    "let it take `completions`, a list, and `**kwargs`"
)


def resolve_reward(
    spec: str,
    kwargs: Mapping[str, Any] | None = None,
    *,
    base_dir: Path | str | None = None,
    response_format: ResponseFormat = DEFAULT_FORMAT,
) -> Callable[..., Any]:
    """Finds and builds a reward.

    A class is called with `kwargs`, and so is a factory: a function that takes none of `prompts`, `completions`,
    `completion_ids` and has no `**kwargs`. A plain reward function is returned as it is, or bound to `kwargs`. What is
    returned can be pickled, also for a process that has not loaded the file.

    Args:
        spec: A name in `REWARDS`, one that an installed package ships (entry-point group `truealign.rewards`),
            `package.module.function`, or `path/to/file.py:function`.
        kwargs: Settings of the reward.
        base_dir: Folder that file paths are relative to; after it, the current folder is tried.
        response_format: Tags of the response, for built-in rewards that read it.

    Raises:
        ValueError: If there is no such reward, or a setting does not fit; the message says what would.

    Example:
        >>> resolve_reward("length", {"max_length": 100, "margin": 20}).__name__
        'length'
    """
    owner = os.getpid()
    try:
        return _resolve(spec, dict(kwargs or {}), base_dir, response_format)
    finally:
        end_if_copied(owner)  # a module that forks as it is loaded would go on twice


def _resolve(
    spec: str, settings: dict[str, Any], base_dir: Path | str | None, response_format: ResponseFormat
) -> Callable[..., Any]:
    given, (spec, found) = spec, find_reward(spec, base_dir, REWARDS)
    if given in REWARDS:
        extra = getattr(found, "extra", None)
        if extra is not None and (sentence := missing(extra, f"Reward {given!r}")):
            raise ValueError(sentence)
        if "response_format" in inspect.signature(found).parameters:
            settings.setdefault("response_format", response_format)
        return _build(given, found, settings)
    if not callable(found):
        raise ValueError(f"Reward {spec!r} is a {type(found).__name__}, not a function or class.")
    if _is_factory(found):
        return _bind(_build(spec, found, settings), spec, settings, {})
    _check_settings(spec, found, settings)
    return _bind(found, spec, settings, settings)


class BoundReward:
    """A reward with its settings, which pickles as the spec it was made from and not by module name."""

    def __init__(
        self, func: Callable[..., Any], spec: str, settings: Mapping[str, Any], bound: Mapping[str, Any]
    ) -> None:
        self.__name__ = reward_name(func)
        self.__signature__ = _signature_without(func, bound)
        self._func = func
        self._spec = spec
        self._settings = dict(settings)
        self._bound = dict(bound)

    def __call__(self, *args: Any, **columns: Any) -> Any:
        """Calls the reward with its settings added to the columns."""
        return self._func(*args, **columns | self._bound)

    def __getattr__(self, name: str) -> Any:
        """Looks up what the wrapper lacks on the reward itself, such as `needs_second_answer`."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._func, name)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, dict[str, Any]]]:
        """Pickles as the call that finds the reward again."""
        return resolve_reward, (self._spec, self._settings)


class AsyncBoundReward(BoundReward):
    """A `BoundReward` around a coroutine function; TRL awaits it."""

    async def __call__(self, *args: Any, **columns: Any) -> Any:
        """Awaits the reward with its settings added to the columns."""
        return await self._func(*args, **columns | self._bound)


def _bind(
    func: Callable[..., Any], spec: str, settings: Mapping[str, Any], bound: Mapping[str, Any]
) -> Callable[..., Any]:
    is_local = "<" in getattr(func, "__qualname__", type(func).__qualname__)  # made inside a function: has no address
    if ":" not in spec and not bound and not is_local:
        return func  # importable everywhere: pickles by itself
    return (AsyncBoundReward if is_async(func) else BoundReward)(func, spec, settings, bound)


def _is_factory(found: Callable[..., Any]) -> bool:
    if inspect.isclass(found):
        return True
    if not inspect.isfunction(found):
        return False
    parameters = inspect.signature(found).parameters
    takes_columns = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return not takes_columns and not set(CALL_ARGUMENTS) & set(parameters)


def _build(spec: str, factory: Callable[..., Any], settings: Mapping[str, Any]) -> Callable[..., Any]:
    _check_settings(spec, factory, settings)
    try:
        inspect.signature(factory).bind(**settings)
    except TypeError as error:
        itself = "" if inspect.isclass(factory) else _AS_REWARD
        raise ValueError(f"Reward {spec!r}: {error}. Set it under `reward_kwargs`{itself}.") from error
    try:
        reward = factory(**settings)
    except (TypeError, ValueError, ImportError) as error:  # the last where an extra is not installed
        raise ValueError(f"Reward {spec!r}: {error}") from error
    if not callable(reward):
        raise ValueError(
            f"Reward {spec!r} was called as a factory, because it takes none of {', '.join(CALL_ARGUMENTS)}, and "
            f"returned {type(reward).__name__}. Return a reward function, or take `completions` and `**kwargs`."
        )
    return reward  # type: ignore[no-any-return]


def _check_settings(spec: str, func: Callable[..., Any], settings: Mapping[str, Any]) -> None:
    """Checks settings against named parameters; `**kwargs` of a reward are columns and take no settings."""
    parameters = inspect.signature(func).parameters.values()
    given_by_trainer = (*CALL_ARGUMENTS, *TRAINER_ARGUMENTS)
    accepted = [
        parameter.name
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and parameter.name not in given_by_trainer
    ]
    if unknown := [name for name in settings if name not in accepted]:
        names, meant = " and no ".join(map(repr, unknown)), "".join(did_you_mean(name, accepted) for name in unknown)
        raise ValueError(
            f"Reward {spec!r} has no setting {names}. It accepts: {', '.join(accepted) or 'none'}.{meant}"
        )


def _signature_without(func: Callable[..., Any], bound: Mapping[str, Any]) -> inspect.Signature:
    signature = inspect.signature(func)
    return signature.replace(parameters=[p for p in signature.parameters.values() if p.name not in bound])
