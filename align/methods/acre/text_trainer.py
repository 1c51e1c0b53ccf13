"""ACRE where answers are texts: a policy whose answers follow from its reasoning, whatever the prompt says beside."""

import inspect
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from align.console import say
from align.data.conversations import as_written
from align.errors import DataError
from align.methods.acre.outcomes import SecondText, TextRow, text_metrics, text_table
from align.methods.acre.rules import BEHIND_TOOLS, LETTERS, check_about
from align.methods.acre.second_pass import SecondPassTrainer, Twice
from align.methods.rollouts.asked_rows import RowsTogether
from align.models.second_pass.answer_place import TextPlace, text_place
from align.models.second_pass.answers import write_answers
from align.models.second_pass.forward import SecondPassRow
from align.models.second_pass.image_memo import is_sharded
from align.models.second_pass.vllm import written_answers
from align.training.guarded_rewards import RewardRules
from align.training.reward_records import generators_kept
from rewards.running.guard import GuardedReward
from rewards.running.protocol import result_of
from rewards.scoring.families import (
    ON_PROMPTS,
    ChangedPrompt,
    Family,
    FamilyError,
    as_family,
    change_prompt,
    find_families,
)
from rewards.scoring.perturbations import Version


class TextACRETrainer(RowsTogether, SecondPassTrainer):
    """GRPO with a second answer from the same trace after the prompt was changed by a family that keeps the truth.

    The columns that rewards get are `first_text` and `second_texts`, the answers, and `first_right` and
    `second_right`, verdicts of `answer_reward` on them; `SecondPassTrainer` says what is left as it was. Rows need the
    columns `prompt` and `args.gold_column`, and have no images. A row that no family can change is rewarded as in
    GRPO.

    Args:
        *args: As in `GRPOTrainer`.
        families: What changes prompts: `whitespace`, `distractor`, or functions that take a `Version` and a
            random.Random and return the changed text, a `Version`, the changed prompt and its right answer, or None.
            One of those that can change a row is drawn.
        answer_reward: A reward function that reads the gold column. An answer is right where it gives more than 0, and
            nothing is known where it gives None. With `labels="none"` there may be none.
        labels: Whether training rows have their right answer, `given`, or `none`.
        reward_rules: Gates, limits and audits of the rewards; by default none.
        **kwargs: As in `GRPOTrainer`, and `probe`, labelled rows, as in `Probed`.
    """

    _known: tuple[str, ...] = ON_PROMPTS

    def __init__(
        self,
        *args: Any,
        families: Sequence[str | Family | Callable[[Version, random.Random], Any]],
        answer_reward: Callable[..., Any] | None = None,
        reward_rules: RewardRules | None = None,
        labels: str = "given",
        **kwargs: Any,
    ) -> None:
        self.families = _find(families, self._known)
        if not callable(answer_reward) and (labels == "given" or answer_reward is not None):
            raise TypeError(
                f"`answer_reward` must be a reward function, such as `rewards.TextAccuracy()`; got {answer_reward!r}."
            )
        super().__init__(*args, reward_rules=reward_rules, labels=labels, **kwargs)
        self._check_settings()
        self.answer_reward = answer_reward
        self._failed_families: set[str] = set()
        self._check_data()

    def _check_settings(self) -> None:
        check_about(self.args, LETTERS, BEHIND_TOOLS)

    def _check_columns(self, name: str, columns: Sequence[str]) -> None:
        gold = self.args.gold_column
        if gold not in columns and (name != "train" or self.labels == "given"):
            raise ValueError(f"`gold_column: {gold}`: the {name} dataset has no such column ({', '.join(columns)}).")
        if {"images", "image"} & set(columns):
            raise DataError("Second answers that are texts read text only, and the rows have images.")

    def _answer_twice(
        self, inputs: list[dict[str, Any]], completions: list[Any], completion_ids_list: list[Any]
    ) -> Twice:
        verdicts = self._judge_answers(inputs, completions, completion_ids_list)
        places = [text_place(self._tokenizer, ids, self.response_format) for ids in completion_ids_list]
        rows = [
            TextRow(given.get(self.args.gold_column), place and place.trace, place and place.answer, right)
            for given, place, right in zip(inputs, places, verdicts, strict=True)
        ]
        if self.args.second_pass != "off":
            with self._second_pass_timed():
                rows = self._ask_again(inputs, rows, places)
        columns = [row.columns() for row in rows]
        return Twice(columns, text_metrics(rows), [text_table(row) for row in rows])

    def _judge_answers(
        self, inputs: list[dict[str, Any]], completions: list[Any], completion_ids_list: list[Any]
    ) -> list[bool | None]:
        """Asks the answer reward about responses; nothing is logged, and random numbers it draws change nothing."""
        if not inputs or self.answer_reward is None:
            return [None] * len(inputs)
        names = [name for name in inputs[0] if name not in ("prompt", "completion", "completion_ids")]
        with generators_kept(self.accelerator.device):
            values = self.answer_reward(
                prompts=[given["prompt"] for given in inputs],
                completions=completions,
                completion_ids=completion_ids_list,
                trainer_state=self.state,
                log_extra=_log_nothing,
                log_metric=_log_nothing,
                **{name: [given[name] for given in inputs] for name in names},
            )
            if inspect.isawaitable(values):
                values = result_of(values)
        if isinstance(self.answer_reward, GuardedReward):
            self.answer_reward.take_scores()  # one list of calls and rows is kept per step
        return [None if value is None or value != value else value > 0 for value in values]

    def _ask_again(
        self, inputs: list[dict[str, Any]], rows: list[TextRow], places: list[TextPlace | None]
    ) -> list[TextRow]:
        """Adds the second answers; every rank takes part, also with nothing to ask."""
        drawn: dict[str, list[ChangedPrompt]] = {}
        asked: list[tuple[int, TextPlace, ChangedPrompt]] = []
        for i, (given, row, place) in enumerate(zip(inputs, rows, places, strict=True)):
            is_known = row.right is not None or self.labels == "none"
            if place is None or not is_known or not self._is_needed(row.right):
                continue
            seed = self._seed(str(given["prompt"]), i)
            if seed not in drawn:
                drawn[seed] = self._versions(given, seed)
            rows[i] = row._replace(has_version=bool(drawn[seed]))
            asked += [(i, place, version) for version in drawn[seed]]
        texts, ids = self._second_texts(asked)
        name = self.args.gold_column
        golds: list[Any] = [{} if version.gold is None else {name: version.gold} for *_, version in asked]
        changed = [
            inputs[i] | {"prompt": version.prompt} | gold for (i, _, version), gold in zip(asked, golds, strict=True)
        ]
        responses: list[Any] = [
            text if isinstance(given["prompt"], str) else [{"role": "assistant", "content": text}]
            for text, given in zip(texts, changed, strict=True)
        ]
        verdicts = self._judge_answers(changed, responses, ids)
        for (i, _, version), new_ids, right in zip(asked, ids, verdicts, strict=True):
            place = text_place(self._tokenizer, new_ids, self.response_format)
            second = SecondText(version, place and place.answer, right)
            rows[i] = rows[i]._replace(second=(*rows[i].second, second))
        return rows

    def _change(self, given: Mapping[str, Any], rng: random.Random) -> Any:
        return change_prompt(self.families, given, rng, self.args.gold_column)

    def _versions(self, given: Mapping[str, Any], seed: str) -> list[Any]:
        """Draws the versions of a row; a family that fails on it changes nothing, and is named once."""
        found = []
        given = {**given, "prompt": as_written(given["prompt"])}
        for number in range(self.args.num_shuffles):
            rng = random.Random(f"{seed}/{number}")
            try:
                version = self._change(given, rng)
            except FamilyError as error:
                version = None
                self._pending_metrics["acre/version_failed"].append(1.0)
                name = str(error).partition(",")[0]
                if name not in self._failed_families:
                    self._failed_families.add(name)
                    say(f"{error} Such rows are rewarded as in GRPO.")
            else:
                self._pending_metrics["acre/version_failed"].append(0.0)
            found += [] if version is None else [version]
        return found

    def _second_texts(self, asked: list[tuple[int, TextPlace, ChangedPrompt]]) -> tuple[list[str], list[list[int]]]:
        prompts: dict[str, list[int]] = {}
        rows = []
        for _, place, version in asked:
            key = str(version.prompt)
            if key not in prompts:
                prompts[key] = list(self._tokenize_prompts([version.prompt])[0][0])
            rows.append(SecondPassRow(prompts[key], place.prefix_ids, []))
        places = [place for _, place, _ in asked]
        written = self._write_answers(rows, places)
        ids = [[*place.prefix_ids, *new] for place, new in zip(places, written, strict=True)]
        texts = [self._tokenizer.decode(tokens, skip_special_tokens=True) for tokens in ids]
        return [_cut(text, place) for text, place in zip(texts, places, strict=True)], ids

    def _write_answers(self, rows: list[SecondPassRow], places: list[TextPlace]) -> list[list[int]]:
        limits: dict[str, Any] = {
            "max_new_tokens": self.args.second_answer_tokens,
            "temperature": self.args.second_answer_temperature,
        }
        asks_engine = self._asks_engine()
        # The ranks that share an engine hand it the same prompts and must all sample the same.
        rank = self.accelerator.process_index // (self.vllm_generation.tensor_parallel_size if asks_engine else 1)
        seed = random.Random(f"{self.args.seed}/{self.state.global_step}/{rank}/{self.model.training}").getrandbits(31)
        if asks_engine:
            stop = f"</{self.args.answer_tag}>"
            answers = written_answers(self.vllm_generation, rows, seed=seed, stop=stop, **limits)
            if answers.cached_token_share is not None:
                self._pending_metrics["acre/cached_token_share"].append(answers.cached_token_share)
            return answers.found

        def ended(index: int, new: list[int]) -> bool:
            text = str(self._tokenizer.decode(new, skip_special_tokens=True))
            return new[-1] in self.eos_token_ids or places[index].length(text) is not None

        return write_answers(
            self.model,
            rows,
            ended,
            pad_token_id=self._tokenizer.pad_token_id,
            batch_size=self.args.second_pass_batch_size,
            generator=torch.Generator(device=self.model.device).manual_seed(seed),
            most_batches=self._most_batches,
            in_step=is_sharded(self.model),
            **limits,
        )


def _find(families: Any, known: Sequence[str]) -> list[Family]:
    """Finds families that are named as in a recipe, and takes functions as they are."""
    if isinstance(families, str) or not families:
        return find_families(families, known=known)  # says what can be named
    found: list[Family] = []
    for family in families:
        if not isinstance(family, str | Family) and not callable(family):
            raise TypeError(f"`families` must hold names, such as `whitespace`, or functions; got {family!r}.")
        found += find_families([family], known=known) if isinstance(family, str) else [as_family(family)]
    return found


def _cut(text: str, place: TextPlace) -> str:
    """Leaves out what follows the answer of a response; one that has not ended stays as it is."""
    length = place.length(text[place.behind :])
    return text if length is None else text[: place.behind + length]


def _log_nothing(name: str, value: Any) -> None:
    """Stands for TRL's functions that log, which its own call of the reward gets."""
