"""Reward models score pairs, items of RewardBench 2 and candidates."""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from align.console import say
from align.data.columns import Columns
from align.data.kinds import REWARD_BENCH_2, first_columns, tell_kind
from align.data.pairs.candidates import Candidates, load_candidates
from align.data.pairs.phrases import check_position, load_phrases
from align.data.pairs.reward_bench import BenchPair, load_reward_bench
from align.data.pairs.reward_bench_2 import BenchItem, load_reward_bench_2
from align.data.unread import saying_unread
from align.errors import DataError, UserError
from align.evaluation.divided.division import end_of_part, own_part
from align.evaluation.engine import Words
from align.evaluation.folder import claim_folder, name_models
from align.evaluation.prompting import named_columns, recipe_path
from align.evaluation.record import EVALUATION_FILE, write_record
from align.evaluation.record.models import ModelsRecord, Scored
from align.evaluation.reward_models import RewardModelOptions
from align.evaluation.reward_models.mining import FEWEST_PROMPTS
from align.evaluation.reward_models.reward_model import RewardModel
from align.evaluation.reward_models.shortcuts import Shortcuts, ShortcutSettings
from align.evaluation.reward_models.slices import FEWEST_PAIRS
from align.evaluation.reward_models.suite import RewardResult, as_messages, evaluate_reward_model, reward_record
from align.evaluation.suite import Suite
from align.evaluation.supported import saying_what_it_holds
from align.models.answer_cache import AnswerCache
from align.models.at_hand import require_model
from align.models.checkpoint import fingerprint
from align.models.policies.answer_keys import digest
from align.whole_files import write_whole

PLAN_FILE = "reward_models.json"  # in the cache's folder: whose scores are there
PAIRS, CHOSEN, ITEMS, PHRASES_FILE = "pairs.jsonl", "best_of_n.jsonl", "reward_bench_2.jsonl", "phrases.txt"
RESULTS = (EVALUATION_FILE, PAIRS, CHOSEN, ITEMS, PHRASES_FILE)


class RewardModelEvaluation:
    """What reward models score.

    Args:
        suite: Its record.
        words: What it is told.
    """

    def __init__(self, suite: Suite, words: Words) -> None:
        self.suite = suite
        self.options: RewardModelOptions = words.options
        options = self.options
        if options.prompt_format not in ("auto", "messages", "data"):
            raise UserError(f"`prompt_format` must be auto, messages or data, got {options.prompt_format!r}.")
        if options.probe_pairs < 1:
            raise UserError(f"`probe_pairs` must be at least 1, got {options.probe_pairs}.")
        self.shortcuts = read_settings(options, words.given)
        self.pairs: list[BenchPair] = []
        self.items: list[BenchItem] = []
        self.candidates: list[Candidates] = []
        self.left_out = Counter[str]()

    def run(self) -> ModelsRecord:
        """Measures the model and its baselines on the same items, and writes the files.

        Raises:
            UserError: If it cannot be done, or the folder holds something else.
            EndOfPart: In a process that does not write.
        """
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # the bar of loading would tear the one of scoring
        options, paths = self.options, [self.options.reward_model, *(self.options.baseline or ())]
        columns = self._columns()
        with saying_what_it_holds(self.suite.reads, options.data, options.split, columns):
            self._load(columns)
        names = name_models(paths)
        for path in paths:
            require_model(path)
        found = {path: identify(path) for path in paths}
        measured: dict[str, tuple[RewardResult, Scored]] = {}
        fingerprints = {name: found[path] for name, path in zip(names, paths, strict=True)}
        out = Path(options.out)
        folder = claim_folder(out, fingerprints, plan_file=PLAN_FILE, results=RESULTS)
        with closing(AnswerCache(folder)) as cache:
            for name, path in zip(names, paths, strict=True):
                shortcuts = self.shortcuts if path == paths[0] else self.shortcuts.without_mining()
                with own_part():
                    measured[name] = self._measure(path, shortcuts, cache, digest([found[path], options.dtype]))
        end_of_part()
        results = {name: result for name, (result, _) in measured.items()}
        told = {"left_out": dict(self.left_out)} if self.left_out else {}
        scored = {name: how.model_copy(update=told) for name, (_, how) in measured.items()}
        record = reward_record(results, names[1:], scored)
        write_rows(out, results, self.pairs, self.candidates, self.items)
        self.mined = write_phrases(out, results[names[0]].shortcuts)
        write_record(out / EVALUATION_FILE, record)
        return record

    @property
    def without_quality(self) -> int:
        """Prompts whose candidates have no true quality, where others have."""
        missing = sum(row.quality is None for row in self.candidates)
        return missing if missing < len(self.candidates) else 0

    def _columns(self) -> Columns:
        path = recipe_path(self.options.recipe, self.options.reward_model)
        if path is None or self.options.data is None:
            return {}
        from align.recipe.recipe import load_recipe

        return named_columns(load_recipe(path), self.options.data, self.options.split)

    def _load(self, columns: Columns) -> None:
        options = self.options
        reading: dict[str, Any] = {"on_bad_rows": options.on_bad_rows}
        where: dict[str, Any] = {"split": options.split, "max_rows": options.max_rows}
        if options.data and tell_kind(first_columns(options.data, options.split)) == REWARD_BENCH_2:
            self.items, report = saying_unread(load_reward_bench_2(options.data, **where, **reading))
            self.left_out.update(report.reasons)
        elif options.data:
            self.pairs, report = saying_unread(load_reward_bench(options.data, columns=columns, **where, **reading))
            self.left_out.update(report.reasons)
        if options.best_of_n:
            self.candidates, report = saying_unread(load_candidates(options.best_of_n, **reading))
            self.left_out.update(report.reasons)
        if not self.pairs and not self.candidates and not self.items:
            raise UserError("There is nothing to evaluate on. Give `--data`, `--best_of_n` or both.")
        if options.probes and not self.pairs:
            raise UserError("`--probes` needs pairs. Give `--data`.")
        check_pairs(self.shortcuts, self.pairs)

    def _measure(
        self, path: str, shortcuts: ShortcutSettings, cache: AnswerCache, identity: str
    ) -> tuple[RewardResult, Scored]:
        """Loads one model, measures it, and says how it was scored."""
        say(f"Scoring with {path}")
        options, pairs, candidates, items = self.options, self.pairs, self.candidates, self.items
        model = RewardModel.load(
            path,
            dtype=options.dtype,
            device=options.device,
            batch_size=options.batch_size or 16,
            max_length=options.max_length,
            on_too_long="nan",
            progress=True,
            cache=cache,
            identity=identity,
        )
        in_template = options.prompt_format == "messages" or (
            options.prompt_format == "auto" and model.tokenizer.chat_template is not None
        )
        result = evaluate_reward_model(
            model,
            as_messages(pairs) if in_template else pairs,
            as_messages(candidates) if in_template else candidates,
            items=as_messages(items) if in_template else items,
            probe_pairs=options.probe_pairs if options.probes else None,
            shortcuts=shortcuts,
            seed=options.seed,
        )
        prompts = [each.prompt for rows in (pairs, candidates, items) for each in rows]  # type: ignore[attr-defined]
        return result, Scored(
            path=path,
            model_type="pairwise" if model.pairwise else "scalar",
            data=options.data,
            best_of_n=options.best_of_n,
            seed=options.seed,
            texts_in_template=in_template and any(isinstance(prompt, str) for prompt in prompts),
            pairs_too_long=result.unscored.too_long,
            pairs_without_number=result.unscored.not_numbers,
        )


