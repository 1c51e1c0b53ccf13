from dataclasses import replace

import pytest

from align.methods.rrpo.augmentation.sources import ModelInput, Source
from align.methods.rrpo.augmentation.verdicts import from_restatement, from_swap, reword_request
from align.models.samplers.sampler import Answer, Failure

SOURCE = Source("1", ModelInput("Capital of France?"), "Paris", ("Lyon", "New Lyon", "Nice"), {}, row=1)
LETTERED = replace(SOURCE, letter="C", columns={"options": ["Lyon", "New Lyon", "Paris", "Nice"]})
METALS = Source(
    "q", ModelInput("Which rusts?"), "iron", ("gold", "tin"), {"options": ["gold", "tin", "iron"]}, row=1, letter="C"
)
REJECTED = "The capital of France is Lyon, of course."
ROME = "The capital of France is Rome, of course."


def restate(text, *, rejected=REJECTED, cut_off=False, is_right=True):
    return from_restatement(SOURCE, rejected, Answer(text, cut_off, 1, 1), is_right)


@pytest.mark.parametrize(
    ("rejected", "chosen"),
    [
        (REJECTED, "The capital of France is Paris, of course."),
        ("It is new  lyon.", "It is Paris."),
        ("NICE", "Paris"),
    ],
)
def test_a_wrong_answer_that_occurs_once_is_swapped(rejected, chosen):
    assert from_swap(SOURCE, rejected) == (chosen, "")


@pytest.mark.parametrize(
    ("rejected", "reason"),
    [
        ("Lyon or Nice.", "several wrong answers"),
        ("Lyon, Lyon!", "several wrong answers"),
        ("A Lyonnais town.", "no wrong answer"),
    ],
)
def test_otherwise_nothing_is_swapped_and_the_fault_says_why(rejected, reason):
    assert from_swap(SOURCE, rejected).fault == f"{reason} to swap"


def test_a_swap_at_the_start_keeps_the_capital_letter():
    source = Source("1", ModelInput("Which rusts?"), "iron", ("gold",), {}, row=1)
    assert from_swap(source, "Gold rusts.").text == "Iron rusts."


@pytest.mark.parametrize(
    ("rejected", "chosen"),
    [
        ("<think>It is Lyon.</think><answer>A</answer>", "<think>It is Paris.</think><answer>C</answer>"),
        ("<think>It is Lyon.</think><answer>C</answer>", "<think>It is Paris.</think><answer>C</answer>"),
        ("<think>It is Lyon.</think><answer>a</answer>", "<think>It is Paris.</think><answer>c</answer>"),
        ("It is Lyon.\nAnswer: (B)", "It is Paris.\nAnswer: (C)"),
        ("<think>Hm.</think><answer>A. Lyon</answer>", "<think>Hm.</think><answer>C. Paris</answer>"),
        ("<think>A town.</think><answer>Lyon</answer>", "<think>A town.</think><answer>Paris</answer>"),
    ],
)
def test_an_answer_that_is_a_letter_becomes_that_of_the_right_option(rejected, chosen):
    assert from_swap(LETTERED, rejected) == (chosen, "")


@pytest.mark.parametrize(
    ("rejected", "chosen"),
    [
        ("A. gold", "C. iron"),
        ("a) gold", "c) iron"),
        ("**A. gold**", "**C. iron**"),
        ("The correct answer is (A) gold.", "The correct answer is (C) iron."),
        ("The answer is A: gold.", "The answer is C: iron."),
        ("It rusts easily: A. Gold.", "It rusts easily: C. iron."),
        ("Gold rusts.\n\n**Answer: A**", "Iron rusts.\n\n**Answer: C**"),
        ("Gold rusts.\nFinal answer: A", "Iron rusts.\nFinal answer: C"),
        ("Gold rusts, so the answer is A.", "Iron rusts, so the answer is C."),
        (r"Gold rusts: \boxed{A}", r"Iron rusts: \boxed{C}"),
        ("<think>Gold rusts.</think><answer>a</answer>", "<think>iron rusts.</think><answer>c</answer>"),
        ("<think>Gold rusts.</think><answer>Option A</answer>", "<think>iron rusts.</think><answer>Option C</answer>"),
        ("<think>So gold, option A.</think><answer>C</answer>", "<think>So iron, option C.</think><answer>C</answer>"),
        ("A metal that I know is gold.", "A metal that I know is iron."),
    ],
)
def test_the_letter_of_the_swapped_option_becomes_that_of_the_right_one(rejected, chosen):
    assert from_swap(METALS, rejected) == (chosen, "")


