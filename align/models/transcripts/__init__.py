"""Answers to prompts with tools, outside of a trainer: turns, calls, and what each of them took."""
