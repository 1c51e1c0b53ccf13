"""Policies answer multiple-choice questions, and again when the options move or the trace changes."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from align.data.questions.multiple_choice import Question, load_questions
from align.data.unread import saying_unread
from align.errors import UserError
from align.evaluation.asked_models import check_images, open_judge, open_policy
from align.evaluation.asking import Asker, KeptAnswers
from align.evaluation.divided.division import current
from align.evaluation.engine import JUDGE, Beside, Evaluation, Record, source
from align.evaluation.prompting import prompting
from align.evaluation.record.answers import HARNESS, About, Profile, Source
from align.evaluation.record.models import Unscored
from align.evaluation.suites.questions import QuestionOptions
from align.evaluation.suites.questions.answering import PolicyJudge
from align.evaluation.suites.questions.modality import count_generations
from align.evaluation.suites.questions.record import describe_questions, item_rows, policy_record
from align.evaluation.suites.questions.suite import MODALITY, PolicyResult, SuiteSettings, Verifier, evaluate_suites
from align.models.answer_cache import AnswerCache
from align.models.checkpoint import Checkpoint, fingerprint, load_tokenizer
from align.models.policies.answer_keys import digest, question_key

_PROMPTING = ("prompt_template", "system_prompt", "conversational", "think_tag", "answer_tag", "max_new_tokens")


class QuestionEvaluation(Evaluation):
    """What policies answer to questions."""

    options: QuestionOptions

    def check(self) -> None:
        """Refuses suites that cannot be measured so."""
        options = self.options
        if math.isnan(options.verifier_threshold):
            raise UserError("`verifier_threshold` must be a number, got nan. Rewards above it are accepted.")
        self.prompting, _ = prompting(options.recipe, options.model, self.given(_PROMPTING))
        self.settings = SuiteSettings(
            **({"suites": tuple(options.suite)} if options.suite else {}),
            decoding=self.decoding(self.prompting.max_new_tokens),
            num_shuffles=options.num_shuffles,
            seed=options.seed,
            pair=_pair(options),
        )
        _ = self.prompting.response_format, self.prompting.template(True)  # before anything is loaded
        if tasks := [suite for suite in self.settings.suites if suite.startswith(HARNESS)]:
            from align.evaluation.suites.questions.lm_harness import require_harness

            require_harness()
            if not (self.settings.asks_questions or current().is_whole):
                raise UserError(f"The suite {tasks[0]} runs as a whole. Leave `--shard` out.")
            if self.engine.backend == "vllm":
                raise UserError(f"The suite {tasks[0]} runs on `--backend transformers` only, got vllm.")

    def load(self) -> None:
        """Reads the questions, and measures how much a policy looks where there is something to see."""
        self.questions, self.left_out = self._read()
        self.with_images = next((question.id for question in self.questions if question.images), None)
        if MODALITY in self.settings.suites and self.with_images is None:
            raise UserError(
                f"The suite {MODALITY} changes the images of questions, and none in {self.options.data} has any."
            )
        if not self.options.suite and self.with_images is not None:
            self.settings = replace(self.settings, suites=(*self.settings.suites, MODALITY))
        self.results: dict[str, PolicyResult] = {}
        self.rows: list[dict[str, Any]] = []

    def _read(self) -> tuple[Sequence[Question], dict[str, int]]:
        if not self.settings.asks_questions:
            return [], {}
        path, adapter = self.data("multiple-choice questions", "ask"), self.options.adapter
        questions, report = saying_unread(
            load_questions(path, adapter=adapter, media=self.media, columns=self.columns, **self.reading())
        )
        groups = sorted({question.group for question in questions if question.group is not None})
        if missing := [name for name in self.settings.pair or () if name not in groups]:
            raise UserError(
                f"`common_group` and `counter_group` must be groups of the questions, got {missing[0]!r}. Groups in "
                f"{path}: {', '.join(groups) or 'none'}."
            )
        return questions, report.reasons

    @property
    def helpers(self) -> dict[str, str]:
        """The judge, if there is one."""
        return {} if self.options.judge is None else {JUDGE: self.options.judge}

    def check_models(self, checkpoints: Mapping[str, Checkpoint], helpers: Mapping[str, Checkpoint]) -> None:
        """Refuses questions with images where something that is asked for would not see them."""
        if self.with_images is None:
            return
        if self.options.verifier is not None:
            raise UserError(
                f"`--verifier` reads text only, and question {self.with_images!r} has images. Leave it out: a "
                "sample's score is then the share of shuffles that it survives."
            )
        check_images(f"Question {self.with_images!r}", self.engine, checkpoints)

    @contextmanager
    def opened(self, beside: Beside) -> Iterator[None]:
        """Opens the judge and the verifier, where all answers come together."""
        with ExitStack() as stack:
            if JUDGE in beside.helpers and current().is_whole:
                engine = self.engine._replace(backend="transformers")
                judge = open_judge(beside.helpers[JUDGE], engine, beside.cache, beside.stages.advance)
                beside.opened["judge"] = PolicyJudge(stack.enter_context(judge))
            if self.options.verifier is not None and current().is_whole:
                beside.opened["verifier"] = self._verifier(self.options.verifier)
            yield

    def _verifier(self, path: str) -> Verifier:
        from align.evaluation.suites.reward_model.reward_model import RewardModel

        engine = self.engine
        model = RewardModel.load(path, dtype=engine.dtype, device=engine.device, batch_size=engine.batch_size)
        template = self.prompting.template(model.tokenizer.chat_template is not None)

        def score(questions: Sequence[Question], responses: Sequence[str]) -> Any:
            scores = model.score([template.render(each.question, each.options) for each in questions], responses)
            unscored = Unscored(0, int(np.isnan(scores).sum()))
            if any(unscored):
                raise UserError(f"`--verifier` {path}: {unscored.sentence(len(scores), 'responses')}")
            return scores

        return Verifier(path, score, self.options.verifier_threshold)

    def measure(self, name: str, checkpoint: Checkpoint, kept: KeptAnswers, beside: Beside) -> None:
        """Asks one policy everything."""
        images, template = self.with_images is not None, self.prompting.template
        with open_policy(checkpoint, template, self.engine, images=images) as (policy, model):
            asker = Asker(policy, response_format=self.prompting.response_format, kept=kept)
            result = evaluate_suites(asker, self.questions, self.settings, **beside.opened)
            result.suites.update(self._harness(checkpoint, model, beside.cache))
            prompts = [policy.show_prompt(question) for question in self.questions]
        self.results[name] = result
        self.rows += item_rows(name, result, self.questions, prompts, self.settings.decoding.num_samples)

    def _harness(self, checkpoint: Checkpoint, model: Any, cache: AnswerCache) -> dict[str, Any]:
        suites = {}
        for suite in self.settings.suites:
            if suite.startswith(HARNESS):
                from align.evaluation.suites.questions.lm_harness import harness_suite

                run = partial(self._run_harness, suite.removeprefix(HARNESS), checkpoint, model, cache)
                suites[suite] = harness_suite(current().from_main(run))
        return suites

    def _run_harness(self, task: str, checkpoint: Checkpoint, model: Any, cache: AnswerCache) -> Any:
        from align.evaluation.suites.questions.lm_harness import harness_version, run_task

        max_rows = self.options.max_rows
        key = digest([checkpoint.fingerprint, self.engine.dtype, task, None, max_rows, harness_version()])
        is_file = Path(task).is_file()  # which may include others, Python and rows: what it says is not known
        kept = None if is_file else cache.get(key)
        if kept is None:
            size = self.engine.batch_size
            kept = run_task(task, model, load_tokenizer(checkpoint), batch_size=size, max_rows=max_rows)
            if not is_file:
                cache.put({key: kept})
        return kept

    def record(self, run: Mapping[str, Any], helpers: Mapping[str, Checkpoint]) -> Record:
        """Arranges what was answered."""
        options, settings = self.options, self.settings
        content = digest(
            [[*question_key(each), each.answer, each.group, *(each.cell or ())] for each in self.questions]
        )
        common, counter = settings.pair or (None, None)
        verifier: Source | None = None
        if options.verifier is not None:
            verifier = Source(path=options.verifier, fingerprint=fingerprint(options.verifier))
            verifier.threshold = options.verifier_threshold
        profile = Profile(**asdict(settings.decoding) | asdict(self.prompting), num_shuffles=settings.num_shuffles)
        if self.with_images is not None:
            profile.media = self.media.model_dump()
        about = About(
            **run,
            suites=list(settings.suites),
            data=describe_questions(
                self.questions, content, path=options.data, split=options.split, left_out=self.left_out
            ),
            profile=profile,
            judge=source(helpers[JUDGE]) if JUDGE in helpers else None,
            verifier=verifier,
            common_group=common,
            counter_group=counter,
        )
        for asked in about.models:
            if MODALITY in self.results[asked.name].suites:
                columns = self.results[asked.name].columns
                asked.extra_generations = count_generations(columns, settings.decoding)
        return policy_record(about, self.results, self.questions, settings), self.rows


def _pair(options: QuestionOptions) -> tuple[str, str] | None:
    common, counter = options.common_group, options.counter_group
    if common is None and counter is None:
        return None
    if common is None or counter is None:
        raise UserError("`--common_group` and `--counter_group` go together. Give both.")
    return common, counter
