"""`align eval --suite` with a suite that brings rows of its own: any of them, on policies."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from align.cli.evaluation.asked_models import Engine, about_model, open_policy, print_report
from align.cli.evaluation.plan import Prompting, claim_folder
from align.cli.evaluation.progress import Stages, show_stages
from align.cli.evaluation.reward_models import name_models
from align.cli.evaluation.tables import show_evaluation
from align.console import say
from align.data.questions.templates import PromptTemplate
from align.errors import UserError
from align.evaluation.divided.division import end_of_part, own_part
from align.evaluation.kept_answers import KeptAnswers
from align.evaluation.policies.record import save_policy_evaluation
from align.evaluation.record import EVALUATION_FILE, ITEMS_FILE
from align.evaluation.record.answers import AskedModel, Items
from align.evaluation.record.policies import Source
from align.evaluation.record.suites import AboutSuite, Prompted
from align.evaluation.suites.record import suite_record
from align.evaluation.suites.subject import Asking, Subject, model_scores
from align.evaluation.suites.suite import Loaded, Measured, Reading, RowSuite
from align.models.answer_cache import AnswerCache
from align.models.checkpoint import Checkpoint, find_checkpoint
from align.models.policies.answer_keys import digest
from align.models.policies.asking import Decoding

REFERENCE = "(reference)"  # beside the names of the models, none of which is such a folder


@dataclass(frozen=True)
class SuiteWords:
    """What the command line says about an evaluation by a suite; see the help of each option."""

    suite: RowSuite
    models: tuple[str, ...]  # the one asked about, then the baselines
    reading: Reading
    out: Path
    prompting: Prompting
    decoding: Decoding
    engine: Engine
    options: Mapping[str, Any]
    seed: int = 0
    reference: str | None = None
    recipe: Path | None = None
    command: tuple[str, ...] = ()


def run(words: SuiteWords) -> None:
    """Measures the model and its baselines on the same rows, prints tables and writes the files."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # the bar of loading would tear the one of answering
    started = time.perf_counter()
    _check(words)
    names = name_models(words.models)
    loaded: Loaded = words.suite.part("load")(words.reading, words.options)
    checkpoints = {name: find_checkpoint(path) for name, path in zip(names, words.models, strict=True)}
    extra = {} if words.reference is None else {REFERENCE: find_checkpoint(words.reference)}
    folder = claim_folder(words.out, {name: each.fingerprint for name, each in (checkpoints | extra).items()})
    with show_stages() as stages, closing(AnswerCache(folder)) as cache:
        measured, models = _measured(words, loaded, checkpoints, extra.get(REFERENCE), cache, stages)
    end_of_part()
    about = _about(words, loaded, models, extra.get(REFERENCE), measured, time.perf_counter() - started)
    record = suite_record(about, measured, [row.id for row in loaded.rows], words.suite.compared)
    rows = [{"model": name, **row} for name, each in measured.items() for row in each.rows]
    save_policy_evaluation(words.out, record, rows)
    show_evaluation(record)
    print(f"\nAll numbers are in {words.out / EVALUATION_FILE}, all items in {words.out / ITEMS_FILE}.")
    print_report(words.out)


def _check(words: SuiteWords) -> None:
    words.engine.check()
    _ = words.prompting.response_format, words.prompting.template(True)  # before anything is loaded
    if words.engine.backend == "vllm" and words.suite.reads_likelihoods:
        raise UserError(
            f"The suite {words.suite.name} asks how likely texts are, which runs on `--backend transformers` only."
        )


def _measured(
    words: SuiteWords,
    loaded: Loaded,
    checkpoints: Mapping[str, Checkpoint],
    base: Checkpoint | None,
    cache: AnswerCache,
    stages: Stages,
) -> tuple[dict[str, Measured], list[AskedModel]]:
    """Measures one model after the other, each beside the reference if the suite has one."""
    measure = words.suite.part("measure")
    asking = Asking(words.decoding, words.prompting.response_format, words.options, words.seed)
    measured: dict[str, Measured] = {}
    models: list[AskedModel] = []
    with ExitStack() as stack:
        beside: dict[str, Subject] = {}
        if base is not None:
            kept = KeptAnswers(cache, stages.advance)
            beside = {"reference": stack.enter_context(_subject(words, base, kept))}
        for name, checkpoint in checkpoints.items():
            say(f"Asking {checkpoint.path}")
            begun, kept = time.perf_counter(), KeptAnswers(cache, stages.advance)
            stages.start(name)
            with own_part(), _subject(words, checkpoint, kept) as subject:
                measured[name] = measure(subject, loaded.rows, asking, **beside)
            seconds, role = time.perf_counter() - begun, "baseline" if models else "model"
            models.append(
                about_model(name, checkpoint, words.engine, role=role, seconds=seconds, cached=kept.num_cached)
            )
    return measured, models


@contextmanager
def _subject(words: SuiteWords, checkpoint: Checkpoint, kept: KeptAnswers) -> Iterator[Subject]:
    from align.models.checkpoint import load_tokenizer

    tokenizer = load_tokenizer(checkpoint)
    template = words.prompting.template(tokenizer.chat_template is not None)
    if template.conversational and tokenizer.chat_template is None:
        raise UserError(
            f"{checkpoint.path} has no chat template, and questions are messages. Give `--no-conversational`."
        )
    with open_policy(checkpoint, lambda _: PromptTemplate(), words.engine) as (policy, model):
        yield Subject(
            policy,
            None if model is None else model_scores(model, tokenizer),
            kept,
            conversational=template.conversational,
            system_prompt=words.prompting.system_prompt,
            template=template,
            model=model,
            tokenizer=tokenizer,
        )


def _about(
    words: SuiteWords,
    loaded: Loaded,
    models: list[AskedModel],
    base: Checkpoint | None,
    measured: Mapping[str, Measured],
    seconds: float,
) -> AboutSuite:
    from align.versions import installed_versions

    tags = words.prompting.response_format
    first: Measured = next(iter(measured.values()))
    return AboutSuite(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=list(words.command),
        suites=[words.suite.name],
        models=models,
        data=Items(
            path=words.reading.path,
            split=words.reading.split,
            left_out=dict(loaded.left_out),
            fingerprint=digest(_plain(loaded.content)),
            questions=len(loaded.rows),
            groups=dict(loaded.groups),
        ),
        recipe=None if words.recipe is None else str(words.recipe),
        versions=installed_versions(),
        seconds=seconds,
        rows=words.suite.rows,
        headline=list(words.suite.headline),
        profile=Prompted(
            **asdict(words.decoding),
            conversational=words.prompting.conversational,
            system_prompt=words.prompting.system_prompt,
            think_tag=tags.think_tag,
            answer_tag=tags.answer_tag,
        ),
        reference=None if base is None else Source(path=base.path, fingerprint=base.fingerprint),
        settings=_plain(dict(words.options)) | dict(loaded.settings) | dict(first.settings),
    )


def _plain(content: Sequence[Any] | Mapping[str, Any]) -> Any:
    import json

    return json.loads(json.dumps(content, default=str))
