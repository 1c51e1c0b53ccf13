"""The `dataset` block and the rules of a reward model on corrected outcomes: nothing of transformers is imported."""

from collections.abc import Iterator
from typing import Literal, cast

from pydantic import Field, field_validator, model_validator

from align.data.tables.observation_adapters import OBSERVATION_ADAPTERS, roles_of_adapter
from align.recipe.dataset import DatasetConfig, known_adapter
from align.recipe.recipe import Recipe
from align.recipe.rules import COUNT, Rules


class ObservationDatasetConfig(DatasetConfig):
    """The `dataset` block of methods that learn from observed outcomes.

    With `on_bad_rows: skip`, rows with missing values are left out, too.
    """

    rows_are = "outcomes"
    text: str | None = Field(default=None, description="Column of the text that was shown.")
    outcome: str | None = Field(default=None, description="Column of what was observed, such as clicks.")
    confounders: list[str] = Field(
        default_factory=list,
        description="Columns of what moves the outcome beside the text: numbers, dates or categories.",
    )
    instruments: list[str] = Field(
        default_factory=list, description="Columns of what moves a confounder, and the outcome through it only."
    )
    groups: str | None = Field(
        default=None,
        description="Column of author, article or week: clusters of the intervals, or effects with `fixed_effects`.",
    )
    prompt: str | None = Field(default=None, description="Column of what the text answers; by default nothing.")
    conversational: bool = Field(
        default=False, description="Whether prompt and text are messages for the chat template, or plain text."
    )
    adapter: str | None = Field(
        default=None,
        description="Public schema the rows are in (upworthy, stackexchange), which names the columns that are not "
        "given; or `./mine.py:function`, which makes columns of a row, beside its own.",
    )
    estimator: Literal["auto", "iv", "dml", "fixed_effects", "ols", "none", "input"] = Field(
        default="auto",
        description="How the confounders' effect is estimated: `auto` is `iv` with instruments, else `dml`; `none` "
        "leaves it in, `input` lets the model read the confounders before the text, and their means when it predicts.",
    )
    instrumented: list[str] | None = Field(
        default=None, description="Confounders that the instruments move; by default all."
    )
    seed: int = Field(default=0, description="Seed of the folds.")

    @field_validator("adapter")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        return known_adapter(name, OBSERVATION_ADAPTERS)

    @model_validator(mode="after")
    def _columns_are_named(self) -> "ObservationDatasetConfig":
        needed = ("text", "outcome", "confounders")
        missing = [] if roles_of_adapter(self.adapter) else [name for name in needed if not getattr(self, name)]
        if missing:
            raise ValueError(f"name the columns of {' and '.join(missing)}, or a public schema as `adapter` that does")
        if self.conversational and self.prompt is None:
            raise ValueError("`conversational: true` needs the column of the `prompt`, which the text answers")
        return self


RULES = Rules(ranges={"max_length": COUNT})
READS_TEXT = ("auto", "iv", "dml", "fixed_effects")  # estimators that control for the text


def extras(recipe: Recipe) -> Iterator[tuple[str, ...]]:
    """Yields extra, what needs it, and which modules of it."""
    data = cast(ObservationDatasetConfig, recipe.dataset)
    if data.estimator in READS_TEXT:
        yield "deconfound", f"`dataset.estimator: {data.estimator}`"
