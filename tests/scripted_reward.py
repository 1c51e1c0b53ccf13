"""Reward models whose preferences are known, to see whether a measurement finds them."""

import numpy as np


class ScriptedReward:
    """Scores by a function of prompt and response; what is longer than `max_length` characters has no score."""

    def __init__(self, function, *, pairwise=False, max_length=None):
        self.function = function
        self.pairwise = pairwise
        self.max_length = max_length
        self.calls = 0

    def score(self, prompts, responses):
        assert not self.pairwise
        return self._score(prompts, responses)

    def margins(self, prompts, first, second):
        self.calls += 1
        return self._score(prompts, first) - self._score(prompts, second)

    def reads(self, prompt, *responses):
        return all(self.max_length is None or len(response) <= self.max_length for response in responses)

    def _score(self, prompts, responses):
        rows = zip(prompts, responses, strict=True)
        fits = [self.reads(prompt, response) for prompt, response in zip(prompts, responses, strict=True)]
        values = [float(self.function(prompt, response)) for prompt, response in rows]
        return np.where(fits, values, np.nan)
