"""Trainers of ACRE in both forms whose responses are given, so that every row is asked again."""

import scripted_text_acre as of_texts
import test_acre as of_letters

from rewards import AnswerConsistency


def letters(folder, **settings):
    """With options."""
    answers = [f"<think>{word}</think><answer>{letter}</answer>" for word, letter in zip("wxyz", "ABCD", strict=True)]
    rewards = [AnswerConsistency(), of_letters.by_length]
    trainer = of_letters.scripted(*answers)
    return of_letters.make_trainer(folder, rewards, trainer=trainer, second_pass_rows="all", **settings)


def texts(folder, **settings):
    """With texts."""
    answers = [f"<think>t{i}</think><answer>{name}</answer>" for i, name in enumerate(("Ann", "Eve"))]
    rewards = [AnswerConsistency(), of_texts.by_length]
    trainer = of_texts.scripted(*answers)
    return of_texts.make_trainer(folder, rewards, trainer=trainer, second_pass_rows="all", **settings)
