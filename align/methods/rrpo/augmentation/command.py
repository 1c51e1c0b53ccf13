"""`align augment --method rrpo`: preference pairs from a model's own mistakes, and the folder that they go to."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from io import BytesIO
from pathlib import Path
from typing import Any

from align.data.media.images import ImageLike, image_digest, open_image
from align.data.problems import DataReport
from align.errors import UserError
from align.methods.pairs.augmentation.command import answers_of, build_card, print_card
from align.methods.pairs.augmentation.folder import (
    LEFT_OUT_FILE,
    PAIRS_FILE,
    Augmentation,
    describe_data,
    write_folder,
)
from align.methods.rrpo.augmentation.options import PairOptions
from align.methods.rrpo.augmentation.pairs import (
    Outcome,
    PairSettings,
    PerturbedAnswer,
    draw_samples,
    make_pairs,
    rows_without_pairs,
)
from align.methods.rrpo.augmentation.sources import Source, load_sources
from align.methods.rrpo.augmentation.verdicts import (
    ROOM,
    Check,
    ContainsReference,
    RewardCheck,
    normalised_words,
    reword_request,
)
from align.models.samplers.asking import Plan, plan_requests
from align.models.samplers.sampler import Sampler
from align.recipe.dataset import MediaSettings
from align.whole_files import write_whole

IMAGES_FOLDER = "images"  # for those that were no files


def describe_run(settings: PairSettings, generator: str, report: DataReport) -> dict[str, Any]:
    """Lists what decides the pairs of a run."""
    return {"method": "rrpo", "generator": generator, "data": describe_data(report.file), **asdict(settings)}


def finish(
    folder: Path, outcome: Outcome, samples: Sequence[PerturbedAnswer], report: DataReport, run: Mapping[str, Any]
) -> dict[str, Any]:
    """Writes the files of a finished run and returns its card; all pairs have `images` if any has some."""
    sources = {sample.source.id: sample.source for sample in samples}
    with_images = sum(bool(source.given.images) for source in sources.values())
    num_plain = len(sources) - len({sample.source.id for sample in samples if sample.is_perturbed})
    pairs, answers = outcome.pairs, outcome.answers
    counts = {
        "rows": len(sources),
        "rows_perturbed": len(sources) - num_plain,
        "rows_with_images": with_images,
        "samples": len(samples),
        "pairs": len(pairs),
        "rows_with_pairs": len({pair["source_id"] for pair in pairs}),
    }
    parts: dict[str, Any] = {
        "bad_rows": report.reasons,
        "left_out": dict(Counter(each.reason for each in outcome.left_out).most_common()),
        "rows_without_pairs": rows_without_pairs(outcome, sources.values()),
        "tokens": {
            "answers": len(answers),
            "prompt": sum(answer.prompt_tokens for answer in answers),
            "completion": sum(answer.completion_tokens for answer in answers),
        },
    }
    card = build_card(report, run, counts, **parts)
    left_out = {LEFT_OUT_FILE: [each._asdict() for each in outcome.left_out]}
    if with_images:
        kept = [[keep_image(each, folder / IMAGES_FOLDER) for each in pair.get("images", ())] for pair in pairs]
        pairs = [
            {**pair, "images": images, "perturbed_images": pair.get("perturbed_images", [])}
            for pair, images in zip(pairs, kept, strict=True)
        ]
    write_folder(folder, pairs, left_out, card, "rrpo/augmentation/card.md.j2")
    made = [(len(pairs), f"pairs from {counts['rows_with_pairs']:,} of {len(sources):,} rows")]
    if num_plain and run["perturbation"] != "none":
        what = "rows hold nothing to perturb (a lone question, one image to shuffle, or a text to blur)"
        made.append((num_plain, what))
    end = f"There is no pair. {folder / LEFT_OUT_FILE} holds the responses and why each is of no use."
    if pairs:
        end = f"The pairs are in {folder / PAIRS_FILE}, the other responses in {LEFT_OUT_FILE} beside it."
    print_card(card, made, parts["left_out"], end)
    return card


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


LONG_REFERENCE = 8  # words, beyond which a right answer rarely repeats the reference word for word


def run(
    data: str,
    out: Path,
    *,
    make_sampler: Callable[[], Sampler],
    num_workers: int,
    settings: Mapping[str, Any],
    reading: Mapping[str, Any],
    media: MediaSettings,
    cache: Path | None,
    dry_run: bool,
) -> int:
    """Makes pairs and writes them to a folder; returns 1 if there are none. The sampler has workers of its own."""
    chosen = PairSettings(**settings)
    sources, report = load_sources(data, media=media, **reading)
    sampler = make_sampler()
    check = _check(chosen, sampler, sources)
    samples = draw_samples(sources, chosen)
    requests = [sample.request for sample in samples]
    described = describe_run(chosen, sampler.name, report)
    if chosen.perturbation == "blur" and not any(source.given.images for source in sources):
        raise UserError("`perturbation` blur changes images, and no row has any. Choose mask or a shuffle.")
    if media.video_as == "video" and any(source.columns.get("video") for source in sources):
        raise UserError(
            "`--video_as video` is not done here: frames are perturbed, and shown as images. Leave it out, or say "
            "`images`."
        )
    if any(source.given.images for source in sources):
        described |= media.model_dump(include={"num_frames", "fps", "max_pixels"})
    with answers_of(out, described, cache, dry_run=dry_run) as answers:
        _print_plan(plan_requests(sampler, requests, answers), chosen, sources, sampler)
        if answers is None or dry_run:
            return 0
        outcome = make_pairs(samples, sampler, check, answers, chosen)
    finish(out, outcome, samples, report, described)
    return int(not outcome.pairs)


def _check(settings: PairSettings, sampler: Sampler, sources: Sequence[Source]) -> Check:
    if settings.judge is None:
        return ContainsReference()
    check = RewardCheck(settings.judge, conversational=sampler.uses_chat_template)
    check.try_out(sources[:4])
    return check


def _print_plan(plan: Plan, settings: PairSettings, sources: Sequence[Source], sampler: Sampler) -> None:
    tokens = f"about {plan.prompt_tokens:,} prompt tokens and at most {plan.max_completion_tokens:,} of responses"
    print(f"{plan.num_unknown:,} calls to {sampler.name} for {len(sources):,} rows: {tokens}.")
    if plan.num_images:
        print(f"They show {plan.num_images:,} images, whose tokens are not counted: how many depends on the model.")
    if videos := sum(bool(source.columns.get("video")) for source in sources):
        print(f"{videos:,} rows have a video: its frames are shown as images, and the pairs name them as images.")
    if plan.num_known:
        print(f"{plan.num_known:,} more are answered already.")
    if settings.wording == "model":
        print(f"At most {_restatements(sources, settings)}")
    num_long = sum(len(normalised_words(source.reference)) > LONG_REFERENCE for source in sources)
    if num_long and settings.judge is None:
        print(
            f"{num_long:,} references have more than {LONG_REFERENCE} words, which a right answer rarely repeats: "
            "give a `--judge`."
        )


def _restatements(sources: Sequence[Source], settings: PairSettings) -> str:
    """Says what it takes if every response is wrong and as long as it may be."""
    requests = [reword_request(source, "", settings.max_new_tokens) for source in sources]
    num_calls = settings.num_samples * len(sources)
    prompt = sum(each.estimated_tokens for each in requests) * settings.num_samples
    answer = num_calls * settings.max_new_tokens
    return (
        f"{num_calls:,} more calls put right answers into the words of wrong ones: {prompt + answer:,} prompt tokens "
        f"and {ROOM * answer:,} of responses."
    )


AUGMENT = Augmentation((*(each.name for each in fields(PairOptions)), *MediaSettings.model_fields), run)
