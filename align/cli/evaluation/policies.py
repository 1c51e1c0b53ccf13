"""`align eval --model`: what a policy answers, whether it stays with it, and what the answer owes to its trace."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from align.cli.evaluation.asked_models import about_model, open_policy, print_report
from align.cli.evaluation.plan import Prompting, claim_folder, describe_questions
from align.cli.evaluation.policy_words import PolicyWords, check_images, check_words, read_questions, with_modality
from align.cli.evaluation.progress import Stages, show_stages
from align.cli.evaluation.reward_models import name_models
from align.cli.evaluation.tables import show_evaluation
from align.console import say
from align.data.questions.multiple_choice import Question
from align.errors import UserError
from align.evaluation.divided.division import current, end_of_part, own_part
from align.evaluation.policies.asker import Asker
from align.evaluation.policies.judge import Judge, PolicyJudge
from align.evaluation.policies.modality import count_generations
from align.evaluation.policies.record import item_rows, policy_record, save_policy_evaluation
from align.evaluation.policies.suite import MODALITY, PolicyResult, Verifier, evaluate_suites
from align.evaluation.record import EVALUATION_FILE, ITEMS_FILE
from align.evaluation.record.answers import HARNESS, AskedModel
from align.evaluation.record.policies import About, Profile, Source
from align.evaluation.record.unscored import Unscored
from align.models.answer_cache import AnswerCache
from align.models.checkpoint import Checkpoint, find_checkpoint, fingerprint
from align.models.policies.answer_keys import digest, question_key

JUDGE = "(judge)"  # beside the names of the models, none of which is a folder of that name


def run(words: PolicyWords) -> None:
    """Measures the model and its baselines on the same questions, prints tables and writes the files."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # the bar of loading would tear the one of answering
    started = time.perf_counter()
    check_words(words)
    names = name_models(words.models)
    questions, left_out = read_questions(words)
    words = with_modality(words, questions)
    checkpoints = {name: find_checkpoint(path) for name, path in zip(names, words.models, strict=True)}
    check_images(words, questions, checkpoints)
    extra = {name: find_checkpoint(words.judge) for name in (JUDGE,) if words.judge}
    folder = claim_folder(words.out, {name: each.fingerprint for name, each in (checkpoints | extra).items()})
    results: dict[str, PolicyResult] = {}
    rows: list[dict[str, Any]] = []
    models: list[AskedModel] = []
    with closing(AnswerCache(folder)) as cache, show_stages() as stages, _judge(words, extra, cache, stages) as judge:
        verifier = _verifier(words)
        for name, checkpoint in checkpoints.items():
            say(f"Asking {checkpoint.path}")
            begun = time.perf_counter()
            stages.start(name)
            images = any(question.images for question in questions)
            with own_part():
                with _asker(words, checkpoint, cache, stages, images=images) as (asker, loaded):
                    result = evaluate_suites(asker, questions, words.settings, judge=judge, verifier=verifier)
                    result.suites.update(_harness(words, checkpoint, loaded, cache))
                    prompts = [asker.policy.show_prompt(question) for question in questions]
                results[name] = result
                rows += item_rows(name, result, questions, prompts, words.settings.decoding.num_samples)
                seconds, role = time.perf_counter() - begun, "baseline" if models else "model"
                cached = asker.num_cached
                asked = about_model(name, checkpoint, words.engine, role=role, seconds=seconds, cached=cached)
                if MODALITY in result.suites:
                    asked.extra_generations = count_generations(result.columns, words.settings.decoding)
                models.append(asked)
    end_of_part()
    about = _about(words, questions, models, left_out, extra, time.perf_counter() - started)
    record = policy_record(about, results, questions, words.settings)
    save_policy_evaluation(words.out, record, rows)
    show_evaluation(record)
    print(f"\nAll numbers are in {words.out / EVALUATION_FILE}, all answers in {words.out / ITEMS_FILE}.")
    print_report(words.out)


@contextmanager
def _asker(
    words: PolicyWords, checkpoint: Checkpoint, cache: AnswerCache, stages: Stages, *, images: bool = False
) -> Iterator[tuple[Asker, Any]]:
    """Loads a policy, and frees it at the end; gives what asks it, and the model if transformers runs it."""
    kept: dict[str, Any] = {
        "response_format": words.prompting.response_format,
        "cache": cache,
        "progress": stages.advance,
    }
    with open_policy(checkpoint, words.prompting.template, words.engine, images=images) as (policy, model):
        yield Asker(policy, **kept), model


