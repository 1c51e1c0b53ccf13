"""The options of `align.audit` and `align.filter`, by what they are about."""

from dataclasses import dataclass
from pathlib import Path

from align.options import option


@dataclass(frozen=True, kw_only=True)
class AuditReading:
    """How rows are read; those that cannot be used are counted and left out."""

    recipe: str | None = option(None, "Take the files and how they are read from a recipe.")
    eval: str | None = option(None, "Rows for evaluation, to look for leaks.")
    kind: str = option("", "pairs, questions, prompts, sft or outcomes; by the columns if not given.")
    split: str | None = option(
        None, "Split of a folder or hub data set; for files, counterfactual writes the rare pairs of `--attributes`."
    )
    eval_split: str | None = option(None, "Split of the rows for evaluation.")
    max_rows: int | None = option(None, "Read only this many rows of each file.")
    adapter: str | None = option(None, "Public schema the rows are in, such as mmlu.")


@dataclass(frozen=True, kw_only=True)
class NamedColumns:
    """Columns that only the user can name."""

    label: str | None = option(None, "sft: column of the class; by default the completion, where it is one.")
    text: str | None = option(None, "outcomes: column of the text.")
    outcome: str | None = option(None, "outcomes: column of what was observed.")
    confounders: list[str] | None = option(None, "outcomes: columns of what moves the outcome beside the text.")
    prompt: str | None = option(None, "outcomes: column of what the text answers.")
    mask_column: str | None = option(None, "Column of a text, such as a trace, that should not give the gold away.")
    attributes: list[str] | None = option(
        None, "Columns, two or more: with `--write`, rows with rare pairs of their values go to counterfactual.jsonl."
    )


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How traces are scored by a student; nothing is left out for it."""

    score_with: str | None = option(None, "Model, as a folder or hub id, that says how likely each trace is.")
    trace_column: str | None = option(None, "Column of the traces; of sft rows the completion, if not given.")
    source_column: str | None = option(None, "Column of who wrote a trace.")
    correct_column: str | None = option(
        None, "Column of whether a trace is right; of questions what it comes to, if not given."
    )
    dtype: str = option("float32", "Of the loaded weights.")
    device: str | None = option(None, "Where to compute; the accelerator if there is one.")


@dataclass(frozen=True, kw_only=True)
class ByBase:
    """How pairs are scored."""

    base: str | None = option(
        None, "Keep pairs: reward model trained on the original pairs, a folder or a hub id. DATA are pairs."
    )
    tau: float = option(0.2, "Pairs whose probability is this close to 1 (ties: to 1/2) are left out.")
    max_length: int | None = option(None, "Longest sequence in tokens; the model's own limit if not given.")


@dataclass(frozen=True, kw_only=True)
class BySamples:
    """How samples of a policy are judged."""

    model: str | None = option(
        None, "Keep samples: policy that answers, a folder or hub id. DATA are prompts with the columns rewards read."
    )
    verifier: str | None = option(
        None, "Reward that accepts samples: a name of `align rewards list`, file.py:function, or a reward model."
    )
    verifier_threshold: float = option(0.0, "Values above it are accepted.")
    pass_rate: str | None = option(
        None, "LOW:HIGH, such as 0.1:0.9: keep the prompts of whose samples so many are accepted, and no samples."
    )
    audit: str | None = option(None, "Reward that knows what is right; the verifier's errors go into the card.")
    right_from: float | None = option(None, "Value of the audit from which a sample is right; 1 if it is 0 or 1.")
    reward_kwargs: str = option("", "Settings of rewards, such as '{number_accuracy: {rel_tol: 0.01}}'.")
    reward_workers: int | None = option(None, "Processes that call rewards; else the recipe's, or none.")
    reward_timeout: float | None = option(None, "Seconds for one sample, with `--reward_workers`.")
    num_samples: int = option(8, "Samples of each prompt.")
    temperature: float = option(1.0, "Of sampling.")
    top_p: float = option(1.0, "Probability mass that sampling keeps.")
    max_new_tokens: int | None = option(None, "Longest sample in tokens; else the recipe's, or 256.")
    seed: int = option(0, "Of sampling.")
    recipe: str | None = option(
        None, "Recipe whose tags, length and columns are used; by default the `recipe.yaml` of the model's run."
    )
    backend: str = option("transformers", "transformers or vllm.")
    device: str | None = option(None, "Where to compute; the accelerator if there is one.")
    max_rows: int | None = option(None, "Read only this many rows.")
    cache: Path | None = option(None, "Folder of the samples, found again after a stop; beside OUT if not given.")


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How rows are read and models run."""

    batch_size: int = option(16, "Sequences at once.")
    dtype: str = option("float32", "Of the loaded weights.")
    split: str | None = option(None, "Split of a folder or hub data set.")
    on_bad_rows: str = option("raise", "raise, or skip to leave them out and count them.")
