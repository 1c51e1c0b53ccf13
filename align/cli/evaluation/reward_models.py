"""`align eval --reward_model`: accuracy with intervals, probes for shortcuts, and best-of-N."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from align.cli.evaluation.plan import claim_folder
from align.cli.evaluation.shortcuts import PHRASES_FILE, check_pairs, show_shortcuts, write_phrases
from align.console import make_console, make_table, say
from align.data.columns import Columns
from align.data.kinds import REWARD_BENCH_2, first_columns, tell_kind
from align.data.pairs.candidates import Candidates, load_candidates
from align.data.pairs.reward_bench import BenchPair, load_reward_bench
from align.data.pairs.reward_bench_2 import BenchItem, load_reward_bench_2
from align.data.unread import saying_unread
from align.errors import UserError
from align.evaluation.divided.division import end_of_part, own_part
from align.evaluation.record import EVALUATION_FILE, write_record
from align.evaluation.record.models import ModelsRecord, Scored
from align.evaluation.reward_models.reward_model import RewardModel
from align.evaluation.reward_models.shortcuts import ShortcutSettings
from align.evaluation.reward_models.suite import (
    NO_SHORTCUTS,
    RewardResult,
    as_messages,
    evaluate_reward_model,
    reward_record,
)
from align.evaluation.statistics.metrics import Estimate
from align.models.answer_cache import AnswerCache
from align.models.at_hand import require_model
from align.models.checkpoint import fingerprint
from align.models.policies.answer_keys import digest
from align.report.evaluation import build_evaluation_report
from align.report.evaluation.shortcuts import word_p_value
from align.whole_files import write_whole

TITLES = {
    "accuracy/": "accuracy, by category",
    "reward_bench_2/": "RewardBench 2, by subset",
    "accuracy_drop/": "accuracy lost to a change that leaves the meaning",
    "insertion/": "score gained by a phrase in front, in mean margins",
    "best_of_": "true quality of the best of n",
}
PLAN_FILE = "reward_models.json"  # in the cache's folder: whose scores are there
PAIRS, CHOSEN, ITEMS = "pairs.jsonl", "best_of_n.jsonl", "reward_bench_2.jsonl"
RESULTS = (EVALUATION_FILE, PAIRS, CHOSEN, ITEMS, PHRASES_FILE)


@dataclass(frozen=True)
class RewardWords:
    """What the command line says about the evaluation of reward models; see the help of each option."""

    reward_model: str
    out: Path
    baseline: tuple[str, ...] = ()
    data: str | None = None
    split: str | None = None
    max_rows: int | None = None
    on_bad_rows: Literal["raise", "skip"] = "raise"
    probes: bool = False
    probe_pairs: int = 500
    best_of_n: str | None = None
    prompt_format: str = "auto"
    batch_size: int = 16
    max_length: int | None = None
    dtype: str = "float32"
    device: str | None = None
    seed: int = 0
    shortcuts: ShortcutSettings = NO_SHORTCUTS
    columns: Columns = field(default_factory=dict)


def run(words: RewardWords) -> None:
    """Measures the model and its baselines on the same items, prints tables and writes the files."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # the bar of loading would tear the one of scoring
    reading: dict[str, Any] = {"on_bad_rows": words.on_bad_rows}
    pairs: list[BenchPair] = []
    items: list[BenchItem] = []
    candidates: list[Candidates] = []
    where: dict[str, Any]
    left_out = Counter[str]()
    if words.data and tell_kind(first_columns(words.data, words.split)) == REWARD_BENCH_2:
        where = {"split": words.split, "max_rows": words.max_rows}
        items, report = saying_unread(load_reward_bench_2(words.data, **where, **reading))
        left_out.update(report.reasons)
    elif words.data:
        where = {"split": words.split, "max_rows": words.max_rows, "columns": words.columns}
        pairs, report = saying_unread(load_reward_bench(words.data, **where, **reading))
        left_out.update(report.reasons)
    if words.best_of_n:
        candidates, report = saying_unread(load_candidates(words.best_of_n, **reading))
        left_out.update(report.reasons)
    if not pairs and not candidates and not items:
        raise UserError("There is nothing to evaluate on. Give `--data`, `--best_of_n` or both.")
    if words.probes and not pairs:
        raise UserError("`--probes` needs pairs. Give `--data`.")
    check_pairs(words.shortcuts, pairs)
    names = name_models(paths := [words.reward_model, *words.baseline])
    for path in paths:
        require_model(path)
    found = {path: identify(path) for path in paths}
    identities = {path: digest([each, words.dtype]) for path, each in found.items()}
    others = replace(words, shortcuts=words.shortcuts.without_mining())
    measured: dict[str, tuple[RewardResult, Scored]] = {}
    fingerprints = {name: found[path] for name, path in zip(names, paths, strict=True)}
    folder = claim_folder(words.out, fingerprints, plan_file=PLAN_FILE, results=RESULTS)
    with closing(AnswerCache(folder)) as cache:
        for name, path in zip(names, paths, strict=True):
            with own_part():
                asked = words if path == words.reward_model else others
                measured[name] = measure(path, pairs, candidates, items, asked, cache, identities[path])
    end_of_part()
    results = {name: result for name, (result, _) in measured.items()}
    told = {"left_out": dict(left_out)} if left_out else {}
    scored = {name: how.model_copy(update=told) for name, (_, how) in measured.items()}
    record = reward_record(results, names[1:], scored)
    write_rows(words.out, results, pairs, candidates, items)
    show(record, results)
    for rule, count in left_out.items():
        print(f"{count:,} {'row is' if count == 1 else 'rows are'} left out: {rule}.")
    if 0 < (missing := sum(row.quality is None for row in candidates)) < len(candidates):
        print(f"What is chosen has no measured quality: {missing:,} of {len(candidates):,} prompts have no `quality`.")
    mined = write_phrases(words.out, results[names[0]].shortcuts)
    write_record(words.out / EVALUATION_FILE, record)
    print(f"\nAll numbers are in {words.out / EVALUATION_FILE}, the report is {build_evaluation_report(words.out)}.")
    if mined is not None:
        print(f"The phrases that are kept are in {mined}.")


