"""ACRE for turns: a policy whose answers follow from what its tools returned."""

import random
from collections.abc import Mapping
from itertools import groupby
from typing import Any, NamedTuple

from trl import GRPOTrainer
from trl.chat_template_utils import parse_response as read_message

from align.methods.acre.outcomes import SecondText, TextRow, text_metrics, text_table
from align.methods.acre.rules import LETTERS, check_about
from align.methods.acre.second_pass import Twice
from align.methods.acre.text_trainer import TextACRETrainer
from align.methods.rollouts.tool_rollouts import ToolRollouts
from align.models.second_pass.answer_place import TextPlace
from align.models.second_pass.forward import SecondPassRow
from align.tools.calls import ended
from rewards.reading.responses import completion_text, parse_response
from rewards.scoring.families import ON_RESULTS
from rewards.scoring.tool_results import (
    ChangedResult,
    Followed,
    change_result,
    follow,
    following_metrics,
    is_invented,
    read_results,
    told_in,
)

Message = dict[str, Any]


class SampledTranscripts(NamedTuple):
    """Transcripts as TRL sampled them."""

    prompts: list[list[Message]]  # with what environments observed
    prompt_ids: list[list[int]]
    completion_ids: list[list[int]]
    own: list[list[int]]  # 1 for a token of the policy, 0 for one of a result


class Cut(NamedTuple):
    """A transcript that ends in a changed result."""

    row: int
    change: ChangedResult
    messages: list[Message]  # behind the prompt
    ids: list[int]  # their tokens


