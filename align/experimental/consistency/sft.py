"""SFT whose answers are as likely behind a perturbed prompt (Modality Interference, arXiv 2505.19616)."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel
from trl.data_utils import _tokenize, maybe_convert_to_chatml

from align.data.demonstrations import Demonstration
from align.data.template_settings import check_template_columns, template_settings
from align.data.training_data import TrainingData
from align.errors import DataError
from align.experimental.consistency.comparison import Comparison, check_trainer
from align.experimental.consistency.loss import before_answers
from align.experimental.consistency.rules import (
    NO_IMAGES,
    OF_SFT,
    ConsistencyConfig,
    Prompt,
    consistency_families,
    other_prompt,
    prompt_of,
    with_families,
)
from align.methods.sft import trainer as sft
from align.methods.sft.config import SFTConfig
from align.methods.sft.trainer import CountedSFTTrainer
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from rewards.scoring.families import Family

IGNORED = -100
Tokenise = Callable[..., list[int]]
Batch = dict[str, Any]


class Changed(NamedTuple):
    """A row with another prompt."""

    ids: list[int]  # the answer at their end
    start: int  # place of the answer's first token in them
    clean_start: int  # the same in the row as it is
    compared: list[bool]  # which of the answer's tokens are learnt, and so compared


class VersionMaker:
    """Changes prompts of rows, differently at every visit; what is drawn depends on seed, step and row only."""

    def __init__(
        self,
        families: Sequence[Family],
        prompts: Sequence[Prompt],
        tokenise: Tokenise,
        max_length: int | None,
        seed: int,
        settings: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        self.families, self.prompts, self.settings = families, prompts, settings
        self.tokenise, self.max_length, self.seed = tokenise, max_length, seed

    def change(self, row: int, ids: Sequence[int], labels: Sequence[int], step: int) -> Changed | None:
        """Puts the answer of a row behind another prompt; None if there is no other, or nothing to compare.

        The answer keeps its tokens: they are those behind the clean prompt. Where the end of the prompt has merged
        with its first token, that end has to be the same in the other prompt. Labels are `IGNORED` where nothing is
        learnt.
        """
        changed = other_prompt(
            self.families, {"prompt": self.prompts[row]}, random.Random(f"{self.seed}/{step}/{row}")
        )
        if changed is None:
            return None
        told = {} if self.settings is None else self.settings[row]
        before, after = self.tokenise(self.prompts[row], **told), self.tokenise(changed, **told)
        differ = (i for i, (a, b) in enumerate(zip(before, ids, strict=False)) if a != b)
        start = next(differ, min(len(before), len(ids)))  # where TRL has the answer begin
        merged = before[start:]
        if merged and after[-len(merged) :] != merged:
            return None
        after = after[: len(after) - len(merged)]
        room = len(ids) if self.max_length is None else max(self.max_length - len(after), 0)
        answer = list(ids[start:])[:room]
        compared = [label != IGNORED for label in labels[start:]][:room]
        if not (start and after and any(compared)):
            return None
        return Changed(after + answer, len(after), start, compared)

    def extend(self, batch: Batch, rows: Sequence[int], step: int, pad_id: int) -> dict[str, Tensor]:
        """Adds changed rows behind those of a batch in place, `(B, S)` padded on the right, with nothing to learn.

        Returns `rows`, `(C,)` places of the clean rows; `clean_starts` and `starts`, `(C,)` of the answers in both;
        and `compared`, `(C, T)`.
        """
        ids, labels, mask = (batch[name] for name in ("input_ids", "labels", "attention_mask"))
        lengths = mask.sum(1).tolist()
        found = [
            (place, changed)
            for place, (row, length) in enumerate(zip(rows, lengths, strict=True))
            if (changed := self.change(row, ids[place, :length].tolist(), labels[place, :length].tolist(), step))
        ]
        width = max([ids.shape[1], *(len(changed.ids) for _, changed in found)])
        longest = max((len(changed.compared) for _, changed in found), default=0)
        more = [torch.tensor(changed.ids, device=ids.device) for _, changed in found]
        batch["input_ids"] = _stack(ids, more, width, pad_id)
        batch["labels"] = _stack(labels, [torch.full_like(each, IGNORED) for each in more], width, IGNORED)
        batch["attention_mask"] = _stack(mask, [torch.ones_like(each) for each in more], width, 0)
        compared = torch.zeros(len(found), longest, dtype=torch.bool)
        for number, (_, changed) in enumerate(found):
            compared[number, : len(changed.compared)] = torch.tensor(changed.compared)
        numbers = [(place, changed.clean_start, changed.start) for place, changed in found]
        columns = torch.tensor(numbers, dtype=torch.long).reshape(-1, 3).T.to(ids.device)
        made = dict(zip(("rows", "clean_starts", "starts"), columns, strict=True))
        return made | {"compared": compared.to(ids.device)}


def _stack(rows: Tensor, more: Sequence[Tensor], width: int, value: int) -> Tensor:
    padded = [pad(rows, (0, width - rows.shape[1]), value=value)]
    return torch.cat([*padded, *(pad(each[None], (0, width - len(each)), value=value) for each in more)])


ROW = "consistency_row"  # number of a row, in batches
PLAN = "consistency"  # what is compared, in batches


@dataclass
class ConsistentSFTConfig(ConsistencyConfig, SFTConfig):
    """`SFTConfig` with the settings of consistency."""

    RULES = OF_SFT


class ConsistentSFTTrainer(CountedSFTTrainer):
    """An SFT trainer that also compares each answer behind its prompt and behind a perturbed one.

    Differs from `SFTTrainer` in the batches of training: behind their rows stand the same rows with a perturbed
    prompt, in which TRL's loss learns nothing. One forward pass reads both, so that DDP and DeepSpeed see one pass as
    they expect. With `consistency_coef: 0` nothing differs. The logged `loss` is the sum of both losses; that of
    evaluations is the SFT loss.
    """

    _config = ConsistentSFTConfig
    args: ConsistentSFTConfig
    model: PreTrainedModel
    _sum: Tensor
    _comparison: Comparison

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._versions: VersionMaker | None = None
        super().__init__(*args, **kwargs)
        if self._versions is None:
            if getattr(self.args, "consistency_coef", 0) > 0:  # TRL prepares rows with images in the collator
                raise DataError(NO_IMAGES)
            return
        check_trainer(self)
        self._comparison = Comparison(self.model, self.args.consistency_divergence)
        self.data_collator = _WithNumbers(self.data_collator)
        self._set_signature_columns_if_needed()
        columns: Any = self._signature_columns
        columns += [ROW]
        self._sum = torch.zeros((), device=self.args.device)  # of divergences, in the step that is being made

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, *rest: Any) -> Any:
        """Prepares rows as TRL does, and numbers those of training so that their prompts are found again."""
        is_training = rest[-1] == "train" and self._versions is None  # an evaluation may have that name, later
        if is_training and getattr(args, "consistency_coef", 0) > 0:
            if not isinstance(dataset, Dataset):
                raise ValueError(
                    "`consistency_coef` above 0 looks up the prompt of a row by its number, and rows of a stream "
                    "have none. Give a `datasets.Dataset`, or set `consistency_coef: 0`."
                )
            if "input_ids" in dataset.column_names or rest[1] is not None:
                raise ValueError(
                    "`consistency_coef` above 0 needs a data set of texts or messages to change, not of tokens, nor "
                    "what a `formatting_func` writes. Give `messages`, or `prompt` and `completion`."
                )
            rows = [maybe_convert_to_chatml(row) for row in dataset]  # type: ignore[arg-type]
            prompts = [prompt_of(row) for row in rows]
            settings = [template_settings(check_template_columns(row)) for row in rows]
            families = consistency_families(args.consistency_families)
            template = {"chat_template": self.chat_template}

            def tokenise(prompt: Any, **told: Any) -> list[int]:
                extra = {} if isinstance(prompt, str) else {"add_generation_prompt": True, **told}
                return _tokenize(processing_class, prompt, **template, **extra)["input_ids"]

            self._versions = VersionMaker(families, prompts, tokenise, args.max_length, args.seed, settings)
            dataset = dataset.add_column(ROW, list(range(len(dataset))))
        return super()._prepare_dataset(dataset, processing_class, args, *rest)

    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: torch.device
    ) -> tuple[list[Batch], Any]:
        """Takes the batches of a step, and adds the changed rows to each; all tokens of the step weigh the same."""
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        if self._versions is None or not batches:
            return batches, items
        pad_id, step = self._tokenizer.pad_token_id, self.state.global_step
        numbers = [batch.pop(ROW).tolist() for batch in batches]
        plans = [
            self._versions.extend(batch, rows, step, pad_id) for batch, rows in zip(batches, numbers, strict=True)
        ]
        counts = torch.tensor(
            [
                sum(int(plan["compared"].sum()) for plan in plans),
                sum(len(plan["rows"]) for plan in plans),
                sum(len(rows) for rows in numbers),
            ],
            device=device,
        )
        tokens, changed, seen = self.accelerator.reduce(counts, "sum")
        for batch, plan in zip(batches, plans, strict=True):
            batch[PLAN] = plan | {"total": tokens.clamp(min=1)}
        self._metrics["train"]["consistency/changed"].append((changed / seen).item())
        return batches, items

    def training_step(self, model: Any, inputs: Batch, num_items_in_batch: Any = None) -> Tensor:
        """Makes TRL's step, and logs the divergence over all batches of an update."""
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        if self._versions is not None and self.accelerator.sync_gradients:
            divergence = self.accelerator.reduce(self._sum, "sum").item()
            self._metrics["train"]["consistency/divergence"].append(divergence)
            self._sum = torch.zeros_like(self._sum)
        return loss

    def compute_loss(
        self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Adds the mean divergence over the compared tokens, times `consistency_coef`, to TRL's loss."""
        plan = inputs.pop(PLAN, None) if self._versions is not None else None
        if plan is None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        with self._comparison.states_kept() as states:
            result = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        loss, *outputs = result if return_outputs else (result,)
        part = self._divergence(states[0], plan) / plan["total"]
        self._sum += part.detach()
        share = part * self.accelerator.num_processes  # which are averaged
        if num_items_in_batch is None:  # then the trainer divides by the number of batches
            share = share * self.current_gradient_accumulation_steps
        loss = loss + self.args.consistency_coef * share
        return (loss, *outputs) if return_outputs else loss

    def _divergence(self, states: Tensor, plan: dict[str, Tensor]) -> Tensor:
        """Sums the divergence over the compared tokens; the head reads those alone."""
        rows, length = plan["rows"], plan["compared"].shape[1]
        clean = before_answers(states[rows], plan["clean_starts"], length)[plan["compared"]]
        changed = before_answers(states[len(states) - len(rows) :], plan["starts"], length)[plan["compared"]]
        return self._comparison.sum(clean, changed)


class _WithNumbers:
    """Collates as another collator does, with the numbers of the rows: `(B,)`."""

    def __init__(self, collate: Callable[[list[Batch]], Batch]) -> None:
        self.collate = collate

    def __call__(self, rows: list[Batch]) -> Batch:
        batch = self.collate(rows)
        return batch | {ROW: torch.tensor([row[ROW] for row in rows])} if ROW in rows[0] else batch


def build_sft(recipe: Recipe, data: TrainingData[Demonstration], rewards: list[Reward]) -> CountedSFTTrainer:
    """Builds it as SFT is built."""
    return sft.build(with_families(recipe), data, rewards, ConsistentSFTTrainer)
