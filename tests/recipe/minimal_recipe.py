"""The least that a recipe may hold."""

from some_recipes import QUESTIONS

BASE = f"""\
method: {QUESTIONS}
model_name_or_path: ./model
dataset:
  path: ./train.jsonl
reward_funcs: [answer_consistency, format]
"""
