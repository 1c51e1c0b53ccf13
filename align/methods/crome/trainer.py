"""Crome: reward models that react to causes and ignore decoration (arXiv 2506.16507)."""

import inspect
import json
import types
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import is_peft_model
from datasets import IterableDataset
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import SequenceClassifierOutput
from trl import RewardTrainer
from trl.trainer.utils import create_model_from_path

from align.data.pairs.pair import split_pair
from align.data.pairs.pairwise import ADAPTER_MARK, LABELS, label_ids, pairwise_prompt
from align.data.pairs.reward_pairs import CAUSAL, NEUTRAL, RewardPair, check_margin, check_tie
from align.data.problems import BadRow, row_error
from align.data.template_settings import template_settings
from align.data.training_data import TrainingData
from align.errors import DataError, RecipeError
from align.methods.crome.config import CromeConfig
from align.methods.crome.data import odd_head
from align.methods.crome.loss import bradley_terry_loss, crome_loss
from align.methods.pairs.shared_prompts import SharedPrompts
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from align.training.as_in_trl import Preparation, gather_rows, with_args
from align.training.build import trainer_arguments
from align.training.model_card import Card, Rows
from align.training.output_head import read_output_head
from align.training.resuming import TokenCount
from align.training.streams import StreamCounts, endless, kept_rows, usable_rows


