"""Trainers with reward functions, and how they are guarded: failures are counted, joined, and stop every rank."""

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import gather_object
from transformers import AutoTokenizer, PreTrainedModel

from align.console import say
from align.data.conversations import in_one_column
from align.data.training_data import TrainingData
from align.errors import RewardError
from align.models.videos import as_frames
from align.recipe.alarms import ALARMS
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward, RewardSettings, short_name
from align.secrets import mask
from align.training.build import eval_dataset, trainer_arguments
from align.training.output_head import WholeHead, check_fused_head
from align.training.reward_records import (
    FEWEST_SILENT,
    GOES_ON_AFTER,
    REWARDS_FILE,
    STEPS_IN_WINDOW,
    CallRecord,
    Repeat,
    Signal,
    add_noise_shares,
    add_spending,
    append_calls,
    audit_signals,
    call_line,
    call_metrics,
    failure_text,
    generators_kept,
    invalid_share,
    join_records,
    main_total,
    pair_scores,
    phrase_signal,
    record_calls,
    repeat_metrics,
    rows_to_repeat,
    score_again,
    shared_phrases,
    shown_text,
    take_spending,
    text_features,
)
from align.training.shown_rows import (
    GOLD_COLUMN,
    IMAGES_COLUMN,
    MediaFolder,
    has_images,
    right_answers,
    small_copies,
    write_copies,
)
from rewards.catalog import REWARDS
from rewards.error_rates.rates import ErrorRates
from rewards.running.contract.calls import NOT_COLUMNS
from rewards.running.guard import GuardedReward, GuardSettings, guard_rewards
from rewards.running.protocol import asks_a_model, better_side, is_async, own_loop, reads_whole_batch, result_of
from rewards.running.scores import Composition, Score

if TYPE_CHECKING:
    from trl import GRPOTrainer as Parent
else:
    Parent = object


EVALUATIONS = "evaluations"  # of a run's folder, where the tables of completions of its evaluations are


@dataclass(frozen=True)
class RewardRules:
    """What a trainer does with the values of its rewards."""

    composition: Composition = field(default_factory=Composition)  # gates and limits, by place in `reward_funcs`
    audits: Sequence[GuardedReward] = ()  # rewards that are logged and never trained on
    on_invalid: str = "skip"  # with `raise` the first invalid value ends training
    max_invalid_share: float = 0.5  # of a reward's values in the last ten steps, above which training ends
    error_rates: Mapping[int, ErrorRates] = field(default_factory=dict)  # that are known, by place in `reward_funcs`
    repeats: float = 0.0  # share of rows scored again, for noise; not by rewards of whole batches or models


