"""Completions whose advantage is 0 teach nothing: the update is computed for the others alone, in fewer batches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from heapq import heapify, heappush, heapreplace
from itertools import accumulate
from math import gcd
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import DistributedType
from torch import Tensor
from trl.trainer.utils import split_pixel_values_by_grid, unsplit_pixel_values_by_grid

from align.console import say
from align.methods.pairs.shared_prompts import SharedPrompts, drops
from align.methods.rollouts.saved_tokens import OF_DROPOUT, OF_KL, over_all
from align.models.rope_lengths import length_free
from align.models.rows_of_trees import distinct_tokens, fill, pack_groups, saves
from align.models.second_pass.image_memo import exact_sums
from align.models.second_pass.trial import reads_behind_padding

if TYPE_CHECKING:
    from trl import GRPOTrainer as Parent
else:
    Parent = object

Batch = dict[str, Any]
_SUMS = ("dapo", "cispo", "vespo")  # a sum over tokens, divided by a number for the whole generation
_PER_TOKEN = (  # of a completion; a ratio of whole sequences has one column
    "completion_ids", "completion_mask", "tool_mask", "old_per_token_logps", "ref_per_token_logps",
    "sampling_per_token_logps", "importance_sampling_ratio",
)  # fmt: skip
_WORTH_A_PASS = 0.05  # of the tokens of a batch: padding that is saved by reading it in two
_LOSS, _KNOWN = {"_compute_loss", "compute_loss"}, ("align", "trl", "transformers")
_SCALE, _IDLE = "zero_advantage_scale", "zero_advantage_idle"  # in a packed batch; TRL passes over them
_FLOOR = "zero_advantage_floor"  # in the last of an update


class SkipZeroAdvantage(Parent):
    """Leaves out of the update the completions whose advantage is 0, and columns that are padding in all of a batch.

    What is left of an update is packed anew, by length, into no more batches than TRL's, each with no more tokens, and
    into fewer where that costs no padding to speak of. Where prompts are long enough, completions of one prompt are
    packed together and read it once, in updates and where old and reference log-probs are computed. The gradient is
    that of TRL on the same completions, up to rounding: each keeps the weight that it had in its batch. Ranks make as
    many forward passes as the one that has most left. With `beta` above 0 all completions are packed. Where
    `reason_for_all` names another term of the loss that is over all, they stay in TRL's batches, without padding.
    Where dropout is drawn, other rows would draw another: nothing is left out.

    Entropy, shares of clipped tokens and whatever else TRL's loss logs are then of the completions that are left. With
    `skip_without_advantage: off` the trainer is its parent, bit for bit. A subclass with a loss of its own sets
    `term_over_all` to what of it is over all completions, or to None.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shared = SharedPrompts(self, what="The prompt of several completions")
        wanted = getattr(self.args, "skip_without_advantage", "auto") == "auto"  # TRL's own config has it not
        reason = reason_for_all(self) if wanted else None
        self._cuts = wanted and reason != OF_DROPOUT
        self._packs = self._cuts and reason is None
        self._skips = self._packs and self.beta == 0.0
        self._tokens_read = 0  # of this process in this update
        if wanted and not self._skips and self.accelerator.is_main_process:
            say(f"Completions without an advantage are computed, too: {reason or OF_KL}.")

    @property
    def _buffered_inputs(self) -> Any:
        """The batches of a generation, packed as TRL keeps them here; None before the first generation."""
        return self._batches

    @_buffered_inputs.setter
    def _buffered_inputs(self, batches: Any) -> None:
        if batches is not None and self._cuts:
            packed = self._pack(batches) if self._packs else batches
            batches = [self._cut(batch) for batch in packed]
        self._batches = batches

    def _pack(self, batches: Sequence[Batch]) -> list[Batch]:
        """Packs what is left of a generation; there are as many batches as before, of which some are empty."""
        together = gcd(len(batches), self.args.gradient_accumulation_steps)  # batches that are in one update
        width = self._shared_width  # which ranks find out together
        width = width if "num_images" not in batches[0] or self._shared.with_images is not False else None
        parts = [batches[i : i + together] for i in range(0, len(batches), together)]
        windows = [Window(part, self.loss_type, width, self._skips) for part in parts]
        totals = [sum(len(each.taught) for each in windows), sum(each.tokens for each in windows)]
        own = torch.tensor([*(len(each.packed) for each in windows), *totals], device=self.accelerator.device)
        ranks = self.accelerator.gather(own[None])  # (ranks, windows + 2)
        taught, tokens = ranks[:, -2:].sum(0).tolist()
        rows = len(ranks) * len(batches) * len(batches[0]["advantages"])
        self._metrics["train"]["rollouts/trained_share"].append(taught / rows)
        self._metrics["train"]["rollouts/trained_tokens"].append(tokens)
        most = ranks[:, :-2].amax(0).tolist()
        # DeepSpeed begins a sum of gradients with the first pass of an update, and so needs one in all places.
        least = together if self.accelerator.distributed_type == DistributedType.DEEPSPEED else 1
        return [batch for each, number in zip(windows, most, strict=True) for batch in each.batches(number, least)]

    @cached_property
    def _cuts_right(self) -> bool:
        model: Any = self.model
        return not self.pad_to_multiple_of and length_free(model)

    @cached_property
    def _cuts_left(self) -> bool:
        model: Any = self.model
        cuts = self._cuts_right and reads_behind_padding(model, self._tokenizer.pad_token_id)
        if not cuts and self.accelerator.is_main_process:
            reason = "`pad_to_multiple_of` is set" if self.pad_to_multiple_of else "its positions count padding"
            say(f"The update reads padding before prompts, and each prompt for each completion: {reason}.")
        return cuts

    @cached_property
    def _shared_width(self) -> int | None:
        """Returns the width of the hidden states of a model that may read a prompt once for several completions."""
        model: Any = self.model
        may = self._cuts_left and self._shared.are_used(model)
        return int(model.config.get_text_config().hidden_size) if may else None

    def _cut(self, batch: Batch) -> Batch:
        """Cuts columns off that are padding in all rows; of models whose positions count padding, none on the left."""
        if not batch or not self._cuts_right:
            return batch
        prompt, completion = batch["prompt_mask"], batch["completion_mask"]
        first = int(prompt.any(0).int().argmax()) if self._cuts_left else 0
        length = max(1, int(completion.sum(1).max()))  # of completions, which are padded on the right
        cut = {name: batch[name][:, first:] for name in ("prompt_ids", "prompt_mask")}
        cut |= {name: batch[name][:, :length] for name in _PER_TOKEN if name in batch}
        types = (name for name in ("token_type_ids", "mm_token_type_ids") if name in batch)
        cut |= {name: batch[name][:, first : prompt.shape[1] + length] for name in types}
        return batch | cut

    def _compute_loss(self, model: Any, inputs: Batch) -> Tensor:
        if not inputs:  # all that is left is in the batches that follow
            return torch.zeros((), device=self.accelerator.device, requires_grad=True)
        if _SCALE not in inputs:
            return super()._compute_loss(model, inputs)
        metrics: Any = self._metrics["train"]
        logged = {name: len(values) for name, values in metrics.items()}
        with _rows_may_differ(self.accelerator):
            loss: Tensor = super()._compute_loss(model, inputs) * inputs[_SCALE]
        for name, values in list(metrics.items()) if inputs[_IDLE] else ():
            del values[logged.get(name, 0) :]
            if not values:  # TRL divides by their number
                del metrics[name]
        if _FLOOR in inputs:
            own = torch.tensor([self._tokens_read, inputs[_FLOOR]], device=self.accelerator.device)
            for name, total in zip(("read", "floor"), self.accelerator.reduce(own, "sum").tolist(), strict=True):
                metrics[f"rollouts/{name}_tokens"].append(total)
            self._tokens_read = 0
        return loss

    def _get_per_token_logps_and_entropies(self, model: Any, input_ids: Tensor, *args: Any, **fields: Any) -> Any:
        """Reads prompts once, with the policy and its reference, in updates and before them."""
        may = self._cuts and self._cuts_left and self._shared.are_used(model)  # which ranks find out together
        with self._shared.reading(model) if may else nullcontext() as tokens:
            found = super()._get_per_token_logps_and_entropies(model, input_ids, *args, **fields)
        if torch.is_grad_enabled():
            self._tokens_read += sum(tokens or [input_ids.numel()])
        return found


