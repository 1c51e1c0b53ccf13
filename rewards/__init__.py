"""Rewards with TRL's call signature, and what they are made of; `trl.GRPOTrainer(reward_funcs=[rewards.accuracy])`."""

from rewards.accuracy import Accuracy, accuracy
from rewards.catalog import REWARDS, resolve_reward
from rewards.consistency import OUTCOMES, AnswerConsistency, answer_consistency, outcome
from rewards.contract import RewardProblem, check_reward
from rewards.format import Format, format
from rewards.length import Length
from rewards.options import (
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
from rewards.protocol import RewardFunction
from rewards.responses import Response, ResponseFormat, completion_text, parse_response
from rewards.traces import names_letter, quotes_answer, scrub_letters, stated_choice

__all__ = [
    "LETTERS",
    "OUTCOMES",
    "REWARDS",
    "Accuracy",
    "AnswerConsistency",
    "Format",
    "Length",
    "Response",
    "ResponseFormat",
    "RewardFunction",
    "RewardProblem",
    "accuracy",
    "anchored",
    "answer_consistency",
    "can_shuffle",
    "check_reward",
    "completion_text",
    "draw_permutation",
    "format",
    "names_letter",
    "outcome",
    "parse_choice",
    "parse_response",
    "permute",
    "quotes_answer",
    "render_options",
    "resolve_reward",
    "scrub_letters",
    "stated_choice",
    "to_content",
    "to_shown",
]