class GuardedRewards(Parent):
    """Adds to a trainer of TRL what has to be known about its rewards.

    Only `_calculate_rewards` and what is logged differ. The values of the rewards are TRL's, changed by gates and
    limits where there are some; without them, and while every value is valid, the losses are those of the parent.
    Rewards that are `GuardedReward`s are counted and timed in `rewards.jsonl`; when they fail too often, every rank
    raises once all have their rewards, so that none waits for another. Small copies of images go to the run folder.
    What an evaluation generates stays out of the tables of training, which TRL writes over or mixes with it.
    """

    model: PreTrainedModel
    reward_processing_classes: list[Any]

    def __init__(self, *args: Any, reward_rules: RewardRules | None = None, **kwargs: Any) -> None:
        given = args[1] if len(args) > 1 else kwargs.get("reward_funcs")
        texts = (each for each in (given if isinstance(given, list | tuple) else [given]) if isinstance(each, str))
        for func in texts:  # TRL would look for the name on the hub
            if (func in REWARDS or ":" in func or func.endswith(".py")) and not Path(func).exists():
                raise ValueError(
                    f"`reward_funcs` holds the text {func!r}, and a text is the folder or hub id of a reward model "
                    f"here, not a name as in a recipe. Give the function: `rewards.resolve_reward({func!r})`."
                )
        super().__init__(*args, **kwargs)
        if hasattr(self, "async_loop"):
            self.async_loop = own_loop()  # TRL starts one for each trainer, and a client keeps to its first
        check_fused_head(self.model)
        self.add_callback(WholeHead())
        self._follow(reward_rules or RewardRules())

    def _follow(self, rules: RewardRules) -> None:
        self.reward_rules = rules
        self._has_written = False  # of rewards.jsonl, in this process
        self._media = MediaFolder(Path(self.args.output_dir or "."))

    def _calculate_rewards(
        self, inputs: list[dict[str, Any]], prompts: list[Any], completions: list[Any], completion_ids_list: list[Any]
    ) -> torch.Tensor:
        num_rewards = len(self.reward_funcs)
        with self._audits_among_rewards():
            inputs = [as_frames(row) for row in inputs]
            values = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        functions: list[Any] = [*self.reward_funcs, *self.reward_rules.audits]
        scores = {place: func.take_scores() for place, func in enumerate(functions) if isinstance(func, GuardedReward)}
        guarded = {place: functions[place] for place in scores}
        records = self._gather([_record(func, scores[place], prompts, completions) for place, func in guarded.items()])
        try:
            self._judge(records)
            if self.model.training and self.reward_rules.max_invalid_share < 1:
                self._require_numbers(values[:, :num_rewards])
            if self.reward_rules.repeats and self.model.training:
                given = {name: [row[name] for row in inputs] for name in inputs[0] if name not in NOT_COLUMNS}
                environments = getattr(self, "environments", None)  # which not every parent has
                given |= {} if environments is None else {"environments": environments}
                given |= {"prompts": prompts, "completions": completions, "completion_ids": completion_ids_list}
                self._log_repeats(functions, scores, values, given | {"trainer_state": self.state})
                records = _with_spending(records, gather_object([list(map(take_spending, guarded.values()))]))
        finally:
            self._write(records)
        self._log_audits(values[:, num_rewards:], len(prompts))
        self._log_right(values)
        counted = self._count(values[:, :num_rewards], len(prompts))
        self._log_signals(counted, completions, completion_ids_list)
        if self.log_completions and self.log_multimodal and has_images(inputs[0]):
            self._pending_extra_logs[IMAGES_COLUMN].extend(small_copies(inputs))
        gold = right_answers(inputs) if self.log_completions else None
        if gold and GOLD_COLUMN not in self._pending_extra_logs:  # a reward may log a column of that name
            self._pending_extra_logs[GOLD_COLUMN].extend(gold)
        self._fill_columns(len(prompts))
        return counted

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs as TRL does, without secrets; the images of the completions go to files, their paths to the table."""
        columns: Any = self._logs["extra"]
        if self.log_completions and self.accelerator.is_main_process:
            for texts in (self._logs["prompt"], self._logs["completion"], *columns.values()):
                shown = in_one_column(mask(list(texts)))
                texts.clear()
                texts.extend(shown)
            if IMAGES_COLUMN in columns:
                write_copies(columns[IMAGES_COLUMN], self._media)
        if self.model.training:
            add_noise_shares(self._metrics["train"])
        folder = str(self.args.output_dir)
        if not self.model.training:  # TRL's tables have one name for each step
            self.args.output_dir = os.path.join(folder, EVALUATIONS)
            os.makedirs(os.path.join(self.args.output_dir, "completions"), exist_ok=True)
        try:
            super().log(logs, start_time)
        finally:
            self.args.output_dir = folder

    @property
    def _logs(self) -> Any:
        """What is written about at the next log: in TRL's names, apart for training and evaluation."""
        return self._logs_of["train" if self.model.training else "eval"]

    @_logs.setter
    def _logs(self, logs: Any) -> None:
        self._logs_of = {"train": logs, "eval": copy.deepcopy(logs)}

    @contextmanager
    def _audits_among_rewards(self) -> Any:
        """Lets TRL call the audits with the rewards: with the same columns, at the same time if they are async."""
        own = self.reward_funcs, self.reward_func_names, self.reward_processing_classes
        audits = self.reward_rules.audits
        functions = [
            audit if is_async(audit) and hasattr(self, "async_loop") else _alone(audit, self.accelerator.device)
            for audit in audits
        ]
        self.reward_funcs = [*own[0], *functions]
        self.reward_func_names = [*own[1], *(audit.__name__ for audit in audits)]
        self.reward_processing_classes = [*own[2], *[None] * len(audits)]
        try:
            yield
        finally:
            self.reward_funcs, self.reward_func_names, self.reward_processing_classes = own

    def _gather(self, own: list[CallRecord]) -> list[CallRecord]:
        ranks: list[list[CallRecord]] = gather_object([own])
        return [join_records(calls) for calls in zip(*ranks, strict=True)]

    def _judge(self, records: list[CallRecord]) -> None:
        """Logs the calls of all ranks, and ends training on all of them if too many failed."""
        for record in records:
            self._log_once(call_metrics(record))
            failed, rows = record.failures.total(), len(record.seconds)
            self._hear(f"rewards/{record.reward}/invalid_share", Signal(failed / max(rows, 1), rows))
            share = invalid_share(self.state, f"rewards/{record.reward}", failed, rows)
            if record.failures and self.reward_rules.on_invalid == "raise":
                raise RewardError(failure_text(record, "and `on_invalid` is `raise`"))
            if share > self.reward_rules.max_invalid_share:
                limit = self.reward_rules.max_invalid_share
                raise RewardError(
                    failure_text(record, f"{share:.0%} in the last steps, above `max_invalid_share: {limit:g}`")
                )

    def _require_numbers(self, values: torch.Tensor) -> None:
        """Ends training where no reward gave any row of some steps a number, or one that asks a model gave none."""
        is_none = torch.isnan(values)
        asking = [place for place, func in enumerate(self.reward_funcs) if asks_a_model(func)]
        looked_at = [("No reward", is_none.all(dim=1), FEWEST_SILENT)]
        looked_at += [
            (f"Reward `{self.reward_func_names[place]}` never", is_none[:, place], STEPS_IN_WINDOW) for place in asking
        ]
        for who, silent, fewest in looked_at:
            if invalid_share(self.state, f"{who} none", int(silent.sum()), len(silent), fewest) == 1:
                raise RewardError(
                    f"{who} gave a number in the last {fewest} steps, {len(silent)} completions each, so nothing is "
                    f"learnt from it. Look at what it is asked and says in {REWARDS_FILE} and in the table of "
                    "completions; `max_invalid_share: 1` trains on."
                )

    def _write(self, records: list[CallRecord]) -> None:
        if not records or not self.accelerator.is_main_process:
            return
        done, mode = self.state.global_step, "train" if self.model.training else "eval"
        lines = [call_line(record, done + 1 if mode == "train" else done, mode) for record in records]
        goes_on = [] if self._has_written or not done else [{GOES_ON_AFTER: done}]
        append_calls(Path(self.args.output_dir or "."), [*goes_on, *lines])
        self._has_written = True

    def _log_audits(self, values: torch.Tensor, size: int) -> None:
        for audit, column in zip(self.reward_rules.audits, values.T, strict=True):
            self._pending_extra_logs[f"audit/{audit.__name__}"].extend(self._own_rows(column, size))
            found = column[~torch.isnan(column)]
            if len(found):
                self._log_once({f"audit/{audit.__name__}/mean": found.mean().item()})
            sides = vars(self.state).setdefault("better", {})  # for alarms, and for no file
            sides[f"audit/{audit.__name__}/mean"] = better_side(audit)

    def _log_right(self, values: torch.Tensor) -> None:
        """Logs which share passes a reward whose error rates are known, and which is right, with its interval."""
        size: Any = self.num_generations if self.model.training else self.num_generations_eval
        groups = np.arange(len(values)) // size
        for place, rates in self.reward_rules.error_rates.items():
            passed, right = rates.right_share(values[:, place].cpu().numpy(), groups)
            shares = {"passed": passed.share, "right": right.share, "right_low": right.low, "right_high": right.high}
            name = self.reward_func_names[place]
            self._log_once({f"rewards/{name}/{of}": each for of, each in shares.items() if passed.of})

    def _count(self, values: torch.Tensor, size: int) -> torch.Tensor:
        """Applies gates and limits; the values from before go to the completions table."""
        composition = self.reward_rules.composition
        if not composition.changed:
            return values
        for place in composition.changed:
            name, column = self.reward_func_names[place], values[:, place]
            self._pending_extra_logs[f"{name}_raw"].extend(self._own_rows(column, size))
            found = column[~torch.isnan(column)]
            if len(found):
                self._log_once({f"rewards/{name}/raw_mean": found.mean().item()})
        return torch.as_tensor(composition.apply(values.cpu().numpy()), dtype=values.dtype, device=values.device)

    def _log_signals(self, values: torch.Tensor, completions: list[Any], completion_ids_list: list[Any]) -> None:
        texts, more = list(map(shown_text, completions)), {each.name: each for each in ALARMS.values() if each.feature}
        counted = [text_features(texts, list(map(len, completion_ids_list)))]
        counted += [np.array([[alarm.of_text(text)] for text in texts], np.float64) for alarm in more.values()]
        own = torch.tensor(np.concatenate(counted, 1), dtype=torch.float32, device=self.accelerator.device)
        features = self.accelerator.gather(own).cpu().numpy()
        texts = gather_object(texts)
        if not self.accelerator.is_main_process:
            return
        num_generations: Any = self.num_generations if self.model.training else self.num_generations_eval
        phrases, columns = shared_phrases(texts, num_generations), values.cpu().numpy().astype(np.float64)
        rewards = dict(zip(self.reward_func_names, columns.T, strict=True)) if values.shape[1] > 1 else {}
        total = main_total(columns, self.reward_weights.cpu().numpy())
        for name, known in ({"total": total} | rewards).items():
            signals = audit_signals(known, features, num_generations, list(more))
            signals["phrase"] = phrase_signal(known, phrases)
            self._log_once({f"audit/{name}/{signal}": found.value for signal, found in signals.items()})
            for signal, found in signals.items():
                self._hear(f"audit/{name}/{signal}", found)

    def _hear(self, key: str, found: Signal) -> None:
        """Keeps over how much a number is known, for alarms, and for no file."""
        if self.model.training:
            heard = vars(self.state).setdefault("heard", {})
            heard[key] = found._replace(n=heard.get(key, Signal(0.0, 0.0)).n + found.n)

    def _log_repeats(
        self, functions: list[Any], scores: dict[int, list[Score]], values: torch.Tensor, given: dict[str, Any]
    ) -> None:
        """Scores some rows again and logs how much rewards differ from themselves; nothing is trained on that."""
        accelerator, share = self.accelerator, self.reward_rules.repeats
        num_generations: Any = self.num_generations
        seed = (self.args.seed, self.state.global_step, accelerator.process_index)
        rows = {
            place: rows_to_repeat(own, share, accelerator.num_processes, seed)
            for place, own in scores.items()
            if not reads_whole_batch(functions[place])
        }
        asked = {functions[place]: own for place, own in rows.items() if own}
        found = score_again(asked, given, accelerator.device)
        pairs = [pair_scores(scores[place], rows[place], found.get(functions[place], [])) for place in rows]
        ranks: list[list[list[Repeat]]] = gather_object([pairs])
        for place, repeats in zip(rows, zip(*ranks, strict=True), strict=True):
            column = values[:, place].cpu().numpy().astype(np.float64)
            metrics = repeat_metrics([each for own in repeats for each in own], column, num_generations)
            name = functions[place].__name__
            self._log_once({f"rewards/{name}/{quantity}": value for quantity, value in metrics.items()})

    def _fill_columns(self, size: int) -> None:
        """Gives a column that no reward logged this time its Nones: TRL 1.16 would keep the values of other rows."""
        for column in self._logs["extra"]:
            if column not in self._pending_extra_logs:
                self._pending_extra_logs[column].extend([None] * size)

    def _log_once(self, metrics: dict[str, float]) -> None:
        """Logs numbers that every rank has, or only the first one."""
        if self.accelerator.is_main_process:
            for name, value in metrics.items():
                if not np.isnan(value):
                    self._pending_metrics[name].append(value)

    def _own_rows(self, column: torch.Tensor, size: int) -> list[float | None]:
        start = self.accelerator.process_index * size
        return [None if np.isnan(value) else value for value in column[start : start + size].tolist()]


