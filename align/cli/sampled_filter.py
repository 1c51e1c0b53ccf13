"""`align filter --model`: samples that a verifier accepts, or the prompts that a policy sometimes solves."""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from align.cli.filter_card import cell, describe_slips, write_card
from align.console import make_console, make_table
from align.data.prompt_rows import PromptRow, load_prompts
from align.data.questions.templates import PromptTemplate
from align.data.row_templates import RowTemplate
from align.errors import UserError
from align.evaluation.asked_models import Engine, open_policy
from align.evaluation.kept_answers import KeptAnswers
from align.evaluation.progress import show_stages
from align.evaluation.prompts.asking import as_prompts, complete_prompts
from align.evaluation.prompts.measured_rewards import CalledRewards, check_rewards, reward_all
from align.evaluation.prompts.rejection import (
    FATES,
    KEPT,
    REJECTED,
    UNKNOWN,
    Slips,
    accepts,
    measure_slips,
    pass_rates,
    sort_out,
)
from align.evaluation.prompts.suite import read_scale
from align.evaluation.statistics.metrics import Values, share
from align.models.answer_cache import AnswerCache
from align.models.checkpoint import Checkpoint, find_checkpoint
from align.models.policies.asking import Completion, Decoding
from align.whole_files import write_whole


@dataclass(frozen=True)
class SampledWords:
    """What the command line says; see the help of each option."""

    data: str
    out: Path
    model: str
    called: CalledRewards  # the verifier, and then the gold if there is one
    threshold: float
    pass_rate: tuple[float, float] | None
    right_from: float | None
    decoding: Decoding
    engine: Engine
    columns: Mapping[str, str | list[str]]
    template: RowTemplate | None = None
    cache: Path | None = None
    split: str | None = None
    max_rows: int | None = None
    on_bad_rows: Literal["raise", "skip"] = "raise"


def read_pass_rate(text: str) -> tuple[float, float]:
    """Reads a range of pass rates.

    Raises:
        UserError: If it is none.

    Example:
        >>> read_pass_rate("0.1:0.9")
        (0.1, 0.9)
    """
    try:
        low, high = map(float, text.split(":"))
    except ValueError:
        low, high = 1.0, 0.0
    if not 0 <= low <= high <= 1:
        raise UserError(f"`--pass_rate` must be LOW:HIGH with 0 <= LOW <= HIGH <= 1, such as 0.1:0.9; got {text!r}.")
    return low, high


def run(words: SampledWords) -> int:
    """Samples, judges and writes the rows with a card beside them; returns 1 if no row is kept."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # the bar of loading would tear the one of answering
    words.engine.check()
    prompts, report = load_prompts(
        words.data, split=words.split, on_bad_rows=words.on_bad_rows, max_rows=words.max_rows, columns=words.columns,
        template=words.template,
    )  # fmt: skip
    if with_images := next((row.id for row in prompts if row.images), None):
        raise UserError(f"Prompt {with_images!r} has images, and samples are filtered of texts. Leave such rows out.")
    check_rewards(words.called.rewards, prompts)
    checkpoint = find_checkpoint(words.model)
    completions, rewarded = _sample(words, checkpoint, prompts)
    verifier, *golds = (rewarded[each.name].values for each in words.called.rewards)
    accepted = accepts(verifier, words.threshold)
    if words.pass_rate is None:
        fates = sort_out(completions, accepted, words.decoding.max_new_tokens)
        kept = np.array([[fate == KEPT for fate in row] for row in fates])
        rows = _sample_rows(prompts, completions, verifier, kept)
        counts = _count_samples(fates) | {"prompts": len(prompts), "rows": len(rows)}
    else:
        kept, rates = np.nan_to_num(accepted), pass_rates(accepted)
        rows = _prompt_rows(prompts, rates, words.pass_rate)
        counts = _count_prompts(accepted, rates, words.pass_rate) | {"prompts": len(prompts), "rows": len(rows)}
    counts["mean_pass_rate"] = cell(share(pass_rates(accepted)))
    slips = measure_slips(accepted, _read_gold(golds[0], words), kept) if golds else None
    lines = "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
    failures = {name: each.failures for name, each in rewarded.items()}
    card = describe(words, checkpoint, counts, slips) | {"invalid": failures, "bad_rows": report.reasons}
    try:
        summary, page = write_card(words.out, card)
        write_whole(words.out, lines, errors="backslashreplace")  # last: with it the command is done
    except OSError as error:
        raise UserError(
            f"The rows cannot be written to {words.out}: {error}. Free space there and give the same command again; "
            "no answer is asked for twice."
        ) from error
    _show(counts, slips)
    print(f"The rows are in {words.out}, the counts in {summary}, in words in {page}.")
    return int(not rows)


def describe(
    words: SampledWords, checkpoint: Checkpoint, counts: dict[str, Any], slips: Slips | None
) -> dict[str, Any]:
    """Lists what decided the rows, what was counted, and the verifier's audit."""
    from align.versions import installed_versions

    verifier, *golds = words.called.rewards
    return {
        "kind": "samples" if words.pass_rate is None else "prompts",
        "data": words.data,
        "model": {"path": checkpoint.path, "fingerprint": checkpoint.fingerprint},
        "decoding": asdict(words.decoding),
        "verifier": {"spec": verifier.spec, "threshold": words.threshold},
        "pass_rate": None if words.pass_rate is None else list(words.pass_rate),
        "counts": counts,
        "audit": None if slips is None else describe_slips(slips, golds[0].spec),
        "versions": installed_versions(),
    }