class ToolACRETrainer(TextACRETrainer, ToolRollouts, GRPOTrainer):
    """GRPO with tools, and a second answer from the same transcript in which one result of a tool was changed.

    What stands before the result stays, token by token, what stands behind it is left out, and the policy goes on by
    one message, whose tokens are not learnt. The columns that rewards get are `first_right` and `second_right`, as in
    `TextACRETrainer`. A second answer is right where a family says how the right answer changed and it has changed so,
    where nothing may change and a right one stayed, and where the result was withheld and it says so or calls a tool.

    Args:
        *args: As in `GRPOTrainer`.
        **kwargs: As in `TextACRETrainer`; `families` are `other_value`, `error`, `paraphrase`, `irrelevant`, or
            functions as in `rewards.scoring.result_families`. `tools` and `environment_factory` are as in
            `GRPOTrainer`, of which one is needed.
    """

    _known: tuple[str, ...] = ON_RESULTS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._sampled = SampledTranscripts([], [], [], [])
        self._others: list[Any] = []
        super().__init__(*args, **kwargs)
        if not self.tools:
            raise ValueError(
                "`ToolACRETrainer` takes functions as `tools`, or an `environment_factory`, and was given none. Give "
                "it some, or use `TextACRETrainer`."
            )
        rows: Any = self.train_dataset
        some = (row.get(self.args.gold_column) for _, row in zip(range(_MOST_GOLDS), rows, strict=False))
        self._others = list(dict.fromkeys(gold for gold in some if isinstance(gold, str)))

    def _check_settings(self) -> None:
        check_about(self.args, LETTERS)

    def _generate(self, prompts: list[Any]) -> Any:
        output = super()._generate(prompts)
        self._sampled = SampledTranscripts(list(prompts), *output[:3])
        return output

    def _answer_twice(
        self, inputs: list[dict[str, Any]], completions: list[Any], completion_ids_list: list[Any]
    ) -> Twice:
        whole = [ended(completion) for completion in completions]
        verdicts = self._judge_answers(inputs, whole, completion_ids_list)
        rows = [
            TextRow(given[self.args.gold_column], None, self._answer(messages), right)
            for given, messages, right in zip(inputs, whole, verdicts, strict=True)
        ]
        metrics = {"acre/invented_first": [float(self._is_invented(i, each)) for i, each in enumerate(whole)]}
        followed: list[list[Followed]] = [[] for _ in rows]
        if self.args.second_pass != "off":
            with self._second_pass_timed():
                self._ask_again_behind_results(inputs, rows, whole, followed)
        columns = [{"first_right": row.right, "second_right": row.second_right()} for row in rows]
        names = [tool.__name__ for tool in self.tools]
        found = following_metrics([each for row in followed for each in row], names)
        metrics |= {f"acre/{name}": values for name, values in found.items()}
        table = [text_table(row) for row in rows]
        for each, own in zip(table, followed, strict=True):
            del each["trace"]  # of a transcript there is none in particular
            of = [one.change for one in own]
            told = [f"{one.result.tool}, turn {one.result.turn}: {one.result.text} -> {one.text}" for one in of]
            each["changed_result"] = " | ".join(told) or None
        return Twice(columns, text_metrics(rows) | metrics, table)

    def _answer(self, messages: Any) -> str | None:
        return parse_response(completion_text(messages), self.response_format).answer

    def _is_invented(self, index: int, messages: list[Message]) -> bool:
        return is_invented(self._answer(messages), told_in(self._sampled.prompts[index], messages)[0])

    def _ask_again_behind_results(
        self,
        inputs: list[dict[str, Any]],
        rows: list[TextRow],
        completions: list[list[Message]],
        followed: list[list[Followed]],
    ) -> None:
        """Adds the second answers to the rows; every rank takes part, also with nothing to ask."""
        cuts: list[Cut] = []
        for i, (given, row, messages) in enumerate(zip(inputs, rows, completions, strict=True)):
            if row.right is None or self._row_tools[i].lost or not self._is_needed(row.right):
                continue
            if not read_results(messages):
                rows[i] = row._replace(has_version=False if self.args.without_result == "grpo" else None)
                continue
            prompt = self._sampled.prompts[i]
            versions = self._versions(
                {**given, "prompt": prompt, "completion": messages}, self._seed(str(given["prompt"]), i)
            )
            made = [cut for version in versions if (cut := self._end_in(i, version, messages)) is not None]
            rows[i] = row._replace(has_version=bool(made))
            cuts += made
        seconds, ids = self._go_on(cuts)
        golds = [{self.args.gold_column: cut.change.gold} for cut in cuts]
        changed = [inputs[cut.row] | gold for cut, gold in zip(cuts, golds, strict=True)]
        judged = [i for i, cut in enumerate(cuts) if cut.change.effect != "withheld"]
        asked = ([every[i] for i in judged] for every in (changed, seconds, ids))
        verdicts = dict(zip(judged, self._judge_answers(*asked), strict=True))  # type: ignore[arg-type]
        for i, (cut, messages) in enumerate(zip(cuts, seconds, strict=True)):
            row, answer = rows[cut.row], self._answer(messages)
            found = follow(
                cut.change,
                (row.answer, row.right),
                (answer, verdicts.get(i)),
                told_in(self._sampled.prompts[cut.row], messages),
                row.gold,
                says=completion_text(messages),
                calls=self._calls(cut.row, messages[len(cut.messages) :]),
                others=self._others,
            )
            followed[cut.row].append(found)
            shown = answer if answer is not None else completion_text(messages)
            second: Any = SecondText(cut.change, shown, found.right)  # type: ignore[arg-type]
            rows[cut.row] = row._replace(second=(*row.second, second))

    def _change(self, given: Mapping[str, Any], rng: random.Random) -> Any:
        return change_result(self.families, given, given["completion"], rng, self.args.gold_column, self._others)

    def _end_in(self, index: int, change: ChangedResult, messages: list[Message]) -> Cut | None:
        """Ends a transcript in a changed result; None where its tokens do not stand as its messages do."""
        kept, told = _until(messages, change)
        own, ids = self._sampled.own[index], self._sampled.completion_ids[index]
        starts, place = [], 0
        for is_own, run in groupby(own):
            starts += [] if is_own else [place]
            place += len(list(run))
        turn = sum(_begins(messages, i) for i in range(len(kept) + 1)) - 1
        is_text = all(isinstance(each["content"], str) for each in messages if each.get("role") == "tool")
        if not is_text or not 0 <= turn < len(starts):
            return None
        suffix = self._get_tool_suffix_ids(told)
        return Cut(index, change, [*kept, *told], [*ids[: starts[turn]], *suffix])

    def _go_on(self, cuts: list[Cut]) -> tuple[list[list[Message]], list[list[int]]]:
        """Has the policy go on behind changed results; returns the transcripts, as messages and as tokens."""
        end = TextPlace([], "", "", 0, f"</{self.args.answer_tag}>")
        prompts = [self._sampled.prompt_ids[cut.row] for cut in cuts]
        rows = [SecondPassRow(list(prompt), cut.ids, []) for prompt, cut in zip(prompts, cuts, strict=True)]
        written = self._write_answers(rows, [end] * len(rows))
        seconds = [
            [*cut.messages, self._read(cut.row, [*prompt, *cut.ids], new)]
            for cut, prompt, new in zip(cuts, prompts, written, strict=True)
        ]
        return seconds, [[*cut.ids, *new] for cut, new in zip(cuts, written, strict=True)]

    def _read(self, index: int, prefix: list[int], ids: list[int]) -> Message:
        """Reads a message as TRL does; one that was cut off may say nothing."""
        message: Message = read_message(self._tokenizer, ids, prefix=prefix, tools=self._tools_of(index))
        return {"role": "assistant", "content": "", **message}

    def _tools_of(self, index: int) -> list[Any]:
        if self.environment_factories is None:
            return list(self.tools)
        return list(self._env_tools[self._batch_environments[index]])

    def _calls(self, index: int, messages: list[Message]) -> bool:
        names = {tool.__name__ for tool in self._tools_of(index)}
        calls = [call for message in messages for call in message.get("tool_calls") or ()]
        return any((call.get("function") or {}).get("name") in names for call in calls)


_MOST_GOLDS = 1_000


def _until(messages: list[Message], change: ChangedResult) -> tuple[list[Message], list[Message]]:
    """Splits a transcript: what stands before the results of the changed one's turn, and these, changed."""
    start = stop = change.result.place
    while start and messages[start - 1].get("role") == "tool":
        start -= 1
    while stop < len(messages) and messages[stop].get("role") == "tool":
        stop += 1
    told = [dict(message) for message in messages[start:stop]]
    told[change.result.place - start]["content"] = change.text
    return messages[:start], told


def _begins(messages: list[Message], place: int) -> bool:
    return messages[place].get("role") == "tool" and (not place or messages[place - 1].get("role") != "tool")
