"""Log-probs and KL of the tokens of pairs, under a model and its reference; added up, because tokens are many."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from align.evaluation.pairs.tokens import TokenizedPair
from align.models.rope_lengths import forget_lengths, read_together
from align.models.second_pass.image_memo import remembered_images

MOST_LOGITS = 2**25  # of one model at once: 128 MiB


class SideTerms(NamedTuple):
    """What a response's tokens add up to, in nats: over all of them, and over those that are marked.

    Attributes:
        tokens: How many there are.
        logp: Log-probs under the model.
        ref_logp: Under the reference.
        kl: KL(reference || model) of every next-token distribution.
        marked: How many are marked.
        marked_logp: Log-probs of these under the model.
        marked_ref_logp: Under the reference.
    """

    tokens: int
    logp: float
    ref_logp: float
    kl: float
    marked: int
    marked_logp: float
    marked_ref_logp: float

    @property
    def change(self) -> float:
        """By how much more likely the response is than under the reference, in nats: its implicit reward / beta."""
        return self.logp - self.ref_logp

    @property
    def marked_change(self) -> float:
        """The same, of the marked tokens."""
        return self.marked_logp - self.marked_ref_logp


class PairTerms(NamedTuple):
    """Both responses of a pair."""

    chosen: SideTerms
    rejected: SideTerms


class Side(NamedTuple):
    """A response behind its prompt, as tokens.

    Attributes:
        ids: Prompt and response.
        prompt: How many of these are the prompt.
        marks: 1 for each token of the response that is marked.
        images: What the model reads of the images in the prompt beside their tokens.
    """

    ids: Sequence[int]
    prompt: int
    marks: Sequence[int]
    images: Mapping[str, Tensor] = {}


def pair_terms(model: Any, reference: Any, pairs: Sequence[TokenizedPair]) -> list[PairTerms]:
    """Reads pairs with both models; see `side_terms`."""
    sides = [
        Side(ids, pair.prompt, marks, pair.images)
        for pair in pairs
        for ids, marks in ((pair.chosen, pair.chosen_marks), (pair.rejected, pair.rejected_marks))
    ]
    found = side_terms(model, reference, sides)
    return [PairTerms(found[2 * i], found[2 * i + 1]) for i in range(len(pairs))]


@torch.no_grad()
def side_terms(model: Any, reference: Any, sides: Sequence[Side]) -> list[SideTerms]:
    """Reads responses with both models, each token once with each.

    A response behind images is read alone, because every model lays out the images of several another way; the images
    of one that follows another with the same ones are not looked at again.

    Args:
        model: A causal language model, one that reads images where sides have some.
        reference: Another, with the same tokens.
        sides: What to read.
    """
    found: dict[int, SideTerms] = {}
    width = max(each.get_input_embeddings().num_embeddings for each in (model, reference))
    with ExitStack() as stack:
        if any(side.images for side in sides):
            for each in [model] if model is reference else [model, reference]:
                stack.enter_context(remembered_images(each))
        own, other = read_together(model), read_together(reference)
        for part in _parts(sides, MOST_LOGITS // width, lambda length: (own(length), other(length))):
            longest = max(len(sides[i].ids) for i in part)
            ids = torch.zeros(len(part), longest, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, i in enumerate(part):
                ids[row, : len(sides[i].ids)] = torch.tensor(sides[i].ids)
                mask[row, : len(sides[i].ids)] = 1
            images = sides[part[0]].images
            # Images are many tokens, none of which is scored.
            before = max(sides[part[0]].prompt, 1) - 1 if images else 0
            logits, ref_logits = (_logits(each, ids, mask, images, longest - before) for each in (model, reference))
            for row, i in enumerate(part):
                tokens, prompt, marks, _ = sides[i]
                # What stands before a token predicts it.
                rows = slice(max(prompt, 1) - 1 - before, len(tokens) - 1 - before)
                labels = torch.tensor(tokens[max(prompt, 1) :], device=logits.device)
                marked = torch.tensor(marks[len(marks) - len(labels) :], dtype=torch.bool)
                found[i] = _add_up(logits[row, rows], ref_logits[row, rows].to(logits.device), labels, marked)
    return [found[i] for i in range(len(sides))]


def _parts(sides: Sequence[Side], most_tokens: int, name: Callable[[int], object]) -> Iterator[list[int]]:
    """Yields places of sides that are read together: those without images in batches, the others alone."""
    texts = [i for i, side in enumerate(sides) if not side.images]
    for part in _batches([len(sides[i].ids) for i in texts], most_tokens, name):
        yield [texts[j] for j in part]
    yield from ([i] for i, side in enumerate(sides) if side.images)


def _logits(model: Any, ids: Tensor, mask: Tensor, images: Mapping[str, Tensor], keep: int) -> Tensor:
    """Returns the logits at the last `keep` places where there are images, else at all."""
    forget_lengths(model)
    fields = {"input_ids": ids, "attention_mask": mask}
    how = {"logits_to_keep": keep} if images else {}
    for name, value in images.items():  # those with one entry per token get zeros, for text, up to the end
        per_token = name.endswith("token_type_ids")
        fields[name] = pad(value, (0, ids.shape[1] - value.shape[1])) if per_token else value
    output: Tensor = model(**{name: value.to(model.device) for name, value in fields.items()}, **how).logits
    return output.float()


def _add_up(logits: Tensor, ref_logits: Tensor, labels: Tensor, marked: Tensor) -> SideTerms:
    """Adds up the terms of `(T, V)` logits; a vocabulary that one model pads is cut to that of the other."""
    size = min(logits.shape[-1], ref_logits.shape[-1])
    log_probs, ref_log_probs = (each[:, :size].log_softmax(-1) for each in (logits, ref_logits))
    logps, ref_logps = (each.gather(-1, labels[:, None])[:, 0].cpu().double() for each in (log_probs, ref_log_probs))
    kl = (ref_log_probs.exp() * (ref_log_probs - log_probs)).sum(-1).cpu().double()
    sums = (logps.sum(), ref_logps.sum(), kl.sum(), logps[marked].sum(), ref_logps[marked].sum())
    logp, ref_logp, divergence, marked_logp, marked_ref_logp = (float(each) for each in sums)
    return SideTerms(len(labels), logp, ref_logp, divergence, int(marked.sum()), marked_logp, marked_ref_logp)


def _batches(lengths: Sequence[int], most_tokens: int, name: Callable[[int], object]) -> Iterator[list[int]]:
    """Yields places of sequences of similar length and one name, as many as fit, one at least."""
    part: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda place: lengths[place]):
        if part and ((len(part) + 1) * lengths[i] > most_tokens or name(lengths[i]) != name(lengths[part[0]])):
            yield part
            part = []
        part.append(i)
    if part:
        yield part
