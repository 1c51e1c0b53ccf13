"""Policies answer prompts, and rewards say what the answers are worth."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from align.data.pairs.candidates import Candidates, save_candidates
from align.data.prompt_rows import PromptRow, load_prompts
from align.data.questions.templates import PromptTemplate
from align.data.unread import saying_unread
from align.errors import UserError
from align.evaluation.asked_models import check_images, open_policy
from align.evaluation.asking import KeptAnswers, as_prompts, check_ks, complete_prompts
from align.evaluation.divided import current
from align.evaluation.engine import Beside, Evaluation, Found
from align.evaluation.prompting import prompt_settings, say_made
from align.evaluation.record import EVALUATION_FILE, Record
from align.evaluation.record.file import writing
from align.evaluation.record.record import About, Items, MeasuredReward, Profile, Warned
from align.evaluation.results import VALUES, MeasuredSuites, arrange, number, pair_answers
from align.evaluation.suite import Measured
from align.evaluation.suites.prompts.measured_rewards import (
    CalledRewards,
    Rewarded,
    check_rewards,
    find_rewards,
    reward_all,
)
from align.evaluation.suites.prompts.suite import Scale, read_scale, reward_suite, stated_answer
from align.evaluation.with_tools import NamedTools, answer_prompts, check_entries
from align.models.checkpoint import Checkpoint
from align.models.policies.answer_keys import image_names
from align.models.transcripts.toolbox import INSTANCES, Answers, Toolbox
from align.models.transcripts.transcript import Transcript
from rewards.reading.responses import ResponseFormat
from rewards.running.protocol import HIGHER


class PromptEvaluation(Evaluation):
    """What rewards say of policies' answers."""

    options: Any
    called: CalledRewards | None = None
    named = NamedTools()  # that models may call

    @cached_property
    def toolbox(self) -> Toolbox:
        """The tools, started."""
        return self.named.toolbox()

    @property
    def paid(self) -> list[str]:
        """The rewards that environments give."""
        return [*self.named.weights] or (self.toolbox.rewarding if self.named else [])

    @property
    def samples_out(self) -> str | None:
        """Where samples go as candidates."""
        return getattr(self.options, "samples_out", None)

    def check(self) -> None:
        """Refuses to write samples over a file that no such evaluation left."""
        if (given := self.samples_out) is None:
            return
        file, is_again = Path(given), (Path(self.options.out) / EVALUATION_FILE).exists()
        is_data = self.options.data is not None and file.resolve() == Path(self.options.data).resolve()
        if file.suffix != ".jsonl" or is_data or (file.exists() and not is_again and current().is_main):
            exists = " that exists" if file.exists() else ""
            raise UserError(f"`--samples_out` must name a new .jsonl file, got {given}{exists}.")

    def load(self) -> None:
        """Finds the rewards, and reads the prompts."""
        self.path = self.data("prompts and what rewards read", "ask")
        options = self.options
        if self.template is not None and self.recipe_path is not None:
            say_made(self.template, self.recipe_path)
        settings = prompt_settings(self.recipe, self.given(["think_tag", "answer_tag", "max_new_tokens"]))
        self.called = called = self.find_rewards(settings.response_format)
        self.rewards, self.tags = list(called.rewards), called.response_format
        self.decoded = self.decoding(settings.max_new_tokens)
        if self.samples_out is not None and self.decoded.num_samples < 2:
            raise UserError(
                "`--samples_out` with one sample of each prompt leaves nothing to choose from. Give `--num_samples 8 "
                "--temperature 1`."
            )
        self.ks = check_ks(tuple(map(_whole, options.pass_at_k or ())), self.decoded.num_samples)
        self.prompts, self.report = saying_unread(
            load_prompts(self.path, media=self.media, columns=self.columns, template=self.template, **self.reading())
        )
        check_rewards(called.rewards, self.prompts, *([INSTANCES] if called.behind else []))
        check_entries(self.named, self.prompts)
        self.completions: dict[str, list[list[Any]]] = {}  # `Completion` or `Transcript`
        self.rewarded: dict[str, dict[str, Rewarded]] = {}

    def find_rewards(self, tags: ResponseFormat) -> CalledRewards:
        """Finds what measures."""
        found = find_rewards(self.options, self.recipe, tags, self.paid)
        return found._replace(behind=self.toolbox.behind) if self.named and self.toolbox.environments else found

    def more(self, name: str) -> dict[str, Measured]:
        """Measures of a model what no reward does, by suite."""
        return {}

    def check_models(self, checkpoints: Mapping[str, Checkpoint], helpers: Mapping[str, Checkpoint]) -> None:
        """Refuses models that do not see the images, and candidates, which have none."""
        if with_images := next((row.id for row in self.prompts if row.images), None):
            if self.samples_out is not None:
                raise UserError(
                    f"Prompt {with_images!r} has images, and candidates are texts. Leave `--samples_out` out, or such "
                    "rows."
                )
            check_images(f"Prompt {with_images!r}", checkpoints, self.media)

    def measure(self, name: str, checkpoint: Checkpoint, kept: KeptAnswers, beside: Beside) -> None:
        """Asks for the answers of one model."""
        images = any(row.images for row in self.prompts)
        with open_policy(checkpoint, lambda _: PromptTemplate(), self.engine, images=images) as (policy, _):
            if self.named:
                self.transcribe(name, self.named.answers(self.toolbox, policy), kept)
            else:
                self.completions[name] = complete_prompts(policy, as_prompts(self.prompts), self.decoded, kept)

    def transcribe(self, name: str, answers: Answers, kept: KeptAnswers) -> None:
        """Asks one model that has tools."""
        self.completions[name] = [*answer_prompts(answers, self.prompts, self.decoded, kept)]

    def compare(self, beside: Beside) -> None:
        """Calls one reward after the other on all answers."""
        if self.called is not None:
            self.rewarded = reward_all(self.called, self.engine, self.prompts, self.completions, beside.stages)
        for name, completions in self.completions.items() if self.paid and current().is_main else ():
            said = self.named.pay(self.prompts, completions, self.options.reward_workers or 1)
            self.rewarded.setdefault(name, {}).update({each: Rewarded(values, []) for each, values in said.items()})

    def close(self) -> None:
        """Ends the workers of the rewards, and the tools."""
        if self.called is not None:
            self.called.close()
        if "toolbox" in vars(self):
            self.toolbox.close()

    def save(self, out: Path, record: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes the samples of the model that is asked about, too."""
        super().save(out, record, rows)
        if self.samples_out is None:
            return
        with writing(Path(self.samples_out)):
            save_candidates(Path(self.samples_out), self.candidates())

    def candidates(self) -> list[Candidates]:
        """Makes candidates of the samples; a prompt with a response of no value has no `quality`."""
        name, completions = next(iter(self.completions.items()))
        gold = next((each.name for each in self.rewards if each.better == HIGHER), None)
        found = []
        for i, (row, group) in enumerate(zip(self.prompts, completions, strict=True)):
            values = None if gold is None else self.rewarded[name][gold].values[i]
            quality = tuple(values.tolist()) if values is not None and np.isfinite(values).all() else None
            found.append(Candidates(row.id, row.prompt, tuple(each.text for each in group), quality, row.row))
        return found

    def notes(self) -> list[str]:
        """Says where the samples are, and of how many the quality is not known."""
        if self.samples_out is None:
            return []
        found = self.candidates()
        missing = sum(row.quality is None for row in found)
        more = f"; {missing:,} have a response without a value, and so no `quality`" if missing else ""
        return [
            f"The samples of {len(found):,} prompts are in {self.samples_out}{more}. `align eval reward-model "
            f"--best_of_n {self.samples_out}` chooses from them."
        ]

    def record(self, run: Mapping[str, Any], helpers: Mapping[str, Checkpoint]) -> Found:
        """Arranges what the rewards say."""
        prompts, names = self.prompts, list(self.completions)
        answers = {
            name: [[stated_answer(each.text, self.tags) for each in group] for group in groups]
            for name, groups in self.completions.items()
        }
        votes = any(answer is not None for of_model in answers.values() for group in of_model for answer in group)
        scales = {
            each.name: read_scale(
                [of_model[each.name].values for of_model in self.rewarded.values()],
                self.options.right_from,
                votes=votes,
                may_be_right=each.better == HIGHER,
            )
            for each in self.rewards
        }
        groups = [group_of(row) for row in prompts]
        measured = {
            name: {
                reward: reward_suite(reward, found.values, answers[name], groups, self.ks, scales[reward])
                for reward, found in self.rewarded[name].items()
            }
            | self.more(name)
            for name in names
        }
        warnings = [
            Warned(model=name, text=text)
            for name in names
            for text in warn(self.completions[name], self.decoded.max_new_tokens, self.rewarded[name])
        ]
        warnings += [Warned(model=names[0], text=text) for text in warn_of_groups(prompts)]
        profile = Profile(
            **asdict(self.decoded),
            think_tag=self.tags.think_tag,
            answer_tag=self.tags.answer_tag,
            pass_at_k=list(self.ks),
        )
        if any(row.images for row in prompts):
            profile.media = self.media.model_dump()
        content = [[row.id, row.prompt, dict(row.columns), image_names(row.images)] for row in prompts]
        about = About(
            **run,
            suites=list(measured[names[0]]),
            data=Items(**self.about_rows(json.loads(json.dumps(content, default=str)), groups, self.report.reasons)),
            profile=profile,
            rewards=[
                MeasuredReward(
                    name=each.name,
                    spec=each.spec,
                    role=each.role,
                    better=each.better,
                    right_from=scales[each.name].right_from,
                    invalid={name: of_model[each.name].failures for name, of_model in self.rewarded.items()},
                )
                for each in self.rewards
            ],
        )
        record = prompt_record(about, measured, [row.id for row in prompts], warnings, scales)
        rows = [
            row
            for name in names
            for row in sample_rows(name, prompts, self.completions[name], answers[name], self.rewarded[name])
        ]
        return record, rows


def _whole(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise UserError(f"`--pass_at_k` takes whole numbers, got {word!r}.") from None


_FEW, _MANY_CUT = 30, 0.05  # prompts in a group; share of responses


def prompt_record(
    about: About, measured: MeasuredSuites, ids: Sequence[str], warnings: Sequence[Warned], scales: Mapping[str, Scale]
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


def warn_of_groups(prompts: Sequence[PromptRow]) -> Iterator[str]:
    """Names groups that are too small to tell much, which are the same for all models."""
    small = [name for name, count in Counter(map(group_of, prompts)).items() if name is not None and count < _FEW]
    if small:
        yield f"Groups with fewer than {_FEW} prompts: {', '.join(sorted(small))}."


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
