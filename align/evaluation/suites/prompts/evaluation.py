"""Policies answer prompts, and rewards say what the answers are worth."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from align.data.pairs.candidates import Candidates, save_candidates
from align.data.prompt_rows import PromptRow, load_prompts
from align.data.unread import saying_unread
from align.errors import UserError
from align.evaluation.asking import Asking, Subject, as_prompts, check_ks
from align.evaluation.divided import current, end_of_part
from align.evaluation.engine import Evaluation, Finished
from align.evaluation.prompting import prompts_made_by, say_made
from align.evaluation.record import EVALUATION_FILE, Record
from align.evaluation.record.file import writing
from align.evaluation.record.record import About, AskingProfile, MeasuredReward, Warned
from align.evaluation.results import VALUES, MeasuredSuites, arrange, number, pair_answers
from align.evaluation.suite import LoadedRows, Measured
from align.evaluation.suites.prompts import PromptOptions
from align.evaluation.suites.prompts.measured_rewards import (
    CalledRewards,
    NamedReward,
    Rewarded,
    check_rewards,
    find_rewards,
    reward_all,
)
from align.evaluation.suites.prompts.suite import RewardScale, read_scale, reward_suite, stated_answer
from align.evaluation.suites.suite_rows import counted
from align.evaluation.with_tools import NamedTools, check_entries
from align.models.policies.answer_keys import image_names
from align.models.transcripts.toolbox import INSTANCES, Toolbox
from align.models.transcripts.transcript import Transcript
from rewards.reading.responses import ResponseFormat
from rewards.running.protocol import HIGHER

More = Callable[["PromptTask", LoadedRows, str], dict[str, Measured]]  # what no reward measures of a model, by suite


@dataclass
class PromptTask:
    """What prompts are asked with, and what became of the answers."""

    run: Evaluation
    named: NamedTools  # that models may call
    tags: ResponseFormat
    called: CalledRewards | None = None
    rewards: list[NamedReward] = field(default_factory=list)
    ks: tuple[int, ...] = ()
    completions: dict[str, list[list[Any]]] = field(default_factory=dict)  # `Completion` or `Transcript`, by model
    rewarded: dict[str, dict[str, Rewarded]] = field(default_factory=dict)  # by model and reward
    beside: Any = None  # what a suite that asks more keeps

    @cached_property
    def toolbox(self) -> Toolbox:
        """The tools, started."""
        return self.run.held.enter_context(closing(self.named.toolbox()))

    @property
    def paid(self) -> list[str]:
        """The rewards that environments give."""
        return [*self.named.weights] or (self.toolbox.rewarding if self.named else [])

    def find_rewards(self) -> CalledRewards:
        """Finds what measures; an environment that rewards needs no other reward."""
        options, recipe = self.run.options, self.run.recipe
        if self.paid and not options.rewards and not (recipe and recipe.reward_specs):
            return CalledRewards([], self.tags)
        found = find_rewards(options, recipe, self.tags, self.paid)
        return found._replace(behind=self.toolbox.behind) if self.named and self.toolbox.environments else found


def load(run: Evaluation, options: PromptOptions) -> LoadedRows:
    """Refuses to write samples over a file that no such evaluation left, finds the rewards, and reads the prompts."""
    if (given := options.samples_out) is None:
        return load_with(run, NamedTools())
    file, is_again = Path(given), (Path(options.out) / EVALUATION_FILE).exists()
    is_data = options.data is not None and file.resolve() == Path(options.data).resolve()
    if file.suffix != ".jsonl" or is_data or (file.exists() and not is_again and current().is_main):
        exists = " that exists" if file.exists() else ""
        raise UserError(f"`--samples_out` must name a new .jsonl file, got {given}{exists}.")
    if run.decoding.num_samples < 2:
        raise UserError(
            "`--samples_out` with one sample of each prompt leaves nothing to choose from. Give `--num_samples 8 "
            "--temperature 1`."
        )
    loaded = load_with(run, NamedTools())
    if loaded.images:
        raise UserError(
            f"{loaded.images} has images, and candidates are texts. Leave `--samples_out` out, or such rows."
        )
    return loaded


def load_with(run: Evaluation, named: NamedTools) -> LoadedRows:
    """Finds the rewards, and reads prompts to answer with tools, if some are named."""
    path = run.data("prompts and what rewards read", "ask")
    template = prompts_made_by(run.recipe, path, run.split, run.columns)
    if template is not None and run.recipe_path is not None:
        say_made(template, run.recipe_path)
    task = PromptTask(run, named, run.prompting.response_format)
    task.called = called = task.find_rewards()
    run.held.callback(called.close)
    task.rewards, task.tags = list(called.rewards), called.response_format
    task.ks = check_ks(tuple(map(_whole, run.options.pass_at_k or ())), run.decoding.num_samples)
    prompts, report = saying_unread(
        load_prompts(path, media=run.media, columns=run.columns, template=template, **run.reading())
    )
    check_rewards(called.rewards, prompts, *([INSTANCES] if called.behind else []))
    check_entries(named, prompts)
    with_images = next((row.id for row in prompts if row.images), None)
    return LoadedRows(
        prompts,
        [[row.id, row.prompt, dict(row.columns), image_names(row.images)] for row in prompts],
        report.reasons,
        counted(map(group_of, prompts)),
        task=task,
        images="" if with_images is None else f"Prompt {with_images!r}",
    )


def measure(subject: Subject, rows: Sequence[PromptRow], asking: Asking) -> None:
    """Asks for the answers of one model."""
    asking.task.completions[asking.name] = subject.complete(as_prompts(rows), asking.decoding)


def reward(task: PromptTask, prompts: Sequence[PromptRow]) -> None:
    """Calls one reward after the other on all answers."""
    run = task.run
    if task.called is not None:
        task.rewarded = reward_all(task.called, run.engine, prompts, task.completions, run.stages)
    for name, completions in task.completions.items() if task.paid and current().is_main else ():
        said = task.named.pay(prompts, completions, run.options.reward_workers or 1)
        task.rewarded.setdefault(name, {}).update({each: Rewarded(values, []) for each, values in said.items()})


def candidates(task: PromptTask, prompts: Sequence[PromptRow]) -> list[Candidates]:
    """Makes candidates of the samples; a prompt with a response of no value has no `quality`."""
    name, completions = next(iter(task.completions.items()))
    gold = next((each.name for each in task.rewards if each.better == HIGHER), None)
    found = []
    for i, (row, group) in enumerate(zip(prompts, completions, strict=True)):
        values = None if gold is None else task.rewarded[name][gold].values[i]
        quality = tuple(values.tolist()) if values is not None and np.isfinite(values).all() else None
        found.append(Candidates(row.id, row.prompt, tuple(each.text for each in group), quality, row.row))
    return found


def finish(run: Evaluation, loaded: LoadedRows, _: Mapping[str, Any]) -> Finished:
    """Calls the rewards, arranges what they say, and keeps the samples of the model that is asked about."""
    reward(loaded.task, loaded.rows)
    found = arranged(run, loaded)
    if (out := run.options.samples_out) is None:
        return found
    rows = candidates(loaded.task, loaded.rows)
    missing = sum(row.quality is None for row in rows)
    more = f"; {missing:,} have a response without a value, and so no `quality`" if missing else ""
    note = (
        f"The samples of {len(rows):,} prompts are in {out}{more}. `align eval reward-model --best_of_n {out}` "
        "chooses from them."
    )

    def save(_: Path) -> None:
        with writing(Path(out)):
            save_candidates(Path(out), rows)

    return found._replace(notes=[note], save=save)


def arranged(run: Evaluation, loaded: LoadedRows, more: More = lambda *_: {}) -> Finished:
    """Arranges what the rewards say."""
    end_of_part()
    task: PromptTask = loaded.task
    prompts, names, rewarded = loaded.rows, list(task.completions), task.rewarded
    answers = {
        name: [[stated_answer(each.text, task.tags) for each in group] for group in groups]
        for name, groups in task.completions.items()
    }
    votes = any(answer is not None for of_model in answers.values() for group in of_model for answer in group)
    scales = {
        each.name: read_scale(
            [of_model[each.name].values for of_model in rewarded.values()],
            run.options.right_from,
            votes=votes,
            may_be_right=each.better == HIGHER,
        )
        for each in task.rewards
    }
    groups = [group_of(row) for row in prompts]
    measured = {
        name: {
            reward: reward_suite(reward, found.values, answers[name], groups, task.ks, scales[reward])
            for reward, found in rewarded[name].items()
        }
        | more(task, loaded, name)
        for name in names
    }
    warnings = [
        Warned(model=name, text=text)
        for name in names
        for text in warn(task.completions[name], run.decoding.max_new_tokens, rewarded[name])
    ]
    profile = AskingProfile(
        **asdict(run.decoding),
        think_tag=task.tags.think_tag,
        answer_tag=task.tags.answer_tag,
        pass_at_k=list(task.ks),
    )
    if loaded.images:
        profile.media = run.media.model_dump()
    rewards = [
        MeasuredReward(
            name=each.name,
            spec=each.spec,
            role=each.role,
            better=each.better,
            right_from=scales[each.name].right_from,
            invalid={name: of_model[each.name].failures for name, of_model in rewarded.items()},
        )
        for each in task.rewards
    ]
    about = run.about(loaded, list(measured[names[0]]), profile=profile, rewards=rewards)
    rows = [
        row
        for name in names
        for row in sample_rows(name, prompts, task.completions[name], answers[name], rewarded[name])
    ]
    return Finished(prompt_record(about, measured, [row.id for row in prompts], warnings, scales), rows)


def _whole(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise UserError(f"`--pass_at_k` takes whole numbers, got {word!r}.") from None


_MANY_CUT = 0.05  # share of responses


def prompt_record(
    about: About,
    measured: MeasuredSuites,
    ids: Sequence[str],
    warnings: Sequence[Warned],
    scales: Mapping[str, RewardScale],
) -> Record:
    """Arranges what rewards measured as it is kept; each suite has the name of its reward."""
    values = {
        model: {f"reward/{name}": suites[name].means[f"reward/{name}"].groups[0] for name in scales}
        for model, suites in measured.items()
    }
    return Record(
        kind="prompts",
        about=about,
        **arrange(measured),
        paired=list(pair_answers(values, ids)),
        warnings=list(warnings),
        shares=[
            metric
            for name, suite in next(iter(measured.values())).items()
            for metric in (*suite.means, *suite.others)
            if (
                scales[name].is_share or not metric.startswith(VALUES)
                if name in scales
                else suite.means[metric].bounds == (0.0, 1.0)
            )
        ],
    )


def sample_rows(
    model: str,
    prompts: Sequence[PromptRow],
    completions: Sequence[Sequence[Any]],
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
            row |= {f"{VALUES}{name}": number(found.values[i, sample]) for name, found in rewarded.items()}
            if isinstance(each, Transcript):
                row |= each.as_row()
            rows.append(row)
    return rows


def group_of(row: PromptRow) -> str | None:
    """Returns the group of a prompt, if its column has one."""
    group = row.columns.get("group")
    return None if group is None else str(group)


def warn(completions: Sequence[Sequence[Any]], longest: int, rewarded: Mapping[str, Rewarded]) -> Iterator[str]:
    """Says what limits the numbers of a model: values that are missing, and responses cut off."""
    texts = [each for group in completions for each in group]
    for name, found in rewarded.items():
        if invalid := sum(found.failures.values()):
            kinds = ", ".join(f"{count:,} x {kind}" for kind, count in found.failures.items())
            yield f"{invalid:,} of {len(texts):,} values of reward {name} are invalid ({kinds})."
        silent = sum(score.value is None and score.failure is None for score in found.scores)
        if silent := silent if found.scores else int(np.isnan(found.values).sum()):
            yield f"Reward {name} says nothing about {silent:,} of {len(texts):,} responses."
    cut = sum(each.ids is not None and len(each.ids) >= longest for each in texts)
    if cut > _MANY_CUT * len(texts):
        yield (
            f"{cut:,} of {len(texts):,} responses ({cut / len(texts):.0%}) are as long as `max_new_tokens` "
            f"({longest}) allows: most were cut off."
        )


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
