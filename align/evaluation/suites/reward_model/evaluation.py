"""Reward models score pairs, items of RewardBench 2 and candidates."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from align.data.kinds import REWARD_BENCH_2, first_columns, tell_kind
from align.data.pairs.candidates import Candidates, load_candidates
from align.data.pairs.phrases import check_position, load_phrases
from align.data.pairs.reward_bench import BenchPair, load_reward_bench
from align.data.pairs.reward_bench_2 import BenchItem, load_reward_bench_2
from align.data.unread import saying_unread
from align.errors import DataError, UserError
from align.evaluation.asked_models import Engine
from align.evaluation.asking import Asking, KeptAnswers
from align.evaluation.engine import Evaluation, Finished
from align.evaluation.record import EVALUATION_FILE, SCORES, Record
from align.evaluation.record.details import ScoringProfile, not_better
from align.evaluation.results import arrange, number
from align.evaluation.suite import LoadedRows
from align.evaluation.suites.reward_model import RewardModelOptions
from align.evaluation.suites.reward_model.phrases import FEWEST_PROMPTS
from align.evaluation.suites.reward_model.slices import FEWEST_PAIRS
from align.evaluation.suites.reward_model.suite import (
    RewardResult,
    ShortcutSettings,
    as_messages,
    evaluate_reward_model,
)
from align.models.at_hand import require_model
from align.models.checkpoint import Checkpoint, fingerprint
from align.models.policies.answer_keys import digest
from align.models.reward_model import RewardModel
from align.whole_files import as_lines, write_whole

PLAN_FILE = "reward_models.json"  # in the cache's folder: whose scores are there
PAIRS, CHOSEN, ITEMS, PHRASES_FILE = "pairs.jsonl", "best_of_n.jsonl", "reward_bench_2.jsonl", "phrases.txt"
RESULTS = (EVALUATION_FILE, PAIRS, CHOSEN, ITEMS, PHRASES_FILE)


@dataclass
class ScoringTask:
    """What reward models score."""

    shortcuts: ShortcutSettings
    engine: Engine
    pairs: list[BenchPair] = field(default_factory=list)
    items: list[BenchItem] = field(default_factory=list)
    candidates: list[Candidates] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    mines: bool = False  # whether phrases are mined from the next model: only from the first one

    def take(self, found: Any) -> list[Any]:
        """Keeps what was left out while reading, and returns the rows."""
        rows, report = saying_unread(found)
        self.left_out.update(report.reasons)
        return list(rows)


def load(run: Evaluation, options: RewardModelOptions) -> LoadedRows:
    """Refuses options that do not go together; reads pairs, or items of RewardBench 2, and candidates."""
    if options.prompt_format not in ("auto", "data"):
        raise UserError(f"`prompt_format` must be auto or data, got {options.prompt_format!r}.")
    if options.probe_pairs < 1:
        raise UserError(f"`probe_pairs` must be at least 1, got {options.probe_pairs}.")
    check_position(options.position)
    if options.mine and not options.slices:
        raise UserError("`--mine` takes its phrases from slices. Give `--slices` too.")
    if "position" in run.said and not (options.phrases or options.mine):
        raise UserError("`--position` needs phrases, and there are none. Give `--phrases` or `--mine`.")
    phrases = tuple(load_phrases(options.phrases, "--phrases")) if options.phrases is not None else ()
    shortcuts = ShortcutSettings(options.slices, phrases, options.mine, options.position, options.probe_pairs)
    task = ScoringTask(shortcuts, run.engine, mines=options.mine)
    if options.data and tell_kind(first_columns(options.data, options.split)) == REWARD_BENCH_2:
        task.items = task.take(load_reward_bench_2(options.data, **run.reading()))
    elif options.data:
        task.pairs = task.take(load_reward_bench(options.data, columns=run.columns, **run.reading()))
    if options.best_of_n:
        task.candidates = task.take(load_candidates(options.best_of_n, on_bad_rows=run.on_bad_rows))
    if not task.pairs and not task.candidates and not task.items:
        raise UserError("There is nothing to evaluate on. Give `--data`, `--best_of_n` or both.")
    if options.probes and not task.pairs:
        raise UserError("`--probes` needs pairs. Give `--data`.")
    check_pairs(shortcuts, task.pairs)
    open_model = partial(_open, run.engine._replace(batch_size=options.batch_size or 16), options.max_length)
    content = [*task.pairs, *task.items, *task.candidates]
    how: dict[str, Any] = {"find": _find, "open": open_model, "plan_file": PLAN_FILE, "files": RESULTS}
    return LoadedRows((), content, task.left_out, task=task, **how)


def _find(path: str) -> Checkpoint:
    """Finds a reward model by what decides its scores."""
    require_model(path)
    return Checkpoint(path, None, identify(path))


@contextmanager
def _open(engine: Engine, max_length: int | None, checkpoint: Checkpoint, kept: KeptAnswers) -> Iterator[RewardModel]:
    yield RewardModel.load(
        checkpoint.path,
        dtype=engine.dtype,
        device=engine.device,
        batch_size=engine.batch_size,
        max_length=max_length,
        on_too_long="nan",
        ask=kept.ask,
        identity=digest([checkpoint.fingerprint, engine.dtype]),
    )


def measure(model: RewardModel, rows: Sequence[Any], asking: Asking) -> RewardResult:
    """Measures one model, and says how it was scored."""
    task, options = asking.task, asking.options
    pairs, candidates, items = task.pairs, task.candidates, task.items
    in_template = options.prompt_format == "auto" and model.tokenizer.chat_template is not None
    result = evaluate_reward_model(
        model,
        as_messages(pairs) if in_template else pairs,
        as_messages(candidates) if in_template else candidates,
        items=as_messages(items) if in_template else items,
        probe_pairs=options.probe_pairs if options.probes else None,
        shortcuts=replace(task.shortcuts, mine=task.mines),
        seed=options.seed,
    )
    task.mines = False
    prompts = [each.prompt for rows in (pairs, candidates, items) for each in rows]
    result.found.scored = ScoringProfile(
        model_type="pairwise" if model.pairwise else "scalar",
        best_of_n=options.best_of_n,
        texts_in_template=in_template and any(isinstance(prompt, str) for prompt in prompts),
        pairs_too_long=result.unscored.too_long,
        pairs_without_number=result.unscored.not_numbers,
    )
    return result


def finish(run: Evaluation, loaded: LoadedRows, measured: Mapping[str, RewardResult]) -> Finished:
    """Arranges what was scored."""
    task, out = loaded.task, Path(run.options.out)
    mined = next(iter(measured.values())).found.mined
    phrases = () if mined is None else mined.kept

    def save(out: Path) -> None:
        """Writes the margin of every pair and what was chosen, in place of what an earlier run left."""
        margins = {name: each.margins for name, each in measured.items() if each.margins is not None}
        pairs = [
            {"id": pair.id, "subset": pair.subset, "category": pair.category}
            | {"margin": {name: number(each[i]) for name, each in margins.items()}}
            for i, pair in enumerate(task.pairs)
        ]
        choices = {name: each.choices for name, each in measured.items() if each.choices}
        chosen = [
            {"id": row.id, "prompt": row.prompt}
            | {"chosen": {name: _describe(row, each[i]) for name, each in choices.items()}}
            for i, row in enumerate(task.candidates)
        ]
        scores = {name: each.scores for name, each in measured.items() if each.scores}
        items = [
            {"id": item.id, "subset": item.subset, "num_correct": len(item.chosen)}
            | {"scores": {name: [*map(number, each[i])] for name, each in scores.items()}}
            for i, item in enumerate(task.items)
        ]
        for name, rows in {PAIRS: pairs, CHOSEN: chosen, ITEMS: items}.items():
            _write_lines(out / name, rows)
        if mined is not None:
            (out / PHRASES_FILE).unlink(missing_ok=True)  # that of an earlier run
        if phrases:
            write_whole(out / PHRASES_FILE, "".join(f"{phrase}\n" for phrase in phrases))

    notes = _notes(task, measured)
    if phrases:
        notes.append(f"The phrases that are kept are in {out / PHRASES_FILE}.")
    about = run.about(loaded, [SCORES])
    about.data.questions = len(loaded.content)
    scores = {name: each.found for name, each in measured.items()}
    found = arrange({name: {SCORES: each} for name, each in measured.items()}, run.suite.meanings)
    return Finished(Record(kind=SCORES, about=about, scores=scores, **found), notes=notes, save=save)


def _notes(task: ScoringTask, measured: Mapping[str, RewardResult]) -> list[str]:
    said = [
        f"{count:,} {'row is' if count == 1 else 'rows are'} left out: {rule}."
        for rule, count in task.left_out.items()
    ]
    missing, prompts = sum(row.quality is None for row in task.candidates), len(task.candidates)
    if 0 < missing < prompts:
        said.append(
            f"The best of n is measured on {prompts - missing:,} of {prompts:,} prompts: the others have no `quality`."
        )
    return said + [
        f"{name}: {told}" for name, each in measured.items() if (told := not_better(each.found.heuristics or []))
    ]


def check_pairs(settings: ShortcutSettings, pairs: Sequence[BenchPair]) -> None:
    """Refuses data that slices and phrases can say nothing about, before a model is loaded."""
    asked = {"--mine": settings.mine, "--slices": settings.slices, "--phrases": bool(settings.phrases)}
    if (option := next((name for name, is_asked in asked.items() if is_asked), None)) is None:
        return
    if not pairs:
        raise UserError(f"`{option}` needs pairs, with one chosen and one rejected response. Give them as `--data`.")
    num_prompts = len({repr(pair.prompt) for pair in pairs})
    if settings.mine and num_prompts < FEWEST_PROMPTS:
        raise DataError(
            f"`--mine` needs pairs of {FEWEST_PROMPTS} prompts, half of them to find phrases and half to test them; "
            f"there are {num_prompts}. Give more pairs, or leave it out."
        )
    if settings.slices and len(pairs) < FEWEST_PAIRS:
        raise DataError(
            f"`--slices` needs {FEWEST_PAIRS} pairs, since no feature can be in enough of fewer; there are "
            f"{len(pairs)}. Give more pairs, or leave it out."
        )


def identify(path: str) -> str:
    """Returns a digest of what decides a reward model's scores: its files or commit and, of an adapter, its base's."""
    from transformers.utils.hub import cached_file, extract_commit_hash

    base = commit = None
    with suppress(OSError, ValueError, AttributeError):  # what is missing or broken is refused when it is loaded
        config = cached_file(path, "adapter_config.json", _raise_exceptions_for_missing_entries=False)
        if config is not None:
            base = json.loads(Path(config).read_text(encoding="utf-8")).get("base_model_name_or_path")
        whole = cached_file(path, "config.json", _raise_exceptions_for_missing_entries=False)
        commit = extract_commit_hash(config or whole, None)
    return digest([fingerprint(path), commit, None if base is None else fingerprint(str(base))])


def _describe(row: Candidates, choice: Any) -> dict[str, Any]:
    scores = None if choice.scores is None else choice.scores.tolist()
    return {"index": choice.best, "response": row.responses[choice.best], "scores": scores}


def _write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        path.unlink(missing_ok=True)
        return
    write_whole(path, as_lines(rows))
