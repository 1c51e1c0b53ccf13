"""Reward models on corrected outcomes: regression with a scalar head (DeconfoundLM, arXiv 2506.00152)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate.logging import get_logger
from datasets import Dataset
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerBase, Trainer, set_seed
from transformers.utils import logging

from align.data.conversations import check_messages
from align.data.tables.outcome_rows import SCALE_FILE, Scale
from align.data.training_data import TrainingData
from align.evaluation.statistics.metrics import Values
from align.methods.deconfound.config import DeconfoundConfig
from align.methods.deconfound.dataset import ObservationDatasetConfig
from align.models.pretrained import load_pretrained
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from align.secrets import mask
from align.training.as_in_trl import gather_rows
from align.training.build import model_kwargs, trainer_arguments
from align.training.model_card import Card, Rows
from rewards.correction import Correction

CORRECTION_FILE = "correction.json"
SEEN = "predictions"  # rows of a prediction, its label, the outcome and confounders
HEADS = ("score", "classifier")  # as transformers names the new scalar head


class DeconfoundTrainer(Trainer):
    """A reward model trainer whose labels are corrected outcomes instead of preferences.

    Differs from `Trainer` in the mean squared error on the one logit, in the columns that are only looked at, and in
    what is logged and saved: the correction and the scale of the labels go beside every model. Optimizer, schedule
    and checkpoints are transformers'. Texts are tokenised as TRL's `RewardTrainer` does, so the model is used in the
    same way.

    ODIN's two heads (Chen et al. 2024, arXiv 2402.07319), with a confounder in place of length, are a baseline of
    `scripts/labs/deconfound/lab.py` only: they push what goes with the confounder out of the reward, and where that is
    also worth something (entangled) their best of 16 was 0.60 against 0.90 of raw outcomes and 0.997 of this
    correction.

    Rows need `prompt` (a text, possibly empty, or messages), `text`, `label`, and for the metrics `outcome` and
    `confounders`, as `align.data.tables.outcome_rows.outcome_rows` makes them.

    Args:
        model: A folder, a hub id, or a sequence classification model with one label.
        args: Settings; by default the config's own, in a folder named after the model.
        train_dataset: Rows.
        eval_dataset: Rows that were corrected out of sample; of several data sets by name.
        processing_class: Tokenizer; by default that of the model's folder.
        peft_config: For an adapter instead of all weights.
        correction: Saved beside the model.
        scale: Of the labels.
        model_kwargs: Of `from_pretrained`, for a model that is only named.
        **kwargs: `compute_metrics`, `callbacks`, `optimizers` and what else `Trainer` takes, but for a collator.

    Raises:
        TypeError: If `args` is another config, or there is no tokenizer.
    """

    def __init__(
        self,
        model: Any,
        args: DeconfoundConfig | None = None,
        train_dataset: Dataset | None = None,
        *,
        correction: Correction,
        scale: Scale,
        eval_dataset: Dataset | dict[str, Dataset] | None = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        peft_config: Any = None,
        model_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if train_dataset is None:
            raise ValueError(
                "`train_dataset` is required: rows of `prompt`, `text`, `label`, `outcome`, `confounders`."
            )
        if args is None:
            name = model if isinstance(model, str) else model.config.name_or_path
            args = DeconfoundConfig(f"{name.split('/')[-1]}-Deconfound")
        if not isinstance(args, DeconfoundConfig):
            raise TypeError(f"`args` must be a DeconfoundConfig, got {type(args).__name__}.")
        if "data_collator" in kwargs:
            raise TypeError("`data_collator` is DeconfoundTrainer's own, which collates outcomes. Leave it out.")
        set_seed(args.seed)  # before the head is drawn
        if isinstance(model, str):
            processing_class = processing_class or AutoTokenizer.from_pretrained(model)
            model = _load(model, model_kwargs or {})
        if processing_class is None:
            raise TypeError("`processing_class` must be a tokenizer where the model is not named, got None.")
        processing_class.pad_token = processing_class.pad_token or processing_class.eos_token
        model.config.get_text_config().pad_token_id = processing_class.pad_token_id
        model.config.pad_token_id = processing_class.pad_token_id
        if peft_config is not None:
            from peft import get_peft_model

            model = get_peft_model(model, peft_config)
        for part in model.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0  # as TRL does by default for reward models
        self.correction, self.scale = correction, scale
        # Named as in TRL's trainers, so that a checkpoint keeps those since the last log; see `Unlogged`.
        self._metrics: dict[str, dict[str, list[Any]]] = {"train": {SEEN: []}, "eval": {SEEN: []}}
        self._prepare = partial(prepare, tokenizer=processing_class, max_length=args.max_length)
        super().__init__(
            model=model,
            args=args,
            train_dataset=self._prepare(train_dataset, kind="training"),
            eval_dataset=self._prepare_eval(eval_dataset),
            processing_class=processing_class,
            data_collator=OutcomeCollator(processing_class.pad_token_id, scale.mean, correction.means),
            **kwargs,
        )
        self._signature_columns: Any = ["input_ids", "label", "outcome", "confounders"]
        self.model_accepts_loss_kwargs = False  # so that the loss is averaged over accumulated batches

    def _prepare_eval(self, data: Any) -> Any:
        """Tokenises what is to be evaluated on: a data set, those of a dictionary, or none; a name stays."""
        if isinstance(data, dict):
            return {name: self._prepare_eval(dataset) for name, dataset in data.items()}
        if data is None or isinstance(data, str) or "input_ids" in (data.column_names or ()):
            return data
        return self._prepare(data, kind="evaluation")

    def evaluate(self, eval_dataset: Any = None, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluates as `Trainer` does, and tokenises rows that are given here first, as TRL's trainers do."""
        return super().evaluate(self._prepare_eval(eval_dataset), *args, **kwargs)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Computes the mean squared error of the standardised corrected outcome."""
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        predictions = outputs.logits[:, 0].float()
        loss = functional.mse_loss(predictions, inputs["labels"])
        looked_at = torch.column_stack(
            [predictions.detach(), inputs["labels"], inputs["outcome"], inputs["confounders"]]
        )
        seen = gather_rows(self.accelerator, looked_at, self._mode == "train")
        self._metrics[self._mode][SEEN].extend(seen.cpu().tolist())
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds what the predictions since the last log go with."""
        prefix = "" if self._mode == "train" else "eval_"
        rows = self._metrics[self._mode][SEEN]
        if f"{prefix}loss" in logs and rows:
            seen = np.array(rows)
            found = prediction_metrics(seen[:, 0], seen[:, 1], seen[:, 2], seen[:, 3:], self.correction.confounders)
            logs.update({prefix + name: value for name, value in found.items()})  # `evaluate` returns them, too
        rows.clear()
        super().log(logs, start_time)

    @property
    def _mode(self) -> str:
        return "train" if self.model is not None and self.model.training else "eval"

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        folder = Path(output_dir or self.args.output_dir or ".")
        self.correction.save(folder / CORRECTION_FILE)
        (folder / SCALE_FILE).write_text(json.dumps(self.scale.record(), indent=1) + "\n", encoding="utf-8")


