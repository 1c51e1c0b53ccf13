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
    from rewards.scoring.code_accuracy import CodeAccuracy, code_accuracy
    from rewards.scoring.consistency import OUTCOMES, AnswerConsistency, answer_consistency, outcome
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
    "AnswerConsistency",
    "CodeAccuracy",
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
    "accuracy",
    "anchored",
    "answer_consistency",
    "can_shuffle",
    "check_reward",
    "code_accuracy",
    "completion_text",
    "draw_permutation",
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
]

_HOMES = dict.fromkeys(("OUTCOMES", "outcome"), "rewards.scoring.consistency")
for _name, _place in REWARDS.items():
    _home, _, _class = _place.rpartition(".")
    _HOMES |= {_name: _home, _class: _home}


def __getattr__(name: str) -> Any:
    """Imports a reward when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rewards' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
