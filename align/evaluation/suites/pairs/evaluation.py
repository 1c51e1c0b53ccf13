"""Policies read pairs: what each learnt to prefer, how far it moved, and what a judge prefers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from align.console import say
from align.data.conversations import conversation_text
from align.data.pairs.preferences import PreferencePair, load_preferences
from align.data.questions.templates import PromptTemplate
from align.data.unread import saying_unread
from align.evaluation.asked_models import check_images, check_tokens, find_reference, open_judge, open_policy
from align.evaluation.asking import KeptAnswers, complete_prompts
from align.evaluation.divided.division import own_part
from align.evaluation.engine import JUDGE, REFERENCE, Beside, Evaluation, Record, source
from align.evaluation.prompting import prompt_settings
from align.evaluation.record.answers import AboutPairs, Decoded
from align.evaluation.suites.pairs import PairOptions
from align.evaluation.suites.pairs.measured import (
    Judgement,
    describe_pairs,
    judge_responses,
    pair_key,
    pair_rows,
    pairs_record,
    prompt_of,
    read_terms,
    written_terms,
)
from align.evaluation.suites.pairs.terms import PairTerms, pair_terms, tokenize_image_pair, tokenize_pair
from align.models.checkpoint import Checkpoint, load_processor, load_tokenizer
from align.models.policies.asking import Prompt

CHOSEN = "chosen"  # what a response is compared with where there is no baseline
PAIRS_AT_ONCE = 64


@dataclass
class Read:
    """What one model made of the pairs; `responses` only where a judge compares them."""

    terms: list[PairTerms]
    responses: list[str] | None


class PairEvaluation(Evaluation):
    """What policies learnt to prefer."""

    options: PairOptions
    verb, items = "Reading with", "pairs"

    def load(self) -> None:
        """Reads the pairs."""
        self.path = self.data("pairs", "read")
        self.pairs, self.report = saying_unread(
            load_preferences(
                self.path,
                adapter=self.options.adapter,
                media=self.media,
                columns=self.columns,
                **self.reading(),
            )
        )
        settings = prompt_settings(self.recipe, self.given(["max_new_tokens"]))
        self.decoded = self.decoding(settings.max_new_tokens)
        self.read: dict[str, Read] = {}
        self.judged: dict[str, list[Judgement]] = {}

    @property
    def helpers(self) -> dict[str, str]:
        """The reference, and the judge if there is one."""
        paths = [path for path, _ in self.models]
        found = {REFERENCE: find_reference(self.options.reference, paths, self.recipe)}
        return found if self.options.judge is None else found | {JUDGE: self.options.judge}

    def check_models(self, checkpoints: Mapping[str, Checkpoint], helpers: Mapping[str, Checkpoint]) -> None:
        """Refuses models that do not see the images, or read other tokens than the reference."""
        if with_images := next((pair.id for pair in self.pairs if pair.images), None):
            check_images(f"Pair {with_images!r}", self.engine, {**checkpoints, **helpers})

    @contextmanager
    def opened(self, beside: Beside) -> Iterator[None]:
        """Opens the reference."""
        base = beside.helpers[REFERENCE]
        check_tokens(beside.checkpoints.values(), base)
        with self._policy(base) as (_, model):
            beside.opened["reference"] = model
            yield

    def measure(self, name: str, checkpoint: Checkpoint, kept: KeptAnswers, beside: Beside) -> None:
        """Reads the pairs beside the reference, and answers their prompts if a judge compares answers."""
        read = self.read[name] = Read([], None)
        processing = load_processor(checkpoint) if self._images else load_tokenizer(checkpoint)
        identity = [checkpoint.fingerprint, beside.helpers[REFERENCE].fingerprint, self.engine.dtype]
        with self._policy(checkpoint) as (policy, model):
            with own_part():
                read.terms = self._terms(model, beside.opened["reference"], processing, identity, kept)
            if JUDGE in beside.helpers:
                with own_part():
                    answers = complete_prompts(policy, prompts_of(self.pairs), self.decoded, kept)
                    read.responses = [each[0].text for each in answers]

    def compare(self, beside: Beside) -> None:
        """Asks a judge about the responses of the first model, against those of each baseline or the chosen ones."""
        if JUDGE not in beside.helpers:
            return
        judge, (model, *baselines) = beside.helpers[JUDGE], self.read
        against = {name: self.read[name].responses or [] for name in baselines}
        against = against or {CHOSEN: [pair.chosen for pair in self.pairs]}
        prompts, ids = [conversation_text(pair.prompt) for pair in self.pairs], [pair.id for pair in self.pairs]
        shown = [pair.images for pair in self.pairs]
        say(f"Judging with {judge.path}")
        with open_judge(judge, self.engine, beside.cache, beside.stages.advance, images=any(shown)) as asker:
            beside.stages.start(JUDGE)
            ours = self.read[model].responses or []
            self.judged = {
                name: judge_responses(asker, ids, prompts, ours, theirs, shown) for name, theirs in against.items()
            }

    def record(self, run: Mapping[str, Any], helpers: Mapping[str, Checkpoint]) -> Record:
        """Arranges what was measured."""
        pairs, terms = self.pairs, {name: each.terms for name, each in self.read.items()}
        (first, *_), judge = terms, helpers.get(JUDGE)
        about = AboutPairs(
            **run,
            suites=["pairs"] if judge is None else ["pairs", "judge"],
            data=describe_pairs(pairs, path=self.path, split=self.options.split, left_out=self.report.reasons),
            reference=source(helpers[REFERENCE]),
            judge=None if judge is None else source(judge),
            profile=None if judge is None else Decoded(**asdict(self.decoded)),
            with_marks=sum(bool(each.chosen.marked or each.rejected.marked) for each in terms[first]),
        )
        ids, groups = [pair.id for pair in pairs], [pair.group for pair in pairs]
        record = pairs_record(about, terms, self.judged, ids, groups, list(map(prompt_of, pairs)))
        rows = [
            row
            for name, each in self.read.items()
            for row in pair_rows(name, pairs, each.terms, each.responses, self.judged if name == first else {})
        ]
        return record, rows

    @property
    def _images(self) -> bool:
        return any(pair.images for pair in self.pairs)

    def _policy(self, checkpoint: Checkpoint) -> Any:
        return open_policy(checkpoint, lambda _: PromptTemplate(), self.engine, images=self._images)

    def _terms(
        self, model: Any, reference: Any, processing: Any, identity: list[str], kept: KeptAnswers
    ) -> list[PairTerms]:
        tokenize = tokenize_image_pair if self._images else tokenize_pair
        kind = "terms of pairs with images" if self._images else "pair terms"

        def ask(part: list[int]) -> list[Any]:
            tokens = [tokenize(processing, self.pairs[i]) for i in part]
            return [written_terms(each) for each in pair_terms(model, reference, tokens)]

        contents = [[*identity, kind, processing.chat_template, pair_key(pair)] for pair in self.pairs]
        lengths = [len(pair.chosen) + len(pair.rejected) for pair in self.pairs]
        return [read_terms(each) for each in kept.ask("reading pairs", ask, contents, lengths, PAIRS_AT_ONCE)]


def prompts_of(pairs: Sequence[PreferencePair]) -> list[Prompt]:
    """Takes what a policy answers out of pairs, with what each row tells the chat template."""
    return [Prompt(pair.id, pair.prompt, pair.images, template=pair.template) for pair in pairs]
