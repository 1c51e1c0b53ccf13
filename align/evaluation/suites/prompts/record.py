"""What an evaluation of policies on prompts leaves: the record, and a row for every sample."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from align.data.prompt_rows import PromptRow
from align.evaluation.record.answers import AboutPrompts, Items, PromptsRecord, Warned
from align.evaluation.results import VALUES, MeasuredSuites, arrange, pair_answers
from align.evaluation.suites.prompts.measured_rewards import Rewarded
from align.evaluation.suites.prompts.suite import Scale, mean_of_samples
from align.models.policies.answer_keys import digest, image_names
from align.models.policies.asking import Completion

_FEW, _MANY_CUT = 30, 0.05  # prompts in a group; share of responses


def prompt_record(
    about: AboutPrompts,
    measured: MeasuredSuites,
    ids: Sequence[str],
    warnings: Sequence[Warned],
    scales: Mapping[str, Scale],
) -> PromptsRecord:
    """Arranges what rewards measured as it is kept; each suite has the name of its reward."""
    values = {
        name: {model: mean_of_samples(suites[name].means, name) for model, suites in measured.items()}
        for name in scales
    }
    return PromptsRecord(
        about=about,
        **arrange(measured),
        paired=[
            pair_answers(f"reward/{name}", ids, values[name], baseline)
            for baseline in list(measured)[1:]
            for name in scales
        ],
        warnings=list(warnings),
        shares=[
            metric
            for name, suite in next(iter(measured.values())).items()
            for metric in (*suite.means, *suite.others)
            if scales[name].is_share or not metric.startswith(VALUES)
        ],
    )


def sample_rows(
    model: str,
    prompts: Sequence[PromptRow],
    completions: Sequence[Sequence[Completion]],
    answers: Sequence[Sequence[str | None]],
    rewarded: Mapping[str, Rewarded],
) -> list[dict[str, Any]]:
    """Lists the samples of one model with the values of each reward."""
    rows = []
    for i, prompt in enumerate(prompts):
        for sample, each in enumerate(completions[i]):
            row: dict[str, Any] = {"id": prompt.id, "group": group_of(prompt), "model": model, "sample": sample}
            row |= {"prompt": _as_text(prompt.prompt), "columns": _as_text(dict(prompt.columns))}
            row |= {"completion": each.text, "answer": answers[i][sample]}
            row |= {f"{VALUES}{name}": _number(found.values[i, sample]) for name, found in rewarded.items()}
            rows.append(row)
    return rows


def describe_prompts(prompts: Sequence[PromptRow], *, path: str, split: str | None, left_out: dict[str, int]) -> Items:
    """Counts what the prompts are, and says where they come from."""
    content = [[row.id, row.prompt, dict(row.columns), image_names(row.images)] for row in prompts]
    groups = Counter(group for row in prompts if (group := group_of(row)) is not None)
    return Items(
        path=path,
        split=split,
        left_out=left_out,
        fingerprint=digest(json.loads(json.dumps(content, default=str))),
        questions=len(prompts),
        groups=dict(sorted(groups.items())),
    )


def group_of(row: PromptRow) -> str | None:
    """Returns the group of a prompt, if its column has one."""
    group = row.columns.get("group")
    return None if group is None else str(group)


def warn(
    model: str, completions: Sequence[Sequence[Completion]], longest: int,
    rewarded: Mapping[str, Rewarded],
) -> Iterator[Warned]:  # fmt: skip
    """Says what limits the numbers of a model: values that are missing, and responses cut off."""
    texts = [each for group in completions for each in group]
    for name, found in rewarded.items():
        if invalid := sum(found.failures.values()):
            kinds = ", ".join(f"{count:,} x {kind}" for kind, count in found.failures.items())
            yield _warned(model, f"{invalid:,} of {len(texts):,} values of reward {name} are invalid ({kinds})")
        silent = sum(score.value is None and score.failure is None for score in found.scores)
        if silent := silent if found.scores else int(np.isnan(found.values).sum()):
            yield _warned(model, f"Reward {name} says nothing about {silent:,} of {len(texts):,} responses")
    cut = sum(each.ids is not None and len(each.ids) >= longest for each in texts)
    if cut > _MANY_CUT * len(texts):
        yield _warned(
            model, f"{cut:,} of {len(texts):,} responses ({cut / len(texts):.0%}) are as long as `max_new_tokens` "
            f"({longest}) allows: most were cut off",
        )  # fmt: skip


def warn_of_groups(model: str, prompts: Sequence[PromptRow]) -> Iterator[Warned]:
    """Names groups that are too small to tell much, which are the same for all models."""
    small = [name for name, count in Counter(map(group_of, prompts)).items() if name is not None and count < _FEW]
    if small:
        yield _warned(model, f"Groups with fewer than {_FEW} prompts: {', '.join(sorted(small))}")


def _warned(model: str, text: str) -> Warned:
    return Warned(model=model, text=f"{text}.")


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
