"""Runs an evaluation: what every suite needs, from the models' names to the files that are left."""

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from align.console import say
from align.data.columns import Columns, our_names, questions_in_columns
from align.data.kinds import CANDIDATES, PAIRS, PROMPTS, QUESTIONS, REWARD_BENCH_2, first_columns, tell_kind
from align.data.questions.templates import PromptTemplate
from align.errors import DataError, UserError
from align.evaluation.asked_models import Engine, check_images, check_tokens, find_reference, open_policy
from align.evaluation.asking import Asker, Asking, KeptAnswers, Subject, model_scores
from align.evaluation.divided import current, end_of_part
from align.evaluation.options import ByEngine, WithAdapter, WithControl, WithJudge, WithReference
from align.evaluation.prompting import Prompting, named_columns, prompt_settings, recipe_path
from align.evaluation.record import EVALUATION_FILE, Record
from align.evaluation.record.record import About, EvaluatedModel, HelperModel, Items
from align.evaluation.suite import LoadedRows, Suite, SuiteSource
from align.logs.naming import names_apart
from align.models.answer_cache import AnswerCache
from align.models.checkpoint import Checkpoint, find_checkpoint, load_processor, load_tokenizer
from align.models.policies.answer_keys import digest
from align.models.policies.asking import Decoding
from align.options import Media
from align.progress import Bars
from align.recipe.dataset import MediaSettings, check_media
from align.versions import installed_versions
from align.whole_files import write_whole


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
    """Draws the bars on stderr, or writes lines where that is no terminal; of several processes one does."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, silent=not current().is_main) as progress:
        yield Stages(progress)


REFERENCE, JUDGE = "(reference)", "(judge)"  # beside the names of the models, none of which is such a folder


class Finished(NamedTuple):
    """What an evaluation found."""

    record: Record
    rows: Sequence[Mapping[str, Any]] | None = None  # of `items.parquet`; without them there is no such file
    notes: Sequence[str] = ()  # what is to be known beside the record
    save: Callable[[Path], None] | None = None  # writes what else there is


class Evaluation(SuiteSource):
    """One evaluation by a suite: what its functions are given, and the steps between them."""

    checkpoints: dict[str, Checkpoint]  # by name; the first is the one asked about
    helpers: dict[str, Checkpoint]  # by `REFERENCE` or `JUDGE`
    cache: AnswerCache
    stages: Stages

    def __init__(
        self,
        suite: Suite[...],
        options: Any,
        said: Collection[str] = (),
        command: Sequence[str] = (),
        kept_in: Path | None = None,
    ) -> None:
        """Keeps the options, the names of those that were `said` (not a recipe's), and the words of the command.

        Answers are kept in the folder of the evaluation, or in one that others share, `kept_in`.
        """
        self.suite, self.options, self.said, self.command, self.kept_in = suite, options, said, command, kept_in
        self.names = {each.name for each in fields(options)}
        path = recipe_path(options.recipe, options.asked)
        adapter = options.adapter if isinstance(options, WithAdapter) else None
        how = {name: getattr(options, name) for name in ("split", "max_rows", "on_bad_rows")}
        super().__init__(options.data, **how, seed=options.seed, recipe_path=path, adapter=adapter)
        backend, size = options.backend if isinstance(options, ByEngine) else "transformers", options.batch_size
        self.engine = Engine(backend, options.dtype, options.device, 32 if size is None else size)
        self.held = ExitStack()  # what ends with the evaluation, also where it fails
        self.asked: list[EvaluatedModel] = []

    def run(self) -> Any:
        """Asks all models the same; returns what `finish` makes of it. `EndOfPart` ends those that do not write."""
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # the bar of loading would tear the one of answering
        self.started, options = time.perf_counter(), self.options
        self._check()
        with self.held:
            asked = [(options.asked, "model"), *((path, "baseline") for path in options.baseline or ())]
            paths = [path for path, _ in asked]
            helpers = {JUDGE: options.judge} if isinstance(options, WithJudge) and options.judge is not None else {}
            if isinstance(options, WithControl) and options.control is not None:
                asked.append((options.control, "control"))
            names = names_apart("model", [path for path, _ in asked])
            reads = () if self.adapter else self.suite.reads
            with saying_what_it_holds(reads, self.path, self.split, self.columns if reads else {}):
                loaded: LoadedRows = self.suite.part("load")(self, options)
            find = loaded.find or find_checkpoint
            self.checkpoints = {name: find(path) for name, (path, _) in zip(names, asked, strict=True)}
            if isinstance(options, WithReference):
                helpers = {REFERENCE: find_reference(options.reference, paths, self.recipe)} | helpers
            self.helpers = {name: find_checkpoint(path) for name, path in helpers.items()}
            self._check_models(loaded)
            self.cache = self.held.enter_context(closing(self._open_cache(loaded)))
            self.stages = self.held.enter_context(show_stages())
            answers = self._ask(loaded, [role for _, role in asked])
            found = self.suite.part("finish")(self, loaded, answers)
        end_of_part()
        return found

    def _check(self) -> None:
        suite = self.suite
        self.engine.check()
        if self.path is None and suite.needs and not suite.has_rows:
            columns = ", or ".join(" ".join(names) for names in suite.needs)
            raise UserError(f"`--suite {suite.name}` needs `--data`: {suite.rows}, with {columns}.")
        if self.engine.backend == "vllm" and suite.reads_likelihoods:
            raise UserError(
                f"The suite {suite.name} asks how likely texts are, which runs on `--backend transformers` only."
            )
        if self.decoding.num_samples < suite.least_samples:
            raise UserError(
                f"The suite {suite.name} compares responses to the same prompt, so `num_samples` must be at least "
                f"{suite.least_samples}, got {self.decoding.num_samples}."
            )

    def _check_models(self, loaded: LoadedRows) -> None:
        """Refuses rows that one of the models cannot be asked about, before any is loaded."""
        if REFERENCE in self.helpers:
            check_tokens(self.checkpoints.values(), self.helpers[REFERENCE])
        if loaded.images:
            seeing = {name: self.helpers[name] for name in loaded.shown_to if name in self.helpers}
            check_images(loaded.images, {**self.checkpoints, **seeing}, self.media)

    def _open_cache(self, loaded: LoadedRows) -> AnswerCache:
        if self.kept_in is not None:
            return AnswerCache(self.kept_in, option="--cache")
        fingerprints = {name: each.fingerprint for name, each in (self.checkpoints | self.helpers).items()}
        out = Path(self.options.out)
        return AnswerCache(claim_folder(out, fingerprints, plan_file=loaded.plan_file, results=loaded.files))

    def _ask(self, loaded: LoadedRows, roles: Sequence[str]) -> dict[str, Any]:
        """Asks one model after the other, each beside the helpers that `measure` has as parameters."""
        measure, answers = self.suite.part("measure"), {}
        with ExitStack() as held:
            opened = {}
            for name in self.helpers:
                if (word := name.strip("()")) in signature(measure).parameters:
                    opened[word] = held.enter_context(self._open_helper(name, loaded))
            for role, (name, checkpoint) in zip(roles, self.checkpoints.items(), strict=True):
                say(f"{self.suite.verb} {checkpoint.path}")
                begun, kept = time.perf_counter(), KeptAnswers(self.cache, self.stages.advance)
                self.stages.start(name)
                asking = Asking(
                    self.decoding,
                    self.prompting.response_format,
                    replace(self.options, **loaded.options),
                    self.seed,
                    loaded.task,
                    name,
                    checkpoint.path,
                )
                with (loaded.open or partial(self.subject, loaded))(checkpoint, kept) as subject:
                    answers[name] = measure(subject, loaded.rows, asking, **opened)
                about = {each: getattr(checkpoint, each) for each in ("path", "kind", "base", "fingerprint")}
                about |= {"dtype": self.engine.dtype, "backend": self.engine.backend, "cached_items": kept.num_cached}
                about["seconds"] = time.perf_counter() - begun
                self.asked.append(EvaluatedModel(name=name, role=role, **about))
        return answers

    def _open_helper(self, name: str, loaded: LoadedRows) -> AbstractContextManager[Any]:
        if name == JUDGE:
            return self.judge()
        return self.subject(loaded, self.helpers[name], KeptAnswers(self.cache, self.stages.advance))

    @contextmanager
    def judge(self, *, images: bool = False) -> Iterator[Asker]:
        """Opens the judge, which reads a question and its options and nothing about tags."""
        plain = Prompting(prompt_template="{question}\n\n{options}")
        engine = self.engine._replace(backend="transformers")
        with open_policy(self.helpers[JUDGE], plain.template, engine, images=images) as (policy, _):
            yield Asker(policy, kept=KeptAnswers(self.cache, self.stages.advance))

    @contextmanager
    def subject(self, loaded: LoadedRows, checkpoint: Checkpoint, kept: KeptAnswers) -> Iterator[Subject]:
        """Opens a policy, to be asked."""
        tokenizer = (load_processor if loaded.images else load_tokenizer)(checkpoint)
        template = self.prompting.template(tokenizer.chat_template is not None)
        if template.conversational and tokenizer.chat_template is None:
            raise UserError(
                f"{checkpoint.path} has no chat template, and questions are messages. Give `--no-conversational`."
            )
        makes = loaded.template or (lambda _: PromptTemplate())
        with open_policy(checkpoint, makes, self.engine, images=bool(loaded.images)) as (policy, model):
            yield Subject(
                policy,
                None if model is None else model_scores(model, tokenizer),
                kept,
                conversational=template.conversational,
                system_prompt=self.prompting.system_prompt,
                template=template,
                model=model,
                tokenizer=tokenizer,
                checkpoint=checkpoint,
            )

    def about(self, loaded: LoadedRows, suites: Sequence[str], **more: Any) -> About:
        """Says what was run; `more` are attributes of `About` that not all suites have."""
        data = Items(
            path=self.path,
            split=self.split,
            left_out=dict(loaded.left_out),
            fingerprint=digest(json.loads(json.dumps(loaded.content, default=str))),
            questions=len(loaded.rows),
            groups=dict(loaded.groups),
        )
        return About(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            command=list(self.command),
            models=self.asked,
            recipe=None if self.recipe_path is None else str(self.recipe_path),
            versions=installed_versions(),
            seconds=time.perf_counter() - self.started,
            suites=list(suites),
            data=data,
            **more,
        )

    def source(self, name: str) -> HelperModel | None:
        """Describes a model that helped."""
        helper = self.helpers.get(name)
        return None if helper is None else HelperModel(path=helper.path, fingerprint=helper.fingerprint)

    def given(self, names: Iterable[str]) -> dict[str, Any]:
        """Returns the options among some that were said."""
        return {name: getattr(self.options, name) for name in names if name in self.said and name in self.names}

    @cached_property
    def prompting(self) -> Prompting:
        """How prompts are made and read: as in training unless something else is said; refuses what cannot be."""
        named = [each.name for each in fields(Prompting) if each.name not in self.suite.own]
        found = prompt_settings(self.recipe, self.given(named), of_questions=self.suite.makes_prompts)
        _ = found.response_format, found.template(True)  # before anything is loaded
        return found

    @cached_property
    def decoding(self) -> Decoding:
        """How responses are decoded; what is said wins over a suite's own."""
        names = self.names & {"temperature", "top_p", "num_samples"}
        chosen = {name: getattr(self.options, name) for name in names}
        samples, temperature = self.suite.samples
        if samples > 1 and self.given(["temperature"]) != {"temperature": 0}:  # of greedy answers one is enough
            chosen |= {"num_samples": samples, "temperature": temperature}
        longest = self.prompting.max_new_tokens
        return Decoding(max_new_tokens=longest, seed=self.seed, **chosen | self.given(names))

    @cached_property
    def recipe(self) -> Any:
        """The recipe, read; None without one."""
        from align.recipe.recipe import load_for_evaluation

        return None if self.recipe_path is None else load_for_evaluation(self.recipe_path)

    @cached_property
    def columns(self) -> Mapping[str, Any]:
        """What the options call the columns, or the recipe, where the rows have such."""
        return named_columns(self.recipe, self.path, self.split, self.options.columns) if self.path else {}

    @cached_property
    def media(self) -> MediaSettings:
        """How images and videos are read."""
        return media_settings(self.recipe, self.path, self.given(each.name for each in fields(Media)))

    def data(self, rows: str, done: str) -> str:
        """Returns where the rows are."""
        if self.path is None:
            raise UserError(f"There is nothing to {done}. Give `--data` with {rows}.")
        return self.path


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
