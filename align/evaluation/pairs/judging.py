"""Which of two responses a judge prefers, asked in both orders."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from align.data.questions.multiple_choice import Question
from align.evaluation.policies.asker import Asker
from align.evaluation.statistics.item_means import ItemMean, cluster_codes
from align.evaluation.suite import Measured
from align.models.policies.asking import LetterQuestion

EQUAL = "Both are equally good"
ORDERS = ((0, 1, 2), (1, 0, 2))  # ours first, then theirs first; a tie stays the last option
INSTRUCTION = """Below is a request, and after it two responses. Say which response answers the request better. The \
order in which they stand means nothing.

Request: {prompt}

Which is the better response?"""


class Judgement(NamedTuple):
    """What a judge said of a pair of responses, ours and theirs, in both orders: 0 ours, 1 theirs, 2 equal."""

    ours_first: int
    theirs_first: int

    @property
    def worth(self) -> float:
        """Ours preferred 1, a tie 0.5, theirs 0, on average over the orders: a judge who follows the order is 0.5."""
        return sum((1.0, 0.0, 0.5)[choice] for choice in self) / 2

    @property
    def disagrees(self) -> bool:
        """Whether the order changed the answer."""
        return self.ours_first != self.theirs_first


def judge_responses(
    asker: Asker,
    ids: Sequence[str],
    prompts: Sequence[str],
    ours: Sequence[str],
    theirs: Sequence[str],
    images: Sequence[tuple[Any, ...]] | None = None,
) -> list[Judgement]:
    """Asks a judge about each pair of responses twice, in one forward pass each; equal texts are a tie unasked.

    Args:
        asker: The judge.
        ids: Names of the requests.
        prompts: The requests, as texts.
        ours: Responses of the model.
        theirs: Those it is compared with.
        images: What the requests show, if any does; the judge then reads images.
    """
    shown = images or [()] * len(ids)
    groups = [_group(*row) for row in zip(ids, prompts, ours, theirs, shown, strict=True)]
    asked = [i for i, group in enumerate(groups) if group]
    answers = dict(zip(asked, asker.choose("judging", [groups[i] for i in asked]), strict=True))
    return [Judgement(*answers[i]) if i in answers else Judgement(2, 2) for i in range(len(groups))]


def judged_suite(judged: Mapping[str, Sequence[Judgement]], prompts: Sequence[Any] = ()) -> Measured:
    """Measures win rate, ties, and how often the order changed the answer, against each that was compared with.

    Args:
        judged: Of each pair, by the name of what was compared with.
        prompts: Of the pairs: those of one prompt are one item. Without it each pair is.
    """
    clusters = (cluster_codes(prompts),) if prompts else None
    values = {}
    for name, judgements in judged.items():
        values[f"judged_win_rate/{name}"] = [each.worth for each in judgements]
        values[f"judged_ties/{name}"] = [float(each == (2, 2)) for each in judgements]
        values[f"judge_order_disagreement/{name}"] = [float(each.disagrees) for each in judgements]
    return Measured({name: ItemMean((np.array(each),), clusters=clusters) for name, each in values.items()})


def _group(name: str, prompt: str, ours: str, theirs: str, images: tuple[Any, ...]) -> list[LetterQuestion]:
    if ours == theirs:
        return []
    text = INSTRUCTION.format(prompt=prompt)
    question = Question(name, text, (ours, theirs, EQUAL), 0, None, images, 0)
    return [LetterQuestion(question, order, "The better response is option ") for order in ORDERS]
