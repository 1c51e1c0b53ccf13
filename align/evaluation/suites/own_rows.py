"""An evaluation by a suite that is two functions: one reads its rows, one measures a model on them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from typing import Any

from align.data.questions.templates import PromptTemplate
from align.errors import UserError
from align.evaluation.asked_models import check_tokens, open_judge, open_policy
from align.evaluation.asking import Asking, KeptAnswers, Subject, model_scores
from align.evaluation.engine import JUDGE, REFERENCE, Beside, Evaluation, Found, source
from align.evaluation.record import Record
from align.evaluation.record.record import About, Items, Profile, Warned
from align.evaluation.results import arrange, pair_answers
from align.evaluation.statistics.group_metrics import SPREADS
from align.evaluation.suite import Loaded, Measured, Reading, RowSuite
from align.models.checkpoint import Checkpoint, load_tokenizer

SHARE = (0.0, 1.0)


class OwnRowsEvaluation(Evaluation):
    """What a suite's two functions say of each model."""

    suite: RowSuite
    items = "items"

    def check(self) -> None:
        """Refuses what the suite cannot do."""
        suite, options = self.suite, self.options
        if options.data is None and not suite.has_rows:
            columns = ", or ".join(" ".join(names) for names in suite.needs)
            raise UserError(f"`--suite {suite.name}` needs `--data`: {suite.rows}, with {columns}.")
        self.prompting = self.asked_as(without=suite.own)
        samples, temperature = suite.samples
        asks_greedily = self.given(["temperature"]) == {"temperature": 0}  # then once is enough
        ours = {"num_samples": samples, "temperature": temperature} if samples > 1 and not asks_greedily else {}
        self.decoded = self.decoding(self.prompting.max_new_tokens, **ours)
        self.measured: dict[str, Measured] = {}
        if self.engine.backend == "vllm" and suite.reads_likelihoods:
            raise UserError(
                f"The suite {suite.name} asks how likely texts are, which runs on `--backend transformers` only."
            )
        if self.decoded.num_samples < suite.least_samples:
            raise UserError(
                f"The suite {suite.name} compares responses to the same prompt, so `num_samples` must be at least "
                f"{suite.least_samples}, got {self.decoded.num_samples}."
            )

    def load(self) -> None:
        """Reads the rows, and what files that options name hold."""
        options = self.options
        reading = Reading(
            path=options.data,
            seed=options.seed,
            recipe=self.recipe_path,
            adapter=getattr(options, "adapter", None),
            **self.reading(),
        )
        self.loaded: Loaded = self.suite.part("load")(reading, options)

    def check_models(self, checkpoints: Mapping[str, Checkpoint], helpers: Mapping[str, Checkpoint]) -> None:
        """Refuses a reference with another tokenizer."""
        if REFERENCE in helpers:
            check_tokens(checkpoints.values(), helpers[REFERENCE])

    def open(self, beside: Beside, held: ExitStack) -> None:
        """Opens the reference and the judge."""
        for name, checkpoint in beside.helpers.items():
            if name == JUDGE:
                opened: Any = open_judge(checkpoint, self.engine, beside.cache, beside.stages.advance)
            else:
                opened = self._subject(checkpoint, KeptAnswers(beside.cache, beside.stages.advance))
            beside.opened[name.strip("()")] = held.enter_context(opened)

    def measure(self, name: str, checkpoint: Checkpoint, kept: KeptAnswers, beside: Beside) -> None:
        """Calls the suite's function."""
        options = replace(self.options, **self.loaded.options)
        asking = Asking(self.decoded, self.prompting.response_format, options, self.options.seed)
        with self._subject(checkpoint, kept) as subject:
            measure = self.suite.part("measure")
            self.measured[name] = measure(subject, self.loaded.rows, asking, **beside.opened)

    @contextmanager
    def _subject(self, checkpoint: Checkpoint, kept: KeptAnswers) -> Iterator[Subject]:
        tokenizer = load_tokenizer(checkpoint)
        template = self.prompting.template(tokenizer.chat_template is not None)
        if template.conversational and tokenizer.chat_template is None:
            raise UserError(
                f"{checkpoint.path} has no chat template, and questions are messages. Give `--no-conversational`."
            )
        with open_policy(checkpoint, lambda _: PromptTemplate(), self.engine) as (policy, model):
            yield Subject(
                policy,
                None if model is None else model_scores(model, tokenizer),
                kept,
                conversational=template.conversational,
                system_prompt=self.prompting.system_prompt,
                template=template,
                model=model,
                tokenizer=tokenizer,
            )

    def record(self, run: Mapping[str, Any], helpers: Mapping[str, Checkpoint]) -> Found:
        """Arranges what was measured."""
        suite, loaded, tags = self.suite, self.loaded, self.prompting.response_format
        compared = {  # by which items are won and lost
            name: {metric: mean.groups[0] for metric, mean in each.means.items() if metric == suite.compared}
            for name, each in self.measured.items()
        }
        first = next(iter(self.measured.values()))
        own = {name: getattr(self.options, name) for name in suite.own}
        about = About(
            **run,
            suites=[suite.name],
            data=Items.model_validate(
                self.about_rows(_plain(loaded.content), (), loaded.left_out)
                | {"questions": len(loaded.rows), "groups": dict(loaded.groups)}
            ),
            rows=suite.rows,
            headline=list(suite.headline),
            profile=Profile(
                **asdict(self.decoded),
                conversational=self.prompting.conversational,
                system_prompt=self.prompting.system_prompt,
                think_tag=tags.think_tag,
                answer_tag=tags.answer_tag,
            ),
            reference=source(helpers[REFERENCE]) if REFERENCE in helpers else None,
            settings=_plain(own) | dict(loaded.settings) | dict(first.settings),
        )
        if JUDGE in helpers:
            about.judge = source(helpers[JUDGE])
        record = Record(
            kind="suite",
            about=about,
            **arrange({name: {suite.name: each} for name, each in self.measured.items()}, suite.meanings),
            paired=list(pair_answers(compared, [row.id for row in loaded.rows])),
            shares=[
                *(name for name, mean in first.means.items() if mean.bounds == SHARE and min(mean.weights) > 0),
                *(name for name in first.others if name.partition("/")[0] in SPREADS),
            ],
            warnings=list(_warnings(self.measured)),
        )
        return record, [{"model": name, **row} for name, each in self.measured.items() for row in each.rows]


def _warnings(measured: Mapping[str, Measured]) -> Iterator[Warned]:
    """Yields each warning once, with the models that it is about."""
    names: dict[str, list[str]] = {}
    for name, each in measured.items():
        for text in each.warnings:
            names.setdefault(text, []).append(name)
    yield from (Warned(model=", ".join(models), text=text) for text, models in names.items())


def _plain(content: Sequence[Any] | Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(content, default=str))
