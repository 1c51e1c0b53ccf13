"""What a trainer needs of a data set, whatever its rows are about."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from align.data.files import READERS, find_split
from align.data.loading import Item as Named
from align.data.mixing import Share, join_sets, mix_rows, set_names
from align.data.problems import DataReport
from align.data.streaming import HEAD, RowSource, RowStream, check_no_passes
from align.errors import DataError, asked_by
from align.recipe.dataset import DatasetConfig
from align.recipe.recipe import Recipe
from align.whole_files import by_name, sha256_of

Item = TypeVar("Item", bound=Named)
Block = TypeVar("Block", bound=DatasetConfig)
Rows = Sequence[dict[str, Any]]
_HELD = (*READERS, ".arrow")  # endings of the files that hold the rows of a folder


class TrainingData(NamedTuple, Generic[Item]):
    """Rows for a trainer, and what they were made from."""

    items: Sequence[Item]  # of the training file, as they were read
    report: DataReport
    rows: Rows  # without those that training leaves out
    eval_rows: Rows
    fingerprints: dict[str, str]  # SHA-256 of each local file
    extra: Any = None  # what else the trainer of the method needs
    eval_report: DataReport | None = None
    eval_items: Sequence[Item] = ()
    shares: Sequence[Share] = ()  # of a mixture, whose `rows` repeat what `items` have once
    probe_items: Sequence[Item] = ()  # which are never trained on, with right answers
    probe_rows: Rows = ()  # of these, with options in an order of their own
    stream: RowStream[Item] | None = None  # where rows are read while training; `rows` are then the first ones


@asked_by("recipe")
def load_training_data(
    data: Block,
    read: Callable[[Block], tuple[Sequence[Item], DataReport]],
    to_rows: Callable[[Sequence[Item]], Rows],
    *,
    to_eval_rows: Callable[[Sequence[Item]], Rows] | None = None,
    to_probe_rows: Callable[[Sequence[Item]], Rows] | None = None,
    extra: Any = None,
) -> TrainingData[Item]:
    """Reads the rows of a data set, or of several that are mixed, and those for evaluation.

    `read` reads what one block names. `to_rows` makes rows for the trainer, each with the `id` of its item;
    `to_eval_rows` those for evaluation, where they differ, and `to_probe_rows` those of a probe.
    """
    sources = data.sources
    parts = [read(source) for source in sources]
    items, report = parts[0] if data.mix is None else join_sets(set_names(sources), parts)
    rows = to_rows(items)
    shares: list[Share] = []
    if data.mix is not None:
        sizes = [len(part) for part, _ in parts]
        rows, shares = mix_rows(rows, [item.id for item in items], sizes, data)
    held_out: Sequence[Item] = []
    eval_report = None
    if data.held_out is not None:
        held_out, eval_report = read(data.held_out)
    eval_rows = (to_eval_rows or to_rows)(held_out)
    probe = [] if to_probe_rows is None or data.probe is None else read(data.probe)[0]
    probed = (probe, to_probe_rows(probe)) if to_probe_rows and probe else ((), ())
    given = (items, report, rows, eval_rows, fingerprints(data), extra, eval_report, held_out, shares, *probed)
    return TrainingData(*given)


def load_stream(
    recipe: Recipe,
    source: RowSource[Item],
    to_row: Callable[[TrainingData[Item]], Callable[[Item], dict[str, Any]]],
    load: Callable[[DatasetConfig], TrainingData[Item]],
) -> TrainingData[Item]:
    """Reads the first rows of a data set, which `to_row` may ask, and has all of them given out while training."""
    data = recipe.dataset
    if recipe.settings.max_steps <= 0:
        raise DataError("`dataset.streaming: true` reads a stream, whose length is not known. Set `max_steps`.")
    check_no_passes(recipe.settings)
    head = data.model_copy(update={"max_rows": min(HEAD, data.max_rows or HEAD)})
    first = load(head)
    return first._replace(stream=RowStream(source, to_row(first), data.on_bad_rows, data.max_rows))


def fingerprints(data: DatasetConfig) -> dict[str, str]:
    """Computes the SHA-256 of each local file of a data set, by name, or by path where two have one name."""
    sources = [*data.sources, *filter(None, [data.held_out, data.probe])]
    paths = [Path(find_split(source.path, source.split)[0]).expanduser() for source in sources]
    folders = [path for path in dict.fromkeys(paths) if path.is_dir()]
    inside = {
        f"{folder.name}/{path.relative_to(folder).as_posix()}": path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.suffix in _HELD
    }
    named = by_name(path for path in paths if path.is_file())
    return {name: sha256_of(path) for name, path in (named | inside).items()}
