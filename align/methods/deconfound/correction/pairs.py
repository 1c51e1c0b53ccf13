"""Preference pairs from corrected rewards: two texts to one prompt, of which one is worth more by a margin."""

import random
from dataclasses import dataclass
from typing import Any

from align.data.tables.observations import Observations, Values
from align.errors import UserError

PER_PROMPT = 4
MOST_TEXTS = 200  # of a prompt, that pairs are drawn from


@dataclass(frozen=True)
class Sampled:
    """Pairs, and what happened to the prompts."""

    pairs: list[dict[str, Any]]
    num_prompts: int
    num_alone: int  # prompts with one text only
    num_close: int  # prompts whose texts do not differ by the margin


def sample_pairs(
    rows: Observations, reward: Values, margin: float, *, per_prompt: int = PER_PROMPT, seed: int = 0
) -> Sampled:
    """Draws pairs of texts whose rewards `(N,)` differ by a margin, within prompts or, without prompts, groups.

    The draw of a prompt depends on the seed and the prompt alone. A text that was observed several times counts once,
    with its mean reward. The margin is in units of the outcome; the label of a group becomes the prompt where there is
    none.
    """
    labels = rows.groups if rows.prompt is None else rows.prompt
    if rows.text is None or labels is None:
        raise UserError("Pairs need the texts and what they answer. Name `--text`, and `--prompt` or `--groups`.")
    if not margin >= 0:
        raise UserError(f"`margin` must be 0 or more, got {margin}.")
    worth: dict[str, dict[str, list[float]]] = {}
    for label, text, value in zip(labels.tolist(), rows.text.tolist(), reward.tolist(), strict=True):
        worth.setdefault(label, {}).setdefault(text, []).append(value)
    pairs: list[dict[str, Any]] = []
    num_alone = num_close = 0
    for label, texts in worth.items():
        means = {text: sum(values) / len(values) for text, values in texts.items()}
        found = _pairs_of(label, means, margin, per_prompt, random.Random(f"{seed}/{label}"))
        pairs += [{"id": f"pair-{len(pairs) + number}"} | pair for number, pair in enumerate(found)]
        num_alone += len(means) == 1
        num_close += len(means) > 1 and not found
    return Sampled(pairs, len(worth), num_alone, num_close)


def _pairs_of(
    prompt: str, means: dict[str, float], margin: float, limit: int, rng: random.Random
) -> list[dict[str, Any]]:
    texts = sorted(means)
    order = sorted(rng.sample(texts, min(MOST_TEXTS, len(texts))), key=lambda text: (-means[text], text))
    different = [
        (chosen, rejected)
        for place, chosen in enumerate(order)
        for rejected in order[place + 1 :]
        if means[chosen] - means[rejected] >= margin and means[chosen] > means[rejected]
        and chosen.strip() != rejected.strip()
    ]  # fmt: skip
    return [
        {
            "prompt": prompt,
            "chosen": chosen,
            "rejected": rejected,
            "chosen_reward": means[chosen],
            "rejected_reward": means[rejected],
            "reward_gap": means[chosen] - means[rejected],
        }
        for chosen, rejected in rng.sample(different, min(limit, len(different)))
    ]
