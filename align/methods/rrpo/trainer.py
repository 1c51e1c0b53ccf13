"""RRPO: preference learning that touches only what differs (arXiv 2504.12083)."""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from accelerate import PartialState
from accelerate.logging import get_logger
from accelerate.utils import is_peft_model
from datasets import Dataset, IterableDataset
from torch import Tensor
from transformers import PreTrainedModel
from trl import DPOTrainer

from align.data.pairs.marks import MarkRule
from align.data.pairs.preferences import PreferencePair
from align.data.training_data import TrainingData
from align.errors import DataError
from align.methods.pairs.shared_prompts import SharedPrompts
from align.methods.rrpo.config import RRPOConfig
from align.methods.rrpo.loss import rrpo_loss, span_log_ratio, tdpo_loss
from align.methods.rrpo.rules import is_plain_dpo
from align.methods.rrpo.spans import (
    COLUMNS,
    Fitter,
    ImageTokens,
    Marker,
    SpanCollator,
    VisionMarker,
    VisionSpanCollator,
    fit_dataset,
    mark_dataset,
    mark_stream,
    mark_vision_dataset,
)
from align.models.shared_prefixes import begin_alike
from align.models.videos import show_videos
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from align.training.as_in_trl import Preparation, gather_rows, with_args
from align.training.build import trainer_arguments
from align.training.model_card import Card, Rows
from align.training.output_head import Reference, Tokens, WholeHead, add_token_head, check_fused_head, whole_head
from align.training.resuming import TokenCount
from align.training.row_sets import check_all_are_videos, check_all_have_images, shares_weights
from align.training.streams import StreamCounts, endless, kept_rows

logger = get_logger(__name__)
NO_PAIR = (
    "No pair of the {name} dataset has a marked token within `max_length` = {limit}. Raise it where they are "
    "cut off; where none are found, check the spans or set `on_missing_spans: whole`."
)