def _record(func: GuardedReward, scores: list[Score], prompts: list[Any], completions: list[Any]) -> CallRecord:
    record = record_calls(func.__name__, scores, prompts, completions)
    return record._replace(spent=take_spending(func))


def _with_spending(records: list[CallRecord], ranks: list[list[Mapping[str, float]]]) -> list[CallRecord]:
    """Adds what every rank asked for repeats."""
    again = zip(*ranks, strict=True)
    return [
        record._replace(spent=add_spending([record.spent, *own])) for record, own in zip(records, again, strict=True)
    ]


def _alone(func: GuardedReward, device: torch.device) -> Callable[..., Any]:
    """Calls an audit so that what it draws at random changes no sample, awaited where TRL has no loop for it."""

    def call(**given: Any) -> Any:
        with generators_kept(device):
            return result_of(func(**given)) if is_async(func) else func(**given)

    return call


def scores_completions(trainer: Any) -> bool:
    """Tells whether a trainer calls reward functions as `GuardedRewards` knows it: TRL's GRPO, RLOO, and theirs."""
    needed = (
        "_calculate_rewards",
        "_pending_metrics",
        "_pending_extra_logs",
        "_logs",
        "log_completions",
        "reward_weights",
    )
    return all(hasattr(trainer, name) for name in (*needed, "num_generations_eval", "log_multimodal"))