def measure(
    path: str,
    pairs: Sequence[BenchPair],
    candidates: Sequence[Candidates],
    items: Sequence[BenchItem],
    words: RewardWords,
    cache: AnswerCache,
    identity: str,
) -> tuple[RewardResult, Scored]:
    """Loads one model, measures it, and says how it was scored."""
    say(f"Scoring with {path}")
    model = RewardModel.load(
        path,
        dtype=words.dtype,
        device=words.device,
        batch_size=words.batch_size,
        max_length=words.max_length,
        on_too_long="nan",
        progress=True,
        cache=cache,
        identity=identity,
    )
    in_template = words.prompt_format == "messages" or (
        words.prompt_format == "auto" and model.tokenizer.chat_template is not None
    )
    result = evaluate_reward_model(
        model,
        as_messages(pairs) if in_template else pairs,
        as_messages(candidates) if in_template else candidates,
        items=as_messages(items) if in_template else items,
        probe_pairs=words.probe_pairs if words.probes else None,
        shortcuts=words.shortcuts,
        seed=words.seed,
    )
    prompts = [
        *(pair.prompt for pair in pairs),
        *(row.prompt for row in candidates),
        *(item.prompt for item in items),
    ]
    return result, Scored(
        path=path,
        model_type="pairwise" if model.pairwise else "scalar",
        data=words.data,
        best_of_n=words.best_of_n,
        seed=words.seed,
        texts_in_template=in_template and any(isinstance(prompt, str) for prompt in prompts),
        pairs_too_long=result.unscored.too_long,
        pairs_without_number=result.unscored.not_numbers,
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


def name_models(paths: Sequence[str]) -> list[str]:
    """Names models after their folders, as far up as it takes to tell them apart.

    Raises:
        UserError: If two are the same folder or hub id.

    Example:
        >>> name_models(["runs/x/checkpoint-10", "runs/y/checkpoint-10"])
        ['x/checkpoint-10', 'y/checkpoint-10']
    """
    whole = [str(Path(path).resolve()) if Path(path).is_dir() else path for path in paths]
    if len(set(whole)) < len(whole):
        raise UserError(f"The same model is given twice: {', '.join(paths)}. Name each model once.")
    for depth in range(1, max(len(Path(path).parts) for path in paths) + 1):
        names = ["/".join(Path(path).parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    raise UserError(f"The same model is given twice: {', '.join(paths)}.")


def write_rows(
    out: Path,
    results: Mapping[str, RewardResult],
    pairs: Sequence[BenchPair],
    candidates: Sequence[Candidates],
    items: Sequence[BenchItem] = (),
) -> None:
    """Writes the margin of every pair and what was chosen for every prompt, in place of what an earlier run left."""
    out.mkdir(parents=True, exist_ok=True)
    _write_lines(out / PAIRS, _pair_rows(results, pairs))
    _write_lines(out / CHOSEN, _chosen_rows(results, candidates))
    _write_lines(out / ITEMS, _item_rows(results, items))


def _pair_rows(results: Mapping[str, RewardResult], pairs: Sequence[BenchPair]) -> list[dict[str, Any]]:
    rows = []
    for i, pair in enumerate(pairs):
        margins = {name: _number(result.margins[i]) for name, result in results.items() if result.margins is not None}
        rows.append({"id": pair.id, "subset": pair.subset, "category": pair.category, "margin": margins})
    return rows


def _chosen_rows(results: Mapping[str, RewardResult], candidates: Sequence[Candidates]) -> list[dict[str, Any]]:
    rows = []
    for i, row in enumerate(candidates):
        chosen = {name: _describe(row, result.choices[i]) for name, result in results.items() if result.choices}
        rows.append({"id": row.id, "prompt": row.prompt, "chosen": chosen})
    return rows


def _item_rows(results: Mapping[str, RewardResult], items: Sequence[BenchItem]) -> list[dict[str, Any]]:
    return [
        {"id": item.id, "subset": item.subset, "num_correct": len(item.chosen)}
        | {"scores": {name: [*map(_number, each.scores[i])] for name, each in results.items() if each.scores}}
        for i, item in enumerate(items)
    ]


def show(record: ModelsRecord, results: Mapping[str, RewardResult]) -> None:
    """Prints what was measured, with 95 % intervals."""
    models = record.models
    first, *others = models
    table = make_table("95 % intervals over items")
    for name in [*models, *(f"{first} - {other}" for other in others)]:
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("items", justify="right")
    titled: set[str] = set()
    for metric, estimate in models[first].summary.items():
        prefix = next((prefix for prefix in TITLES if metric.startswith(prefix)), None)
        if prefix is not None and prefix not in titled:
            titled.add(prefix)
            table.add_row(f"[dim]{TITLES[prefix]}[/dim]")
        label = metric if prefix is None else f"  {metric.removeprefix(prefix)}"
        cells: list[Estimate | None] = [model.summary.get(metric) for model in models.values()]
        cells += [models[first].difference_to[other].get(metric) for other in others]
        table.add_row(label, *("" if cell is None else str(cell) for cell in cells), f"{estimate.n:,}")
    console = make_console(least=max(110, 30 + 26 * (2 * len(models))))
    console.print(table)
    for name, result in results.items():
        if result.insertion is not None:
            values = {kind.kind: word_p_value(kind.adjusted_p_value, ".3f") for kind in result.insertion.kinds}
            kinds = ", ".join(f"{kind} {value}" for kind, value in values.items())
            console.print(f"{name}: inserted phrases unlike neutral ones, adjusted p: {kinds}")
    for name, model in models.items():
        scored = model.scored
        if scored is not None:
            for missing, why, _ in scored.unscored.reasons():
                pairs = "pair is" if missing == 1 else "pairs are"
                console.print(f"{name}: {missing:,} {pairs} {why}, and left out")
        if model.scored is not None and model.scored.texts_in_template:
            console.print(f"{name}: prompts got its chat template; if it learnt from texts, `--prompt_format data`")
        show_shortcuts(name, model)


def _describe(row: Candidates, choice: Any) -> dict[str, Any]:
    scores = None if choice.scores is None else choice.scores.tolist()
    return {"index": choice.best, "response": row.responses[choice.best], "scores": scores}


def _number(value: float) -> float | None:
    return None if value != value else float(value)


def _write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        path.unlink(missing_ok=True)
        return
    write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
