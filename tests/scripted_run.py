"""Questions for scripted policies, and what an evaluation of one gives."""

import random

from align.data.questions.multiple_choice import Question
from align.evaluation.asking import Asker
from align.evaluation.suites.questions.suite import PolicyResult, SuiteSettings, evaluate_suites
from align.models.policies.asking import Decoding

WORDS = ("gold", "iron", "zinc", "lead", "neon", "tin", "radon", "argon")


def make_questions(count: int = 40, num_options: int = 4) -> list[Question]:
    rng = random.Random(0)
    return [
        Question(
            f"q{i}",
            f"Which of them, number {i}?",
            tuple(rng.sample(WORDS, num_options)),
            i % num_options,
            ("common", "counter")[i % 4 == 3],
            (),
            i,
        )
        for i in range(count)
    ]


def evaluate(policy, questions, num_samples: int = 1, **settings) -> PolicyResult:
    decoding = Decoding(num_samples=num_samples, temperature=0.0 if num_samples == 1 else 1.0)
    return evaluate_suites(Asker(policy), questions, SuiteSettings(decoding=decoding, **settings))


def values(result: PolicyResult) -> dict[str, float]:
    """Returns the value of every metric of every suite."""
    return {name: each.value for suite in result.suites.values() for name, each in suite.summary().items()}