@contextmanager
def _rows_may_differ(accelerator: Any) -> Iterator[None]:
    """Gathers values of rows from ranks with unlike numbers of rows; TRL's extremes pass over NaN."""
    gather = accelerator.gather
    if accelerator.num_processes > 1:
        accelerator.gather = lambda values: gather(accelerator.pad_across_processes(values, pad_index=float("nan")))
    try:
        yield
    finally:
        vars(accelerator).pop("gather", None)


def reason_for_all(trainer: Any) -> str | None:
    """Says which term of a trainer's loss is over all completions, whatever their advantage; None if none is."""
    terms = {
        OF_DROPOUT: drops(trainer.model),
        **over_all(trainer.args),
        "the loss of the router is over all": trainer.aux_loss_enabled,
    }
    if not hasattr(trainer, "term_over_all"):
        foreign = (kind for kind in type(trainer).__mro__ if kind.__module__.partition(".")[0] not in _KNOWN)
        own = [kind.__name__ for kind in foreign if not _LOSS.isdisjoint(vars(kind))]
        why = "has a loss of its own; `term_over_all = None` in it says that no term is over all"
        terms[f"{', '.join(own)} {why}"] = bool(own)
    of_subclass: str | None = getattr(trainer, "term_over_all", None)
    return next((term for term, is_there in terms.items() if is_there), of_subclass)


