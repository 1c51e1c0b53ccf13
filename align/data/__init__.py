"""Data sets: loaded, checked with row numbers, and rendered as prompts."""

from align.data.pairs.preference_adapters import PREFERENCE_ADAPTERS
from align.data.pairs.preferences import PreferencePair, load_preferences, pair_to_row
from align.data.pairs.reward_pairs import RewardPair, load_reward_pairs, reward_pair_to_row
from align.data.problems import DataReport, RowProblem
from align.data.questions.adapters import ADAPTERS
from align.data.questions.multiple_choice import (
    Question,
    QuestionReport,
    load_questions,
)
from align.data.questions.rows import questions_to_rows
from align.data.questions.templates import PromptTemplate
from align.errors import DataError

__all__ = [
    "ADAPTERS",
    "PREFERENCE_ADAPTERS",
    "DataError",
    "DataReport",
    "PreferencePair",
    "PromptTemplate",
    "Question",
    "QuestionReport",
    "RewardPair",
    "RowProblem",
    "load_preferences",
    "load_questions",
    "load_reward_pairs",
    "pair_to_row",
    "questions_to_rows",
    "reward_pair_to_row",
]
