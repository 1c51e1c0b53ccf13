"""Subjects that follow a rule, so that every score is known before it is measured."""

from align.evaluation.asking import KeptAnswers, Subject
from align.models.policies.asking import Completion


class Answers:
    """A policy that answers by a rule: `rule(prompt, sample)` returns a text."""

    chunk_size = 64

    def __init__(self, rule, name="scripted"):
        self.rule, self.fingerprint, self.asked = rule, name, []

    def complete(self, prompts, decoding):
        self.asked += prompts
        return [
            [Completion(self.rule(prompt, sample)) for sample in range(decoding.num_samples)] for prompt in prompts
        ]


def subject(rule=lambda prompt, sample: "", scores=None, *, kept=None, name="scripted", **more):
    """Makes a subject that answers by `rule` and finds a text as likely as `scores(text)` says, token by token."""
    read = None if scores is None else lambda texts: [scores(each) for each in texts]
    return Subject(Answers(rule, name), read, kept or KeptAnswers(), **more)
