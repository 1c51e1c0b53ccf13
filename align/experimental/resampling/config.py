"""Settings of further prompts and their rules: nothing of TRL is imported."""

from dataclasses import dataclass, field
from typing import Any

from align.recipe.rules import NOT_NEGATIVE, Range, Rules, SettingsBeside, check_ranges

KEY = "resample_without_spread"
RANGES: dict[str, Range] = {KEY: NOT_NEGATIVE}
OFF = f"or set `{KEY}: 0`."
NO_IMAGES = f"`{KEY}` puts completions of text together, and rows have images. Leave the images out, {OFF}"
NO_STREAM = f"`{KEY}` draws further rows from all over the data, which a stream cannot give. Read it whole, {OFF}"
NO_VERSIONS = (
    f"`{KEY}` asks further rows one by one, and rewards have to see several of them in one call. Ask each row once, "
    f"without `perturb` and with one wording, {OFF}"
)


def turned_on(settings: Any) -> list[str]:
    """Lists the key by which further prompts are asked, if they are."""
    return [KEY] if getattr(settings, KEY) else []


def check_resampling(settings: Any) -> None:
    """Refuses settings under which a group that is put in place of another would have another advantage."""
    check_ranges(settings, RANGES)
    if not turned_on(settings):
        return
    for name, value in (("scale_rewards", "batch"), ("multi_objective_aggregation", "normalize_then_sum")):
        if getattr(settings, name) == value:
            raise ValueError(
                f"`{KEY}` puts groups of a later draw into a batch, and with `{name}: {value}` advantages depend on "
                f"all groups that were drawn together. Choose another `{name}`, {OFF}"
            )


def batch_problem(budget: int, own: int, generations: int, processes: int) -> str | None:
    """Says why further prompts cannot be asked with a batch; None if they can."""
    if budget < processes:
        return (
            f"`{KEY}: {budget}` is divided equally among the processes, so it must be at least their number, "
            f"{processes}. Set it to {processes} or more, {OFF}"
        )
    if own % generations:
        return (
            f"`{KEY}` replaces the completions of a prompt together, and a process generates {own} at once, which "
            f"`num_generations` = {generations} does not divide. Make `per_device_train_batch_size` a multiple of "
            f"{generations}, {OFF}"
        )
    return None


RULES = Rules(ranges=RANGES, together=check_resampling)


@dataclass
class ResamplingConfig(SettingsBeside):
    """Settings of further prompts; with `resample_without_spread: 0`, the default, nothing differs."""

    RULES = RULES

    resample_without_spread: int = field(
        default=0,
        metadata={
            "help": "Most further prompts of a generation, over all processes, that are asked to replace prompts all "
            "of whose completions earned the same (dynamic sampling of DAPO, arXiv 2503.14476). With 0 none is."
        },
    )
