"""Labelled rows that a run is measured on, and never trained on: at its start, its evaluations and its end."""

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from accelerate.utils import gather_object, set_seed
from datasets import Dataset
from transformers import GenerationConfig, Trainer, TrainerCallback

from align.auditing.repeats import digest
from align.data.prompt_rows import LABEL
from align.evaluation.statistics.metrics import (
    Estimate,
    Values,
    mcnemar,
    mean_of_differences,
    mean_of_known,
    share,
)
from align.methods.rollouts.votes import Answers, letter_counts, letter_excess, read_answers
from align.training.reward_records import generators_kept
from rewards.reading.options import LETTERS
from rewards.reading.responses import DEFAULT_FORMAT
from rewards.scoring.answer_agreement import answer_agreement

if TYPE_CHECKING:
    from trl import GRPOTrainer as Parent
else:
    Parent = object

_KEPT = "probe"  # in the state of the trainer, which a checkpoint has


class Probed(Parent):
    """Asks labelled rows beside training, by the trainer's own sampling, and logs `probe/...`; training is as without.

    Each row is asked greedily, and `num_generations` times as in training. What comes is compared with the first look,
    which checkpoints keep. Evaluations have its numbers as `eval_probe/...`, for `metric_for_best_model`; where it is
    the `eval_dataset`, too, they are these numbers alone.
    """

    def __init__(self, *args: Any, probe: Dataset | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.probe = probe
        if probe is not None:
            self.add_callback(_Looks(self))

    def evaluate(self, eval_dataset: Any = None, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluates as TRL does; where there is only the probe, looks at that alone."""
        if self.probe is None or eval_dataset is not None or self.eval_dataset is not self.probe:
            return super().evaluate(eval_dataset, *args, **kwargs)
        metrics: dict[str, float] = {}
        trainer: Any = self
        trainer.control = self.callback_handler.on_evaluate(self.args, self.state, trainer.control, metrics)
        return metrics

    def look_at_probe(self) -> dict[str, float]:
        """Asks all rows of the probe and logs what comes of it, once a step; every rank takes part."""
        rows: list[dict[str, Any]] = [*self.probe]  # type: ignore[misc]
        stored: Any = self.state.stateful_callbacks
        kept, named = stored.get(_KEPT, {}), digest(*(str(row["prompt"]) for row in rows))
        if kept.get("rows") != named:  # the first look, or other rows than before
            kept = {"rows": named}
        if kept.get("step") != self.state.global_step:
            (greedy, _), (sampled, agreement) = self._ask(rows, 1), self._ask(rows, self.num_generations)
            kept |= {"step": self.state.global_step, "numbers": look(rows, greedy, sampled, agreement, kept)}
            kept["votes"] = sampled.votes
            stored[_KEPT] = kept
            control: Any = self.control
            logs = control.should_log
            Trainer.log(self, dict(kept["numbers"]))
            control.should_log = logs  # of the step, which is still to come
        return dict(kept["numbers"])

    def _ask(self, rows: list[dict[str, Any]], size: Any) -> tuple[Answers, Values]:
        """Asks each row `size` times, greedily where that is once; returns the share of second answers that agree."""
        accelerator, given, model = self.accelerator, cast(Any, self.args), cast(Any, self.model)
        mine = math.ceil(len(rows) / accelerator.num_processes)  # all ranks ask as many, some of them twice
        places = [(accelerator.process_index * mine + i) % len(rows) for i in range(mine)]
        at_once = max(1, given.per_device_train_batch_size * given.steps_per_generation // size)
        found: list[tuple[int, list[str], list[float | None]]] = []
        with self._aside(size):
            for start in range(0, mine, at_once):
                part = places[start : start + at_once]
                model.eval()  # which sampling may leave
                inputs = [rows[place] for place in part for _ in range(size)]
                _, ids, _, completions, *_ = self._generate([row["prompt"] for row in inputs])
                texts = [self._tokenizer.decode(each, skip_special_tokens=True) for each in ids]
                agree: list[float | None] = [None] * len(part)
                if size > 1:
                    agree = self._agreement(inputs, completions, ids)
                spans = (slice(i * size, (i + 1) * size) for i in range(len(part)))
                found += [(place, texts[span], agree[span]) for place, span in zip(part, spans, strict=True)]
        all_found = {place: (texts, agree) for place, texts, agree in gather_object(found)}
        of_rows = [all_found[place] for place in range(len(rows))]
        gold, tags = getattr(self.args, "gold_column", LABEL), getattr(self, "response_format", DEFAULT_FORMAT)
        agreement = mean_of_known(np.array([agree for _, agree in of_rows], dtype=float))
        return read_answers(rows, [texts for texts, _ in of_rows], tags, gold), agreement

    def _agreement(self, inputs: list[Any], completions: list[Any], ids: list[Any]) -> list[float | None]:
        """Says of each completion which share of its second answers is the first one, None where none was asked."""
        if not hasattr(self, "_answer_twice") or self.args.second_pass == "off":  # type: ignore[attr-defined]
            return [None] * len(inputs)
        rows = self._answer_twice(inputs, completions, ids).columns
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        given = columns.get("second_choices", columns.get("second_texts"))
        options = [row["options"] for row in inputs] if "second_choices" in columns else None
        shares = answer_agreement(options=options, **columns)
        return [None if each is None else one for each, one in zip(given or [], shares, strict=True)]

    @contextmanager
    def _aside(self, size: int) -> Iterator[None]:
        """Samples as in an evaluation, from generators of its own, and leaves nothing behind that training sees."""
        trainer: Any = self
        sampler = trainer.vllm_generation if trainer.use_vllm else trainer
        was_training, own = trainer.model.training, dict(sampler.generation_kwargs or {})
        # The ranks that share an engine have to sample the same.
        rank = self.accelerator.process_index // (1 if sampler is trainer else sampler.tensor_parallel_size)
        seed = random.Random(f"probe/{self.args.seed}/{self.state.global_step}/{rank}").getrandbits(31)
        if sampler is not trainer and trainer.vllm_mode == "server":  # whose own generator goes on as it was
            own["seed"] = seed
        if size == 1:  # greedy, however it is sampled
            own["top_k"] = 1
        metrics = self._metrics | {"eval": defaultdict(list)}
        set_to: list[tuple[Any, str, Any]] = [
            (trainer, "num_generations_eval", size), (sampler, "generation_kwargs", own),
            (sampler, "top_k", own.get("top_k", sampler.top_k)), (trainer, "_metrics", metrics),
        ]  # fmt: skip
        if sampler is trainer:
            set_to.append((trainer, "generation_config", GenerationConfig(**own, disable_compile=True)))
        before = [(of, name, getattr(of, name)) for of, name, _ in set_to]
        with generators_kept(self.accelerator.device):
            set_seed(seed)
            try:
                _set(set_to)
                yield
            finally:
                _set(before)
                trainer.model.train(was_training)
                self._pending_metrics.clear()


def _set(values: Sequence[tuple[Any, str, Any]]) -> None:
    for of, name, value in values:
        setattr(of, name, value)


def look(
    rows: Sequence[dict[str, Any]], greedy: Answers, sampled: Answers, agreement: Values, kept: dict[str, Any]
) -> dict[str, float]:
    """Computes what is logged of N rows; `kept` has what was answered before, and gets the first answers.

    What begins with `least_` is the near end of an interval, for alarms: at least so much is told.
    """
    right, rates, votes = greedy.right[:, 0], mean_of_known(sampled.right), np.array([sampled.votes], dtype=object).T
    vote_right = np.nan_to_num(sampled.right_of(votes)[:, 0])  # a tie is not right
    if np.isnan(agreement).all():  # without second answers: what the samples of a row say of each other
        agreement = (sampled.texts == votes).mean(axis=1)
    agree = share(agreement)
    numbers = _with_ends({"greedy": share(right), "sampled": share(rates), "vote": share(vote_right)})
    numbers |= _with_ends({"agreement": agree})
    counts = letter_counts(rows, sampled.texts)
    if counts.sum():
        shares = counts.sum(axis=0) / counts.sum()
        numbers |= {f"answer_share_{LETTERS[i]}": float(each) for i, each in enumerate(shares)}
        numbers["least_letter_excess"] = max(0.0, letter_excess(rows, counts).low)
    if "votes" in kept:
        flipped = [one != other for one, other in zip(kept["votes"], sampled.votes, strict=True)]
        numbers["flip_rate"] = float(np.mean(flipped))
    if "greedy" not in kept:
        kept |= {"greedy": right.tolist(), "sampled": rates.tolist()}
    else:
        numbers |= _since_start(right - np.array(kept["greedy"]), rates - np.array(kept["sampled"]), agree)
    return {f"probe/{name}": value for name, value in numbers.items()}


def _since_start(changes: Values, sampled: Values, agree: Estimate) -> dict[str, float]:
    """Compares N rows with the first look: in greedy answers, `changes`, and in the rates of sampled ones."""
    gain, more = mean_of_differences(changes), mean_of_differences(sampled, bounded=False)
    parting = mean_of_differences(sampled - changes, bounded=False)
    learnt, corrupted = int((changes > 0).sum()), int((changes < 0).sum())
    return _with_ends({"gain": gain, "sampled_gain": more}) | {
        "learnt": learnt / len(changes),
        "corrupted": corrupted / len(changes),
        "mcnemar_p": mcnemar(learnt, corrupted),
        "least_fall": max(0.0, -gain.high),
        "least_agreement_alone": agree.low if gain.low <= 0 else 0.0,
        "least_parting": max(0.0, parting.low) if more.value > 0 > gain.value else 0.0,
    }


def _with_ends(found: dict[str, Estimate]) -> dict[str, float]:
    return {
        f"{name}{end}": float(value)
        for name, each in found.items()
        for end, value in zip(("", "_low", "_high"), each[:3], strict=True)
    }


class _Looks(TrainerCallback):
    def __init__(self, trainer: Probed) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Looks before the first step; a run that goes on has looked."""
        if _KEPT not in state.stateful_callbacks:
            self._trainer.look_at_probe()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Looks after the last step; an evaluation of it has the same numbers."""
        if state.global_step >= state.max_steps:
            self._trainer.look_at_probe()

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Looks, and adds the numbers to those of the evaluation."""
        numbers = self._trainer.look_at_probe()
        metrics |= {f"eval_{name}": value for name, value in numbers.items()}