class CromeTrainer(RewardTrainer):
    """A reward model trainer that also learns from pairs without an order, whose rewards should be equal.

    Differs from `RewardTrainer` in two columns of a row, in the collator, and in what `compute_loss` adds for ties.
    Tokenisation, models, optimizer and checkpoints are TRL's. Without ties the loss of a scalar model is
    `RewardTrainer`'s own; with `share_prompts: off` its answers are read as there, too.

    With `model_type: pairwise` the model is a causal language model that reads both answers and predicts `A` or `B`;
    each pair is read in both orders. The saved model is an ordinary causal language model, with
    `truealign_pairwise: true` in its config.

    Rows need `prompt`, `chosen` and `rejected`, as text or messages; `tie` (default false) marks pairs without an
    order and `source` (default `preference`) names where a pair is from. The prompt may be inside both responses. Of
    a streamed data set ties are read with the rows: those that cannot be used are told with their number and left out,
    and counted at the end with those that are too long.

    Attributes:
        num_left_out: Pairs of streams that were left out, by name of the data set, at the end.
    """

    _tag_names = ["trl", "reward-trainer", "crome"]  # noqa: RUF012 - TRL declares it so
    _name = "Crome"
    _paper = {"title": "Robust Reward Modeling via Causal Rubrics", "id": "2506.16507"}  # noqa: RUF012
    args: CromeConfig
    model: PreTrainedModel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        args, kwargs = with_args(RewardTrainer.__init__, self, args, kwargs, CromeConfig)
        bound = inspect.signature(RewardTrainer.__init__).bind(self, *args, **kwargs)
        given = bound.arguments
        self.num_left_out: dict[str, int] = {}
        self._streams = StreamCounts(self.num_left_out)
        with as_pairwise(given) if given["args"].model_type == "pairwise" else nullcontext():
            super().__init__(*bound.args[1:], **bound.kwargs)
        self.train_dataset = endless(self.train_dataset, self.args)
        if (collator := given.get("data_collator")) is not None:
            name = type(collator).__name__
            raise TypeError(f"Crome collates ties with its own collator, got `data_collator` {name}. Leave it out.")
        self.args.remove_unused_columns = False  # which would be the two that TRL does not know
        self.data_collator = TieCollator(self.data_collator)
        self.add_callback(TokenCount(self))
        self.add_callback(self._streams)
        self._shared = SharedPrompts(self)

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:
        if "tie_source" in (dataset.column_names or next(iter(dataset), ())):  # a stream may not know them
            return super()._prepare_dataset(dataset, processing_class, Preparation.of(args), dataset_name)
        tokenizer = processing_class if args.model_type == "pairwise" else None
        if isinstance(dataset, IterableDataset):
            return self._prepare_stream(dataset, tokenizer, processing_class, args, dataset_name)
        progress = {"num_proc": args.dataset_num_proc, "desc": f"Reading ties of {dataset_name} dataset"}
        state = PartialState()
        with state.main_process_first(), state.local_main_process_first():
            dataset = dataset.map(TieColumns(dataset_name, tokenizer), with_indices=True, **progress)
        kept = super()._prepare_dataset(dataset, processing_class, Preparation.of(args), dataset_name)
        if not len(kept):
            raise DataError(
                f"All {len(dataset)} pairs of the {dataset_name} dataset are longer than `max_length` = "
                f"{args.max_length}. Raise it, or give shorter ones."
            )
        return kept

    def _prepare_stream(
        self, dataset: IterableDataset, tokenizer: Any, processing_class: Any, args: Any, dataset_name: str
    ) -> Any:
        """Has the ties of a stream read, and its rows counted, when they are read."""
        count = self._streams.begin(dataset_name, f"are longer than `max_length` = {args.max_length}")
        stream = usable_rows(dataset, TieColumns(dataset_name, tokenizer, is_stream=True), count)
        rule = f"No pair of the {dataset_name} dataset can be used."
        count.check_some(stream, rule)  # before TRL looks for the first
        kept = kept_rows(super()._prepare_dataset(stream, processing_class, args, dataset_name), count)
        count.check_some(kept, rule)
        return kept

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluates as `RewardTrainer` does, and says what was left out of streams."""
        with self._streams.evaluating():
            metrics: dict[str, float] = super().evaluate(*args, **kwargs)
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        if self.args.model_type == "pairwise" and is_peft_model(self.model):
            mark = Path(output_dir or self.args.output_dir or ".") / ADAPTER_MARK
            mark.write_text(json.dumps({"labels": LABELS}) + "\n", encoding="utf-8")

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Computes `RewardTrainer`'s loss, with the tie loss in place of Bradley-Terry where a pair is a tie."""
        inputs = dict(inputs)
        tie, sources = inputs.pop("tie"), inputs.pop("tie_source")
        with self._shared.reading(model):
            loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        first, second = outputs.logits.squeeze(-1).chunk(2)
        if self.args.model_type == "pairwise":  # the second logits are of the same pair in the other order
            orders = torch.stack([first, -second])
            loss = crome_loss(orders, tie, tie_coef=self.args.tie_coef).mean()
            margins = orders.mean(0)
        else:
            margins = (first - second).movedim(0, -1)  # `(..., B)`
            if tie.any():
                shift = inputs.get("margin", 0.0)
                ours = crome_loss(margins - shift * ~tie, tie, tie_coef=self.args.tie_coef)
                loss = loss + (ours - bradley_terry_loss(margins - shift)).mean()
        self._log_sources(margins.detach().float(), tie, sources)
        return (loss, outputs) if return_outputs else loss

    @torch.no_grad()
    def _log_sources(self, margins: Tensor, tie: Tensor, sources: Tensor) -> None:
        """Logs accuracy and margins of the pairs of all ranks: TRL's over pairs with an order, ours per source."""
        metrics = self._metrics["train" if self.model.training else "eval"]
        table = torch.stack([margins, tie.float()], dim=-1)
        margins, tie = gather_rows(self.accelerator, table, self.model.training).unbind(-1)
        sources = gather_rows(self.accelerator, sources, self.model.training)
        log_margins(metrics, margins, tie.bool(), read_names(sources))


def build(recipe: Recipe, data: TrainingData[RewardPair], rewards: list[Reward]) -> CromeTrainer:
    """Builds Crome; TRL loads the model with a new scalar head."""
    given = trainer_arguments(recipe, data, "CAUSAL_LM" if recipe.settings.model_type == "pairwise" else "SEQ_CLS")
    if text := odd_head(recipe, bf16=given["args"].bf16):  # which a check on another machine could only warn of
        raise RecipeError(text)
    return CromeTrainer(**given)


