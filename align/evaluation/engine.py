"""Runs an evaluation: what every suite needs, from the models' names to the files that are left."""

import json
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from align.console import make_console, say
from align.data.columns import Columns, our_names, questions_in_columns
from align.data.kinds import CANDIDATES, PAIRS, PROMPTS, QUESTIONS, REWARD_BENCH_2, first_columns, tell_kind
from align.errors import DataError, UserError
from align.evaluation.asked_models import Engine, find_reference
from align.evaluation.asking import KeptAnswers
from align.evaluation.divided import current, end_of_part
from align.evaluation.prompting import (
    Prompting,
    RowTemplate,
    named_columns,
    prompt_settings,
    prompts_made_by,
    recipe_path,
)
from align.evaluation.record import EVALUATION_FILE, ITEMS_FILE, Record
from align.evaluation.record.record import AskedModel, Source
from align.evaluation.results import save_evaluation, warn_of_lacking
from align.evaluation.suite import Suite
from align.logs.naming import names_apart
from align.models.answer_cache import AnswerCache
from align.models.checkpoint import Checkpoint, find_checkpoint
from align.models.policies.answer_keys import digest
from align.models.policies.asking import Decoding
from align.options import Media
from align.recipe.dataset import MediaSettings, check_media
from align.whole_files import write_whole

PLAN_FILE = "models.json"  # in the cache's folder: whose answers are there
RESULTS = (EVALUATION_FILE, ITEMS_FILE)


def claim_folder(out: Path, fingerprints: Mapping[str, str], *, plan_file: str, results: Sequence[str]) -> Path:
    """Makes the folder and returns its cache; refuses another model's answers under a name that is used here."""
    cache, plan = out / "cache", out / "cache" / plan_file
    if not plan.is_file() and (taken := next((name for name in results if (out / name).exists()), None)):
        what = "another evaluation" if taken == EVALUATION_FILE else f"{taken}, which this evaluation would replace"
        raise UserError(f"`--out` {out} holds {what}. Choose a new folder. Nothing was written.")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        known = json.loads(plan.read_text(encoding="utf-8")) if plan.is_file() else {}
        changed = [name for name in fingerprints if known.get(name, fingerprints[name]) != fingerprints[name]]
        if changed:
            raise UserError(
                f"`--out` {out} holds answers of another model named {changed[0]!r} (fingerprint "
                f"{known[changed[0]][:12]}, this one has {fingerprints[changed[0]][:12]}). Choose a new folder for "
                "this one. Nothing was written."
            )
        write_whole(plan, json.dumps(known | dict(fingerprints), indent=2) + "\n")  # another process may read it
    except OSError as error:
        raise UserError(f"`--out` {out} cannot be written: {error}. Choose another folder.") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{plan} cannot be read: {error}. Delete {cache}, or choose another `--out`.") from error
    return cache


def media_settings(recipe: Any, data: str | None, given: Mapping[str, Any]) -> MediaSettings:
    """Takes the settings from a recipe and the command line, which wins; `media_dir` is of the recipe's data."""
    found: dict[str, Any] = {}
    dataset = getattr(recipe, "dataset", None)
    if isinstance(dataset, MediaSettings):
        found = {name: getattr(dataset, name) for name in MediaSettings.model_fields}
        own = (getattr(dataset, name, None) for name in ("path", "eval_path"))
        of_recipe = [Path(each).resolve() for each in own if each]
        if data is None or Path(data).resolve() not in of_recipe:
            del found["media_dir"]
    return check_media({**found, **given})


