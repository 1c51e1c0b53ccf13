"""`align eval --model` on pairs: what a policy learnt to prefer, how far it moved, and what a judge prefers."""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from align.cli.evaluation.asked_models import Engine, about_model, check_images, open_policy, print_report
from align.cli.evaluation.judges import open_judge
from align.cli.evaluation.plan import claim_folder
from align.cli.evaluation.progress import Stages, show_stages
from align.cli.evaluation.reward_models import name_models
from align.cli.evaluation.tables import show_evaluation
from align.console import say
from align.data.pairs.preferences import PreferencePair, load_preferences
from align.data.questions.templates import PromptTemplate
from align.data.unread import saying_unread
from align.errors import UserError
from align.evaluation.divided.division import end_of_part, end_of_shard, own_part
from align.evaluation.kept_answers import KeptAnswers
from align.evaluation.policies.record import save_policy_evaluation
from align.evaluation.prompts.asking import complete_prompts
from align.evaluation.record import EVALUATION_FILE, ITEMS_FILE
from align.evaluation.record.answers import AskedModel, Decoded
from align.evaluation.record.pairs import AboutPairs
from align.evaluation.record.policies import Source
from align.models.answer_cache import AnswerCache
from align.models.checkpoint import Checkpoint, find_checkpoint
from align.models.policies.asking import Decoding, Prompt
from align.recipe.dataset import MediaSettings

if TYPE_CHECKING:
    from align.evaluation.pairs.judging import Judgement
    from align.evaluation.pairs.terms import PairTerms
    from align.recipe.recipe import Recipe

REFERENCE, JUDGE = "(reference)", "(judge)"  # beside the names of the models, none of which is such a folder
CHOSEN = "chosen"  # what a response is compared with where there is no baseline
PAIRS_AT_ONCE = 64


@dataclass(frozen=True)
class PairWords:
    """What the command line says about an evaluation on pairs; see the help of each option."""

    models: tuple[str, ...]  # the one asked about, then the baselines
    reference: str
    data: str
    out: Path
    decoding: Decoding
    engine: Engine
    columns: Mapping[str, str | list[str]]
    media: MediaSettings
    judge: str | None = None
    adapter: str | None = None
    recipe: Path | None = None
    split: str | None = None
    max_rows: int | None = None
    on_bad_rows: Literal["raise", "skip"] = "raise"
    command: tuple[str, ...] = ()


@dataclass
class Read:
    """What one model made of the pairs."""

    terms: "list[PairTerms]"
    responses: list[str] | None  # only where a judge compares them


def find_reference(named: str | None, models: Sequence[str], recipe: "Recipe | None") -> str:
    """Finds the model that log-probs are compared with.

    Raises:
        UserError: If it is not known.
    """
    if named is not None:
        return named
    base = find_checkpoint(models[0]).base
    if base is not None:
        return base
    if recipe is not None:
        return recipe.model.model_name_or_path
    if len(models) == 2:
        return models[1]
    raise UserError(
        f"On pairs, log-probs are compared with a reference, and that of {models[0]} is not known: it is no adapter "
        "and has no recipe beside it. Give the model that it was trained from as `--reference`."
    )


def run(words: PairWords) -> None:
    """Reads the pairs with the model and its baselines, prints tables and writes the files."""
    from transformers.utils.logging import disable_progress_bar

    from align.evaluation.pairs.record import describe_pairs, pair_rows, pairs_record, prompt_of

    disable_progress_bar()  # the bar of loading would tear the one of reading
    started = time.perf_counter()
    words.engine.check()
    names = name_models(words.models)
    pairs, report = saying_unread(load_preferences(
        words.data, adapter=words.adapter, split=words.split, on_bad_rows=words.on_bad_rows, max_rows=words.max_rows,
        media=words.media, columns=words.columns,
    ))  # fmt: skip
    checkpoints = {name: find_checkpoint(path) for name, path in zip(names, words.models, strict=True)}
    extra = {REFERENCE: find_checkpoint(words.reference)}
    if words.judge is not None:
        extra[JUDGE] = find_checkpoint(words.judge)
    if with_images := next((pair.id for pair in pairs if pair.images), None):
        check_images(f"Pair {with_images!r}", words.engine, checkpoints | extra)
    folder = claim_folder(words.out, {name: each.fingerprint for name, each in (checkpoints | extra).items()})
    with show_stages() as stages, closing(AnswerCache(folder)) as cache:
        read, models = _read(words, pairs, checkpoints, extra[REFERENCE], cache, stages)
        judged = _judged(words, pairs, read, extra[JUDGE], cache, stages) if JUDGE in extra else {}
    end_of_part()
    ids, terms = [pair.id for pair in pairs], {name: each.terms for name, each in read.items()}
    data = describe_pairs(pairs, path=words.data, split=words.split, left_out=report.reasons)
    with_marks = sum(bool(each.chosen.marked or each.rejected.marked) for each in terms[names[0]])
    about = _about(words, data, models, extra, with_marks, time.perf_counter() - started)
    record = pairs_record(about, terms, judged, ids, [pair.group for pair in pairs], list(map(prompt_of, pairs)))
    rows = [
        row
        for name, each in read.items()
        for row in pair_rows(name, pairs, each.terms, each.responses, judged if name == names[0] else {})
    ]
    save_policy_evaluation(words.out, record, rows)
    show_evaluation(record)
    print(f"\nAll numbers are in {words.out / EVALUATION_FILE}, all pairs in {words.out / ITEMS_FILE}.")
    print_report(words.out)


