"""`align eval --suite` with a suite that brings rows of its own: any of them, on policies."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from align.cli.evaluation.asked_models import Engine, about_model, open_policy, print_report
from align.cli.evaluation.judges import open_judge
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

REFERENCE, JUDGE = "(reference)", "(judge)"  # beside the names of the models, none of which is such a folder


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
    control: str | None = None
    judge: str | None = None
    recipe: Path | None = None
    command: tuple[str, ...] = ()

    @property
    def asked(self) -> tuple[str, ...]:
        """All models that are measured."""
        return self.models if self.control is None else (*self.models, self.control)

    def role(self, place: int) -> str:
        """Says what a measured model is there for."""
        return "model" if place == 0 else "baseline" if place < len(self.models) else "control"


def run(words: SuiteWords) -> None:
    """Measures the model and its baselines on the same rows, prints tables and writes the files."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # the bar of loading would tear the one of answering
    started = time.perf_counter()
    _check(words)
    names = name_models(words.asked)
    loaded: Loaded = words.suite.part("load")(words.reading, words.options)
    checkpoints = {name: find_checkpoint(path) for name, path in zip(names, words.asked, strict=True)}
    helpers = {REFERENCE: words.reference, JUDGE: words.judge}
    extra = {name: find_checkpoint(path) for name, path in helpers.items() if path is not None}
    if REFERENCE in extra:
        _check_tokens(checkpoints, extra[REFERENCE])
    folder = claim_folder(words.out, {name: each.fingerprint for name, each in (checkpoints | extra).items()})
    with show_stages() as stages, closing(AnswerCache(folder)) as cache:
        measured, models = _measured(words, loaded, checkpoints, extra, cache, stages)
    end_of_part()
    about = _about(words, loaded, models, extra, measured, time.perf_counter() - started)
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
    if words.decoding.num_samples < words.suite.least_samples:
        raise UserError(
            f"The suite {words.suite.name} compares responses to the same prompt, so `num_samples` must be at least "
            f"{words.suite.least_samples}, got {words.decoding.num_samples}."
        )


def _check_tokens(checkpoints: Mapping[str, Checkpoint], base: Checkpoint) -> None:
    from align.evaluation.pairs.tokens import check_tokenizers
    from align.models.checkpoint import load_tokenizer

    reference = load_tokenizer(base)
    for checkpoint in checkpoints.values():
        check_tokenizers(load_tokenizer(checkpoint), reference, (checkpoint.path, base.path))


def _measured(
    words: SuiteWords,
    loaded: Loaded,
    checkpoints: Mapping[str, Checkpoint],
    extra: Mapping[str, Checkpoint],
    cache: AnswerCache,
    stages: Stages,
) -> tuple[dict[str, Measured], list[AskedModel]]:
    """Measures one model after the other, each beside the reference and the judge if there are such."""
    measure = words.suite.part("measure")
    asking = Asking(words.decoding, words.prompting.response_format, dict(words.options) | dict(loaded.options),
                    words.seed)  # fmt: skip
    measured: dict[str, Measured] = {}
    models: list[AskedModel] = []
    with ExitStack() as stack:
        beside: dict[str, Any] = {}
        if REFERENCE in extra:
            kept = KeptAnswers(cache, stages.advance)
            beside["reference"] = stack.enter_context(_subject(words, extra[REFERENCE], kept))
        if JUDGE in extra:
            beside["judge"] = stack.enter_context(open_judge(extra[JUDGE], words.engine, cache, stages.advance))
        for name, checkpoint in checkpoints.items():
            say(f"Asking {checkpoint.path}")
            begun, kept = time.perf_counter(), KeptAnswers(cache, stages.advance)
            stages.start(name)
            with own_part(), _subject(words, checkpoint, kept) as subject:
                measured[name] = measure(subject, loaded.rows, asking, **beside)
            seconds, role = time.perf_counter() - begun, words.role(len(models))
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
    extra: Mapping[str, Checkpoint],
    measured: Mapping[str, Measured],
    seconds: float,
) -> AboutSuite:
    from align.versions import installed_versions

    tags = words.prompting.response_format
    first: Measured = next(iter(measured.values()))
    about = AboutSuite(
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
        reference=_source(extra.get(REFERENCE)),
        settings=_plain(dict(words.options)) | dict(loaded.settings) | dict(first.settings),
    )
    if JUDGE in extra:
        about.judge = _source(extra[JUDGE])
    return about


def _source(checkpoint: Checkpoint | None) -> Source | None:
    return None if checkpoint is None else Source(path=checkpoint.path, fingerprint=checkpoint.fingerprint)


def _plain(content: Sequence[Any] | Mapping[str, Any]) -> Any:
    import json

    return json.loads(json.dumps(content, default=str))
