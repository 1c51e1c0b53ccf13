"""What shared code asks of a suite that brings rows of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import JsonValue


@dataclass(frozen=True)
class RowSuite:
    """A suite, whole: its words, and the places of its parts as `module:name`, which are imported when needed.

    Attributes:
        name: Behind `--suite`, and of its folder.
        rows: What its rows are, in the plural.
        needs: Columns that its rows have; another kind of rows stands in another tuple.
        load: `(Reading, options) -> Loaded`. Reads the rows.
        measure: `(Subject, rows, Asking) -> Measured`. Measures one model; with a `reference` it also gets that
            subject, and with a `judge` among its options and on the command line that judge, by name.
        headline: Metrics to show first, and to draw; each is a mean over items.
        compared: The metric by which an item is won or lost against a baseline; None where no item is.
        options: Options of `align eval` that are its own, or that it shares with some suites.
        has_rows: Whether it brings rows, so that `--data` may be left out.
        reads_likelihoods: Whether it asks how likely texts are, which vLLM is not asked here.
        asks_options: Whether it asks questions with options, which `--prompt_template` puts into words, and which
            `--adapter` reads from a public schema.
        has_reference: Whether models are measured against the one that they were trained from.
        samples: Responses to each prompt and their temperature, where the command line says neither.
        least_samples: Fewest responses to each prompt that say something.
    """

    name: str
    rows: str
    needs: tuple[tuple[str, ...], ...]
    load: str
    measure: str
    headline: tuple[str, ...]
    compared: str | None = None
    options: tuple[str, ...] = ()
    has_rows: bool = False
    reads_likelihoods: bool = False
    asks_options: bool = False
    has_reference: bool = False
    samples: tuple[int, float] = (1, 0.0)
    least_samples: int = 1

    def part(self, name: Literal["load", "measure"]) -> Any:
        """Imports one of the parts, by the name of its attribute."""
        module, _, attribute = str(getattr(self, name)).partition(":")
        return getattr(import_module(module), attribute)


class Reading(NamedTuple):
    """Where rows are, and how they are read.

    Attributes:
        path: None where only the suite's own rows are asked.
        split: Of a folder or hub data set.
        max_rows: Read only this many.
        on_bad_rows: Whether rows that cannot be used stop everything, or are left out.
        seed: Of what is drawn while reading.
        recipe: Of the run of the model that is asked about, or the one that is named; None without.
        adapter: Public schema of the rows; of suites that ask questions with options.
    """

    path: str | None
    split: str | None = None
    max_rows: int | None = None
    on_bad_rows: Literal["raise", "skip"] = "raise"
    seed: int = 0
    recipe: Path | None = None
    adapter: str | None = None


class Loaded(NamedTuple):
    """The rows of a suite.

    Attributes:
        rows: Each with an `id`.
        content: What they are, for JSON: by it an evaluation on the same rows is known.
        left_out: Rows that cannot be used, by rule.
        groups: Rows by group; empty without groups.
        settings: What else was decided while reading, for the record.
        options: What files that options name hold, which measuring gets in place of their names.
    """

    rows: Sequence[Any]
    content: Sequence[Any]
    left_out: Mapping[str, int] = {}
    groups: Mapping[str, int] = {}
    settings: Mapping[str, JsonValue] = {}
    options: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Measured:
    """What a suite measured of one model.

    Attributes:
        means: Metrics that are means over the items, in their order, by name; see `ItemMean`.
        others: Metrics without a difference between models.
        rows: One or more of each item, with its `id`, for `items.parquet`; texts under `prompt` and `completion`, and
            under `correct` whether the item is right, are shown on the page, and every other column beside them.
        warnings: What a reader has to know before the numbers; one sentence each.
        settings: What else was decided while measuring, for the record.
    """

    means: Mapping[str, Any]
    others: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    warnings: Sequence[str] = ()
    settings: Mapping[str, JsonValue] = field(default_factory=dict)
