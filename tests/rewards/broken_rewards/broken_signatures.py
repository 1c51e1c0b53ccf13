"""Rewards that TRL's keyword arguments do not fit."""


def no_keywords(completions):
    return [float(len(text)) for text in completions]


def positional_only(completions, /, **kwargs):
    return [float(len(text)) for text in completions]


def singular_name(completion, **kwargs):
    return [float(len(text)) for text in completion]


def misspelt_column(completions, anwser, **kwargs):
    return [float(text == right) for text, right in zip(completions, anwser, strict=True)]


def column_through_kwargs(completions, **kwargs):
    return [float(text == right) for text, right in zip(completions, kwargs["solutions"], strict=True)]


def column_nobody_can_make_up(completions, difficulty, **kwargs):
    return [level * float("42" in text) for text, level in zip(completions, difficulty, strict=True)]


def column_of_no_data(completions, **kwargs):
    return [level * float("42" in text) for text, level in zip(completions, kwargs["level"], strict=True)]


class NeedsTwoArguments:
    """A class whose call forgets the columns."""

    __name__ = "needs_two_arguments"

    def __call__(self, prompts, completions):
        return [float(len(text)) for text in completions]


def column_under_another_name(completions, **kwargs):
    columns = kwargs
    return [float(text == right) for text, right in zip(completions, columns["solutions"], strict=True)]


def column_it_does_without(completions, **kwargs):
    golds = kwargs.get("solutions") or [None] * len(completions)
    return [len(text) + float(text == right) for text, right in zip(completions, golds, strict=True)]