def _sample(words: SampledWords, checkpoint: Checkpoint, prompts: Sequence[PromptRow]) -> tuple[Any, Any]:
    """Samples, and calls the verifier and the gold; samples of a run that was killed are found again."""
    name = Path(words.model).name
    folder = words.cache or words.out.with_suffix(".cache")
    print(f"Asking {checkpoint.path}", file=sys.stderr)
    with show_stages() as stages:
        stages.start(name)
        with closing(AnswerCache(folder, option="--cache")) as cache:
            kept = KeptAnswers(cache, stages.advance)
            with open_policy(checkpoint, lambda _: PromptTemplate(), words.engine) as (policy, _):
                completions = complete_prompts(policy, as_prompts(prompts), words.decoding, kept)
        if kept.num_cached:
            print(f"{kept.num_cached:,} of {len(prompts):,} prompts were sampled before.", file=sys.stderr)
        try:
            rewarded = reward_all(words.called, words.engine, prompts, {name: completions}, stages)
        finally:
            words.called.close()
    return completions, rewarded[name]


def _read_gold(values: Values, words: SampledWords) -> Values:
    right_from = read_scale([values], words.right_from).right_from
    if right_from is None:
        raise UserError(
            f"`--audit` {words.called.rewards[1].spec} gives values other than 0 and 1. Say with `--right_from` from "
            "where a response is right, and give the same command again; no answer is asked for twice."
        )
    gold: Values = np.where(np.isnan(values), np.nan, values >= right_from)
    return gold


def _sample_rows(
    prompts: Sequence[PromptRow], completions: Sequence[Sequence[Completion]], values: Values, kept: Values
) -> list[dict[str, Any]]:
    rows = []
    for i, j in np.argwhere(kept):
        prompt, text = prompts[i].prompt, completions[i][j].text
        completion = text if isinstance(prompt, str) else [{"role": "assistant", "content": text}]
        rows.append(
            {"id": f"{prompts[i].id}-sample-{j}", "prompt": prompt, "completion": completion}
            | {"prompt_id": prompts[i].id, "verifier": float(values[i, j])}
        )
    return rows


def _prompt_rows(prompts: Sequence[PromptRow], rates: Values, within: tuple[float, float]) -> list[dict[str, Any]]:
    low, high = within
    return [
        {"id": row.id, "prompt": row.prompt} | dict(row.columns) | {"pass_rate": round(float(rate), 6)}
        for row, rate in zip(prompts, rates, strict=True)
        if low <= rate <= high
    ]


def _count_samples(fates: Sequence[Sequence[str]]) -> dict[str, Any]:
    samples = Counter(fate for row in fates for fate in row)
    return {"prompts_kept": sum(KEPT in row for row in fates), "samples": {fate: samples[fate] for fate in FATES}}


def _count_prompts(accepted: Values, rates: Values, within: tuple[float, float]) -> dict[str, Any]:
    low, high = within
    unknown, taken = int(np.isnan(accepted).sum()), int(np.nansum(accepted))
    return {
        "below": int((rates < low).sum()),
        "above": int((rates > high).sum()),
        "without_value": int(np.isnan(rates).sum()),
        "samples": {"accepted": taken, REJECTED: accepted.size - taken - unknown, UNKNOWN: unknown},
    }


def _show(counts: dict[str, Any], slips: Slips | None) -> None:
    table = make_table("", "number")
    for name, value in counts.items():
        if isinstance(value, int):
            table.add_row(name.replace("_", " "), f"{value:,}")
    for fate, number in counts["samples"].items():
        table.add_row(f"samples {fate}", f"{number:,}")
    console = make_console(least=80)
    console.print(table)
    for name, estimate in () if slips is None else slips._asdict().items():
        console.print(f"{name.replace('_', ' ')}: {estimate}", markup=False)
