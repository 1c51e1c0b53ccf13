"""The options of an audit, by what they are about."""

from dataclasses import dataclass

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
