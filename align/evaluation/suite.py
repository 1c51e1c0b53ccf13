"""What the engine and the command line ask of a suite."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import Field, dataclass, field, fields
from inspect import Signature, signature
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, ParamSpec

from rewards.extras import too_small

if TYPE_CHECKING:
    from align.data.questions.templates import PromptTemplate
    from align.evaluation.record import Record
    from align.evaluation.statistics.item_means import ItemMean
    from align.evaluation.statistics.metrics import Estimate
    from align.models.checkpoint import Checkpoint
    from align.recipe.dataset import MediaSettings

Options = ParamSpec("Options")


@dataclass(frozen=True, kw_only=True)
class Suite(Generic[Options]):
    """A suite, whole: its words, and the places of its functions as `module:name`, imported when they are needed.

    Attributes:
        name: Behind `align eval`, and of its folder.
        about: One line for the help.
        rows: What its rows are, in the plural.
        options: A dataclass of its options, see `align.evaluation.options`.
        load: `(SuiteSource, options) -> LoadedRows`. Refuses what cannot be measured, and reads the rows.
        measure: `(Subject, rows, Asking) -> Measured`. Measures one model; of `reference` and `judge` it gets what it
            has as a parameter. What it returns may be anything that `finish` understands.
        finish: `(Evaluation, LoadedRows, what was measured by model) -> Finished`. Makes the record.
        meanings: Label, meaning, and whether `higher` or `lower` is better, of its metrics, unless several suites have
            them (`align.evaluation.statistics.glossary`); a name that ends in `/` stands for all that begin so.
        needs: Columns of its rows, which `--data` has to have; another kind of rows stands in another tuple.
        has_rows: Whether it brings rows, so that `--data` may be left out.
        reads: Names of the kinds of rows that it is for, see `align.data.kinds`; by these it is told where no suite is
            named.
        told_by: An option that is given for this suite only, by which it is told, too.
        adapters: Public schemas by which it is told, as `module:name`.
        headline: Metrics to show first, and to draw; each is a mean over items.
        compared: The metric by which an item is won or lost against a baseline; None where no item is.
        reads_likelihoods: Whether it asks how likely texts are, which vLLM is not asked here.
        samples: Responses to each prompt and their temperature, where the command line says neither.
        least_samples: Fewest responses to each prompt that say something.
        makes_prompts: Whether it makes prompts of rows, as the recipe's `dataset` says.
        verb: What the console says is done with a model.
        items: What stands in `items.parquet`.
    """

    name: str
    about: str
    rows: str
    options: Callable[Options, Any]
    load: str
    measure: str
    finish: str = "align.evaluation.results:finish"
    run: str = "align.evaluation.service:evaluate"
    meanings: Mapping[str, tuple[str, str, str | None]] = field(default_factory=dict)
    needs: tuple[tuple[str, ...], ...] = ()
    has_rows: bool = False
    reads: tuple[str, ...] = ()
    told_by: str | None = None
    adapters: str | None = None
    headline: tuple[str, ...] = ()
    compared: str | None = None
    reads_likelihoods: bool = False
    samples: tuple[int, float] = (1, 0.0)
    least_samples: int = 1
    makes_prompts: bool = True
    verb: str = "Asking"
    items: str = "items"

    def __call__(self, *_: Options.args, **options: Options.kwargs) -> "Record":
        """Evaluates, as `align eval` does, and returns what `evaluation.json` holds.

        Raises:
            UserError: If it cannot be done.
            TypeError: If an option is missing, or there is no such.
            ImportError: If the install is too small.
        """
        try:
            found: Record = self.part("run")(self, self.options(*_, **options), set(options))
        except ModuleNotFoundError as error:
            if sentence := too_small(f"`align.evaluate.{self.name}`", error):
                raise ImportError(sentence) from error
            raise
        return found

    @property
    def __signature__(self) -> Signature:
        """The options, for help and completion."""
        return signature(self.options)

    def part(self, name: Literal["load", "measure", "finish", "run", "adapters"]) -> Any:
        """Imports one of the parts, by the name of its attribute."""
        return resolve_name(str(getattr(self, name)))

    @property
    def own(self) -> tuple[str, ...]:
        """The options that no other suite has, or that mean something of its own here."""
        return tuple(self.options.__annotations__)

    @property
    def fields(self) -> tuple[Field[Any], ...]:
        """Its options."""
        return fields(self.options)  # type: ignore[arg-type]


@dataclass
class SuiteSource:
    """Where rows are, and how they are read."""

    path: str | None  # None where only the suite's own rows are asked
    split: str | None = None
    max_rows: int | None = None
    on_bad_rows: Literal["raise", "skip"] = "raise"  # stop at rows that cannot be used, or leave them out
    seed: int = 0  # of what is drawn while reading
    recipe_path: Path | None = None  # of the run of the model that is asked about, or the one that is named
    adapter: str | None = None  # public schema of the rows

    @property
    def columns(self) -> Mapping[str, Any]:
        """What the file calls our columns."""
        return {}

    @property
    def media(self) -> "MediaSettings | None":
        """How images and videos are read; as a recipe reads them where nothing is said."""
        return None

    def reading(self) -> dict[str, Any]:
        """Returns how rows are read, as loaders of `align.data` take it."""
        return {"split": self.split, "max_rows": self.max_rows, "on_bad_rows": self.on_bad_rows}


class LoadedRows(NamedTuple):
    """The rows of a suite, and what else was decided while they were read."""

    rows: Sequence[Any]  # each with an `id`
    content: Sequence[Any]  # what rows are, for JSON: by it an evaluation on the same rows is known
    left_out: Mapping[str, int] = {}  # rows that cannot be used, by rule
    groups: Mapping[str, int] = {}  # rows by group
    settings: Mapping[str, Any] = {}  # for the record
    options: Mapping[str, Any] = {}  # what files that options name hold, which measuring gets in place of their names
    task: Any = None  # what `measure` and `finish` share, as `Asking.task`
    images: str = ""  # names the first row that has some
    shown_to: Sequence[str] = ()  # models that help and see them, too
    template: "Callable[[bool], PromptTemplate] | None" = None  # where the policy makes prompts of questions
    find: "Callable[[str], Checkpoint] | None" = None  # finds a model that is no policy on disk or on the hub
    open: "Callable[[Checkpoint, Any], AbstractContextManager[Any]] | None" = None  # and opens it, with `KeptAnswers`
    plan_file: str = "models.json"  # in the cache's folder: whose answers are there
    files: Sequence[str] = ("evaluation.json", "items.parquet")  # that it writes


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
