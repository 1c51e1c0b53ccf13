"""All checks of a run: of its settings alone, of the data and rewards that were loaded for it, and of two runs."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from align.auditing.cue_data import CueData
from align.auditing.entry import entries_of
from align.auditing.repeats import Seen, compare, see
from align.auditing.row_findings import ROW_CHECKS, SHUFFLE, describe_rows, letters
from align.checks.costs import check_costs
from align.checks.finding import Finding, Level
from align.checks.launch import Launch, check_processes, check_quantized, check_sharded
from align.checks.memory import check_memory, check_room
from align.checks.model import (
    check_adapter,
    check_chat_template,
    check_model,
    check_model_kwargs,
    check_tokens,
)
from align.checks.needs import check_extras, check_hub, check_needs, check_secrets, check_trackers, check_versions
from align.checks.rewards import check_groups
from align.checks.vllm_server import check_cpu_engine, check_vllm_server
from align.data.mixing import Share
from align.data.reading_progress import ReadingProgress
from align.data.stored_items import map_parts
from align.data.training_data import TrainingData
from align.models.model_files import ModelFiles
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward


def check_settings(recipe: Recipe, model: ModelFiles, launch: Launch) -> list[Finding]:
    """Checks a run before anything is loaded for it, in the order in which a user would mend what is wrong."""
    findings = check_versions(recipe) + check_extras(recipe, launch) + check_needs(recipe)
    findings += check_trackers(recipe) + check_secrets(recipe)
    findings += check_processes(recipe, launch) + check_sharded(recipe, launch) + check_quantized(recipe, launch)
    findings += check_model(recipe, model) + check_adapter(recipe, model)
    findings += check_model_kwargs(recipe, model) + check_tokens(recipe, model) + check_chat_template(recipe, model)
    findings += check_cpu_engine(recipe, model)
    return findings + check_hub(recipe)


def check_loaded(
    recipe: Recipe, model: ModelFiles, launch: Launch, data: TrainingData[Any] | None, rewards: Sequence[Reward]
) -> list[Finding]:
    """Checks what was loaded for a run, as far as it could be, and then whether the machine has the room."""
    findings: list[Finding] = []
    if data is not None:
        findings += recipe.record.part("check")(recipe, data, rewards)
        findings += check_mixture(data) + check_rows(recipe, data)
        batch = recipe.record.part("check_batch")(recipe, launch, len(data.rows))
        findings += batch + check_groups(recipe, launch, rewards) + check_costs(recipe, launch, data, rewards, batch)
        if recipe.is_checked and (check_reads := recipe.record.part("check_reads")):
            findings += check_reads(recipe, launch, findings)
    findings += check_vllm_server(recipe, model, data.rows if data is not None else [])
    return findings + check_memory(recipe, model, launch) + check_room(recipe, model, launch)


_IN_LINE = {each.name: each.in_line for each in ROW_CHECKS.values() if each.in_line}
# A prompt that stands there twice is asked twice, and of a text that was shown twice the same may be observed.
_MAY_REPEAT = ("prompts", "outcomes")
# Four passes over the same rows teach about as much as new ones would, and later ones less (arXiv 2305.16264).
_PASSES = 4
_UNUSED = 0.01  # share of a set's rows that are not drawn


def check_rows(recipe: Recipe, data: TrainingData[Any]) -> list[Finding]:
    """Says what rows give away: in one line what the exact part of `align audit` finds, letters, and the worst cue."""
    kind, _ = entries_of(data.items, data.report.file)
    if not kind:
        return []
    held_out = None
    if data.eval_items and data.eval_report is not None:
        held_out = _see(data.eval_items, data.eval_report.file, kind)
    train = _see(data.items, data.report.file, kind)
    looked = describe_rows(train, held_out, compare(train, held_out))
    more = [*_letters(recipe, kind, train), *_cues(recipe, kind, data)]
    found = [each for each in looked if each.name in _IN_LINE]
    numbers = {each.name: each.count for each in found}
    if not any(numbers.values()):
        names = " or ".join(filter(None, [", ".join([*numbers][:-1]), [*numbers][-1]]))
        return [Finding("ok", "rows", f"No {names} among {len(train):,} rows, compared by content.", numbers), *more]
    found_names = {name for name, count in numbers.items() if count}
    again = kind in _MAY_REPEAT and found_names == {"duplicates"}
    said = []
    for each in (one for one in found if one.count):
        sentence = _IN_LINE[each.name].format(count=each.count, of=each.of, text=each.text)
        said.append(f"{sentence} ({each.examples[0]})" if each.examples else sentence)
    text = "; ".join(said)
    level: Level = "ok" if again else "warning"
    return [Finding(level, "rows", f"{text[0].upper()}{text[1:]}.", numbers, _line(recipe, kind)), *more]


_LOOKED_AT = 5_000  # rows, for cues


def _letters(recipe: Recipe, kind: str, train: Seen) -> Iterator[Finding]:
    """Warns of a letter that is right too often, with what takes its meaning away in this recipe."""
    shuffles = bool(getattr(recipe.dataset, "shuffle_options", False))
    found = letters(train, fixed=shuffles)  # a shuffle leaves rows in which an option names others by their letters
    if found is None or not found.count:
        return
    even, remedy = f"`{_line(recipe, kind)} --even_letters` writes rows in which letters are even.", SHUFFLE
    if shuffles:
        remedy = f"Their options name others by letter or place, and stay. {even}"
    elif kind == "sft":
        remedy = even
    elif recipe.dataset.kind != "questions":
        told = 'Set `dataset.shuffle_options: true`, `dataset.prompt_template: "{question}\\n{options}"` and '
        if kind == "questions":
            remedy = f"{told}`dataset.columns` for `question`, `options` and `answer`."
        else:
            remedy = f"{told}`dataset.adapter: in_prompt`. Or: {even}"
    text = f"The right answer is {'; '.join(found.numbers['said'])}. A policy can learn the place. {remedy}"
    yield Finding("warning", "letters", text, found.numbers)


def _cues(recipe: Recipe, kind: str, data: TrainingData[Any]) -> Iterator[Finding]:
    if kind != "questions" or getattr(recipe.dataset, "labels", "given") == "none":
        return
    seen, cues = Seen(kind), CueData(kind)
    for entry in entries_of(data.items[:_LOOKED_AT], data.report.file)[1]:
        seen.add(entry)
        cues.add(entry)
    found = cues.find(seen, compare(seen))[0]
    shuffles = getattr(recipe.dataset, "shuffle_options", False)
    told = [
        each
        for each in (found.found if found else [])
        if not (each.name.startswith("letter ") or (shuffles and each.where == "question"))
    ]
    if not told:
        return
    cue, of = told[0], f" of the first {_LOOKED_AT:,}" if len(data.items) > _LOOKED_AT else ""
    text = (
        f"What goes with {cue.goes_with}{of}: {cue.name} in the {cue.where}, {cue.hits:,.0f} of {cue.n:,} times "
        f"({cue.share:.0%} [{cue.low:.0%}, {cue.high:.0%}], by chance {cue.expected:.0%})"
        + (f", and {len(told) - 1} more" if len(told) > 1 else "")
    )
    yield Finding("warning", "cues", f"{text}. {cue.todo[0]}", {"found": len(told)}, _line(recipe, kind))


def _see(items: Sequence[Any], file: str, kind: str) -> Seen:
    seen = Seen(kind)
    with ReadingProgress("Compared") as progress:
        for part in map_parts(lambda some: see(entries_of(some, file)[1], kind), items):
            seen.join(part)
            if len(seen) < len(items):
                progress.advance(len(part))
    return seen


def _line(recipe: Recipe, kind: str) -> str:
    """Writes the command that shows more; names of columns and several sets are the recipe's, which it then reads."""
    data = recipe.dataset
    if getattr(data, "columns", None) or data.mix is not None or kind == "outcomes":
        return shlex.join(["align", "audit", "--recipe", str(recipe.path), "--out", "audit"])
    given = {"eval": data.eval_path, "split": data.split, "adapter": getattr(data, "adapter", None), "out": "audit"}
    options = [word for name, value in given.items() if value for word in (f"--{name}", str(value))]
    return shlex.join(["align", "audit", data.path, *options])