class RRPOTrainer(DPOTrainer):
    """DPO whose preference looks only at the differing spans, with a token-wise KL on the chosen response.

    Differs from `DPOTrainer` in the columns it makes of a row, in the collator, and in `compute_loss`. Models,
    reference (a second model, or the adapter switched off), optimizer and checkpoints are TRL's. With `spans: whole`
    and `kl_coef: 0` the loss is computed by `DPOTrainer` itself.

    Rows need `prompt`, `chosen` and `rejected`, as text or messages. Spans are taken from `chosen_spans` and
    `rejected_spans` (character offsets into the response, `[[start, end], ...]`), else from `<MASK>` tags in the
    responses, else from a diff.

    Rows may have `images` (or `image`), which both responses share; they then need messages, and the processor of a
    vision-language model. TRL tokenises such rows in the collator; they are marked and counted before. Only tokens of
    the responses are scored, never those of images.

    Of a streamed data set rows are marked as they are read: those that cannot be used are told with their number and
    left out, and counted at the end with those without a marked token. The load-balancing loss of mixture-of-experts
    models is added as DPO adds it.

    Attributes:
        num_left_out: Pairs that were left out, by name of the data set; of a stream at the end.
    """

    _tag_names = ["trl", "dpo", "rrpo"]  # noqa: RUF012 - TRL declares it so
    _name = "RRPO"
    _paper = {  # noqa: RUF012
        "title": "Self-Alignment of Large Video Language Models with Refined Regularized Preference Optimization",
        "id": "2504.12083",
    }
    args: RRPOConfig
    model: PreTrainedModel
    _shows = False  # images

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        args, kwargs = with_args(DPOTrainer.__init__, self, args, kwargs, RRPOConfig)
        self.num_left_out: dict[str, int] = {}
        self._streams = StreamCounts(self.num_left_out)
        super().__init__(*args, **kwargs)
        self.add_callback(TokenCount(self))
        self.add_callback(WholeHead())
        collator = self.data_collator
        self._shows = show_videos(self, COLUMNS)
        if self.args.is_dpo:
            check_fused_head(self.model, "Set `kl_coef` above 0: RRPO then reads them itself.")
            if shares_weights(self):
                for name, data in (("train", self.train_dataset), ("eval", self.eval_dataset)):
                    if isinstance(data, Dataset):
                        check_all_are_videos(data, name)
            self.train_dataset = endless(self.train_dataset, self.args)
            return
        if self._shows:  # TRL does not prepare these
            self.train_dataset = self._prepare_vision(self.train_dataset, "train")
            self.eval_dataset = self._prepare_vision(self.eval_dataset, "eval")
        self.train_dataset = endless(self.train_dataset, self.args)
        self.add_callback(self._streams)
        if not type(collator).__module__.startswith("trl."):
            name = type(collator).__name__
            raise TypeError(f"RRPO collates spans with its own collator, got `data_collator` {name}. Leave it out.")
        self.args.remove_unused_columns = False  # which would be marks
        given = self.data_collator
        self.data_collator = VisionSpanCollator(given, self.args.max_length) if self._shows else SpanCollator(given)
        base = self.model.get_base_model() if is_peft_model(self.model) else self.model  # type: ignore[operator]
        self._reference_reading = add_token_head(base)
        if self.ref_model is not None:
            self._reference_reading = add_token_head(self.accelerator.unwrap_model(self.ref_model))
        self._shared = SharedPrompts(self, _read)

    def _prepare_vision(self, data: Any, dataset_name: str) -> Any:
        """Prepares pairs with images once: a data set, those of a dictionary, or none."""
        if isinstance(data, dict):
            return {name: self._prepare_vision(dataset, name) for name, dataset in data.items()}
        if data is None or isinstance(data, str) or "num_images" in (data.column_names or ()):
            return data
        if shares_weights(self) and isinstance(data, IterableDataset):
            raise DataError(
                f"The {dataset_name} dataset is a stream of pairs with images. With DeepSpeed or FSDP every process "
                f"must run the vision tower in every step, and nobody can look whether every row has an image. Give a "
                f"`datasets.Dataset`, or train with DDP."
            )
        kept = self._prepare_dataset(data, self.processing_class, self.args, dataset_name)
        if shares_weights(self):
            check_all_have_images(kept, dataset_name)
        return kept

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:
        if args.is_dpo:
            return super()._prepare_dataset(dataset, processing_class, Preparation.of(args), dataset_name)
        if isinstance(dataset, IterableDataset):
            return self._prepare_stream(dataset, processing_class, args, dataset_name)
        state = PartialState()
        with state.main_process_first(), state.local_main_process_first():
            marker = self._marker(processing_class, args, dataset_name)
            if isinstance(marker, VisionMarker):
                kept = mark_vision_dataset(dataset, marker, args)
            else:
                marked = mark_dataset(dataset, marker, args, dataset_name)
                prepared = super()._prepare_dataset(marked, processing_class, Preparation.of(args), dataset_name)
                kept = fit_dataset(prepared, args, dataset_name)
        self.num_left_out[dataset_name] = num_left_out = len(dataset) - len(kept)
        if len(kept) == 0:
            raise DataError(NO_PAIR.format(name=dataset_name, limit=args.max_length))
        if num_left_out:
            logger.warning(
                f"{num_left_out} of {len(dataset)} pairs of the {dataset_name} dataset are left out: they have no "
                f"marked token within `max_length` = {args.max_length}."
            )
        return kept

    def _prepare_stream(self, dataset: IterableDataset, processing_class: Any, args: Any, dataset_name: str) -> Any:
        """Has the rows of a stream marked and counted when they are read."""
        count = self._streams.begin(dataset_name, f"have no marked token within `max_length` = {args.max_length}")
        marked = mark_stream(dataset, self._marker(processing_class, args, dataset_name), count)
        rule = NO_PAIR.format(name=dataset_name, limit=args.max_length)
        count.check_some(marked, rule)  # before TRL looks for the first
        if not self._shows:
            prepared = super()._prepare_dataset(marked, processing_class, args, dataset_name)
            marked = prepared.map(Fitter(MarkRule.read(args)))
        kept = kept_rows(marked, count, "is_marked")
        count.check_some(kept, rule)
        return kept

    def _marker(self, processing_class: Any, args: RRPOConfig, dataset_name: str) -> Marker | None:
        """Returns what marks a row before TRL tokenises it; None where all of it counts."""
        rule = MarkRule.read(args)
        if self._shows:
            return VisionMarker(processing_class, rule, dataset_name, ImageTokens(processing_class))
        return None if args.spans == "whole" else Marker(processing_class, rule, dataset_name)

    def evaluate(self, eval_dataset: Any = None, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluates as `DPOTrainer` does, and marks pairs with images that are given here first."""
        if self._shows and not self.args.is_dpo:
            eval_dataset = self._prepare_vision(eval_dataset, "eval")
        with self._streams.evaluating():
            metrics: dict[str, float] = super().evaluate(eval_dataset, *args, **kwargs)
        return metrics

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Computes the loss over spans; with neutral settings `DPOTrainer`'s."""
        if self.args.is_dpo:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        model_inputs = {name: value for name, value in inputs.items() if name not in ("completion_mask", "span_mask")}
        model_inputs["use_cache"] = False
        responses, spans = inputs["completion_mask"][:, 1:].bool(), inputs["span_mask"][:, 1:].bool()
        alike = self._begin_alike(model, inputs, responses)
        read = responses & ~alike
        scored = Tokens(read, inputs["input_ids"][:, 1:][read])
        reference = self._read_reference(model_inputs, scored)
        if self.aux_loss_enabled:  # of mixture-of-experts models, over all tokens of both responses, as in DPO
            model_inputs["output_router_logits"] = True
        with self.accelerator.autocast(), self._shared.reading(model):
            terms = model(**model_inputs, scored=scored, reference=reference)
        logps, ref_logps, kl, *logged = (
            _spread(term, read, alike)
            for term in (terms.logps, terms.ref_logps, terms.kl, terms.entropy, terms.mean_logit, terms.is_top)
        )
        loss = self._pair_losses(logps, ref_logps, kl, spans).mean()
        if self.aux_loss_enabled:
            loss = loss + self.router_aux_loss_coef * terms.aux_loss
            gathered = self.accelerator.gather(terms.aux_loss.detach())
            self._metrics["train" if self.model.training else "eval"]["aux_loss"].append(gathered.mean().item())
        self._log_pairs(inputs, logps.detach(), ref_logps, kl.detach(), responses, spans)
        self._log_tokens(logged, responses)
        if not return_outputs:
            return loss
        with torch.no_grad():  # only for `compute_metrics`, which wants logits
            return loss, model(**model_inputs)

    def _begin_alike(self, model: Any, inputs: Mapping[str, Tensor], responses: Tensor) -> Tensor:
        """Marks tokens of rejected responses whose terms are those of the chosen ones, `(2B, T - 1)`."""
        models = (model,) if self.ref_model is None else (model, self.ref_model)
        if not self._shared.are_used(*models):
            return torch.zeros_like(responses)
        alike = begin_alike(inputs["input_ids"], inputs["attention_mask"])[:, 1:]
        return torch.cat([torch.zeros_like(alike), alike & responses.chunk(2)[0] & responses.chunk(2)[1]])

    def _read_reference(self, model_inputs: Mapping[str, Any], scored: Tokens) -> Reference:
        own: Any = self.accelerator.unwrap_model(self.model)
        quiet = warnings.catch_warnings(action="ignore", category=UserWarning)  # of checkpoints without gradients
        with torch.no_grad(), quiet, self.accelerator.autocast():
            if self.ref_model is not None:
                with self._shared.reading(self.ref_model):
                    hidden = self.ref_model(**model_inputs, scored=scored)
                head = self._reference_reading.head(self.accelerator.unwrap_model(self.ref_model))
                return Reference(hidden, whole_head(head))
            with ExitStack() as reference:
                if "ref" in own.peft_config:  # an adapter that goes on, as it was
                    reference.callback(own.set_adapter, own.active_adapter)
                    own.set_adapter("ref")
                else:
                    reference.enter_context(own.disable_adapter())
                reference.enter_context(self._shared.reading(self.model))
                hidden = self.model(**model_inputs, scored=scored)
            return Reference(hidden, whole_head(self._reference_reading.head(own.get_base_model())))

    def _pair_losses(self, logps: Tensor, ref_logps: Tensor, kl: Tensor, spans: Tensor) -> Tensor:
        """Computes `(B,)` losses from `(2B, T)` token terms, which are 0 where nothing was scored."""
        chosen_ratio, rejected_ratio = span_log_ratio(logps, ref_logps, spans).chunk(2)
        chosen_kl, rejected_kl = kl.sum(-1).chunk(2)
        beta, kl_coef = self.beta, self.args.kl_coef
        if self.args.kl_placement == "margin":
            return tdpo_loss(chosen_ratio, rejected_ratio, chosen_kl, rejected_kl, beta=beta, kl_coef=kl_coef)
        return rrpo_loss(chosen_ratio, rejected_ratio, chosen_kl, beta=beta, kl_coef=kl_coef)

    @torch.no_grad()
    def _log_pairs(
        self,
        inputs: Mapping[str, Tensor],
        logps: Tensor,
        ref_logps: Tensor,
        kl: Tensor,
        responses: Tensor,
        spans: Tensor,
    ) -> None:
        """Logs means over the pairs of all ranks, under TRL's names where TRL has one."""
        mode = "train" if self.model.training else "eval"
        chosen_change, rejected_change = span_log_ratio(logps, ref_logps, spans).chunk(2)
        chosen, marked = responses.chunk(2)[0], spans.chunk(2)[0]
        chosen_sum, rejected_sum = (logps * responses).sum(-1).chunk(2)
        chosen_logps, chosen_ref_logps, chosen_kl = (terms.chunk(2)[0] for terms in (logps, ref_logps, kl))
        per_pair = {
            "rewards/chosen": self.beta * chosen_change,
            "rewards/rejected": self.beta * rejected_change,
            "rewards/accuracies": (chosen_change > rejected_change).float(),
            "rewards/margins": self.beta * (chosen_change - rejected_change),
            "logps/chosen": chosen_sum,
            "logps/rejected": rejected_sum,
            "rrpo/kl_chosen": (chosen_kl * chosen).sum(-1),
            "rrpo/kl_chosen_per_token": (chosen_kl * chosen).sum(-1) / chosen.sum(-1).clamp(min=1),
            "rrpo/logp_change_chosen": chosen_change,
            "rrpo/logp_change_rejected": rejected_change,
            "rrpo/logp_change_shared": span_log_ratio(chosen_logps, chosen_ref_logps, chosen & ~marked),
            "rrpo/marked_share": _pair_sums(spans) / _pair_sums(responses).clamp(min=1),
        }
        table = torch.stack([v.float() for v in per_pair.values()], dim=-1)
        gathered = gather_rows(self.accelerator, table, mode == "train")
        for name, value in zip(per_pair, gathered.mean(0).tolist(), strict=True):
            self._metrics[mode][name].append(value)
        if mode == "train":
            num_tokens = self.accelerator.gather(inputs["attention_mask"].sum()).sum().item()
            self._total_train_tokens += num_tokens // getattr(self.accelerator.parallelism_config, "tp_size", 1)
        self._metrics[mode]["num_tokens"] = [self._total_train_tokens]

    @torch.no_grad()
    def _log_tokens(self, logged: Sequence[Tensor], responses: Tensor) -> None:
        """Logs TRL's means over the responses' tokens of all ranks: entropy, mean logit and top-1, `(2B, T)` each."""
        mode = "train" if self.model.training else "eval"
        sums = torch.stack([each.float().sum(-1).view(2, -1) for each in (*logged, responses)])
        # (4, 2, B) to (4, 2): of chosen and of rejected responses
        gathered = gather_rows(self.accelerator, sums.movedim(-1, 0), mode == "train").sum(0)
        (entropies, logits, tops), counts = gathered[:3], gathered[3].clamp(min=1)
        for name, value in {
            "entropy": entropies.sum() / counts.sum(),
            "logits/chosen": (logits / counts)[0],
            "logits/rejected": (logits / counts)[1],
            "mean_token_accuracy": (tops / counts)[0],
        }.items():
            self._metrics[mode][name].append(value.item())


def _spread(term: Tensor, read: Tensor, alike: Tensor) -> Tensor:
    """Puts the term of each token that was read in its place, `(2B, T)`, and again where the other response has it."""
    placed = torch.zeros_like(read, dtype=term.dtype).masked_scatter(read, term)
    chosen, _ = placed.chunk(2)
    return torch.where(alike, torch.cat([chosen, chosen]), placed)


def _read(model: Any, ids: Tensor, mask: Tensor) -> Any:
    """Reads tokens without projecting them."""
    return model(input_ids=ids, attention_mask=mask, use_cache=False, scored=Tokens(mask[:, 1:].bool(), ids))


def _pair_sums(mask: Tensor) -> Tensor:
    """Counts true tokens of both responses of a pair: `(2B, T)` to `(B,)`."""
    return mask.sum(-1).view(2, -1).sum(0)


def build(recipe: Recipe, data: TrainingData[PreferencePair], rewards: list[Reward]) -> RRPOTrainer:
    """Builds RRPO; TRL loads the reference, too."""
    return RRPOTrainer(**trainer_arguments(recipe, data))


NOT_SHOWN = (
    "that the model writes what it prefers between two given responses, and anything on prompts unlike those of the "
    "data"
)
RRPO_TITLE = "Self-Alignment of Large Video Language Models with Refined Regularized Preference Optimization"
DPO_TITLE = "Direct Preference Optimization: Your Language Model is Secretly a Reward Model"


def card(recipe: Recipe, rows: Rows) -> Card:
    """Says what RRPO was trained towards; with its own settings off it is DPO, and says so."""
    if is_plain_dpo(recipe.settings):
        return Card("dpo", "DPO", "2305.18290", DPO_TITLE, NOT_SHOWN)
    return Card("rrpo", "RRPO", "2504.12083", RRPO_TITLE, NOT_SHOWN)
