"""A model that judges responses: loaded to be asked by letters."""

from collections.abc import Iterator
from contextlib import contextmanager

from align.cli.evaluation.asked_models import Engine, open_policy
from align.cli.evaluation.plan import Prompting
from align.evaluation.kept_answers import Progress
from align.evaluation.policies.asker import Asker
from align.models.answer_cache import AnswerCache
from align.models.checkpoint import Checkpoint


@contextmanager
def open_judge(
    checkpoint: Checkpoint, engine: Engine, cache: AnswerCache, progress: Progress, *, images: bool = False
) -> Iterator[Asker]:
    """Loads a judge, which reads a question and its options and nothing about tags, and frees it at the end."""
    plain = Prompting(prompt_template="{question}\n\n{options}", conversational=None)
    with open_policy(checkpoint, plain.template, engine, images=images) as (policy, _):
        yield Asker(policy, cache=cache, progress=progress)