NOT_SHOWN = (
    "that the model judges what its pairs are not about, and that a policy trained on its rewards gets better: it "
    "finds what a reward model overlooks. Only differences between the rewards of answers to one prompt mean something"
)
BRADLEY_TERRY_TITLE = "Training language models to follow instructions with human feedback"


def card(recipe: Recipe, rows: Rows) -> Card:
    """Says what a reward model was trained on; without edits and ties it is Bradley-Terry's, and says so."""
    counts = Counter(f"{row['source']}{' (ties)' if row['tie'] else ''}" for row in rows)
    facts = {"pairs": ", ".join(f"{count} {name}" for name, count in counts.items())}
    if getattr(recipe.dataset, "streaming", False):
        facts = {"pairs": f"a stream; of its first {len(rows)}: {facts['pairs']}"}
    model_type = recipe.settings.model_type
    learnt = [row for row in rows if not row["tie"] or recipe.settings.tie_coef]
    if any(row["tie"] or row["source"] in (*CAUSAL, *NEUTRAL) for row in learnt):
        title = "Robust Reward Modeling via Causal Rubrics"
        return Card("crome", "Crome", "2506.16507", title, NOT_SHOWN, facts, model_type)
    tag, name = "bradley-terry", "Bradley-Terry"
    return Card(tag, name, "2203.02155", BRADLEY_TERRY_TITLE, NOT_SHOWN, facts, model_type)


def log_margins(metrics: dict[str, list[float]], margins: Tensor, tie: Tensor, names: Sequence[str]) -> None:
    """Replaces TRL's accuracy and margin `(B,)` by those of the pairs with an order, and adds ours."""
    ordered = margins[~tie]
    for name, value in (("accuracy", (ordered > 0).float()), ("margin", ordered)):
        metrics[name].pop()
        if len(ordered):
            metrics[name].append(value.mean().item())
        elif not metrics[name]:
            del metrics[name]  # TRL divides by the number of entries
    metrics["crome/tie_share"].append(tie.float().mean().item())
    if tie.any():
        metrics["crome/tie_margin"].append(margins[tie].abs().mean().item())
    for name in sorted(set(names)):
        of = margins[~tie & torch.tensor([each == name for each in names], device=tie.device)]
        if len(of):
            metrics[f"crome/accuracy_{name}"].append((of > 0).float().mean().item())
            metrics[f"crome/margin_{name}"].append(of.mean().item())


def add_pairwise_head(model: PreTrainedModel, labels: tuple[int, int]) -> None:
    """Has a causal language model return `(N, 1)` logits, as a reward model does; what is saved stays what it was."""
    first, second = labels
    reading = read_output_head(model)

    def forward(self: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, **kwargs: Any) -> Any:
        kwargs.pop("labels", None)  # a PEFT model passes it on as None
        hidden = self.base_model(input_ids=input_ids, attention_mask=attention_mask, **kwargs).last_hidden_state
        last = attention_mask.sum(-1) - 1  # padding is on the right
        hidden = hidden[torch.arange(len(hidden), device=hidden.device), last]
        head = self.get_output_embeddings()
        answer = head(reading.prepare(self, hidden))[:, [first, second]]  # a call, so that ZeRO-3 gathers
        logits: Any = reading.finish(answer.float())
        return SequenceClassifierOutput(logits=logits[:, :1] - logits[:, 1:])

    model.forward = types.MethodType(forward, model)


@contextmanager
def as_pairwise(given: dict[str, Any]) -> Iterator[None]:
    """Turns the model among a trainer's arguments into a pairwise one, and loads what is only named."""
    config: CromeConfig = given["args"]
    used = config.model_init_kwargs
    init: dict[str, Any] = dict(used or {})  # type: ignore[arg-type]
    try:
        if is_named := isinstance(given["model"], str):
            given["model"] = _load(given["model"], init, config, given.pop("quantization_config", None))
            config.model_init_kwargs = None
        model = given["model"]
        if given.get("processing_class") is None:
            given["processing_class"] = AutoTokenizer.from_pretrained(
                model.config.name_or_path,
                revision=init.get("revision") if is_named else None,
                trust_remote_code=config.trust_remote_code,
            )
        model.config.num_labels = 1  # what TRL asks of a reward model
        model.config.truealign_pairwise = True
        add_pairwise_head(model, label_ids(given["processing_class"]))
        yield
    finally:
        config.model_init_kwargs = used


