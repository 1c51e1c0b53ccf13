"""How a recipe's rewards are called, joined and watched."""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from align.recipe.alarms import ALARMS, AUTO, alarm_of, limits_with
from align.recipe.rules import suggestion
from align.whole_files import object_in
from rewards.running.scores import Composition

if TYPE_CHECKING:
    from rewards.error_rates import ErrorRates

_NAMED_MODEL = re.compile(r"(?P<name>[A-Za-z_][\w-]*)=(?P<path>.*/.*)", re.DOTALL)
FEWEST_REPEATS = 8  # completions of a step that are scored again, on all ranks together
Reward = Callable[..., Any] | str  # a function, or the folder or hub id of a reward model


def _is_number(value: float) -> float:
    if math.isnan(value):
        raise ValueError("it must be a number, or null to turn it off")
    return value


Limit = Annotated[float, Field(strict=True), AfterValidator(_is_number)]  # strict: false is no 0


class RewardSettings(BaseModel):
    """The keys of a recipe on its reward functions; reward models are called by TRL and have their weight only."""

    model_config = ConfigDict(extra="forbid")

    reward_workers: int = Field(
        default=0,
        ge=0,
        le=1_024,
        description="Processes, beside each training process, that call the rewards one completion at a time; with 0 "
        "they are called in the training process, whole batches at a time.",
    )
    reward_timeout: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Seconds for one completion; it needs `reward_workers`, or rewards that are coroutines.",
    )
    reward_memory_gb: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Address space of a worker in GiB."
    )
    on_invalid: Literal["raise", "skip", "zero"] = Field(
        default="skip",
        description="What a timeout, an error or a value that is no finite number becomes: the end of training, no "
        "reward (None), or 0.",
    )
    max_invalid_share: float = Field(
        default=0.5, ge=0, le=1, description="Share of a reward's recent values above which training stops."
    )
    reward_repeats: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description=f"Share of the completions of a step, at least {FEWEST_REPEATS} of them, that each reward "
        "function scores again, to log how much it differs from itself; 0 scores none.",
    )
    reward_gates: dict[str, str] = Field(
        default_factory=dict, description="Reward to the reward that must be above 0 for it to count."
    )
    reward_clip: dict[str, list[Limit | None]] = Field(
        default_factory=dict, description="Reward to its lowest and highest value; null sets no limit."
    )
    audit_funcs: list[str] = Field(
        default_factory=list, description="Rewards that are logged and never trained on, named as in `reward_funcs`."
    )
    require_cards: str | None = Field(
        default=None,
        description="Folder with a card of each reward by `align rewards certify`; without one, or with other code "
        "than on it, training does not start.",
    )
    error_rates: dict[str, list[Limit] | str] = Field(
        default_factory=dict,
        description="Reward to its shares [false positives, false negatives], or to the file that `align rewards "
        "measure --json` wrote; the share of right answers is logged corrected for them, and nothing is trained anew.",
    )
    alarms: dict[str, Limit | None] = Field(
        default_factory=dict,
        description="Alarm, or reward/alarm, to the value above which it speaks; null turns one off. By default: "
        f"{', '.join(f'{each.name} {each.limit}' for each in ALARMS.values())}.",
    )
    stop_on: list[str] = Field(
        default_factory=list,
        description="Alarms that end training, named as in `alarms`, when they last; `auto`: those of "
        f"{', '.join(each.name for each in ALARMS.values() if each.in_auto)} that are on.",
    )

    @field_validator("stop_on", mode="before")
    @classmethod
    def _names_auto(cls, stops: Any, info: ValidationInfo) -> Any:
        given = [stops] if stops == AUTO else stops
        if not isinstance(given, list) or AUTO not in given:
            return given
        limits = limits_with(info.data.get("alarms", {}))
        on = [alarm.name for alarm in ALARMS.values() if alarm.in_auto and limits[alarm.name] is not None]
        return list(dict.fromkeys(name for stop in given for name in (on if stop == AUTO else [stop])))

    def composition(self, specs: Sequence[str]) -> Composition:
        """Returns the gates and limits of rewards by their place in `reward_funcs`."""
        names = [short_name(spec) for spec in specs]
        limits = {
            names.index(name): (-math.inf if low is None else low, math.inf if high is None else high)
            for name, (low, high) in self.reward_clip.items()
        }
        return Composition(limits, {names.index(name): names.index(gate) for name, gate in self.reward_gates.items()})

    def rates(self, specs: Sequence[str]) -> dict[int, "ErrorRates"]:
        """Returns the `ErrorRates` that are known, by the place of their reward; raises `ValueError`."""
        from rewards.error_rates.rates import read_rates

        names, found = [short_name(spec) for spec in specs], {}
        for name, given in self.error_rates.items():
            _check_name("error_rates", name, names)
            try:
                found[names.index(name)] = read_rates(object_in(Path(given)) if isinstance(given, str) else given)
            except ValueError as error:
                raise ValueError(f"`error_rates.{name}` ({given}): {error}") from None
        return found

    def thresholds(self) -> dict[str, float]:
        """Returns the alarms that are on; those without a reward's name look at the total."""
        return {name: value for name, value in limits_with(self.alarms).items() if value is not None}


