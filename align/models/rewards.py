"""The rewards that a recipe names: functions with their settings, and reward models, which TRL loads itself."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from align.models.at_hand import file_problem, is_hub_id
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward, named_model, short_name
from rewards.reading.responses import ResponseFormat
from rewards.running.contract import RewardSpec
from rewards.running.protocol import is_async, is_audit_only, reward_name


def resolve_rewards(recipe: Recipe) -> list[Reward]:
    """Finds the rewards of `reward_funcs`, then of `audit_funcs`: functions with settings, paths of reward models."""
    rewards: list[Reward] = []
    refused: list[ValueError] = []
    for spec in recipe.reward_specs:
        try:
            named = _named(recipe, spec)
            rewards.append(named if isinstance(named, str) else named.resolve())
        except ValueError as error:
            refused.append(error)
    if refused:
        raise ValueError(" ".join(map(str, refused))) from refused[0]
    names = [
        short_name(s) if isinstance(r, str) else reward_name(r)
        for s, r in zip(recipe.reward_specs, rewards, strict=True)
    ]
    check_names(names, recipe.reward_specs)
    for spec, reward in zip(recipe.reward_funcs, rewards, strict=False):
        if not isinstance(reward, str) and is_audit_only(reward):
            raise ValueError(
                f"`reward_funcs`: {spec!r} is a monitor, and a policy that is trained on one learns to get round it. "
                "Name it in `audit_funcs`, where it is logged and never trained on."
            )
    plain = [reward_name(reward) for reward in rewards if not isinstance(reward, str) and not is_async(reward)]
    if plain and recipe.rewards.reward_timeout is not None and not recipe.rewards.reward_workers:
        listed = ", ".join(plain)
        raise ValueError(f"`reward_timeout` cannot stop {listed} in the training process. Set `reward_workers: 1`.")
    return rewards


def named_rewards(recipe: Recipe) -> dict[str, str | RewardSpec]:
    """Lists the rewards of a recipe by spec: the folder or hub id of a reward model, or a function, unresolved."""
    return {spec: _named(recipe, spec) for spec in recipe.reward_specs}


def _named(recipe: Recipe, spec: str) -> str | RewardSpec:
    path, kwargs = named_model(spec)[1], recipe.reward_kwargs.get(short_name(spec), {})
    model = find_reward_model(path, recipe.path.parent)
    if model is None:
        return RewardSpec(spec, kwargs, recipe.path.parent, response_format(recipe))
    if kwargs:
        raise ValueError(f"Reward {spec!r} is a model and takes no settings. Remove its `reward_kwargs`.")
    if spec in recipe.rewards.audit_funcs:
        raise ValueError(
            f"`audit_funcs`: {spec!r} is a reward model, and audits are functions. Write one that scores with "
            "`align.load_reward_model(path).score(prompts, responses)`."
        )
    return model


@dataclass(frozen=True)
class ModelSpec:
    """A reward model by its name and folder, which a process of its own can load."""

    spec: str
    path: str

    def resolve(self) -> "ModelReward":
        """Loads it."""
        return ModelReward(self.spec, self.path)


class ModelReward:
    """A reward model as a reward function; None where a response is too long for it."""

    def __init__(self, name: str, path: str) -> None:
        from align.models.reward_model import load_reward_model

        self.__name__, self.model = name, load_reward_model(path, on_too_long="nan")

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """Scores completions."""
        scores = self.model.score(prompts, completions).tolist()
        return [score if score == score else None for score in scores]


def find_reward_model(spec: str, base_dir: Path) -> str | None:
    """Returns the folder or hub id of a reward model, or None if the spec, without a name before `=`, is a function.

    Paths are relative to `base_dir`, then to the current folder.

    Example:
        >>> find_reward_model("accuracy", Path()), find_reward_model("mine.py:brevity", Path())
        (None, None)
        >>> find_reward_model("owner/reward-model", Path())
        'owner/reward-model'
    """
    if "/" not in spec or spec.partition(":")[0].endswith(".py"):
        return None
    candidates = [(folder / Path(spec).expanduser()).resolve() for folder in (base_dir, Path.cwd())]
    folder = next((candidate for candidate in candidates if candidate.is_dir()), None)
    if folder is None and (problem := next(filter(None, map(file_problem, map(str, candidates))), "")):
        raise ValueError(f"Reward {spec!r}: {problem}")
    if folder is None and not is_hub_id(spec):
        tried = ", ".join(dict.fromkeys(map(str, candidates)))
        raise ValueError(f"Reward {spec!r}: there is no such folder. Tried {tried}.")
    return spec if folder is None else str(folder)


def response_format(recipe: Recipe) -> ResponseFormat:
    """Returns the tags of the recipe's responses; a method without tags of its own has the usual ones."""
    if not hasattr(recipe.settings, "think_tag"):
        return ResponseFormat()
    return ResponseFormat(recipe.settings.think_tag, recipe.settings.answer_tag)


def check_names(names: Sequence[str], specs: Sequence[str]) -> None:
    """Refuses two rewards of one name: TRL 1.16 mixes their means, and its table of completions keeps the last one."""
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        both = ", ".join(spec for spec, other in zip(specs, names, strict=True) if other == name)
        raise ValueError(
            f"{count} rewards are called `{name}` ({both}). TRL logs rewards by name: it would mix their means and "
            "keep one of them in its table. Rename one, or set its `__name__`."
        )
