"""How far a model is from its base on the answers of the base, read once with each.

For each token of an answer of the base, behind its prompt,

    KL(base || model) = sum over the vocabulary of p_base (log p_base - log p_model)
    shift of the NLL  = log p_base(token) - log p_model(token)

and an answer has the mean of its tokens. Of a model with the weights of the base both are exactly 0: the two read the
same batches.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from align.data.questions.templates import PromptTemplate
from align.evaluation.pairs.terms import Side, SideTerms, side_terms
from align.evaluation.suites.subject import TEXTS_AT_ONCE, Subject
from align.models.policies.asking import Completion, Prompt
from align.models.policies.token_policy import TokenPrompts


class Distance(NamedTuple):
    """The distance on one answer, in nats a token; nan of an answer without tokens.

    Attributes:
        tokens: Of the answer, without its end token.
        read: Tokens of prompt and answer, read once with the model and once with its base.
        kl: KL(base || model).
        nll_shift: By how much the model finds the answer less likely than the base does.
    """

    tokens: int
    read: int
    kl: float
    nll_shift: float


def as_sides(tokenizer: Any, prompts: Sequence[Prompt], answers: Sequence[Completion]) -> list[Side]:
    """Puts answers behind their prompts, in tokens as they were generated."""
    encoded = TokenPrompts(tokenizer, PromptTemplate()).encode_prompts(prompts)
    found = []
    for prompt, answer in zip(encoded, answers, strict=True):
        ids = answer.ids if answer.ids is not None else tokenizer(answer.text, add_special_tokens=False)["input_ids"]
        found.append(Side([*prompt, *ids], len(prompt), [0] * len(ids)))
    return found


def distances(subject: Subject, reference: Subject, sides: Sequence[Side]) -> list[Distance]:
    """Reads answers with a model and its base; those that are kept are not read again."""
    with_tokens = [side for side in sides if len(side.ids) > side.prompt]

    def ask(part: list[int]) -> list[Any]:
        return [list(each) for each in side_terms(subject.model, reference.model, [with_tokens[i] for i in part])]

    identity = [subject.identity, reference.identity, "side terms"]
    contents = [[*identity, side.prompt, list(side.ids)] for side in with_tokens]
    kept = subject.kept.ask("reading", ask, contents, [len(side.ids) for side in with_tokens], TEXTS_AT_ONCE)
    terms = iter([SideTerms(*each) for each in kept])
    return [
        _per_token(next(terms), len(side.ids)) if len(side.ids) > side.prompt else Distance(0, 0, math.nan, math.nan)
        for side in sides
    ]


def _per_token(terms: SideTerms, read: int) -> Distance:
    return Distance(terms.tokens, read, terms.kl / terms.tokens, (terms.ref_logp - terms.logp) / terms.tokens)