def named_model(spec: str) -> tuple[str, str]:
    """Splits `NAME=PATH`, a reward model under a name of its own; the name is empty where there is none.

    Example:
        >>> named_model("helpful=org/model-1.5b"), named_model("org/model-1.5b")
        (('helpful', 'org/model-1.5b'), ('', 'org/model-1.5b'))
    """
    found = _NAMED_MODEL.fullmatch(spec)
    return (found["name"], found["path"]) if found else ("", spec)


def short_name(spec: str) -> str:
    """Names a reward in other keys: the function's name, the one given, or the last part of a model's path.

    Example:
        >>> [short_name(spec) for spec in ("format", "my.package.fair", "./own.py:kind", "org/model-1.5b", "rm=./a/b")]
        ['format', 'fair', 'kind', 'model-1.5b', 'rm']
    """
    name, spec = named_model(spec)
    if name:
        return name
    if ":" not in spec and "/" in spec:
        return spec.rstrip("/").rpartition("/")[2]
    return spec.rpartition(":")[2].rpartition(".")[2]


def check_reward_settings(settings: RewardSettings, specs: Sequence[str]) -> None:
    """Checks what the keys say about each other."""
    names = [short_name(spec) for spec in specs]
    for name, gate in settings.reward_gates.items():
        _check_name("reward_gates", name, names)
        _check_name(f"reward_gates.{name}", gate, names)
        if name == gate:
            raise ValueError(f"`reward_gates.{name}`: a reward cannot be its own gate. `reward_clip` cuts off at 0.")
    for name, limits in settings.reward_clip.items():
        _check_name("reward_clip", name, names)
        given = [limit for limit in limits if limit is not None]
        if len(limits) != 2 or given != sorted(set(given)):
            raise ValueError(f"`reward_clip.{name}` must be [lowest, highest], null for no limit; got {limits}.")
    settings.rates(specs)
    audits = [short_name(spec) for spec in settings.audit_funcs]
    for name in audits:
        if name in names or audits.count(name) > 1:
            raise ValueError(f"`audit_funcs`: {name!r} is named twice; a reward is either trained on or audited.")
    for alarm in settings.alarms:
        _check_name("alarms", alarm.rpartition("/")[2], list(ALARMS))
        found, reward = alarm_of(alarm)
        if reward:
            _check_name(f"alarms.{alarm}", reward, [] if found.of_run else [*names, *audits])
    for alarm in settings.stop_on:
        _check_name("stop_on", alarm, list(settings.thresholds()))
    if settings.reward_memory_gb is not None and settings.reward_workers == 0:
        raise ValueError("`reward_memory_gb` needs workers, and there are none. Set `reward_workers: 1`.")


def _check_name(key: str, name: str, names: list[str]) -> None:
    if not names:
        raise ValueError(f"`{key}` must not name a reward; got {name!r}.")
    if name not in names:
        raise ValueError(f"`{key}` must name one of {', '.join(names)}; got {name!r}.{suggestion(name, names)}")