def read_settings(options: RewardModelOptions, given: Collection[str]) -> ShortcutSettings:
    """Reads what is looked for.

    Args:
        options: Of the evaluation.
        given: Names of those that were said.

    Raises:
        UserError: If options do not go together, or the file of phrases cannot be read.
    """
    check_position(options.position)
    if options.mine and not options.slices:
        raise UserError("`--mine` takes its phrases from slices. Give `--slices` too.")
    if "position" in given and not (options.phrases or options.mine):
        raise UserError("`--position` says where phrases are put, and there are none. Give `--phrases` or `--mine`.")
    phrases = load_phrases(options.phrases, "--phrases") if options.phrases is not None else []
    return ShortcutSettings(options.slices, tuple(phrases), options.mine, options.position, options.probe_pairs)


def check_pairs(settings: ShortcutSettings, pairs: Sequence[BenchPair]) -> None:
    """Refuses data that slices and phrases can say nothing about, before a model is loaded.

    Raises:
        UserError: If there are no pairs.
        DataError: If there are too few of them.
    """
    asked = {"--mine": settings.mine, "--slices": settings.slices, "--phrases": bool(settings.phrases)}
    if (option := next((name for name, is_asked in asked.items() if is_asked), None)) is None:
        return
    if not pairs:
        raise UserError(f"`{option}` needs pairs, with one chosen and one rejected response. Give them as `--data`.")
    num_prompts = len({repr(pair.prompt) for pair in pairs})
    if settings.mine and num_prompts < FEWEST_PROMPTS:
        raise DataError(
            f"`--mine` needs pairs of {FEWEST_PROMPTS} prompts, half of them to find phrases and half to hold them "
            f"against; there are {num_prompts}. Give more pairs, or leave it out."
        )
    if settings.slices and len(pairs) < FEWEST_PAIRS:
        raise DataError(
            f"`--slices` needs {FEWEST_PAIRS} pairs, since no feature can be in enough of fewer; there are "
            f"{len(pairs)}. Give more pairs, or leave it out."
        )


def write_phrases(out: Path, found: Shortcuts | None) -> Path | None:
    """Writes the phrases that are kept, one a line; without any there is no file, nor one of an earlier run."""
    path = out / PHRASES_FILE
    if found is None or found.mined is None:
        return None
    if not found.mined.kept:
        path.unlink(missing_ok=True)
        return None
    write_whole(path, "".join(f"{phrase}\n" for phrase in found.mined.kept))
    return path


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