def _load(name: str, init: dict[str, Any], config: CromeConfig, quantization: Any) -> Any:
    """Loads a causal language model as TRL loads a reward model."""
    if quantization is not None:
        if "quantization_config" in init:
            raise ValueError(
                "`quantization_config` is given to the trainer and in `model_init_kwargs`. Leave out one of them."
            )
        init["quantization_config"] = quantization
    if config.distributed_state.distributed_type in ("MULTI_GPU", "DEEPSPEED"):
        init["device_map"] = None
    init.setdefault("trust_remote_code", config.trust_remote_code)
    return create_model_from_path(name, AutoModelForCausalLM, **init)  # type: ignore[arg-type]


NAME_BYTES = 64  # of a source, which travels with its pair: of a stream nobody knows the names before


@dataclass(frozen=True)
class TieColumns:
    """Adds `tie`, `tie_source` and any margins to a row, and the tokens of both orders if pairwise."""

    dataset_name: str  # named in errors
    tokenizer: PreTrainedTokenizerBase | None  # of a pairwise model
    is_stream: bool = False  # the form of a row, which TRL reads next, is checked: a bad one stops nothing

    def __call__(self, row: Mapping[str, Any], index: int) -> dict[str, Any]:
        """Returns the columns of a row; raises `DataError` if it breaks a rule."""
        try:
            return self._read(row)
        except BadRow as bad:
            raise row_error(self.dataset_name, index, bad) from bad

    def _read(self, row: Mapping[str, Any]) -> dict[str, Any]:
        tie, source = check_tie(row)
        columns: dict[str, Any] = {"tie": tie, "tie_source": source}
        # TRL's collator asks the first row of a batch whether all have one, and rows of a stream may have none.
        if self.is_stream or "margin" in row:
            columns["margin"] = check_margin(row.get("margin"), tie) or 0.0
        if self.is_stream and "chosen_ids" not in row:
            split_pair(row)
        if self.tokenizer is not None:
            pair = split_pair(row)
            settings = template_settings(pair.template)
            columns["chosen_ids"] = self._tokens(pairwise_prompt(pair.prompt, pair.chosen, pair.rejected), settings)
            columns["rejected_ids"] = self._tokens(pairwise_prompt(pair.prompt, pair.rejected, pair.chosen), settings)
        return columns

    def _tokens(self, question: Any, settings: Mapping[str, Any]) -> list[int]:
        if isinstance(question, str):
            return list(self.tokenizer(question)["input_ids"])  # type: ignore[misc]
        encoded: Any = self.tokenizer.apply_chat_template(  # type: ignore[union-attr]
            question, add_generation_prompt=True, return_dict=True, **settings
        )
        return list(encoded["input_ids"])


@dataclass
class TieCollator:
    """TRL's collator with `tie`, `(B,)`, and `tie_source`, `(B, 64)` bytes of a name."""

    collate: Any

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Collates rows that have the two columns."""
        batch: dict[str, Any] = self.collate(examples)
        ties = torch.tensor([row["tie"] for row in examples])
        return batch | {"tie": ties, "tie_source": write_names([row["tie_source"] for row in examples])}


def write_names(names: list[str]) -> Tensor:
    """Writes names as a tensor, which processes can exchange; what is longer than 64 bytes loses its end."""
    rows = [name.encode()[:NAME_BYTES].ljust(NAME_BYTES, b"\0") for name in names]
    return torch.tensor([list(row) for row in rows], dtype=torch.uint8)


def read_names(rows: Tensor) -> list[str]:
    """Reads names from a tensor.

    Example:
        >>> read_names(write_names(["upgrade", "preference"]))
        ['upgrade', 'preference']
    """
    return [bytes(row).rstrip(b"\0").decode(errors="ignore") for row in rows.tolist()]
