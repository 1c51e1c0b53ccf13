"""Preference pairs from a model's own mistakes: perturb, sample, keep the wrong, align the wording, mark the spans.

After the data of RRPO: the wrong answer is what the model says about a perturbed input, the right one is the reference
in the wrong one's words, and both stand as answers to the input that was not perturbed.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from align.data.conversations import write_response
from align.data.pairs.preferences import check_pair
from align.data.pairs.spans import diff_spans
from align.data.problems import BadRow
from align.data.texts import check_values
from align.errors import UserError
from align.methods.pairs.augmentation.folder import SamplingSettings, check_at_least_one, check_choice
from align.methods.rrpo.augmentation.options import PairOptions
from align.methods.rrpo.augmentation.sources import MASK, PERTURBATIONS, ModelInput, Source
from align.methods.rrpo.augmentation.verdicts import (
    WORDINGS,
    Check,
    Wording,
    from_restatement,
    from_swap,
    reword_request,
)
from align.models.samplers.asking import SampledAnswers, ask
from align.models.samplers.sampler import Answer, Failure, Request, Sampler


@dataclass(frozen=True, kw_only=True)
class PairSettings(PairOptions, SamplingSettings):
    """What decides the pairs of `--method rrpo`; names are those of `PERTURBATIONS` and `WORDINGS`."""

    temperature: float = 0.7
    max_new_tokens: int = 128

    def __post_init__(self) -> None:
        """Checks the values."""
        check_choice("perturbation", self.perturbation, list(PERTURBATIONS))
        check_choice("wording", self.wording, WORDINGS)
        check_at_least_one("num_samples", self.num_samples)
        super().__post_init__()
        if self.temperature == 0 and self.num_samples > 1:
            raise UserError(
                f"`temperature` 0 gives the same response {self.num_samples} times. Set `--num_samples 1`, or a "
                "temperature above 0."
            )


class PerturbedAnswer(NamedTuple):
    """One response of the model to a perturbed input."""

    source: Source
    number: int  # among the samples of its source
    perturbed: ModelInput
    request: Request

    @property
    def is_perturbed(self) -> bool:
        """Whether the input held something to perturb; a lone question, or one image to shuffle, does not."""
        return self.perturbed != self.source.given


class LeftOut(NamedTuple):
    """A response that did not become a pair."""

    source_id: str
    sample: int
    reason: str  # one of few, so that it can be counted
    response: str
    detail: str  # the wording that was refused, or what the server said


@dataclass
class Outcome:
    """What became of all samples."""

    pairs: list[dict[str, Any]] = field(default_factory=list)  # rows for a trainer, with their history
    left_out: list[LeftOut] = field(default_factory=list)  # every other sample, in the same order
    answers: list[Answer] = field(default_factory=list)  # those that were used, for counting tokens


def draw_samples(sources: Sequence[Source], settings: PairSettings) -> list[PerturbedAnswer]:
    """Perturbs each source once and plans its samples; a source's draw does not depend on the other sources."""
    samples = []
    for source in sources:
        perturb = PERTURBATIONS[settings.perturbation]
        perturbed = perturb(source.given, random.Random(f"{settings.seed}/{source.id}"))
        for number in range(settings.num_samples):
            request = Request(
                perturbed.rendered,
                seed=random.Random(f"{settings.seed}/{source.id}/{number}").getrandbits(31),
                temperature=settings.temperature,
                max_new_tokens=settings.max_new_tokens,
                images=perturbed.images,
            )
            samples.append(PerturbedAnswer(source, number, perturbed, request))
    return samples


def make_pairs(
    samples: Sequence[PerturbedAnswer], sampler: Sampler, check: Check, cache: SampledAnswers, settings: PairSettings
) -> Outcome:
    """Samples the model and makes the pairs; where it cannot be reached, what was answered is in the cache."""
    answers = ask(sampler, [sample.request for sample in samples], cache, "sampling")
    responses = [answer.text.strip() if isinstance(answer, Answer) else "" for answer in answers]
    reasons = _reasons(samples, answers, responses, check)
    details = ["" if isinstance(answer, Answer) else answer.detail for answer in answers]
    wrong = [i for i, reason in enumerate(reasons) if not reason]
    sources, rejected = [samples[i].source for i in wrong], [responses[i] for i in wrong]
    wordings, restatements = _word(sources, rejected, sampler, check, cache, settings)
    for i, wording in zip(wrong, wordings, strict=True):
        details[i], reasons[i] = wording
    outcome = Outcome(answers=[each for each in (*answers, *restatements) if isinstance(each, Answer)])
    for sample, response, reason, detail in zip(samples, responses, reasons, details, strict=True):
        pair = {} if reason else _pair(sample, detail, response, sampler, check, settings)
        if reason := reason or _unusable(pair):
            outcome.left_out.append(LeftOut(sample.source.id, sample.number, reason, response, detail))
        else:
            outcome.pairs.append(pair)
    return outcome