@contextmanager
def _judge(
    words: PolicyWords, extra: dict[str, Checkpoint], cache: AnswerCache, stages: Stages
) -> Iterator[Judge | None]:
    if JUDGE not in extra or not current().is_whole:
        yield None
        return
    plain = Prompting(prompt_template="{question}\n\n{options}", conversational=None)
    asking = replace(words, prompting=plain, engine=words.engine._replace(backend="transformers"))
    with _asker(asking, extra[JUDGE], cache, stages) as (asker, _):
        yield PolicyJudge(asker)


def _verifier(words: PolicyWords) -> Verifier | None:
    if words.verifier is None or not current().is_whole:
        return None
    from align.evaluation.reward_models.reward_model import RewardModel

    engine = words.engine
    model = RewardModel.load(words.verifier, dtype=engine.dtype, device=engine.device, batch_size=engine.batch_size)
    template = words.prompting.template(model.tokenizer.chat_template is not None)

    def score(questions: Sequence[Question], responses: Sequence[str]) -> Any:
        scores = model.score([template.render(each.question, each.options) for each in questions], responses)
        unscored = Unscored(0, int(np.isnan(scores).sum()))
        if any(unscored):
            raise UserError(f"`--verifier` {words.verifier}: {unscored.sentence(len(scores), 'responses')}")
        return scores

    return Verifier(words.verifier, score, words.verifier_threshold)


def _harness(words: PolicyWords, checkpoint: Checkpoint, model: Any, cache: AnswerCache) -> dict[str, Any]:
    suites = {}
    for suite in words.settings.suites:
        if suite.startswith(HARNESS):
            from align.evaluation.policies.lm_harness import harness_suite

            task = suite.removeprefix(HARNESS)
            kept = current().from_main(partial(_run_harness, task, words, checkpoint, model, cache))
            suites[suite] = harness_suite(kept)
    return suites


def _run_harness(task: str, words: PolicyWords, checkpoint: Checkpoint, model: Any, cache: AnswerCache) -> Any:
    from align.evaluation.policies.lm_harness import harness_version, run_task
    from align.models.checkpoint import load_tokenizer

    identity = [checkpoint.fingerprint, words.engine.dtype, task, None, words.max_rows, harness_version()]
    key = digest(identity)
    is_file = Path(task).is_file()  # which may include others, Python and rows among them: what it says is not known
    kept = None if is_file else cache.get(key)
    if kept is None:
        tokenizer = load_tokenizer(checkpoint)
        kept = run_task(task, model, tokenizer, batch_size=words.engine.batch_size, max_rows=words.max_rows)
        if not is_file:
            cache.put({key: kept})
    return kept


def _about(
    words: PolicyWords,
    questions: Sequence[Question],
    models: list[AskedModel],
    left_out: dict[str, int],
    extra: dict[str, Checkpoint],
    seconds: float,
) -> About:
    from align.versions import installed_versions

    content = digest([[*question_key(each), each.answer, each.group, *(each.cell or ())] for each in questions])
    common, counter = words.settings.pair or (None, None)
    judge = extra.get(JUDGE)
    verifier: Source | None = None
    if words.verifier is not None:
        verifier = Source(path=words.verifier, fingerprint=fingerprint(words.verifier))
        verifier.threshold = words.verifier_threshold
    prompts = asdict(words.settings.decoding) | asdict(words.prompting)
    profile = Profile(**prompts, num_shuffles=words.settings.num_shuffles)
    if any(question.images for question in questions):
        profile.media = words.media.model_dump()
    return About(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=list(words.command),
        suites=list(words.settings.suites),
        models=models,
        data=describe_questions(questions, content, path=words.data, split=words.split, left_out=left_out),
        profile=profile,
        recipe=None if words.recipe is None else str(words.recipe),
        judge=None if judge is None else Source(path=judge.path, fingerprint=judge.fingerprint),
        verifier=verifier,
        common_group=common,
        counter_group=counter,
        versions=installed_versions(),
        seconds=seconds,
    )