def take_over(trainer: Any, rules: RewardRules, audits: Sequence[Callable[..., Any]], settings: GuardSettings) -> None:
    """Makes a `GuardedRewards` of a trainer that is built: guards its reward functions, and follows the rules.

    Args:
        trainer: One that `scores_completions`.
        rules: What to do with the values; one that is a `GuardedRewards` keeps its own.
        audits: Bare functions, which join the rules.
        settings: How rewards and audits are called.
    """
    funcs = [*trainer.reward_funcs, *audits]
    bare = [func for func in funcs if not isinstance(func, torch.nn.Module | GuardedReward)]
    guarded = iter(guard_rewards(bare, settings))
    funcs = [func if isinstance(func, torch.nn.Module | GuardedReward) else next(guarded) for func in funcs]
    count = len(trainer.reward_funcs)
    trainer.reward_funcs = funcs[:count]
    for func, name in zip(trainer.reward_funcs, trainer.reward_func_names, strict=True):
        if isinstance(func, GuardedReward):
            func.__name__ = name  # as TRL logs it, which knows a `functools.partial` by its function
    rules = trainer.reward_rules if isinstance(trainer, GuardedRewards) else rules  # which it was built with
    logs = vars(trainer).pop("_logs", None)  # which are kept apart for training and evaluation
    become(trainer, GuardedRewards)
    if logs is not None:
        trainer._logs = logs
    trainer._follow(replace(rules, audits=[*rules.audits, *funcs[count:]]))