@pytest.mark.parametrize(
    "rejected",
    ["The answer is (B) gold.", "The answer is A, gold, not C.", "Gold, A", "A is gold", "The answer is A gold."],
)
def test_a_response_whose_letters_a_swap_cannot_put_right_is_refused(rejected):
    assert from_swap(METALS, rejected).fault == "the response names letters of options that cannot be put right"


@pytest.mark.parametrize(
    ("text", "is_refused"),
    [
        ("A. iron", True),
        ("(a) iron", True),
        ("The correct answer is (A) iron.", True),
        ("Iron rusts.\n\n**Answer: A**", True),
        ("Iron rusts.\nFinal answer: A", True),
        ("<think>iron rusts.</think><answer>a</answer>", True),
        ("<think>So iron, option A.</think><answer>C</answer>", True),
        ("The correct answer is (C) iron.", False),
        ("A metal that I know is iron.", False),
    ],
)
def test_a_restatement_may_name_the_letter_of_the_right_option_alone(text, is_refused):
    fault = from_restatement(METALS, text.replace("iron", "gold"), Answer(text, False, 1, 1), is_right=True).fault
    assert fault == ("the restatement names the letter of a wrong option" if is_refused else "")


def test_a_letter_is_not_left_as_it_was_where_no_options_say_which_is_right():
    fault = from_swap(SOURCE, "<think>It is Lyon.</think><answer>A</answer>").fault
    assert fault == "the answer is a letter, and the row has no `options` to say which is right"
    letters = Source("1", ModelInput("Which?"), "B", ("A", "C"), {}, row=1)
    assert from_swap(letters, "<think>Hm.</think><answer>A</answer>").text == "<think>Hm.</think><answer>B</answer>"


@pytest.mark.parametrize(
    ("letter", "answers", "is_refused"),
    [("C", "C", False), ("C", "A", True), ("", "A", True), ("", "B", False)],
)
def test_a_restatement_with_the_letter_of_a_wrong_option_is_refused(letter, answers, is_refused):
    rejected, text = (f"<think>It is {city}.</think><answer>{{}}</answer>" for city in ("Lyon", "Paris"))
    said = from_restatement(
        LETTERED if letter else SOURCE, rejected.format("A"), Answer(text.format(answers), False, 1, 1), True
    )
    assert ("names the letter of a wrong option" in said.fault) == is_refused


def test_a_right_answer_of_one_letter_is_not_taken_for_the_letter_of_an_option():
    source = Source("1", ModelInput("Symbol of potassium?"), "K", ("Na",), {"options": ["Na", "K"]}, row=1, letter="B")
    rejected, text = (f"<think>Its symbol is {symbol}.</think><answer>{symbol}</answer>" for symbol in ("Na", "K"))
    assert from_restatement(source, rejected, Answer(text, False, 1, 1), True) == (text, "")


@pytest.mark.parametrize(
    ("rejected", "chosen"), [(REJECTED, "The capital of France is Paris, of course."), ("It's Lyon!", "Paris.")]
)
def test_a_restatement_that_keeps_to_the_task_is_taken(rejected, chosen):
    assert restate(f"{chosen}\n", rejected=rejected) == (chosen, "")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"text": " "}, "empty"),
        ({"text": "The capital of France is Paris", "cut_off": True}, "cut off"),
        ({"text": "The capital of France is Paris, not Lyon."}, "names a wrong answer"),
        ({"text": "The capital of France is Paris.", "is_right": False}, "is not right"),
        ({"text": "The capital of France is Paris.", "is_right": None}, "is not right"),
        ({"text": "Sure! Here you go: Paris"}, "too few words"),
        ({"text": "Paris"}, "too few words"),
        ({"text": f"The capital of France is Paris. {'And so on. ' * 9}"}, "too few words"),
        ({"text": "The capital of France is Rome, of course. Fact: Paris", "rejected": ROME}, "leaves every word"),
    ],
)
def test_a_restatement_that_does_not_is_refused_with_the_reason(answer, reason):
    assert reason in restate(**answer).fault


def test_a_failed_call_is_an_error():
    assert from_restatement(SOURCE, REJECTED, Failure("timeout", "why"), None) == ("why", "error: timeout")


def test_the_model_is_told_question_answer_and_fact():
    request = reword_request(SOURCE, REJECTED, 16)
    assert all(part in request.prompt for part in ("Capital of France?", REJECTED, "Paris"))
    assert request.temperature == 0
