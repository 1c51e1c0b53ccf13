"""The options of `align augment` that pairs from a model's own mistakes have."""

from dataclasses import dataclass

from align.options import option


@dataclass(frozen=True, kw_only=True)
class PairOptions:
    """How responses are drawn and paired."""

    perturbation: str = option(
        "mask_local_shuffle",
        "mask_local_shuffle, mask, global_shuffle, local_shuffle, blur (images only), none: of images or text.",
    )
    num_samples: int = option(4, "Responses sampled for each row.")
    judge: str | None = option(
        None,
        "Reward below 0.5 for wrong answers; by default right answers hold reference or letter.",
    )
    wording: str = option("model", "Words of the chosen answer: model (restates the rejected), swap or reference.")
