"""How a recipe's rewards are called, joined and watched."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from align.recipe.rules import suggestion
from rewards.running.scores import Composition

# Signals that a policy may be learning something else than its rewards mean, and from where on they are worth a word.
# They tell what goes together in a batch and prevent nothing; that a reward goes along with length can be right. Two
# are about vLLM. `canary` asks whether it has the trainer's weights: the same few prompts every `canary_steps` steps,
# sampled without `top_p` and the like, so that one number above the limit is enough. `logp_difference` costs nothing
# and looks at all that is learnt from, as the run samples it, which may be why it is above its limit; it needs TRL's
# importance sampling correction, and several steps, since prompts differ.
DEFAULT_ALARMS: dict[str, float | None] = {
    "length": 0.55, "format": 0.4, "repetition": 0.35, "phrase": 0.45, "format_share": None, "invalid_share": 0.05,
    "noise_share": 0.2, "flaky_share": None, "logp_difference": 0.1, "canary": 0.1,
}  # fmt: skip
# Those that no honest run of scripts/labs/alarms set off: what `stop_on: auto` stands for.
AUTO, AUTO_STOPS = "auto", ("length", "format", "repetition")
OF_CALLS = ("invalid_share", "noise_share", "flaky_share")  # logged beside the reward, not among the audits
# Of vLLM's log-probabilities of what it sampled from the trainer's of the same tokens, in nats per token. Different
# precision alone gives about 0.03; weights that were not transferred give more.
LOGP_DIFFERENCE = "sampling/sampling_logp_difference/mean"
CANARY = "canary/logp_difference/mean"  # the same on fixed prompts; of several processes, that of the worst
CANARY_MAX = "canary/logp_difference/max"
OF_VLLM = {"logp_difference": LOGP_DIFFERENCE, "canary": CANARY}  # of the run, and of no reward
_LASTING = 5  # logs in a row: a single batch may look like anything
MEANINGS = {
    "length": "goes up with the number of tokens (rank correlation within a prompt's completions)",
    "format": "goes up with marks such as tags, lists and bold type (rank correlation within a prompt's completions)",
    "repetition": "goes up with repeated words (rank correlation within a prompt's completions)",
    "phrase": "goes up with words that completions of several prompts share (mean correlation within a prompt)",
    "format_share": "follows the format: this share of its variance within a prompt is explained by counting marks",
    "invalid_share": "gives values nothing can be learnt from (a timeout, an error, no number)",
    "noise_share": "is not the same twice: this share of its variance within a prompt's completions is noise",
    "flaky_share": "is not the same twice: this share of its values differs when they are scored again",
}


def alarm_keys(alarm: str, logged: Iterable[str]) -> list[str]:
    """Lists the logged metrics that an alarm looks at.

    Example:
        >>> alarm_keys("length", ["audit/total/length", "audit/accuracy/length"])
        ['audit/total/length']
        >>> alarm_keys("invalid_share", ["rewards/accuracy/invalid_share", "rewards/accuracy/mean"])
        ['rewards/accuracy/invalid_share']
    """
    reward, _, signal = alarm.rpartition("/")
    if signal in OF_VLLM:
        return [OF_VLLM[signal]] if OF_VLLM[signal] in logged else []
    if signal in OF_CALLS:
        return [
            key
            for key in logged
            if key.startswith("rewards/") and key.endswith(f"/{signal}") and reward in ("", key.split("/")[1])
        ]
    key = f"audit/{reward or 'total'}/{signal}"
    return [key] if key in logged else []


def logs_of(key: str) -> int:
    """Counts the logs whose mean is held against the limit."""
    return 1 if key == CANARY else _LASTING


def alarm_sentence(key: str, value: float, limit: float) -> str:
    """Words what a metric above its limit says.

    Example:
        >>> alarm_sentence("rewards/own/invalid_share", 0.1, 0.05)
        'Reward `own` gives values nothing can be learnt from (a timeout, an error, no number): 0.10, above 0.05.'
    """
    if key == LOGP_DIFFERENCE:
        return (
            "vLLM and the trainer give the same tokens different log-probabilities, so the policy that writes is not "
            f"the one that learns: {value:.2f} nats per token, above {limit:g}."
        )
    if key == CANARY:
        return (
            "On the canary's fixed prompts vLLM and the trainer give the same tokens different log-probabilities, as "
            f"if vLLM did not have the trained weights: {value:.2f} nats per token, above {limit:g}."
        )
    _, reward, signal = key.split("/")
    subject = "The total reward" if reward == "total" else f"Reward `{reward}`"
    return f"{subject} {MEANINGS[signal]}: {value:.2f}, above {limit:g}."


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
    alarms: dict[str, Limit | None] = Field(
        default_factory=dict,
        description="Signal, or reward/signal, to the value above which the report warns; null turns one off.",
    )
    stop_on: list[str] = Field(
        default_factory=list,
        description="Alarms that end training, named as in `alarms`, when they last; `auto`: those of length, format "
        "and repetition that are on.",
    )

    @field_validator("stop_on", mode="before")
    @classmethod
    def _names_auto(cls, stops: Any, info: ValidationInfo) -> Any:
        given = [stops] if stops == AUTO else stops
        if not isinstance(given, list) or AUTO not in given:
            return given
        limits = DEFAULT_ALARMS | info.data.get("alarms", {})
        on = [alarm for alarm in AUTO_STOPS if limits[alarm] is not None]
        return list(dict.fromkeys(name for stop in given for name in (on if stop == AUTO else [stop])))

    def composition(self, specs: Sequence[str]) -> Composition:
        """Returns the gates and limits of rewards by their place in `reward_funcs`."""
        names = [short_name(spec) for spec in specs]
        limits = {
            names.index(name): (-math.inf if low is None else low, math.inf if high is None else high)
            for name, (low, high) in self.reward_clip.items()
        }
        return Composition(limits, {names.index(name): names.index(gate) for name, gate in self.reward_gates.items()})

    def thresholds(self) -> dict[str, float]:
        """Returns the alarms that are on; those without a reward's name look at the total."""
        return {name: value for name, value in (DEFAULT_ALARMS | self.alarms).items() if value is not None}


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
    audits = [short_name(spec) for spec in settings.audit_funcs]
    for name in audits:
        if name in names or audits.count(name) > 1:
            raise ValueError(f"`audit_funcs`: {name!r} is named twice; a reward is either trained on or audited.")
    for alarm in settings.alarms:
        reward, _, signal = alarm.rpartition("/")
        _check_name("alarms", signal, list(DEFAULT_ALARMS))
        if reward:
            _check_name(f"alarms.{alarm}", reward, [*names, *audits] if signal not in OF_VLLM else [])
    for alarm in settings.stop_on:
        _check_name("stop_on", alarm, list(settings.thresholds()))
    if settings.reward_memory_gb is not None and settings.reward_workers == 0:
        raise ValueError("`reward_memory_gb` needs workers, and there are none. Set `reward_workers: 1`.")


def _check_name(key: str, name: str, names: list[str]) -> None:
    if not names:
        raise ValueError(f"`{key}` must not name a reward; got {name!r}.")
    if name not in names:
        raise ValueError(f"`{key}` must name one of {', '.join(names)}; got {name!r}.{suggestion(name, names)}")