def check_mixture(data: TrainingData[Any]) -> list[Finding]:
    """Says how many rows each set has in the mixture, how often they are repeated, and what is not used."""
    if not data.shares:
        return []
    total = len(data.rows)
    numbers = {share.name: {**share._asdict(), "repeats": share.repeats} for share in data.shares}
    text = f"A mixture of {total:,} rows: {'; '.join(_word(share, total) for share in data.shares)}."
    findings = [Finding("ok", "mixture", text, numbers)]
    often = [share for share in data.shares if share.repeats > _PASSES]
    if often:
        named = ", ".join(f"{share.name} ({share.rows:,} rows, {share.repeats:.1f} times each)" for share in often)
        text = (
            f"Smaller than their share: {named}. Rows that are repeated more than {_PASSES} times in one pass teach "
            "less than others. Lower the weight, add rows, or set `dataset.stopping_strategy: first_exhausted`."
        )
        findings.append(Finding("warning", "mixture", text))
    return findings


def _word(share: Share, total: int) -> str:
    weight = "" if share.weight is None else f", weight {share.weight:.0%}"
    if share.repeats > 1:
        used = f", each {share.repeats:.1f} times on average"
    else:
        used = f" of its {share.rows:,}" if share.repeats < 1 - _UNUSED else ""
    return f"{share.drawn:,} ({share.drawn / total:.0%}{weight}) from {share.name}{used}"