class Stages:
    """Bars by model and stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._model = ""
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def start(self, model: str) -> None:
        """Names the model that is asked from now on."""
        self._model = model

    def advance(self, stage: str, done: int, total: int) -> None:
        """Moves the bar of a stage."""
        key = (self._model, stage)
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(f"{self._model}: {stage}", total=total)
        self._progress.update(self._tasks[key], completed=done, total=total)


@contextmanager
def show_stages() -> Iterator[Stages]:
    """Draws the bars on stderr, if that is a terminal; of several processes one does."""
    console = make_console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not (console.is_terminal and current().is_main)
    with Progress(*columns, console=console, disable=hidden) as progress:
        yield Stages(progress)


REFERENCE, JUDGE = "(reference)", "(judge)"  # beside the names of the models, none of which is such a folder
Found = tuple[Record, list[dict[str, Any]]]  # and the rows of `items.parquet`


@dataclass
class Beside:
    """What an evaluation is asked with, while models are open."""

    checkpoints: Mapping[str, Checkpoint]  # by name; the first is the one asked about
    helpers: Mapping[str, Checkpoint]  # by `REFERENCE` or `JUDGE`
    cache: AnswerCache
    stages: Stages
    opened: dict[str, Any] = field(default_factory=dict)


class Evaluation(ABC):
    """One evaluation by a suite. A subclass reads its rows, asks one model after the other, and makes the record.

    The steps come in the order in which they stand here.
    """

    verb, items = "Asking", "answers"  # as the console says what is done, and what of
    plan_file: str = PLAN_FILE  # see `claim_folder`
    files: tuple[str, ...] = RESULTS  # that it writes

    def __init__(self, suite: Suite, options: Any, said: Collection[str] = (), command: Sequence[str] = ()) -> None:
        """Keeps the options, the names of those that were `said` (not a recipe's), and the words of the command."""
        self.suite, self.options, self.said, self.command = suite, options, said, command
        backend, size = getattr(options, "backend", "transformers"), options.batch_size
        self.engine = Engine(backend, options.dtype, options.device, 32 if size is None else size)

    def check(self) -> None:  # noqa: B027
        """Refuses what cannot be done, before anything is read."""

    @abstractmethod
    def load(self) -> None:
        """Reads the rows."""

    @property
    def models(self) -> list[tuple[str, str]]:
        """The path of each model that is asked, and its role: the one asked about, baselines, and a control."""
        options, control = self.options, getattr(self.options, "control", None)
        first = options.model if hasattr(options, "model") else options.reward_model
        asked = [(first, "model"), *((path, "baseline") for path in options.baseline)]
        return asked if control is None else [*asked, (control, "control")]

    @property
    def helpers(self) -> dict[str, str]:
        """The models that help, by `REFERENCE`, which the others were trained from, or `JUDGE`."""
        found = {}
        if hasattr(self.options, "reference"):
            asked = [path for path, role in self.models if role != "control"]
            found[REFERENCE] = find_reference(self.options.reference, asked, self.recipe)
        judge = getattr(self.options, "judge", None)
        return found if judge is None else found | {JUDGE: judge}

    def find(self, path: str) -> Checkpoint:
        """Finds a model that is asked."""
        return find_checkpoint(path)

    def check_models(self, checkpoints: Mapping[str, Checkpoint], helpers: Mapping[str, Checkpoint]) -> None:  # noqa: B027
        """Refuses rows that one of the models cannot be asked about, before any is loaded."""

    def open(self, beside: Beside, held: ExitStack) -> None:  # noqa: B027
        """Opens what is `held` open while all models are asked, and keeps it in `beside.opened`."""

    @abstractmethod
    def measure(self, name: str, checkpoint: Checkpoint, kept: KeptAnswers, beside: Beside) -> None:
        """Asks one model, and keeps what it says."""

    def compare(self, beside: Beside) -> None:  # noqa: B027
        """Asks what needs the answers of all models."""

    def close(self) -> None:  # noqa: B027
        """Ends what was started, also where the evaluation fails."""

    @abstractmethod
    def record(self, run: Mapping[str, Any], helpers: Mapping[str, Checkpoint]) -> Found:
        """Arranges what is kept; `run` has attributes of `align.evaluation.record.record.About`."""

    def cache(self, models: Mapping[str, Checkpoint]) -> AnswerCache:
        """Opens the cache of answers, in the folder of the evaluation."""
        fingerprints = {name: each.fingerprint for name, each in models.items()}
        out = Path(self.options.out)
        return AnswerCache(claim_folder(out, fingerprints, plan_file=self.plan_file, results=self.files))

    def save(self, out: Path, record: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes `evaluation.json` and the rows behind it."""
        save_evaluation(out, record, rows)

    def notes(self) -> list[str]:
        """Says what is to be known beside the record."""
        return []

    def run(self) -> Any:
        """Asks all models the same, writes what they left and returns it; `EndOfPart` ends those that do not write."""
        record, rows = self.record(*self.ask())
        record.warnings += warn_of_lacking(record.comparisons)
        self.save(Path(self.options.out), record, rows)
        return record

    def ask(self) -> tuple[dict[str, Any], Mapping[str, Checkpoint]]:
        """Asks the model and its baselines the same; returns what `record` takes."""
        from transformers.utils.logging import disable_progress_bar

        from align.versions import installed_versions

        disable_progress_bar()  # the bar of loading would tear the one of answering
        started = time.perf_counter()
        options = self.options
        self.engine.check()
        self.check()
        try:
            paths, roles = zip(*self.models, strict=True)
            names = names_apart("model", paths)
            reads = () if getattr(options, "adapter", None) else self.suite.reads
            with saying_what_it_holds(reads, options.data, options.split, self.columns if reads else {}):
                self.load()
            checkpoints = {name: self.find(path) for name, path in zip(names, paths, strict=True)}
            helpers = {name: find_checkpoint(path) for name, path in self.helpers.items()}
            self.check_models(checkpoints, helpers)
            with closing(self.cache(checkpoints | helpers)) as cache, show_stages() as stages:
                beside = Beside(checkpoints, helpers, cache, stages)
                with ExitStack() as held:
                    self.open(beside, held)
                    asked = [self._ask(name, role, beside) for name, role in zip(names, roles, strict=True)]
                self.compare(beside)
        finally:
            self.close()
        end_of_part()
        run = {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": list(self.command),
            "models": asked,
            "recipe": None if self.recipe_path is None else str(self.recipe_path),
            "versions": installed_versions(),
            "seconds": time.perf_counter() - started,
        }
        return run, helpers

    def _ask(self, name: str, role: str, beside: Beside) -> AskedModel:
        checkpoint = beside.checkpoints[name]
        say(f"{self.verb} {checkpoint.path}")
        begun, kept = time.perf_counter(), KeptAnswers(beside.cache, beside.stages.advance)
        beside.stages.start(name)
        self.measure(name, checkpoint, kept, beside)
        seconds = time.perf_counter() - begun
        about = {each: getattr(checkpoint, each) for each in ("path", "kind", "base", "fingerprint")}
        about |= {"dtype": self.engine.dtype, "backend": self.engine.backend}
        return AskedModel(name=name, role=role, seconds=seconds, cached_items=kept.num_cached, **about)

    def given(self, names: Sequence[str]) -> dict[str, Any]:
        """Returns the options among some that were said."""
        return {name: getattr(self.options, name) for name in names if name in self.said}

    def reading(self) -> dict[str, Any]:
        """Returns how rows are read."""
        return {name: getattr(self.options, name) for name in ("split", "max_rows", "on_bad_rows")}

    def about_rows(
        self, content: Sequence[Any], groups: Iterable[str | None], left_out: Mapping[str, int]
    ) -> dict[str, Any]:
        """Returns what every record has of the rows, of which `content` is what decides the answers."""
        counts = Counter(group for group in groups if group is not None)
        return {
            "path": self.options.data,
            "split": self.options.split,
            "left_out": dict(left_out),
            "fingerprint": digest(content),
            "questions": len(content),
            "groups": dict(sorted(counts.items())),
        }

    def asked_as(self, without: Sequence[str] = ()) -> Prompting:
        """Returns how questions are asked, as in training unless something else is said; refuses what cannot be."""
        named = [
            each.name for each in fields(Prompting) if each.name not in without and hasattr(self.options, each.name)
        ]
        found = prompt_settings(self.recipe, self.given(named), of_questions=True)
        _ = found.response_format, found.template(True)  # before anything is loaded
        return found

    def decoding(self, max_new_tokens: int, **ours: Any) -> Decoding:
        """Returns how responses are decoded; what is said wins over a suite's own."""
        names = [name for name in ("temperature", "top_p", "num_samples") if hasattr(self.options, name)]
        chosen = {name: getattr(self.options, name) for name in names} | ours | self.given(names)
        return Decoding(max_new_tokens=max_new_tokens, seed=self.options.seed, **chosen)

    @cached_property
    def recipe_path(self) -> Path | None:
        """The recipe that is named, or that of the model's run."""
        return recipe_path(self.options.recipe, self.models[0][0])

    @cached_property
    def recipe(self) -> Any:
        """The recipe, read; None without one."""
        from align.recipe.recipe import load_for_evaluation

        return None if self.recipe_path is None else load_for_evaluation(self.recipe_path)

    @cached_property
    def columns(self) -> Mapping[str, Any]:
        """What the recipe calls the columns, where the rows have such."""
        return named_columns(self.recipe, self.options.data, self.options.split) if self.options.data else {}

    @cached_property
    def media(self) -> MediaSettings:
        """How images and videos are read."""
        return media_settings(self.recipe, self.options.data, self.given([each.name for each in fields(Media)]))

    def data(self, rows: str, done: str) -> str:
        """Returns where the rows are."""
        if self.options.data is None:
            raise UserError(f"There is nothing to {done}. Give `--data` with {rows}.")
        return str(self.options.data)

    @cached_property
    def template(self) -> RowTemplate | None:
        """What the recipe makes prompts with, where the rows have none."""
        found = self.options
        return prompts_made_by(self.recipe, found.data, found.split, self.columns) if found.data else None


def source(checkpoint: Checkpoint) -> Source:
    """Describes a model that helped."""
    return Source(path=checkpoint.path, fingerprint=checkpoint.fingerprint)


_SHOWN = 12  # columns
_MEASURED = {
    QUESTIONS: "of a policy: accuracy, consistency and reliance (`--model`)",
    PROMPTS: "of a policy: rewards of its answers (`--model` and `--rewards`, such as `--rewards number_accuracy`)",
    PAIRS: "of a policy: implicit-reward accuracy and KL (`--model`); of a reward model: accuracy (`--reward_model`)",
    REWARD_BENCH_2: "of a reward model: its score (`--reward_model`)",
    CANDIDATES: "of a reward model: the best of n (`--reward_model` and `--best_of_n` in place of `--data`)",
}


@contextmanager
def saying_what_it_holds(
    read_as: Sequence[str], path: str | None, split: str | None, named: Columns
) -> Iterator[None]:
    """Raises a `DataError` that says what a file holds, and what could be measured on it, if not what was read."""
    try:
        yield
    except DataError as error:
        columns: Sequence[str] = ()
        if path is not None and read_as:
            with suppress(DataError):  # which says itself what is wrong with the file
                columns = first_columns(path, split)
        names = our_names(columns, named)
        kind = tell_kind(names)
        of_questions = QUESTIONS.name in read_as and questions_in_columns(names)
        if not columns or (kind is not None and kind.name in read_as) or of_questions:
            raise
        shown = ", ".join(columns[:_SHOWN]) + (", ..." if len(columns) > _SHOWN else "")
        forms = "; ".join(f"on {each.name} ({', '.join(each.needs)}), {words}" for each, words in _MEASURED.items())
        found = (
            f"{path} holds rows with the columns {shown}. What can be measured: {forms}; questions in a public schema "
            "are read with `--adapter`."
            if kind is None
            else f"{path} holds {kind.name} (columns {shown}). These can be measured {_MEASURED[kind]}."
        )
        raise DataError(f"{found} Read as {read_as[0]}: {error}") from error
