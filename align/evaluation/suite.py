"""What the engine and the command line ask of a suite."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from align.evaluation.statistics.item_means import ItemMean
    from align.evaluation.statistics.metrics import Estimate


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite, whole: its words, and the places of its parts as `module:name`, which are imported when needed.

    Attributes:
        name: Behind `align eval`, and of its folder.
        about: One line for the help.
        rows: What its rows are, in the plural.
        options: A dataclass of its options, see `align.evaluation.options`.
        evaluation: A subclass of `align.evaluation.engine.Evaluation`, which is made of the suite and its options.
        meanings: Label, meaning, and whether `higher` or `lower` is better, of its metrics, unless several suites have
            them (`align.evaluation.statistics.glossary`); a name that ends in `/` stands for all that begin so.
        reads: Names of the kinds of rows that it is for, see `align.data.kinds`; by these it is told where no suite is
            named.
    """

    name: str
    about: str
    rows: str
    options: type
    evaluation: str
    reads: tuple[str, ...] = ()
    meanings: Mapping[str, tuple[str, str, str | None]] = field(default_factory=dict)

    def part(self, name: Literal["evaluation", "load", "measure"]) -> Any:
        """Imports one of the parts, by the name of its attribute."""
        module, _, attribute = str(getattr(self, name)).partition(":")
        return getattr(import_module(module), attribute)


@dataclass(frozen=True, kw_only=True)
class RowSuite(Suite):
    """A suite that is two functions: one reads its rows, one measures a model on them.

    Attributes:
        needs: Columns that its rows have; another kind of rows stands in another tuple.
        load: `(Reading, options) -> Loaded`. Reads the rows.
        measure: `(Subject, rows, Asking) -> Measured`. Measures one model; with a `reference` it also gets that
            subject, and with a `judge` among its options and on the command line that judge, by name.
        headline: Metrics to show first, and to draw; each is a mean over items.
        compared: The metric by which an item is won or lost against a baseline; None where no item is.
        has_rows: Whether it brings rows, so that `--data` may be left out.
        reads_likelihoods: Whether it asks how likely texts are, which vLLM is not asked here.
        samples: Responses to each prompt and their temperature, where the command line says neither.
        least_samples: Fewest responses to each prompt that say something.
    """

    needs: tuple[tuple[str, ...], ...]
    load: str
    measure: str
    headline: tuple[str, ...]
    evaluation: str = "align.evaluation.suites.own_rows:OwnRowsEvaluation"
    compared: str | None = None
    has_rows: bool = False
    reads_likelihoods: bool = False
    samples: tuple[int, float] = (1, 0.0)
    least_samples: int = 1

    @property
    def own(self) -> tuple[str, ...]:
        """The options that no other suite has, or that mean something of its own here."""
        return tuple(self.options.__annotations__)


class Reading(NamedTuple):
    """Where rows are, and how they are read."""

    path: str | None  # None where only the suite's own rows are asked
    split: str | None = None
    max_rows: int | None = None
    on_bad_rows: Literal["raise", "skip"] = "raise"  # stop at rows that cannot be used, or leave them out
    seed: int = 0  # of what is drawn while reading
    recipe: Path | None = None  # of the run of the model that is asked about, or the one that is named
    adapter: str | None = None  # public schema of the rows; of suites that ask questions with options


class Loaded(NamedTuple):
    """The rows of a suite."""

    rows: Sequence[Any]  # each with an `id`
    content: Sequence[Any]  # what rows are, for JSON: by it an evaluation on the same rows is known
    left_out: Mapping[str, int] = {}  # rows that cannot be used, by rule
    groups: Mapping[str, int] = {}  # rows by group
    settings: Mapping[str, Any] = {}  # what else was decided while reading, for the record
    options: Mapping[str, Any] = {}  # what files that options name hold, which measuring gets in place of their names


@dataclass(frozen=True)
class Measured:
    """What was measured of one model.

    `rows` are one or more of each item, with its `id`, for `items.parquet`: texts under `prompt` and `completion`, and
    under `correct` whether the item is right, are shown on the page, and every other column beside them.
    """

    means: Mapping[str, "ItemMean"]  # over the items, in their order, by name; they have differences between models
    others: Mapping[str, "Estimate"] = field(default_factory=dict)  # metrics without a difference between models
    rows: Sequence[Mapping[str, Any]] = ()
    warnings: Sequence[str] = ()  # what a reader has to know before the numbers; one sentence each
    settings: Mapping[str, Any] = field(default_factory=dict)  # what else was decided while measuring, for the record

    def summary(self) -> dict[str, "Estimate"]:
        """Estimates every metric."""
        return {name: metric.estimate() for name, metric in self.means.items()} | dict(self.others)

    def differences(self, baseline: "Measured") -> dict[str, "Estimate"]:
        """Estimates how much larger each mean is than another model's on the same items."""
        shared = [name for name in self.means if name in baseline.means]
        return {name: self.means[name].difference(baseline.means[name]) for name in shared}
