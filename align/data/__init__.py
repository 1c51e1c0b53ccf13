"""Data sets: loaded, checked with row numbers, and rendered as prompts."""

from align.data.adapters import ADAPTERS
from align.data.balance import LetterBalance, letter_balance
from align.data.multiple_choice import Question, load_questions
from align.data.problems import DataReport, RowProblem
from align.data.prompts import PromptTemplate
from align.data.rows import questions_to_rows
from align.errors import DataError

__all__ = [
    "ADAPTERS",
    "DataError",
    "DataReport",
    "LetterBalance",
    "PromptTemplate",
    "Question",
    "RowProblem",
    "letter_balance",
    "load_questions",
    "questions_to_rows",
]