def _read(
    words: PairWords,
    pairs: Sequence[PreferencePair],
    checkpoints: Mapping[str, Checkpoint],
    base: Checkpoint,
    cache: AnswerCache,
    stages: Stages,
) -> tuple[dict[str, Read], list[AskedModel]]:
    """Reads the pairs with each model beside its reference, and answers their prompts if a judge compares answers."""
    from align.evaluation.pairs.tokens import check_tokenizers
    from align.models.checkpoint import load_processor, load_tokenizer

    tokenizers = {name: load_tokenizer(each) for name, each in checkpoints.items()}
    for name, tokenizer in tokenizers.items():
        check_tokenizers(tokenizer, load_tokenizer(base), (checkpoints[name].path, base.path))
    images = any(pair.images for pair in pairs)
    read: dict[str, Read] = {}
    models: list[AskedModel] = []
    with open_policy(base, _template, words.engine, images=images) as (_, reference):
        for name, checkpoint in checkpoints.items():
            say(f"Reading with {checkpoint.path}")
            begun, kept = time.perf_counter(), KeptAnswers(cache, stages.advance)
            stages.start(name)
            read[name] = Read([], None)
            processing = load_processor(checkpoint) if images else tokenizers[name]
            with open_policy(checkpoint, _template, words.engine, images=images) as (policy, model):
                identity = [checkpoint.fingerprint, base.fingerprint, words.engine.dtype]
                with own_part():
                    read[name].terms = _terms(model, reference, processing, pairs, identity, kept)
                if words.judge is not None:
                    with own_part():
                        answers = complete_prompts(policy, prompts_of(pairs), words.decoding, kept)
                        read[name].responses = [each[0].text for each in answers]
            seconds, role = time.perf_counter() - begun, "baseline" if models else "model"
            models.append(
                about_model(name, checkpoint, words.engine, role=role, seconds=seconds, cached=kept.num_cached)
            )
    end_of_shard()
    return read, models


def _terms(
    model: Any,
    reference: Any,
    processing: Any,  # a processor where pairs have images, else a tokenizer
    pairs: Sequence[PreferencePair],
    identity: list[str],
    kept: KeptAnswers,
) -> "list[PairTerms]":
    from align.evaluation.pairs.image_pairs import tokenize_image_pair
    from align.evaluation.pairs.record import pair_key, read_terms, written_terms
    from align.evaluation.pairs.terms import pair_terms
    from align.evaluation.pairs.tokens import tokenize_pair

    images = any(pair.images for pair in pairs)
    tokenize = tokenize_image_pair if images else tokenize_pair
    kind = "terms of pairs with images" if images else "pair terms"

    def ask(part: list[int]) -> list[Any]:
        tokens = [tokenize(processing, pairs[i]) for i in part]
        return [written_terms(each) for each in pair_terms(model, reference, tokens)]

    contents = [[*identity, kind, processing.chat_template, pair_key(pair)] for pair in pairs]
    lengths = [len(pair.chosen) + len(pair.rejected) for pair in pairs]
    return [read_terms(each) for each in kept.ask("reading pairs", ask, contents, lengths, PAIRS_AT_ONCE)]


def _judged(
    words: PairWords,
    pairs: Sequence[PreferencePair],
    read: Mapping[str, Read],
    judge: Checkpoint,
    cache: AnswerCache,
    stages: Stages,
) -> "dict[str, list[Judgement]]":
    """Asks a judge about the responses of the first model, against those of each baseline or the chosen ones."""
    from align.data.conversations import conversation_text
    from align.evaluation.pairs.judging import judge_responses

    model, *baselines = read
    against = {name: read[name].responses or [] for name in baselines} or {CHOSEN: [pair.chosen for pair in pairs]}
    prompts, ids = [conversation_text(pair.prompt) for pair in pairs], [pair.id for pair in pairs]
    shown = [pair.images for pair in pairs]
    say(f"Judging with {judge.path}")
    with open_judge(judge, words.engine, cache, stages.advance, images=any(shown)) as asker:
        stages.start(JUDGE)
        return {
            name: judge_responses(asker, ids, prompts, read[model].responses or [], theirs, shown)
            for name, theirs in against.items()
        }


def prompts_of(pairs: Sequence[PreferencePair]) -> list[Prompt]:
    """Takes what a policy answers out of pairs, with what each row tells the chat template."""
    return [Prompt(pair.id, pair.prompt, pair.images, template=pair.template) for pair in pairs]


def _template(_: bool) -> PromptTemplate:
    return PromptTemplate()  # of questions, and there are none


def _about(
    words: PairWords,
    data: Any,
    models: list[AskedModel],
    extra: Mapping[str, Checkpoint],
    with_marks: int,
    seconds: float,
) -> AboutPairs:
    from align.versions import installed_versions

    judge = extra.get(JUDGE)
    return AboutPairs(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=list(words.command),
        suites=["pairs"] if judge is None else ["pairs", "judge"],
        models=models,
        data=data,
        recipe=None if words.recipe is None else str(words.recipe),
        versions=installed_versions(),
        seconds=seconds,
        reference=Source(path=extra[REFERENCE].path, fingerprint=extra[REFERENCE].fingerprint),
        judge=None if judge is None else Source(path=judge.path, fingerprint=judge.fingerprint),
        profile=None if judge is None else Decoded(**asdict(words.decoding)),
        with_marks=with_marks,
    )
