"""Policies answer prompts with tools, one result is changed by each family, and what follows it is answered again."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from align.data.prompt_rows import PromptRow, prompts_to_rows
from align.errors import UserError
from align.evaluation.asking import Asking
from align.evaluation.engine import Evaluation, Finished
from align.evaluation.statistics.item_means import ItemMean
from align.evaluation.suite import LoadedRows, Measured
from align.evaluation.suites.prompts.evaluation import PromptTask, arranged, reward
from align.evaluation.suites.prompts.measured_rewards import reward_all
from align.evaluation.suites.tool_reliance import RelianceOptions
from align.evaluation.suites.tools.evaluation import load as load_tools
from align.evaluation.suites.tools.evaluation import transcribe, use_of_tools
from align.models.transcripts.transcript import Asked, Transcript
from rewards.reading.responses import parse_response
from rewards.scoring.families import ON_RESULTS, Family, FamilyError, find_families
from rewards.scoring.tool_results import (
    ChangedResult,
    Followed,
    change_result,
    follow,
    following_metrics,
    told_in,
)


class Again(NamedTuple):
    """A sample of a prompt with a changed result."""

    prompt: int
    sample: int
    change: ChangedResult


@dataclass
class Changing:
    """What is asked behind changed results."""

    families: Sequence[Family]
    column: str  # of the right answer
    turns: int  # of an answer behind a changed result
    again: dict[str, list[tuple[Again, Transcript]]] = field(default_factory=dict)  # by model


def load(run: Evaluation, options: RelianceOptions) -> LoadedRows:
    """Finds the families beside what answers with tools need; the first reward says which answers are right."""
    loaded = load_tools(run, options)
    families = find_families(options.families or ON_RESULTS, "`--families`", ON_RESULTS)
    task: PromptTask = loaded.task
    if not task.called or not task.called.rewards or isinstance(task.called.rewards[0].reward, str):
        raise UserError(
            "`--rewards` must begin with a function that says which second answers are right, and there is none. "
            "Name one, such as `--rewards number_accuracy`."
        )
    if (column := options.gold_column) not in loaded.rows[0].columns:
        raise UserError(f"`--gold_column {column}`: the data has no such column.")
    task.beside = Changing(families, column, options.second_turns + 1)
    return loaded


def measure(subject: Any, rows: Sequence[PromptRow], asking: Asking) -> None:
    """Asks for the transcripts of one model, and for what follows changed results."""
    task: PromptTask = asking.task
    answers, kept = transcribe(subject, rows, asking)
    if answers is None:
        return
    found, asked, others = task.completions[asking.name], prompts_to_rows(list(rows)), _golds(task, rows)
    changes = [
        Again(i, sample, change)
        for i, group in enumerate(found)
        for sample, each in enumerate(group)
        for change in _changes(task, others, asked[i], each)
    ]
    once, turns, seed = replace(asking.decoding, num_samples=1), task.beside.turns, asking.decoding.seed

    def go_on(part: list[int]) -> list[Any]:
        chosen = [changes[place] for place in part]
        again = [Asked(asked[i], f"{seed}/{asked[i]['id']}/{sample}") for i, sample, _ in chosen]
        before = [found[i][sample] for i, sample, _ in chosen]
        told = [
            (sum(said["role"] == "tool" for said in one.completion[: each.change.result.place]), each.change.text)
            for one, each in zip(before, chosen, strict=True)
        ]
        return [each.to_json() for each in answers.continue_from(again, before, told, once, turns=turns)]

    behind = [[found[i][sample].to_json(), change.result.place, change.text] for i, sample, change in changes]
    contents = json.loads(json.dumps(behind, default=str))
    contents = [[answers.fingerprint, "behind results", *each, turns, asdict(once)] for each in contents]
    before = kept.num_cached
    done = kept.ask("answering behind results", go_on, contents, [1] * len(contents), answers.chunk_size)
    kept.num_cached = before  # prompts are counted
    task.beside.again[asking.name] = list(zip(changes, map(Transcript.from_json, done), strict=True))


def _changes(
    task: PromptTask, others: Sequence[str], row: dict[str, Any], transcript: Transcript
) -> list[ChangedResult]:
    found, seed = [], task.run.decoding.seed
    for family in () if transcript.lost else task.beside.families:
        rng = random.Random(f"{seed}/{row['id']}/{family.name}")
        asked = {**row, "prompt": transcript.prompt}
        try:
            found.append(change_result([family], asked, transcript.completion, rng, task.beside.column, others))
        except FamilyError as error:
            raise UserError(str(error)) from error
    return [change for change in found if change is not None]


def finish(run: Evaluation, loaded: LoadedRows, _: Mapping[str, Any]) -> Finished:
    """Calls the rewards, the first one also on second answers, and judges these."""
    task, prompts = loaded.task, loaded.rows
    reward(task, prompts)
    followed = {name: _judged(task, prompts, name) for name in task.beside.again}

    def more(_: PromptTask, loaded: LoadedRows, name: str) -> dict[str, Measured]:
        """Measures how answers follow changed results, beside the use of tools."""
        tools = sorted({tool for group in task.completions[name] for each in group for tool in _names(each)})
        rows = [following_metrics(each, tools) for each in followed[name]]
        size = run.decoding.num_samples * len(task.beside.families)
        values = {"changed": [len(each) / size for each in followed[name]]}
        for key in sorted({key for row in rows for key in row}):
            values[key] = [float(np.mean(row[key])) if key in row else np.nan for row in rows]
        means = {key: ItemMean((np.array(each),), bounds=(0.0, 1.0)) for key, each in values.items()}
        return use_of_tools(task, loaded, name) | {"tool_reliance": Measured(means)}

    return arranged(run, loaded, more)


def _judged(task: PromptTask, rows: Sequence[PromptRow], name: str) -> list[list[Followed]]:
    assert task.called is not None
    first, again, others = task.called.rewards[0].name, task.beside.again[name], _golds(task, rows)
    called = task.called._replace(rewards=task.called.rewards[:1])
    judged = [place for place, (each, _) in enumerate(again) if each.change.effect != "withheld"]
    moved = [again[place][0] for place in judged]
    prompts = [
        replace(rows[each.prompt], columns={**rows[each.prompt].columns, task.beside.column: each.change.gold})
        for each in moved
    ]
    verdicts: dict[int, bool | None] = {}
    if judged:
        answers = {name: [[again[place][1]] for place in judged]}
        values = reward_all(called, task.run.engine, prompts, answers, task.run.stages)[name][first].values
        verdicts = dict(zip(judged, map(_verdict, values[:, 0]), strict=True))
    was = task.rewarded[name][first].values
    followed: list[list[Followed]] = [[] for _ in rows]
    for i, (each, after) in enumerate(again):
        was_right, is_right = _verdict(was[each.prompt, each.sample]), verdicts.get(i)
        gold = rows[each.prompt].columns.get(task.beside.column)
        followed[each.prompt].append(_follow(task, name, each, after, gold, others, was_right, is_right))
    return followed


def _golds(task: PromptTask, prompts: Sequence[PromptRow]) -> list[str]:
    return [gold for each in prompts if isinstance(gold := each.columns.get(task.beside.column), str)]


def _follow(
    task: PromptTask,
    name: str,
    each: Again,
    after: Transcript,
    gold: Any,
    others: Sequence[str],
    was_right: bool | None,
    is_right: bool | None,
) -> Followed:
    before = task.completions[name][each.prompt][each.sample]
    behind = after.completion[each.change.result.place + 1 :]
    names = _names(before) | {tool.__name__ for tool in task.toolbox.tools}
    calls = [call for message in behind for call in message.get("tool_calls") or ()]
    return follow(
        each.change,
        (parse_response(before.text, task.tags).answer, was_right),
        (parse_response(after.text, task.tags).answer, is_right),
        told_in(after.prompt, after.completion),
        gold,
        says=after.text,
        calls=any((call.get("function") or {}).get("name") in names for call in calls),
        others=others,
    )


def _names(transcript: Transcript) -> set[str]:
    return {call.tool for call in transcript.calls if call.failure != "unknown"}


def _verdict(value: float) -> bool | None:
    return None if np.isnan(value) else bool(value > 0)