def _reasons(
    samples: Sequence[PerturbedAnswer], answers: Sequence[Answer | Failure], responses: Sequence[str], check: Check
) -> list[str]:
    """Says for each sample why it cannot be a rejected answer; empty for the wrong ones."""
    asked = [i for i, response in enumerate(responses) if response]
    judged = check.are_right([samples[i].source for i in asked], [responses[i] for i in asked])
    verdicts = dict(zip(asked, judged, strict=True))
    reasons: list[str] = []
    seen: set[tuple[str, str]] = set()
    for i, (sample, answer) in enumerate(zip(samples, answers, strict=True)):
        kept = (sample.source.id, responses[i])
        if isinstance(answer, Failure):
            reason = f"error: {answer.reason}"
        elif i not in verdicts:
            reason = "empty response"
        elif verdicts[i] is not False:
            reason = "right answer" if verdicts[i] else "no verdict"
        elif answer.cut_off:  # the right answer may have been to come
            reason = "cut off at `max_new_tokens`"
        elif MASK in responses[i] and MASK not in str(sample.source.given.rendered):
            reason = "repeats the mask"
        else:
            reason = "repeats another sample" if kept in seen else ""
        seen.add(kept)
        reasons.append(reason)
    return reasons


def _word(
    sources: Sequence[Source],
    rejected: Sequence[str],
    sampler: Sampler,
    check: Check,
    cache: SampledAnswers,
    settings: PairSettings,
) -> tuple[list[Wording], list[Answer | Failure]]:
    """Words the chosen answer of each wrong one; also returns what the model answered for it."""
    if settings.wording == "reference":
        return [Wording(source.reference) for source in sources], []
    if settings.wording == "swap":
        return _checked(sources, list(map(from_swap, sources, rejected)), check), []
    requests = [
        reword_request(source, text, settings.max_new_tokens) for source, text in zip(sources, rejected, strict=True)
    ]
    answers = ask(sampler, requests, cache, "rewording")
    verdicts = check.are_right(sources, [each.text.strip() if isinstance(each, Answer) else "" for each in answers])
    return list(map(from_restatement, sources, rejected, answers, verdicts)), answers


def _checked(sources: Sequence[Source], swapped: Sequence[Wording], check: Check) -> list[Wording]:
    """Refuses what is still not right after a swap."""
    whole = [i for i, wording in enumerate(swapped) if not wording.fault]
    verdicts = dict(
        zip(whole, check.are_right([sources[i] for i in whole], [swapped[i].text for i in whole]), strict=True)
    )
    return [
        wording._replace(fault="the swapped response is not right") if i in verdicts and not verdicts[i] else wording
        for i, wording in enumerate(swapped)
    ]


def _pair(
    sample: PerturbedAnswer, chosen: str, rejected: str, sampler: Sampler, check: Check, settings: PairSettings
) -> dict[str, Any]:
    """Makes the row of a pair: what a trainer reads, and where it is from."""
    prompt: Any = sample.source.given.rendered
    if sampler.uses_chat_template and isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    chosen_spans, rejected_spans = diff_spans(chosen, rejected)
    return {
        "id": f"{sample.source.id}/{sample.number}",
        "prompt": prompt,
        "chosen": write_response(chosen, prompt),
        "rejected": write_response(rejected, prompt),
        "chosen_spans": [list(span) for span in chosen_spans],
        "rejected_spans": [list(span) for span in rejected_spans],
        "source_id": sample.source.id,
        "sample": sample.number,
        "perturbation": settings.perturbation if sample.is_perturbed else "none",
        "perturbed_prompt": sample.perturbed.rendered,
        **_image_columns(sample),
        "generator": sampler.name,
        "check": check.name,
        "wording": settings.wording,
        "seed": settings.seed,
    }


def _image_columns(sample: PerturbedAnswer) -> dict[str, Any]:
    """Lists the images as they are and what the model saw: which of them, in its order, and what was done to each."""
    images = [image.source for image in sample.source.given.images]
    if not images:
        return {}
    seen = [
        {"image": images.index(image.source), "edit": "" if image.edit is None else repr(image.edit)}
        for image in sample.perturbed.images
    ]
    return {"images": images, "perturbed_images": seen}


def _unusable(pair: dict[str, Any]) -> str:
    """Says why a pair is of no use to a trainer; empty if it is."""
    if not pair["chosen_spans"] and not pair["rejected_spans"]:
        return "unusable pair: no word differs"
    try:
        check_values(pair)
        check_pair(pair)
    except BadRow as bad:
        return f"unusable pair: {bad.rule}"
    return ""


def rows_without_pairs(outcome: Outcome, sources: Iterable[Source]) -> dict[str, int]:
    """Counts sources that gave no pair, by why: every answer right, or a mixture."""
    reasons: dict[str, set[str]] = defaultdict(set)
    for each in outcome.left_out:
        reasons[each.source_id].add(each.reason)
    paired = {pair["source_id"] for pair in outcome.pairs}
    kinds = [reasons[source.id] for source in sources if source.id not in paired]
    return dict(Counter(f"every sample: {min(kind)}" if len(kind) == 1 else "several reasons" for kind in kinds))
