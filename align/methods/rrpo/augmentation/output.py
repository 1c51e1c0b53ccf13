"""What a run leaves: the pairs, the responses left out with their reasons, and a card."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

from align.data.media.images import ImageLike, image_digest, open_image
from align.data.problems import DataReport
from align.methods.pairs.augmentation.folder import LEFT_OUT_FILE, describe_data, write_folder
from align.methods.rrpo.augmentation.pairs import Outcome, Sample, rows_without_pairs
from align.methods.rrpo.augmentation.settings import PairSettings
from align.whole_files import write_whole

IMAGES_FOLDER = "images"  # for those that were no files


def describe_run(settings: PairSettings, generator: str, report: DataReport) -> dict[str, Any]:
    """Lists what decides the pairs of a run."""
    return {"method": "rrpo", "generator": generator, "data": describe_data(report.file), **asdict(settings)}


def build_card(
    outcome: Outcome, samples: Sequence[Sample], report: DataReport, run: Mapping[str, Any]
) -> dict[str, Any]:
    """Counts what came out and records what it was made from."""
    sources = {sample.source.id: sample.source for sample in samples}
    perturbed = {sample.source.id for sample in samples if sample.is_perturbed}
    return {
        "truealign": version("truealign"),
        "run": dict(run),
        "counts": {
            "rows_read": report.num_read,
            "bad_rows": len(report.problems),
            "rows": len(sources),
            "rows_perturbed": len(perturbed),
            "rows_with_images": sum(bool(source.given.images) for source in sources.values()),
            "samples": len(samples),
            "pairs": len(outcome.pairs),
            "rows_with_pairs": len({pair["source_id"] for pair in outcome.pairs}),
        },
        "bad_rows": report.reasons,
        "left_out": _count(each.reason for each in outcome.left_out),
        "rows_without_pairs": rows_without_pairs(outcome, sources.values()),
        "tokens": {
            "answers": len(outcome.answers),
            "prompt": sum(answer.prompt_tokens for answer in outcome.answers),
            "completion": sum(answer.completion_tokens for answer in outcome.answers),
        },
    }


def write_output(folder: Path, outcome: Outcome, card: Mapping[str, Any]) -> None:
    """Writes the files of a finished run, the pairs last; all of them have `images` if any has some."""
    left_out = {LEFT_OUT_FILE: [each._asdict() for each in outcome.left_out]}
    pairs = outcome.pairs
    if card["counts"]["rows_with_images"]:
        pairs = [_with_image_paths(pair, folder / IMAGES_FOLDER) for pair in pairs]
    write_folder(folder, pairs, left_out, card, "rrpo/augmentation/card.md.j2")


def _with_image_paths(pair: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    images = [keep_image(image, folder) for image in pair.get("images", ())]
    return {**pair, "images": images, "perturbed_images": pair.get("perturbed_images", [])}


def _count(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def keep_image(image: ImageLike, folder: Path) -> str:
    """Returns the absolute path of an image; one that is in no file is written under a name of its content."""
    if isinstance(image, str | Path):
        return str(Path(image).absolute())
    if isinstance(image, Mapping) and image.get("bytes") is None:
        return str(Path(image["path"]).absolute())
    content, suffix = _encode(image)
    path = folder.absolute() / f"{image_digest(image)}{suffix}"
    if not path.exists():
        write_whole(path, content)
    return str(path)


def _encode(image: ImageLike) -> tuple[bytes, str]:
    """Returns the bytes of a file and its suffix; a file that is held in bytes stays as it is."""
    from PIL import Image

    if isinstance(image, Mapping):
        with Image.open(BytesIO(image["bytes"])) as opened:
            return image["bytes"], f".{(opened.format or 'png').lower()}"
    content = BytesIO()
    open_image(image).save(content, "PNG")
    return content.getvalue(), ".png"
