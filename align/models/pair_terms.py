"""Pairs as tokens, and their log-probs and KL under a model and its reference; added up, because tokens are many."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor

from align.data.conversations import put_images_in, show_places
from align.data.pairs.marks import MarkRule, decide_marks, tokenized_responses
from align.data.pairs.preferences import PreferencePair
from align.data.template_settings import template_settings
from align.data.texts import count_shared
from align.errors import DataError, UserError
from align.models.likelihood import batched_by_length
from align.models.reading import render
from align.models.rope_lengths import forget_lengths, read_together
from align.models.second_pass.forward import image_fields
from align.models.second_pass.image_memo import remembered_images
from align.models.second_pass.shared_prompts import pad_rows
from align.models.videos import opened, places, shown, video_reading

RULE = MarkRule("differing", "word", "drop", max_length=None)  # a pair without spans has no marked tokens


class TokenizedPair(NamedTuple):
    """A pair as tokens."""

    prompt: int  # how many of the first tokens are the prompt
    chosen: list[int]  # prompt and better response
    rejected: list[int]  # prompt and worse response
    chosen_marks: list[int]  # 1 for each token of the response that is marked
    rejected_marks: list[int]
    images: Mapping[str, Any] = {}  # what the model reads of the images in the prompt beside their tokens


def tokenize_pair(tokenizer: Any, pair: PreferencePair) -> TokenizedPair:
    """Tokenises a pair without images as TRL's DPO does, by a fast tokenizer, and marks tokens as training does."""
    prompt, texts = _render(tokenizer, pair)
    is_text = isinstance(pair.prompt, str)
    ids = tokenizer(prompt, add_special_tokens=is_text)["input_ids"]
    encoded = tokenizer(texts, add_special_tokens=is_text, return_offsets_mapping=True)
    shared = count_shared(ids, *encoded["input_ids"])
    tokens = list(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True))
    chosen, rejected = tokenized_responses(pair, prompt, texts, tokens)
    try:
        marks = decide_marks(RULE, pair.spans_from, chosen, rejected, prompt=shared, skip=shared)
    except ValueError as error:
        raise DataError(f"Row {pair.row} ({pair.id}): {error}") from error
    return TokenizedPair(shared, list(chosen.ids), list(rejected.ids), marks.chosen, marks.rejected)


def check_tokenizers(model: Any, reference: Any, names: tuple[str, str]) -> None:
    """Refuses two models whose tokens are not the same: their distributions cannot be compared."""
    if model.get_vocab() != reference.get_vocab():
        raise UserError(
            f"{names[0]} and its reference {names[1]} have different tokenizers ({len(model):,} and "
            f"{len(reference):,} tokens), so log-probs and KL of one cannot be compared with the other's. Give the "
            "model that it was trained from as `--reference`."
        )
    if not model.is_fast:
        raise UserError(f"{names[0]} has no tokenizer.json; marked tokens need a fast tokenizer. Save one beside it.")


def _render(tokenizer: Any, pair: PreferencePair) -> tuple[str, list[str]]:
    if isinstance(pair.prompt, str):
        end = tokenizer.eos_token or ""
        ended = [text if text.endswith(end) else text + end for text in (pair.chosen, pair.rejected)]
        return pair.prompt, [pair.prompt + text for text in ended]
    if tokenizer.chat_template is None:
        raise UserError(
            f"The pairs are messages and the tokenizer of {tokenizer.name_or_path} has no chat template. Put a "
            "`chat_template.jinja` into its folder, as training with `chat_template_path` does, or write texts."
        )
    settings = {"tokenize": False, **template_settings(pair.template)}
    prompt = render(tokenizer, pair.prompt, add_generation_prompt=True, **settings)
    full = [render(tokenizer, [*pair.prompt, *response], **settings) for response in pair.responses]
    return prompt, full


def tokenize_image_pair(processor: Any, pair: PreferencePair) -> TokenizedPair:
    """Tokenises a pair of a data set with images, whose prompt is messages, and marks its tokens as training does."""
    if processor.chat_template is None:
        raise UserError("The processor has no chat template, and prompts are messages. Save one beside the model.")
    prompt, texts = _render_images(processor, pair)
    try:
        ids, images = _read_prompt(processor, prompt, shown(pair.images, pair.video, processor))
    except (OSError, ValueError) as error:
        raise DataError(
            f"Row {pair.row} ({pair.id}): an image cannot be read: {error}. Repair or replace it, or leave the row "
            "out."
        ) from error
    encoded = processor.tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    tokens = list(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True))
    full = [prompt + text for text in texts]
    chosen, rejected = tokenized_responses(pair, prompt, full, tokens, begin=len(prompt))
    try:
        marks = decide_marks(RULE, pair.spans_from, chosen, rejected, prompt=len(ids))
    except ValueError as error:
        raise DataError(f"Row {pair.row} ({pair.id}): {error}") from error
    return TokenizedPair(len(ids), [*ids, *chosen.ids], [*ids, *rejected.ids], marks.chosen, marks.rejected, images)


