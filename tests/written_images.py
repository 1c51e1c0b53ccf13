"""Images for written folders: kept copies in a run, paths in an evaluation."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
from scenes import COLOURS, square

from align.data.media.thumbnails import thumbnails
from align.training.shown_rows import MediaFolder


def frames(count: int, colour: str = "red", size: int = 240):
    """Draws a square that moves from left to right."""
    step = (size - 80) // max(1, count - 1)
    return [square(colour, size=size, place=(size // 3, place * step), side=70) for place in range(count)]


def give_images_to_run(run: Path, counts: tuple[int, ...] = (1, 4, 16)) -> Path:
    """Gives every row of the saved completions, or of the pairs, images as training keeps them."""
    media, colours = MediaFolder(run), list(COLOURS)
    for path in [*sorted((run / "completions").glob("*.parquet")), *run.glob("pairs.parquet")]:
        rows = parquet.read_table(path).to_pylist()
        for number, row in enumerate(rows):
            images = frames(counts[number % len(counts)], colours[number % len(colours)])
            row["images"] = [media.keep(copy) if copy else None for copy in thumbnails(images)]
        parquet.write_table(pa.Table.from_pylist(rows), path)
    return run


def give_images_to_evaluation(folder: Path, images: list[str]) -> Path:
    """Gives every item these paths."""
    table = parquet.read_table(folder / "items.parquet")
    column = pa.array([images] * table.num_rows, pa.list_(pa.string()))
    parquet.write_table(table.append_column("images", column), folder / "items.parquet")
    return folder
