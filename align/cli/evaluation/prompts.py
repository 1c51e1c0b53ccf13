"""`align eval --model --rewards`: what rewards say about a policy's answers to prompts."""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from align.cli.evaluation.asked_models import Engine, about_model, check_images, open_policy, print_report
from align.cli.evaluation.measured_rewards import CalledRewards
from align.cli.evaluation.plan import claim_folder
from align.cli.evaluation.progress import Stages, show_stages
from align.cli.evaluation.reward_models import name_models
from align.cli.evaluation.rewarded import check_rewards, reward_all
from align.cli.evaluation.tables import show_evaluation
from align.console import say
from align.data.prompt_rows import PromptRow, load_prompts
from align.data.questions.templates import PromptTemplate
from align.data.row_templates import RowTemplate
from align.data.unread import saying_unread
from align.evaluation.divided.division import end_of_part, end_of_shard, own_part
from align.evaluation.kept_answers import KeptAnswers
from align.evaluation.policies.record import save_policy_evaluation
from align.evaluation.prompts.asking import as_prompts, check_ks, complete_prompts
from align.evaluation.prompts.record import (
    describe_prompts,
    group_of,
    prompt_record,
    sample_rows,
    warn,
    warn_of_groups,
)
from align.evaluation.prompts.rewarding import Rewarded
from align.evaluation.prompts.suite import Scale, read_scale, reward_suite
from align.evaluation.prompts.voting import stated_answer
from align.evaluation.record import EVALUATION_FILE, ITEMS_FILE
from align.evaluation.record.answers import AskedModel
from align.evaluation.record.prompts import AboutPrompts, MeasuredReward, Sampled
from align.models.answer_cache import AnswerCache
from align.models.checkpoint import Checkpoint, find_checkpoint
from align.models.policies.asking import Completion, Decoding
from align.recipe.dataset import MediaSettings
from rewards.running.protocol import HIGHER


@dataclass(frozen=True)
class PromptWords:
    """What the command line says about an evaluation on prompts; see the help of each option."""

    models: tuple[str, ...]  # the one asked about, then the baselines
    data: str
    out: Path
    called: CalledRewards
    decoding: Decoding
    media: MediaSettings
    engine: Engine
    columns: Mapping[str, str | list[str]]
    template: RowTemplate | None = None
    pass_at_k: tuple[int, ...] = ()
    right_from: float | None = None
    recipe: Path | None = None
    split: str | None = None
    max_rows: int | None = None
    on_bad_rows: Literal["raise", "skip"] = "raise"
    command: tuple[str, ...] = ()


def run(words: PromptWords) -> None:
    """Asks the model and its baselines the same prompts, calls the rewards, prints tables and writes the files."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # the bar of loading would tear the one of answering
    started = time.perf_counter()
    words.engine.check()
    ks = check_ks(words.pass_at_k, words.decoding.num_samples)
    names = name_models(words.models)
    prompts, report = saying_unread(load_prompts(
        words.data, split=words.split, on_bad_rows=words.on_bad_rows, max_rows=words.max_rows, media=words.media,
        columns=words.columns, template=words.template,
    ))  # fmt: skip
    check_rewards(words.called.rewards, prompts)
    checkpoints = {name: find_checkpoint(path) for name, path in zip(names, words.models, strict=True)}
    if with_images := next((row.id for row in prompts if row.images), None):
        check_images(f"Prompt {with_images!r}", words.engine, checkpoints)
    folder = claim_folder(words.out, {name: each.fingerprint for name, each in checkpoints.items()})
    with show_stages() as stages:
        try:
            completions, models = _answers(words, prompts, checkpoints, folder, stages)
            rewarded = reward_all(words.called, words.engine, prompts, completions, stages)
        finally:
            words.called.close()
    end_of_part()
    answers = {
        name: [[stated_answer(each.text, words.called.response_format) for each in group] for group in groups]
        for name, groups in completions.items()
    }
    votes = any(answer is not None for of_model in answers.values() for group in of_model for answer in group)
    scales = {
        each.name: read_scale(
            [of_model[each.name].values for of_model in rewarded.values()],
            words.right_from,
            votes=votes,
            may_be_right=each.better == HIGHER,
        )
        for each in words.called.rewards
    }
    groups = [group_of(row) for row in prompts]
    measured = {
        name: {
            reward: reward_suite(reward, found.values, answers[name], groups, ks, scales[reward])
            for reward, found in rewarded[name].items()
        }
        for name in names
    }
    warnings = [
        each for name in names for each in warn(name, completions[name], words.decoding.max_new_tokens, rewarded[name])
    ]
    warnings += warn_of_groups(names[0], prompts)
    about = _about(words, prompts, report.reasons, models, ks, scales, rewarded, time.perf_counter() - started)
    record = prompt_record(about, measured, [row.id for row in prompts], warnings, scales)
    rows = [
        row for name in names for row in sample_rows(name, prompts, completions[name], answers[name], rewarded[name])
    ]
    save_policy_evaluation(words.out, record, rows)
    show_evaluation(record)
    print(f"\nAll numbers are in {words.out / EVALUATION_FILE}, all answers in {words.out / ITEMS_FILE}.")
    print_report(words.out)


def _answers(
    words: PromptWords,
    prompts: Sequence[PromptRow],
    checkpoints: Mapping[str, Checkpoint],
    folder: Path,
    stages: Stages,
) -> tuple[dict[str, list[list[Completion]]], list[AskedModel]]:
    completions: dict[str, list[list[Completion]]] = {}
    models: list[AskedModel] = []
    images = any(row.images for row in prompts)
    with closing(AnswerCache(folder)) as cache:
        for name, checkpoint in checkpoints.items():
            say(f"Asking {checkpoint.path}")
            begun, kept = time.perf_counter(), KeptAnswers(cache, stages.advance)
            stages.start(name)
            opened = open_policy(checkpoint, lambda _: PromptTemplate(), words.engine, images=images)
            with own_part(), opened as (policy, _):
                completions[name] = complete_prompts(policy, as_prompts(prompts), words.decoding, kept)
            seconds, role = time.perf_counter() - begun, "baseline" if models else "model"
            models.append(
                about_model(name, checkpoint, words.engine, role=role, seconds=seconds, cached=kept.num_cached)
            )
    end_of_shard()
    return completions, models


def _about(
    words: PromptWords,
    prompts: Sequence[PromptRow],
    left_out: dict[str, int],
    models: list[AskedModel],
    ks: tuple[int, ...],
    scales: Mapping[str, Scale],
    rewarded: Mapping[str, Mapping[str, Rewarded]],
    seconds: float,
) -> AboutPrompts:
    from dataclasses import asdict

    from align.versions import installed_versions

    tags = words.called.response_format
    profile = Sampled(
        **asdict(words.decoding), think_tag=tags.think_tag, answer_tag=tags.answer_tag, pass_at_k=list(ks)
    )
    if any(row.images for row in prompts):
        profile.media = words.media.model_dump()
    return AboutPrompts(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=list(words.command),
        suites=[each.name for each in words.called.rewards],
        models=models,
        data=describe_prompts(prompts, path=words.data, split=words.split, left_out=left_out),
        profile=profile,
        rewards=[
            MeasuredReward(
                name=each.name,
                spec=each.spec,
                role=each.role,
                better=each.better,
                right_from=scales[each.name].right_from,
                invalid={name: of_model[each.name].failures for name, of_model in rewarded.items()},
            )
            for each in words.called.rewards
        ],
        recipe=None if words.recipe is None else str(words.recipe),
        versions=installed_versions(),
        seconds=seconds,
    )
