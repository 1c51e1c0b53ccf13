"""What the command line says about an evaluation of policies, and whether it can be done."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from align.cli.evaluation.asked_models import Engine
from align.cli.evaluation.plan import Prompting
from align.data.columns import Columns
from align.data.media.images import SHOWN_WITH
from align.data.questions.multiple_choice import Question, load_questions
from align.data.unread import saying_unread
from align.errors import UserError
from align.evaluation.divided.division import current
from align.evaluation.policies.run import check_questions
from align.evaluation.policies.suite import MODALITY, SuiteSettings
from align.evaluation.record.answers import HARNESS
from align.models.checkpoint import Checkpoint
from align.recipe.dataset import MediaSettings
from rewards.extras import missing


@dataclass(frozen=True)
class PolicyWords:
    """What the command line says about the evaluation of policies; see the help of each option."""

    models: tuple[str, ...]  # the one asked about, then the baselines
    data: str | None
    out: Path
    settings: SuiteSettings
    named_suites: bool
    prompting: Prompting
    columns: Columns
    media: MediaSettings
    engine: Engine
    recipe: Path | None = None
    split: str | None = None
    adapter: str | None = None
    max_rows: int | None = None
    on_bad_rows: Literal["raise", "skip"] = "raise"
    judge: str | None = None
    verifier: str | None = None
    verifier_threshold: float = 0.0
    command: tuple[str, ...] = ()


def check_words(words: PolicyWords) -> None:
    """Refuses, before anything is loaded, what cannot be done.

    Raises:
        UserError: If a value is out of its range, or a part is missing.
    """
    words.engine.check()
    _ = words.prompting.response_format, words.prompting.template(True)  # before anything is loaded
    tasks = [suite for suite in words.settings.suites if suite.startswith(HARNESS)]
    if tasks:
        from align.evaluation.policies.lm_harness import require_harness

        require_harness()
        if not (words.settings.asks_questions or current().is_whole):
            raise UserError(f"The suite {tasks[0]} runs as a whole. Leave `--shard` out.")
        if words.engine.backend == "vllm":
            raise UserError(f"The suite {tasks[0]} runs on `--backend transformers` only, got vllm.")


def read_questions(words: PolicyWords) -> tuple[Sequence[Question], dict[str, int]]:
    """Loads the questions, and counts the rows left out by reason.

    Raises:
        UserError: If there are none, or a group that was named is not among them.
    """
    if not words.settings.asks_questions:
        return [], {}
    if words.data is None:
        raise UserError("There is nothing to ask. Give `--data` with multiple-choice questions.")
    questions, report = saying_unread(
        load_questions(
            words.data,
            adapter=words.adapter,
            split=words.split,
            on_bad_rows=words.on_bad_rows,
            max_rows=words.max_rows,
            media=words.media,
            columns=words.columns,
        )
    )
    pair = words.settings.pair
    groups = sorted({question.group for question in questions if question.group is not None})
    missing = [name for name in pair or () if name not in groups]
    if missing:
        raise UserError(
            f"`common_group` and `counter_group` must be groups of the questions, got {missing[0]!r}. Groups in "
            f"{words.data}: {', '.join(groups) or 'none'}."
        )
    return questions, report.reasons


def with_modality(words: PolicyWords, questions: Sequence[Question]) -> PolicyWords:
    """Measures how much a policy looks where there is something to see, unless the suites were named."""
    with_images = any(question.images for question in questions)
    if MODALITY in words.settings.suites and not with_images:
        raise UserError(f"The suite {MODALITY} changes the images of questions, and none in {words.data} has any.")
    if words.named_suites or not with_images:
        return words
    return replace(words, settings=replace(words.settings, suites=(*words.settings.suites, MODALITY)))


def check_images(words: PolicyWords, questions: Sequence[Question], checkpoints: dict[str, Checkpoint]) -> None:
    """Refuses questions with images where something that is asked for would not see them.

    Raises:
        UserError: If a model, the backend or the verifier reads text only.
    """
    with_images = next((question.id for question in questions if question.images), None)
    if with_images is None:
        return
    if sentence := missing("vision", f"Question {with_images!r} has images, and showing them", *SHOWN_WITH):
        raise UserError(sentence)
    if words.engine.backend == "vllm":
        raise UserError(
            f"`--backend vllm` reads text only here, and question {with_images!r} has images. Give "
            "`--backend transformers`."
        )
    if words.verifier is not None:
        raise UserError(
            f"`--verifier` reads text only, and question {with_images!r} has images. Leave it out: a sample's score "
            "is then the share of shuffles that it survives."
        )
    for checkpoint in checkpoints.values():
        check_questions(questions, reads_images=checkpoint.reads_images(), model=checkpoint.path)