def _load(name: str, kwargs: Mapping[str, Any]) -> Any:
    """Loads a model with a new head, without the warning that the head is new."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        model, info = load_pretrained(
            AutoModelForSequenceClassification,
            name,
            num_labels=1,
            problem_type="regression",
            output_loading_info=True,
            **kwargs,
        )
    finally:
        logging.set_verbosity(verbosity)
    lost = sorted(key for key in info["missing_keys"] if key.partition(".")[0] not in HEADS)
    if lost:
        raise ValueError(
            f"{name} lacks the weights {', '.join(lost[:5])}, so it cannot be trained on. Check the files."
        )
    return model


def build(recipe: Recipe, data: TrainingData[Any], rewards: list[Reward]) -> DeconfoundTrainer:
    """Builds a reward model on corrected outcomes, with a new scalar head."""
    return DeconfoundTrainer(
        **trainer_arguments(recipe, data, "SEQ_CLS"),
        correction=data.extra.correction,
        scale=data.extra.scale,
        model_kwargs=model_kwargs(recipe),
    )


ABOUT_SCORES = """\
A score is the corrected outcome in standard deviations; `reward_scale.json` has its mean and deviation, and
`correction.json` what was removed from the outcome."""
READS_CONFOUNDERS = """
Nothing was removed: the model reads the confounders before the text. Write the `prefix` of `reward_scale.json` before
every prompt, in evaluation and in other recipes too; nothing adds it."""


def card(recipe: Recipe, rows: Rows) -> Card:
    """Says what a reward model on outcomes was trained on, and what was removed from them."""
    data = cast(ObservationDatasetConfig, recipe.dataset)
    settings = data.model_dump(exclude_defaults=True, exclude={"path", "eval_path", "max_eval_rows"})
    return Card(
        "deconfound",
        "DeconfoundLM",
        "2506.00152",
        "Aligning Language Models with Observational Data",
        "that the assumptions of the correction are true, and that a policy trained on its rewards gets better: it "
        "finds what a reward model overlooks. Beyond texts like those of the data a score means nothing",
        facts={"rows": len(rows), "correction": f"`{json.dumps(mask(settings), ensure_ascii=False)}`"},
        model_type="scalar",
        about_scores=ABOUT_SCORES + (READS_CONFOUNDERS if data.estimator == "input" else ""),
    )


logger = get_logger(__name__)
COLUMNS = ("prompt", "text", "label", "outcome", "confounders")


def tokenize(row: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> dict[str, list[int]]:
    """Returns the `input_ids` of prompt, text and end, or those of the chat template."""
    prompt, text = row["prompt"], row["text"]
    if isinstance(prompt, str):
        end = str(tokenizer.eos_token or "")
        whole = prompt + (text if end and text.endswith(end) else text + end)
        return {"input_ids": list(tokenizer(whole)["input_ids"])}  # type: ignore[arg-type]
    encoded: Any = tokenizer.apply_chat_template(
        [*check_messages(prompt, "prompt"), {"role": "assistant", "content": text}], return_dict=True
    )
    return {"input_ids": list(encoded["input_ids"])}


@dataclass(frozen=True)
class OutcomeCollator:
    """Pads the tokens of B rows, and stacks their labels `(B,)`, outcomes `(B,)` and confounders `(B, K)`."""

    pad_token_id: int
    outcome_mean: float  # taken off outcomes before they become float32, which has 7 digits
    confounder_means: tuple[float, ...]  # K of them, taken off confounders

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Collates rows."""
        width = max(len(row["input_ids"]) for row in rows)
        ids = [[*row["input_ids"], *[self.pad_token_id] * (width - len(row["input_ids"]))] for row in rows]
        mask = [[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows]
        confounders = [row["confounders"] for row in rows]
        centred = [[x - mean for x, mean in zip(each, self.confounder_means, strict=True)] for each in confounders]
        return {
            "input_ids": torch.tensor(ids),
            "attention_mask": torch.tensor(mask),
            "labels": torch.tensor([row["label"] for row in rows], dtype=torch.float32),
            "outcome": torch.tensor([row["outcome"] - self.outcome_mean for row in rows], dtype=torch.float32),
            "confounders": torch.tensor(centred, dtype=torch.float32),
        }


def prepare(dataset: Any, tokenizer: PreTrainedTokenizerBase, max_length: int | None, kind: str) -> Dataset:
    """Tokenises rows and leaves out those that are too long."""
    if not isinstance(dataset, Dataset):
        raise TypeError(
            f"The {kind} rows must be a `datasets.Dataset`, got {type(dataset).__name__}: outcomes were corrected and "
            "standardised over all of them. Read the stream into one, for example with `Dataset.from_generator`."
        )
    if missing := [name for name in COLUMNS if name not in dataset.column_names]:
        raise ValueError(
            f"The {kind} rows have no {', '.join(missing)} (columns: {', '.join(dataset.column_names)}). "
            "`align.data.tables.outcome_rows.outcome_rows` makes rows with all that is needed."
        )
    tokenised = dataset.map(tokenize, fn_kwargs={"tokenizer": tokenizer}, desc=f"Tokenizing {kind} rows")
    if max_length is None:
        return tokenised
    kept = tokenised.filter(lambda ids: len(ids) <= max_length, input_columns="input_ids", desc="Measuring rows")
    if len(kept) < len(tokenised):
        logger.warning(
            "%d of %d %s rows are longer than `max_length` = %d and left out.",
            len(tokenised) - len(kept), len(tokenised), kind, max_length,
        )  # fmt: skip
    if not len(kept):
        raise ValueError(f"All {kind} rows are longer than `max_length` = {max_length}. Raise it.")
    return kept


def prediction_metrics(
    predictions: Values, labels: Values, outcome: Values, confounders: Values, names: Sequence[str]
) -> dict[str, float]:
    """Computes the error of predictions `(N,)`, and what they go with; confounders are `(N, K)`.

    Returns `deconfound/mse`, and correlations of the predictions with the corrected and the observed outcome and with
    each confounder; beside the last, those of the corrected outcome, which predictions without a lean share. One that
    is not defined is left out.
    """
    found = {
        "deconfound/mse": float(((predictions - labels) ** 2).mean()),
        "deconfound/correlation_corrected": _correlation(predictions, labels),
        "deconfound/correlation_outcome": _correlation(predictions, outcome),
    }
    for name, column in zip(names, confounders.T, strict=True):
        found[f"deconfound/correlation_{name}"] = _correlation(predictions, column)
        found[f"deconfound/target_{name}"] = _correlation(labels, column)
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _correlation(one: Values, other: Values) -> float:
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    one, other = (each.astype(float) / np.abs(each).max() for each in (one, other))  # squares that fit, in any unit
    return float(np.corrcoef(one, other)[0, 1])
