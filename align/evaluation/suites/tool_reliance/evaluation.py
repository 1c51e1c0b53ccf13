"""Policies answer prompts with tools, one result is changed by each family, and what follows it is answered again."""

import json
import random
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from align.data.prompt_rows import prompts_to_rows
from align.errors import UserError
from align.evaluation.asking import KeptAnswers
from align.evaluation.engine import Beside
from align.evaluation.statistics.item_means import ItemMean
from align.evaluation.suite import Measured
from align.evaluation.suites.prompts.measured_rewards import reward_all
from align.evaluation.suites.tools.evaluation import ToolEvaluation
from align.models.transcripts.toolbox import Answers
from align.models.transcripts.transcript import Asked, Transcript
from rewards.reading.responses import parse_response
from rewards.scoring.families import ON_RESULTS, FamilyError, find_families
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


class RelianceEvaluation(ToolEvaluation):
    """What becomes of policies' answers when what a tool returned is changed."""

    def load(self) -> None:
        """Finds the families beside what answers with tools need; the first reward says which answers are right."""
        super().load()
        self.families = find_families(self.options.families or ON_RESULTS, "`--families`", ON_RESULTS)
        if not self.called or not self.called.rewards or isinstance(self.called.rewards[0].reward, str):
            raise UserError(
                "`--rewards` must begin with a function that says which second answers are right, and there is none. "
                "Name one, such as `--rewards number_accuracy`."
            )
        if (column := self.options.gold_column) not in self.prompts[0].columns:
            raise UserError(f"`--gold_column {column}`: the data has no such column.")
        self.again: dict[str, list[tuple[Again, Transcript]]] = {}
        self.followed: dict[str, list[list[Followed]]] = {}  # by model and prompt

    def transcribe(self, name: str, answers: Answers, kept: KeptAnswers) -> None:
        """Asks for the transcripts of one model, and for what follows changed results."""
        super().transcribe(name, answers, kept)
        found, rows = self.completions[name], prompts_to_rows(self.prompts)
        changes = [
            Again(i, sample, change)
            for i, group in enumerate(found)
            for sample, each in enumerate(group)
            for change in self._changes(rows[i], each)
        ]
        once, turns = replace(self.decoded, num_samples=1), self.options.second_turns + 1

        def go_on(part: list[int]) -> list[Any]:
            chosen = [changes[place] for place in part]
            asked = [Asked(rows[i], f"{self.decoded.seed}/{rows[i]['id']}/{sample}") for i, sample, _ in chosen]
            before = [found[i][sample] for i, sample, _ in chosen]
            told = [
                (sum(said["role"] == "tool" for said in one.completion[: each.change.result.place]), each.change.text)
                for one, each in zip(before, chosen, strict=True)
            ]
            return [each.to_json() for each in answers.continue_from(asked, before, told, once, turns=turns)]

        behind = [[found[i][sample].to_json(), change.result.place, change.text] for i, sample, change in changes]
        contents = json.loads(json.dumps(behind, default=str))
        contents = [[answers.fingerprint, "behind results", *each, turns, asdict(once)] for each in contents]
        before = kept.num_cached
        done = kept.ask("answering behind results", go_on, contents, [1] * len(contents), answers.chunk_size)
        kept.num_cached = before  # prompts are counted
        self.again[name] = list(zip(changes, map(Transcript.from_json, done), strict=True))

    @cached_property
    def _others(self) -> list[str]:
        golds = (each.columns.get(self.options.gold_column) for each in self.prompts)
        return [gold for gold in golds if isinstance(gold, str)]

    def _changes(self, row: dict[str, Any], transcript: Transcript) -> list[ChangedResult]:
        """Changes a result of a transcript by each family that can."""
        column, found = self.options.gold_column, []
        for family in () if transcript.lost else self.families:
            rng = random.Random(f"{self.decoded.seed}/{row['id']}/{family.name}")
            asked = {**row, "prompt": transcript.prompt}
            try:
                found.append(change_result([family], asked, transcript.completion, rng, column, self._others))
            except FamilyError as error:
                raise UserError(str(error)) from error
        return [change for change in found if change is not None]

    def compare(self, beside: Beside) -> None:
        """Calls the rewards, the first one also on second answers, and judges these."""
        super().compare(beside)
        assert self.called is not None
        first, column = self.called.rewards[0].name, self.options.gold_column
        called = self.called._replace(rewards=self.called.rewards[:1])
        for name, again in self.again.items():
            self.followed[name] = [[] for _ in self.prompts]
            judged = [place for place, (each, _) in enumerate(again) if each.change.effect != "withheld"]
            moved = [again[place][0] for place in judged]
            prompts = [self.prompts[each.prompt] for each in moved]
            prompts = [
                replace(row, columns={**row.columns, column: each.change.gold})
                for row, each in zip(prompts, moved, strict=True)
            ]
            verdicts: dict[int, bool | None] = {}
            if judged:
                answers = {name: [[again[place][1]] for place in judged]}
                values = reward_all(called, self.engine, prompts, answers, beside.stages)[name][first].values
                verdicts = dict(zip(judged, map(_verdict, values[:, 0]), strict=True))
            was = self.rewarded[name][first].values
            for i, (each, after) in enumerate(again):
                was_right = _verdict(was[each.prompt, each.sample])
                found = self._follow(name, each, after, was_right, verdicts.get(i))
                self.followed[name][each.prompt].append(found)

    def _follow(
        self, name: str, each: Again, after: Transcript, was_right: bool | None, is_right: bool | None
    ) -> Followed:
        before = self.completions[name][each.prompt][each.sample]
        behind = after.completion[each.change.result.place + 1 :]
        names = _names(before) | {tool.__name__ for tool in self.toolbox.tools}
        calls = [call for message in behind for call in message.get("tool_calls") or ()]
        return follow(
            each.change,
            (parse_response(before.text, self.tags).answer, was_right),
            (parse_response(after.text, self.tags).answer, is_right),
            told_in(after.prompt, after.completion),
            self.prompts[each.prompt].columns.get(self.options.gold_column),
            says=after.text,
            calls=any((call.get("function") or {}).get("name") in names for call in calls),
            others=self._others,
        )

    def more(self, name: str) -> dict[str, Measured]:
        """Measures how answers follow changed results, beside the use of tools."""
        tools = sorted({tool for group in self.completions[name] for each in group for tool in _names(each)})
        rows = [following_metrics(followed, tools) for followed in self.followed[name]]
        size = self.decoded.num_samples * len(self.families)
        values = {"changed": [len(followed) / size for followed in self.followed[name]]}
        for key in sorted({key for row in rows for key in row}):
            values[key] = [float(np.mean(row[key])) if key in row else np.nan for row in rows]
        means = {key: ItemMean((np.array(each),), bounds=(0.0, 1.0)) for key, each in values.items()}
        return super().more(name) | {"tool_reliance": Measured(means)}


def _names(transcript: Transcript) -> set[str]:
    """Names the tools that a transcript called and that there are."""
    return {call.tool for call in transcript.calls if call.failure != "unknown"}


def _verdict(value: float) -> bool | None:
    return None if np.isnan(value) else bool(value > 0)