class Window:
    """The batches of one generation that are in one update, of `B` rows each, as `GRPOTrainer` buffers them.

    `taught` are the rows that have a token that counts and, if the window skips others, an advantage; `tokens` are
    their tokens with prompts, `floor` how many these are where what several begin with counts once, `packed` these
    rows by batch. `shared_width` is that of the hidden states of a model that may read a prompt once for several
    rows, or None.
    """

    def __init__(
        self, batches: Sequence[Batch], loss_type: str, shared_width: int | None = None, skips: bool = True
    ) -> None:
        split = [split_pixel_values_by_grid(batch) for batch in batches]
        self._rows = {name: _join([batch[name] for batch in split]) for name in split[0]}
        self._number, self._size, self._loss_type = len(batches), len(batches[0]["advantages"]), loss_type
        mask = self._rows["completion_mask"] * self._rows.get("tool_mask", 1)
        self._counted = mask.sum(1)  # tokens of each row that count
        teaches = self._counted > 0
        if skips:
            teaches &= (self._rows["advantages"] != 0).view(len(mask), -1).any(1)
        # Rows without images are left where they are: together they would not be read by the images' part of a model.
        is_mixed = 0 in (self._rows.get("num_images") or ())
        self.taught: list[int] = (teaches | is_mixed).nonzero().flatten().tolist()
        prompts, written = (self._tokens(part) for part in ("prompt", "completion"))
        self._lengths = [(len(one), len(other)) for one, other in zip(prompts, written, strict=True)]
        self.tokens = sum(sum(self._lengths[row]) for row in self.taught)
        pixels = self._rows.get("pixel_values")
        shown = [0] * len(mask) if pixels is None else [int(exact_sums(each.reshape(1, -1))) for each in pixels]
        self._prompts = [(image, *ids) for image, ids in zip(shown, prompts, strict=True)]
        whole = [(*self._prompts[row], *written[row]) for row in self.taught]
        self.floor = distinct_tokens(whole) - len({image for image, *_ in whole})
        if is_mixed:
            self.packed = self._as_they_were()
        else:
            self.packed = self._by_prompt() if shared_width and self._saves(shared_width) else self._by_length()

    def _tokens(self, part: str) -> list[list[int]]:
        ids, masks = (self._rows[f"{part}_{kind}"].cpu() for kind in ("ids", "mask"))
        return [row[mask.bool()].tolist() for row, mask in zip(ids, masks, strict=True)]

    def _as_they_were(self) -> list[list[int]]:
        return [[*range(first, first + self._size)] for first in range(0, self._number * self._size, self._size)]

    def _saves(self, width: int) -> bool:
        """Tells whether some of the rows, as long as they are on average, are cheaper with one prompt."""
        lengths = [self._lengths[row] for row in self.taught] or [(0, 0)]
        prompt, completion = (sum(each) // len(lengths) for each in zip(*lengths, strict=True))
        return saves(prompt, completion, self._size, width)

    def _by_prompt(self) -> list[list[int]]:
        """Puts rows with one prompt together, and no others where there are places enough."""
        alike: dict[tuple[int, ...], list[int]] = {}
        for row in self._sorted():
            alike.setdefault(self._prompts[row], []).append(row)
        return pack_groups([*alike.values()], self._fit, self._number)

    def _by_length(self) -> list[list[int]]:
        """Puts rows of like length together, and takes batches apart while that saves padding and there are places."""
        cuts = [self._best_cut(rows) for rows in fill(([row] for row in self._sorted()), self._fit)]
        heapify(cuts)
        while cuts and len(cuts) < self._number:
            more, place, rows = cuts[0]
            if -more < _WORTH_A_PASS * self._padded(rows):
                break
            heapreplace(cuts, self._best_cut(rows[:place]))
            heappush(cuts, self._best_cut(rows[place:]))
        return sorted((rows for *_, rows in cuts), key=lambda rows: sum(self._lengths[rows[0]]))

    def _padded(self, rows: Sequence[int]) -> int:
        """Counts the tokens of a batch, with its padding."""
        return len(rows) * sum(max(each) for each in zip(*(self._lengths[row] for row in rows), strict=True))

    def _best_cut(self, rows: list[int]) -> tuple[int, int, list[int]]:
        """Finds how many padded tokens more two batches have than one, less than 0 if they save, and where to cut."""
        widest = [*accumulate((self._lengths[row] for row in rows), _wider)]
        behind = [*accumulate((self._lengths[row] for row in reversed(rows)), _wider)][::-1]
        whole = len(rows) * sum(widest[-1])
        cuts = (
            (place * sum(widest[place - 1]) + (len(rows) - place) * sum(behind[place]) - whole, place)
            for place in range(1, len(rows))
        )
        return (*min(cuts, default=(0, 0)), rows)

    def _sorted(self) -> list[int]:
        return sorted(self.taught, key=lambda row: sum(self._lengths[row]))

    def _fit(self, rows: Sequence[int]) -> bool:
        most = [self._size * self._rows[f"{name}_ids"].shape[1] for name in ("prompt", "completion")]
        _, completions = zip(*(self._lengths[row] for row in rows), strict=True)
        logits = len(rows) * max(completions)  # are of completions
        return self._padded(rows) <= sum(most) and logits <= most[1]

    def batches(self, most: int, least: int = 1) -> list[Batch]:
        """Makes as many batches as there were, those of the rows at the end.

        The last is never empty: it hands the gradients to the other ranks and to the optimizer. `most` is how many the
        rank has that has most left; `least` are read also where there are no rows for them.
        """
        read = max(most, least)
        filled = [self._idle() for _ in range(read - len(self.packed))] + [self._batch(rows) for rows in self.packed]
        flagged = [batch | {_IDLE: place < read - most} for place, batch in enumerate(filled)]
        flagged[-1][_FLOOR] = self.floor
        return [{}] * (self._number - read) + flagged

    def _batch(self, rows: list[int]) -> Batch:
        """Takes rows, and what gives them the weight that they had in their batch."""
        batch: Batch = unsplit_pixel_values_by_grid({name: _take(value, rows) for name, value in self._rows.items()})
        scale = 1.0 if self._loss_type in (*_SUMS, "bnpo") else len(rows) / self._size
        if self._loss_type == "bnpo":  # divides by the tokens of a batch, which for these rows were several
            tokens = self._counted.view(-1, self._size).sum(1).clamp(min=1).repeat_interleave(self._size)
            batch["advantages"] = batch["advantages"] * (self._counted[rows].sum() / tokens[rows])
        return batch | {_SCALE: scale}

    def _idle(self) -> Batch:
        """Makes a batch without a gradient of the row with the shortest prompt."""
        batch = self._batch([min(range(len(self._lengths)), key=lambda row: self._lengths[row])])
        for name, value in batch.items():
            if name in ("completion_mask", "advantages") or name.endswith("per_token_logps"):
                batch[name] = torch.zeros_like(value)
            elif name == "importance_sampling_ratio":
                batch[name] = torch.ones_like(value)
        return batch


def _wider(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return max(one[0], other[0]), max(one[1], other[1])


def _join(values: Sequence[Any]) -> Any:
    if all(isinstance(value, list) for value in values):
        return [each for value in values for each in value]
    if not isinstance(values[0], list) and not getattr(values[0], "ndim", 0):
        return values[0]
    # A batch in which every row has one image looks to TRL as if its pixels were one block per image.
    return torch.cat([torch.cat(value) if isinstance(value, list) else value for value in values])


def _take(values: Any, rows: list[int]) -> Any:
    if isinstance(values, list):
        return [values[row] for row in rows]
    return values[rows] if isinstance(values, Tensor) and values.ndim else values
