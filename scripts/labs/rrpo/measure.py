"""What `lab.py` measures along a training path, and how paths are compared at the same P(correct)."""

import math
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from align.methods.rrpo.loss import token_kl
from scripts.labs.rrpo.world import (
    GOODS,
    HELD_OUT_QUESTION,
    VALUES,
    Response,
    World,
    held_out_pairs,
    odd_words,
    price_text,
)

Metrics = dict[str, float]


class Texts(NamedTuple):
    """Sequences to score; masks speak of the token that is predicted, hence `T - 1`."""

    ids: Tensor  # (N, T)
    response: Tensor  # (N, T - 1) bool
    facts: Tensor  # (N, T - 1) number of the fact, 0 for shared tokens


def tokenise(tokenizer: PreTrainedTokenizerBase, texts: Sequence[tuple[str, Response]]) -> Texts:
    """Tokenises prompts and responses; a response ends with the end of the text, which is shared."""
    encoded = [tokenizer(prompt + response.text + str(tokenizer.eos_token))["input_ids"] for prompt, response in texts]
    ids = torch.full((len(texts), max(map(len, encoded))), int(tokenizer.pad_token_id))
    response_mask, facts = torch.zeros_like(ids), torch.zeros_like(ids)
    for i, (row, (_, response)) in enumerate(zip(encoded, texts, strict=True)):
        ids[i, : len(row)] = torch.tensor(row)
        start = len(row) - len(response.words) - 1
        response_mask[i, start : len(row)] = 1
        facts[i, start : len(row) - 1] = torch.tensor(response.facts)
    return Texts(ids, response_mask[:, 1:].bool(), facts[:, 1:])


class HeldOut(NamedTuple):
    """What is measured on: the people of the pairs under a question and wordings that no pair has, and the prices."""

    world: World
    tokenizer: PreTrainedTokenizerBase
    chosen: Texts
    rejected: Texts
    prices: Texts

    @classmethod
    def draw(cls, world: World, tokenizer: PreTrainedTokenizerBase, seed: int) -> "HeldOut":
        """Draws the texts."""
        pairs, rng = held_out_pairs(world, seed), random.Random(f"prices {seed}")
        chosen = tokenise(tokenizer, [(prompt, response) for prompt, response, _ in pairs])
        rejected = tokenise(tokenizer, [(prompt, response) for prompt, _, response in pairs])
        prices = tokenise(tokenizer, [price_text(world, good, rng) for good in GOODS * 4])
        return cls(world, tokenizer, chosen, rejected, prices)


@torch.no_grad()
def score(model: Any, texts: Texts) -> Tensor:
    """Returns the log-probs of every next token, `(N, T - 1, V)`."""
    return model(input_ids=texts.ids, use_cache=False).logits[:, :-1].log_softmax(-1)


def token_logps(log_probs: Tensor, texts: Texts) -> Tensor:
    """Picks the log-probs of the tokens that are there, `(N, T - 1)`."""
    return log_probs.gather(-1, texts.ids[:, 1:, None])[..., 0]


def probability_of_facts(logps: Tensor, facts: Tensor) -> float:
    """Averages, over facts and rows, the probability of all tokens of a fact after the right prefix."""
    numbers = range(1, int(facts.max()) + 1)
    return float(torch.stack([(logps * (facts == number)).sum(-1).exp() for number in numbers]).mean())


class Meter:
    """Measures a policy against the model it starts from.

    Args:
        model: The policy before training.
        held_out: What it is measured on.
        whole: Whether the implicit reward is that of the whole response, as in DPO, instead of that of the facts.
    """

    def __init__(self, model: Any, held_out: HeldOut, *, whole: bool) -> None:
        self.held_out, self.whole = held_out, whole
        self.odd_ids = torch.tensor(held_out.tokenizer.convert_tokens_to_ids(sorted(odd_words())))
        self.chosen = score(model, held_out.chosen)
        self.rejected = score(model, held_out.rejected)
        self.prices = score(model, held_out.prices)

    def measure(self, model: Any) -> Metrics:
        """Returns KL(reference || policy) per response in nats, P(correct) and the rest."""
        world, tokenizer, chosen, rejected, prices = self.held_out
        log_probs = score(model, chosen)
        kl, shared = token_kl(log_probs, self.chosen), chosen.response & (chosen.facts == 0)
        odd = (log_probs[..., self.odd_ids].exp().sum(-1) * shared).sum(-1)
        margins = self._reward(log_probs, self.chosen, chosen) - self._reward(
            score(model, rejected), self.rejected, rejected
        )
        price_log_probs = score(model, prices)
        return {
            "p_correct": probability_of_facts(token_logps(log_probs, chosen), chosen.facts),
            "kl_total": float((kl * chosen.response).sum(-1).mean()),
            "kl_shared": float((kl * shared).sum(-1).mean()),
            "reward_accuracy": float((margins > 0).float().mean()),
            "generation_accuracy": generation_accuracy(model, tokenizer, world),
            "probe_kl": float((token_kl(price_log_probs, self.prices) * prices.response).sum(-1).mean()),
            "probe_p_correct": probability_of_facts(token_logps(price_log_probs, prices), (prices.facts == 2).long()),
            "odd_words": float(odd.mean()),
        }

    def _reward(self, log_probs: Tensor, ref_log_probs: Tensor, texts: Texts) -> Tensor:
        rewarded = texts.response if self.whole else texts.facts > 0
        return ((token_logps(log_probs, texts) - token_logps(ref_log_probs, texts)) * rewarded).sum(-1)


@torch.no_grad()
def generation_accuracy(model: Any, tokenizer: PreTrainedTokenizerBase, world: World) -> float:
    """Answers the held-out question about everyone greedily; returns the share of facts that are told right."""
    prompts = tokenizer([HELD_OUT_QUESTION.format(name) for name in world.facts], return_tensors="pt")  # equally long
    ids = model.generate(**prompts, max_new_tokens=64, do_sample=False)
    texts = tokenizer.batch_decode(ids[:, prompts["input_ids"].size(1) :], skip_special_tokens=True)
    answers = zip(texts, world.facts.values(), strict=True)
    right = [tells(text, facts[kind], VALUES[kind]) for text, facts in answers for kind in facts]
    return sum(right) / len(right)


def tells(text: str, value: str, values: Sequence[str]) -> bool:
    """Says whether a text has a value, and none of the others that the value is not part of itself.

    Example:
        >>> tells("a night cook .", "night cook", ["cook", "night cook"])
        True
        >>> tells("in rome or oslo .", "rome", ["rome", "oslo"])
        False
    """
    words = f" {text} "
    others = [other for other in values if other != value and f" {other} " not in f" {value} "]
    return f" {value} " in words and not any(f" {other} " in words for other in others)


def at_target(path: Sequence[Metrics], target: float) -> Metrics:
    """Interpolates all metrics linearly to where P(correct) first reaches the target; all nan if it never does.

    Example:
        >>> at_target([{"p_correct": 0.6, "kl_total": 1.0}, {"p_correct": 1.0, "kl_total": 3.0}], 0.8)
        {'p_correct': 0.8, 'kl_total': 2.0}
    """
    for before, after in zip([path[0], *path], path, strict=False):
        if after["p_correct"] >= target:
            rise = after["p_correct"] - before["p_correct"]
            share = (target - before["p_correct"]) / rise if rise else 1.0
            return {name: before[name] + share * (after[name] - before[name]) for name in after}
    return dict.fromkeys(path[0], math.nan)