def _render_images(processor: Any, pair: PreferencePair) -> tuple[str, list[str]]:
    """Renders the prompt, with one placeholder per image, and what follows it in each response, as TRL 1.16 does."""
    token = getattr(processor, "image_token", None)
    for text in (pair.chosen, pair.rejected):
        if token and token in text:
            raise DataError(
                f"Row {pair.row} ({pair.id}): a response has {token}, which this model reads as an image. Take it "
                "out: only the prompt may have images."
            )
    settings = {"tokenize": False, **pair.template.get("chat_template_kwargs", {})}
    asked = put_images_in(list(pair.prompt), places(shown(pair.images, pair.video, processor)))  # type: ignore[arg-type]
    prompt = render(processor, asked, add_generation_prompt=True, **settings)
    full = [render(processor, [*asked, *show_places(response, 0)], **settings) for response in pair.responses]
    # A template may end a prompt by what it does not put before a response.
    end = min(count_shared(text, prompt) for text in full)
    return prompt[:end], [text[end:] for text in full]


def _read_prompt(processor: Any, prompt: str, images: Sequence[Any]) -> tuple[list[int], dict[str, Any]]:
    """Returns the tokens of a prompt, those of images included, and what else the model reads of the images."""
    if not images:
        return processor.tokenizer(prompt, add_special_tokens=False)["input_ids"], {}
    read = video_reading(processor)
    fields = dict(read(text=[prompt], images=[opened(images)], return_tensors="pt", add_special_tokens=False))
    ids: list[int] = fields.pop("input_ids")[0].tolist()
    fields.pop("attention_mask", None)
    return ids, fields


MOST_LOGITS = 2**25  # of one model at once: 128 MiB


class SideTerms(NamedTuple):
    """What a response's tokens add up to, in nats: over all of them, and over those that are marked."""

    tokens: int  # how many there are
    logp: float  # log-probs under the model
    ref_logp: float  # under the reference
    kl: float  # KL(reference || model) of every next-token distribution
    marked: int  # how many are marked
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
    """A response behind its prompt, as tokens."""

    ids: Sequence[int]  # prompt and response
    prompt: int  # how many of these are the prompt
    marks: Sequence[int]  # 1 for each token of the response that is marked
    images: Mapping[str, Tensor] = {}  # what the model reads of the images in the prompt beside their tokens


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
    """Reads responses with a causal language model and a reference with the same tokens, each token once with each.

    A response behind images is read alone, because every model lays out the images of several another way; the images
    of one that follows another with the same ones are not looked at again.
    """
    found: dict[int, SideTerms] = {}
    width = max(each.get_input_embeddings().num_embeddings for each in (model, reference))
    with ExitStack() as stack:
        if any(side.images for side in sides):
            for each in [model] if model is reference else [model, reference]:
                stack.enter_context(remembered_images(each))
        own, other = read_together(model), read_together(reference)
        for part in _parts(sides, MOST_LOGITS // width, lambda length: (own(length), other(length))):
            ids, mask = pad_rows([sides[i].ids for i in part], 0, "right")
            images = sides[part[0]].images
            # Images are many tokens, none of which is scored.
            before = max(sides[part[0]].prompt, 1) - 1 if images else 0
            keep = ids.shape[1] - before
            logits, ref_logits = (_logits(each, ids, mask, images, keep) for each in (model, reference))
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
    for part in batched_by_length([len(sides[i].ids) for i in texts], most_tokens, name):
        yield [texts[j] for j in part]
    yield from ([i] for i, side in enumerate(sides) if side.images)


def _logits(model: Any, ids: Tensor, mask: Tensor, images: Mapping[str, Tensor], keep: int) -> Tensor:
    """Returns the logits at the last `keep` places where there are images, else at all."""
    forget_lengths(model)
    fields = {"input_ids": ids, "attention_mask": mask, **image_fields(images, ids)}
    how = {"logits_to_keep": keep} if images else {}
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
