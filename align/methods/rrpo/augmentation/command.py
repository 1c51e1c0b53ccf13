"""`align augment --method rrpo`: preference pairs from a model's own mistakes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from align.errors import UserError
from align.methods.pairs.augmentation.folder import LEFT_OUT_FILE, PAIRS_FILE, check_folder, claim_folder
from align.methods.pairs.augmentation.settings import Augmentation
from align.methods.rrpo.augmentation.options import PairOptions
from align.methods.rrpo.augmentation.output import build_card, describe_run, write_output
from align.methods.rrpo.augmentation.pairs import draw_samples, make_pairs
from align.methods.rrpo.augmentation.settings import PairSettings
from align.methods.rrpo.augmentation.sources import Source, load_sources
from align.methods.rrpo.augmentation.verdicts import Check, ContainsReference, RewardCheck, normalised_words
from align.methods.rrpo.augmentation.wordings import ROOM, reword_request
from align.models.samplers.asking import Plan, SampledAnswers, plan_requests
from align.models.samplers.sampler import Sampler
from align.recipe.dataset import MediaSettings

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
    if any(source.given.images for source in sources):
        described |= media.model_dump(include={"num_frames", "fps", "max_pixels"})
    cache = cache or out / "cache"
    (check_folder if dry_run else claim_folder)(out, described)
    if dry_run and not cache.is_dir():
        _print_plan(plan_requests(sampler, requests, None), chosen, sources, sampler)
        return 0
    with SampledAnswers(cache) as answers:
        _print_plan(plan_requests(sampler, requests, answers), chosen, sources, sampler)
        if dry_run:
            return 0
        outcome = make_pairs(samples, sampler, check, answers, chosen)
    card = build_card(outcome, samples, report, described)
    write_output(out, outcome, card)
    _print_card(card, out)
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
        f"{num_calls:,} calls more word the right answers like the wrong ones: {prompt + answer:,} prompt tokens and "
        f"{ROOM * answer:,} of responses."
    )


def _print_card(card: dict[str, Any], out: Path) -> None:
    counts, tokens = card["counts"], card["tokens"]
    lines = [
        (counts["pairs"], f"pairs from {counts['rows_with_pairs']:,} of {counts['rows']:,} rows"),
        *((number, f"left out: {reason}") for reason, number in card["left_out"].items()),
        *((number, f"rows not read: {rule}") for rule, number in card["bad_rows"].items()),
        (tokens["prompt"] + tokens["completion"], f"tokens in {tokens['answers']:,} answers"),
    ]
    num_plain = counts["rows"] - counts["rows_perturbed"]
    if num_plain and card["run"]["perturbation"] != "none":
        lines.append(
            (num_plain, "rows hold nothing to perturb (a lone question, one image to shuffle, or a text to blur)")
        )
    for number, text in lines:
        print(f"{number:>9,}  {text}")
    if any(reason.startswith("error:") for reason in card["left_out"]):
        print("Run the same command again to ask once more where there was an error.")
    if counts["pairs"]:
        print(f"The pairs are in {out / PAIRS_FILE}, the other responses in {LEFT_OUT_FILE} beside it.")
    else:
        print(f"There is no pair. {out / LEFT_OUT_FILE} holds the responses and why each is of no use.")


AUGMENT = Augmentation((*(each.name for each in fields(PairOptions)), *MediaSettings.model_fields), run)