def become(trainer: Any, mixin: type) -> None:
    """Puts the methods of a class before those of a trainer's own class, whose name it keeps."""
    parent = type(trainer)
    if issubclass(parent, mixin):
        return
    names = {"__module__": parent.__module__, "__qualname__": parent.__qualname__, "__doc__": parent.__doc__}
    trainer.__class__ = type(parent.__name__, (mixin, parent), names)


Rewards = list[Reward]


def reward_tokenizer(model: str, *, conversational: bool) -> Any:
    """Loads a reward model's own tokenizer; TRL would take that of the model an adapter belongs to."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    if conversational:
        return tokenizer
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return EndedTexts(tokenizer)


class EndedTexts:
    """A tokenizer that ends every text with the end token, where a reward model was trained to be read.

    TRL 1.16 trains reward models on plain texts with an end token, and asks them in GRPO about texts without one.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._end = str(tokenizer.eos_token or "")

    def __call__(self, text: Sequence[str], **settings: Any) -> Any:
        """Tokenizes texts."""
        ended = [one if self._end and one.endswith(self._end) else one + self._end for one in text]
        return self._tokenizer(text=ended, **settings)

    def __getattr__(self, name: str) -> Any:
        """Looks up everything else on the tokenizer."""
        return getattr(self._tokenizer, name)


def guard(recipe: Recipe, rewards: Rewards) -> tuple[Rewards, RewardRules]:
    """Guards the recipe's reward functions as its keys say; reward models stay TRL's, and audits go into the rules."""
    keys = recipe.rewards
    settings, rules = rules_of(keys, recipe.reward_funcs)
    guarded = iter(guard_rewards([reward for reward in rewards if not isinstance(reward, str)], settings))
    all_rewards: list[Any] = [reward if isinstance(reward, str) else next(guarded) for reward in rewards]
    count = len(recipe.reward_funcs)
    left_out = [
        short_name(spec)
        for spec, reward in zip(recipe.reward_specs, all_rewards, strict=True)
        if isinstance(reward, str) or reads_whole_batch(reward)
    ]
    if keys.reward_repeats and left_out:
        say(
            f"`reward_repeats` leaves out {', '.join(left_out)}: a reward model repeats itself, and a reward that "
            "compares a whole batch cannot score a few of its rows."
        )
    return all_rewards[:count], replace(rules, audits=all_rewards[count:])


def rules_of(keys: RewardSettings, specs: Sequence[str]) -> tuple[GuardSettings, RewardRules]:
    """Returns how the keys of a recipe have these rewards called, and what a trainer does with their values."""
    settings = GuardSettings(keys.reward_workers, keys.reward_timeout, keys.reward_memory_gb, keys.on_invalid)
    composition, share = keys.composition(specs), keys.max_invalid_share
    rates = keys.rates(specs)
    return settings, RewardRules(composition, (), keys.on_invalid, share, rates, keys.reward_repeats)


def rewarded_arguments(recipe: Recipe, data: TrainingData[Any], rewards: Rewards) -> dict[str, Any]:
    """Returns what a trainer with guarded rewards is built from; prompts are padded and cut on the left."""
    given = trainer_arguments(recipe, data, padding_side="left", truncation_side="left")
    trained, rules = guard(recipe, rewards)
    conversational = not isinstance(data.rows[0]["prompt"], str)
    tokenizers = [
        reward_tokenizer(reward, conversational=conversational) if isinstance(reward, str) else None
        for reward in trained
    ]
    probe = eval_dataset(data.probe_rows)
    given |= {"probe": probe, "eval_dataset": given["eval_dataset"] or probe}
    return given | {"reward_funcs": trained, "reward_processing_classes": tokenizers, "reward_rules": rules}
