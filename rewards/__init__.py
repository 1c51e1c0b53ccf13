"""Rewards with TRL's call signature, and what they are made of; `trl.GRPOTrainer(reward_funcs=[rewards.accuracy])`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rewards.catalog import REWARDS, resolve_reward
from rewards.reading.options import (
    LETTERS,
    anchored,
    can_shuffle,
    draw_permutation,
    parse_choice,
    permute,
    render_options,
    to_content,
    to_shown,
)
from rewards.reading.responses import Response, ResponseFormat, completion_text, parse_response
from rewards.reading.traces import names_letter, quotes_answer, scrub_letters, stated_choice
from rewards.running.contract import RewardProblem, check_reward
from rewards.running.protocol import RewardFunction
from rewards.scoring.perturbations import FAMILIES, SEEN_FAMILIES, UNSEEN_FAMILIES, perturbed_rows
from rewards.scoring.result_families import RESULT_FAMILIES, WITHHELD

if TYPE_CHECKING:
    from rewards.scoring.accuracy import Accuracy, accuracy
    from rewards.scoring.answer_agreement import AnswerAgreement, answer_agreement
    from rewards.scoring.code_accuracy import CodeAccuracy, code_accuracy
    from rewards.scoring.consistency import OUTCOMES, AnswerConsistency, answer_consistency, outcome
    from rewards.scoring.counterfactual import Counterfactual, counterfactual
    from rewards.scoring.follows_trace import FollowsTrace, follows_trace
    from rewards.scoring.format import Format, format
    from rewards.scoring.length import Length
    from rewards.scoring.manipulation import Manipulation, manipulation
    from rewards.scoring.math_accuracy import MathAccuracy, math_accuracy
    from rewards.scoring.number_accuracy import NumberAccuracy, number_accuracy
    from rewards.scoring.perturbation_consistency import (
        PerturbationConsistency,
        UnseenPerturbationConsistency,
        perturbation_consistency,
        unseen_perturbation_consistency,
    )
    from rewards.scoring.phrases import Phrases
    from rewards.scoring.reasoning_gym import ReasoningGym, reasoning_gym
    from rewards.scoring.reference_consistency import ReferenceConsistency, reference_consistency
    from rewards.scoring.repetition import Repetition, repetition
    from rewards.scoring.text_accuracy import TextAccuracy, text_accuracy
    from rewards.scoring.vote_agreement import VoteAgreement, vote_agreement

__all__ = [
    "FAMILIES",
    "LETTERS",
    "OUTCOMES",
    "RESULT_FAMILIES",
    "REWARDS",
    "SEEN_FAMILIES",
    "UNSEEN_FAMILIES",
    "WITHHELD",
    "Accuracy",
    "AnswerAgreement",
    "AnswerConsistency",
    "CodeAccuracy",
    "Counterfactual",
    "FollowsTrace",
    "Format",
    "Length",
    "Manipulation",
    "MathAccuracy",
    "NumberAccuracy",
    "PerturbationConsistency",
    "Phrases",
    "ReasoningGym",
    "ReferenceConsistency",
    "Repetition",
    "Response",
    "ResponseFormat",
    "RewardFunction",
    "RewardProblem",
    "TextAccuracy",
    "UnseenPerturbationConsistency",
    "VoteAgreement",
    "accuracy",
    "anchored",
    "answer_agreement",
    "answer_consistency",
    "can_shuffle",
    "check_reward",
    "code_accuracy",
    "completion_text",
    "counterfactual",
    "draw_permutation",
    "follows_trace",
    "format",
    "manipulation",
    "math_accuracy",
    "names_letter",
    "number_accuracy",
    "outcome",
    "parse_choice",
    "parse_response",
    "permute",
    "perturbation_consistency",
    "perturbed_rows",
    "quotes_answer",
    "reasoning_gym",
    "reference_consistency",
    "render_options",
    "repetition",
    "resolve_reward",
    "scrub_letters",
    "stated_choice",
    "text_accuracy",
    "to_content",
    "to_shown",
    "unseen_perturbation_consistency",
    "vote_agreement",
]

_HOMES = dict.fromkeys(("OUTCOMES", "outcome"), "rewards.scoring.consistency")
_HOMES |= dict.fromkeys(("Counterfactual", "counterfactual"), "rewards.scoring.counterfactual")
for _name, _place in REWARDS.items():
    _home, _, _class = _place.rpartition(".")
    _HOMES |= {_name: _home, _class: _home}


def __getattr__(name: str) -> Any:
    """Imports a reward when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rewards' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Lists the public names."""
    return __all__
