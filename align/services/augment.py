"""Makes training data, by a model or by rules."""

from collections.abc import Set
from pathlib import Path
from typing import Any

from align.errors import UserError
from align.methods import METHODS
from align.methods.pairs.augmentation.folder import Augmentation, check_choice
from align.models.samplers.endpoint import EndpointSampler
from align.models.samplers.sampler import Sampler
from align.options import Media, Reading
from align.recipe.dataset import check_media
from align.services.options import Making, Reach, Sampling

OF_A_MODEL = ("model", "endpoint")


def augment(
    data: str,
    out: Path,
    *,
    method: str,
    given: Set[str],
    making: Making,
    reach: Reach,
    sampling: Sampling,
    reading: Reading,
    media: Media,
    **own: Any,
) -> int:
    """Makes pairs by a model or by rules, and writes them to a folder; returns 1 if there are none.

    `given` are the options that the user wrote, `own` those of each method; None in `sampling` stands for the method's
    default.
    """
    made = {name: METHODS[name].part("augment") for name in METHODS if METHODS[name].augment}
    check_choice("method", method, list(made))
    check_choice("on_bad_rows", reading.on_bad_rows, ("raise", "skip"))
    _check_positive(batch_size=making.batch_size, concurrency=reach.concurrency, timeout=reach.timeout)
    if reading.max_rows is not None:
        _check_positive(max_rows=reading.max_rows)
    for other, augmentation in made.items():  # whose options would do nothing
        foreign = " and ".join(f"`--{name}`" for name in augmentation.options if name in given)
        if other != method and foreign:
            raise UserError(f"`--method {method}` does not read {foreign}: leave it out, or set `--method {other}`.")
    chosen, settings = made[method], dict(vars(own[method]))
    rules = settings.pop(chosen.rules, None)
    _check_who(method, chosen, making.model, rules, given)
    settings |= {name: value for name, value in vars(sampling).items() if value is not None}
    common: dict[str, Any] = {"settings": settings, "reading": vars(reading)}
    common |= {"cache": making.cache, "dry_run": making.dry_run}
    if rules is not None and chosen.with_rules is not None:
        return chosen.with_rules(data, out, rules=rules, **common)

    samplers: list[Sampler] = []

    def make_sampler() -> Sampler:
        samplers.append(_make_sampler(making, reach))
        return samplers[-1]

    common |= {"num_workers": making.batch_size if reach.endpoint is None else reach.concurrency}
    try:
        return chosen.with_model(data, out, make_sampler=make_sampler, media=check_media(vars(media)), **common)
    finally:
        for sampler in samplers:  # calls that were made again, also of a run that ended early
            if isinstance(sampler, EndpointSampler):
                for trouble, number in sampler.troubles.most_common():
                    print(f"{number:>9,}  {trouble}")


def _check_positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if value <= 0:
            raise UserError(f"`{name}` must be above 0, got {value}.")


def _check_who(method: str, chosen: Augmentation, model: str | None, rules: str | None, given: Set[str]) -> None:
    """Checks that exactly one makes the pairs: a model, or rules."""
    if rules is not None:
        unused = " and ".join(f"`--{name}`" for name in OF_A_MODEL if name in given)
        if unused:
            raise UserError(
                f"`--{chosen.rules}` takes the place of a model: leave {unused} out, or `--{chosen.rules}`."
            )
    elif model is None:
        instead = f", or rules with `--{chosen.rules}`" if chosen.rules else ""
        raise UserError(f"`--method {method}` needs a model: set `--model` to a folder, a hub id or a name{instead}.")


def _make_sampler(making: Making, reach: Reach) -> Sampler:
    model = making.model or ""
    if reach.endpoint is None:
        from transformers.utils.logging import disable_progress_bar

        from align.models.samplers.local_model import LocalSampler

        disable_progress_bar()  # the bar of loading would tear the one of sampling
        return LocalSampler(model, batch_size=making.batch_size, conversational=making.conversational)
    if making.conversational is False:
        raise UserError(
            "A server is sent messages, and its model's own template makes a prompt of them. Leave "
            "`--no-conversational` out, or give the model's folder without `--endpoint`."
        )
    return EndpointSampler(model=model, **vars(reach))
