from scripted_policies import ScriptedPolicy
from scripted_run import make_questions

from align.evaluation.asking import Asker
from align.evaluation.suites.questions.answering import NOTHING_STATED, judge_traces
from rewards.reading.traces import stated_choice

QUESTIONS = make_questions(5)
TRACES = [f"It is {each.options[3]}." for each in QUESTIONS[:3]] + [None, "Who knows."]


class CarefulJudge(ScriptedPolicy):
    """Reads the reasoning in its prompt and answers the option that stands there last."""

    def think(self, question):
        return ""

    def answer(self, question, order, trace):
        reasoning = question.question.split("Reasoning: ")[1]
        stated = [i for i, option in enumerate(question.options) if option in reasoning]
        return stated[-1] if stated else question.options.index(NOTHING_STATED)


def test_a_judge_model_and_the_text_are_read_through_one_interface():
    expected = [3, 3, 3, None, None]
    read = [stated_choice(trace, each.options) for each, trace in zip(QUESTIONS, TRACES, strict=True)]
    assert read == expected
    assert judge_traces(Asker(CarefulJudge()), QUESTIONS, TRACES) == expected


def test_traces_with_braces_reach_the_judge_as_they_are():
    seen = []

    class Listener(CarefulJudge):
        def answer(self, question, order, trace):
            seen.append(question.question)
            return 0

    judge_traces(Asker(Listener()), QUESTIONS[:1], ["{options} {x}"])
    assert "Reasoning: {options} {x}" in seen[0]
