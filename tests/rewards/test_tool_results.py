import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards import RESULT_FAMILIES, WITHHELD, number_accuracy
from rewards.reading.abstention import abstains
from rewards.scoring.families import FamilyError, find_families
from rewards.scoring.perturbations import Version
from rewards.scoring.result_families import error, irrelevant, other_value, paraphrase, states
from rewards.scoring.tool_results import change_result, follow, following_metrics, is_invented, read_results

ROW = {"id": "pear", "prompt": [{"role": "user", "content": "What does the pear cost?"}], "answer": "17"}


def call(tool, **arguments):
    return {"type": "function", "function": {"name": tool, "arguments": arguments}}


def talk(*turns, answer="<answer>17</answer>"):
    """Writes a transcript of turns, each the results of its calls."""
    messages = []
    for results in turns:
        calls = [call("price", item=f"item {i}") for i in range(len(results))]
        messages.append({"role": "assistant", "content": "", "tool_calls": calls})
        messages += [{"role": "tool", "name": "price", "content": result} for result in results]
    return [*messages, {"role": "assistant", "content": answer}]


def version(text, answer="17", **columns):
    return Version(text, None, answer, columns=columns)


def drawn(family, text, answer="17", **columns):
    return family(version(text, answer, **columns), random.Random(0))


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("17", "17", True), ("$17.00", 17, True), ('{"price":17}', "17", True), ("170", "17", False),
        ("at 12:17", "17", False), ("on 2024-01-17", "17", False), ("v1.17", "17", False), ("item17", "17", False),
        ("-17", "17", False), ("-17", -17, True), ("1,700", "1700", True), ("17km", "17", True), ("", "17", False),
        ("in New York now", "new york", True), ("Yorkshire", "York", False), ("{'ok': True}", "true", True),
        ("anything", "", False), ("a+b", "a+b", True), (9_000 * "1", 17, False), ("17", 9_000 * "1", False),
    ],
)  # fmt: skip
def test_a_value_is_stated_as_a_whole(text, value, expected):
    assert states(text, value) is expected


@given(number=st.one_of(st.integers(-(10**6), 10**6), st.integers(10**20, 10**30)), seed=st.integers(0, 99))
def test_another_number_has_the_form_of_the_one_it_stands_for(number, seed):
    text = f"{{'price': {number}, 'unit': 'euro'}}"
    made = other_value(version(text, number), random.Random(seed))
    assert made is not None
    assert made.answer != number
    assert len(str(abs(made.answer))) == len(str(abs(number)))
    assert states(made.question, made.answer)
    assert not states(made.question, number)
    assert made.question == text.replace(str(number), str(made.answer))


def test_other_values_of_other_types():
    assert drawn(other_value, "it is on 2024-02-29", "2024-02-29").answer != "2024-02-29"
    assert drawn(other_value, "Yes", "yes").question == "no"
    assert drawn(other_value, "OPEN", "OPEN").question == "CLOSED"
    assert drawn(other_value, "True", True)[:3] == ("False", None, False)
    made = drawn(other_value, "The capital is paris.", "Paris", others=["Rome", "Paris", "12"])
    assert made[:3] == ("The capital is Rome.", None, "Rome")
    assert drawn(other_value, "17 and seventeen", ["17", "seventeen"]).answer not in (["17"], ["seventeen"])
    assert drawn(other_value, "It costs 1,700.50.", 1700.5).question.count(",") == 1
    made = drawn(other_value, "0.12345678901234567890", "0.12345678901234567890")
    assert made.question == made.answer, "no digit is rounded"


@pytest.mark.parametrize("family", [other_value, error])
def test_what_more_than_one_place_states_is_left_alone(family):
    assert drawn(family, "17") is not None
    assert drawn(family, "18") is None
    assert drawn(family, "17", elsewhere=["was it 17?"]) is None
    assert drawn(family, "17", answer=None) is None
    assert drawn(other_value, "Paris", "Paris", others=["Paris"]) is None, "there is no other word"


def test_an_error_withholds_and_the_others_keep():
    assert drawn(error, "17").answer is WITHHELD
    assert drawn(error, "17").question.startswith("{'error': '")
    turned = drawn(paraphrase, '{"price": 17, "item": "pear"}')
    assert list(json.loads(turned.question).items()) == [("item", "pear"), ("price", 17)]
    assert drawn(paraphrase, '{"a": 0.12345678901234567890, "b": 1}').question.count("0.12345678901234567890") == 1
    assert "[[" in drawn(paraphrase, 100_000 * "[").question
    for family in (paraphrase, irrelevant):
        made = drawn(family, "17")
        assert made.answer == "17"
        assert made.question != "17"
        assert states(made.question, "17")


def test_results_are_read_with_the_turn_and_the_arguments_of_their_call():
    found = read_results(talk(["1", "2"], ["3"]))
    assert [(each.place, each.turn, each.text) for each in found] == [(1, 1, "1"), (2, 1, "2"), (4, 2, "3")]
    assert [each.arguments for each in found] == [{"item": "item 0"}, {"item": "item 1"}, {"item": "item 0"}]
    assert read_results(talk(["1"])[:-1]) == [], "nothing goes on from it"
    image = [{"role": "assistant"}, {"role": "tool", "content": [{"type": "image"}]}, {"role": "assistant"}]
    assert read_results(image) == []
    odd = [{"role": "assistant", "tool_calls": None}, {"role": "tool", "content": "x"}, {"role": "assistant"}]
    assert read_results(odd)[0][2:] == ("unknown", {}, "x")


def test_the_result_that_states_the_answer_is_the_one_that_is_changed():
    messages = talk(["99"], ["17", "98"])
    for seed in range(20):
        change = change_result([other_value], ROW, messages, random.Random(seed))
        assert (change.result.place, change.result.turn, change.effect) == (3, 2, "moved")
        assert change.text == change.gold not in ("17", "98", "99")
    assert messages == talk(["99"], ["17", "98"]), "the transcript itself stays"
    effects = {change_result([f], ROW, messages, random.Random(0)).effect for f in RESULT_FAMILIES.values()}
    assert effects == {"moved", "withheld", "same"}
    assert change_result([other_value, error], ROW, talk(["16"]), random.Random(0)) is None
    assert change_result([paraphrase], ROW, talk(), random.Random(0)) is None, "there is no result"


def test_families_of_a_user_see_the_call_and_the_row_and_say_what_is_right():
    def doubled(each, rng):
        assert (each["tool"], each["arguments"], each["turn"]) == ("price", {"item": "item 0"}, 1)
        assert each["id"] == "pear"
        assert each["elsewhere"] == ["What does the pear cost?"]
        return each._replace(question="34", answer="34")

    change = change_result([doubled], ROW, talk(["17"]), random.Random(0))
    assert (change.text, change.gold, change.family, change.effect) == ("34", "34", "doubled", "moved")
    hidden = change_result([lambda each, rng: ("?", WITHHELD)], ROW, talk(["17"]), random.Random(0))
    assert hidden.effect == "withheld"
    same = change_result([lambda each, rng: "17!"], ROW, talk(["17"]), random.Random(0))
    assert (same.text, same.gold, same.effect) == ("17!", "17", "same")
    assert change_result([lambda each, rng: each], ROW, talk(["17"]), random.Random(0)) is None, "nothing changed"


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (lambda each, rng: 1 / 0, "it raised ZeroDivisionError"),
        (lambda each, rng: ("17", None), "it returned no right answer"),
        (lambda each, rng: (17, "17"), "it returned 17 as the result. Return a text"),
        (lambda each, rng: each._replace(options=["a"]), "it gave options to a result"),
        (lambda each, rng: 5, "must return a text"),
        (lambda each, rng: "  ", "as the question. Return a text"),
    ],
)
def test_a_family_that_returns_what_is_no_result_is_named(family, message):
    with pytest.raises(FamilyError, match=rf"row 'pear': .*{message}|row 'pear': {message}"):
        change_result([family], ROW, talk(["17"]), random.Random(0))


def test_families_of_prompts_and_of_results_are_told_apart():
    assert [each.name for each in find_families(["error"], known=tuple(RESULT_FAMILIES))] == ["error"]
    with pytest.raises(ValueError, match="names 'error', which changes the result of a tool, and there are no tools"):
        find_families(["error"])
    with pytest.raises(ValueError, match="names 'distractor', which changes a prompt, and with tools"):
        find_families(["distractor"], known=tuple(RESULT_FAMILIES))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I don’t know.", True), ("I do not know", True), ("I cannot tell you the price.", True), ("unknown", True),  # noqa: RUF001
        ("The price is not available.", True), ("I could not find it", True), ("N/A", True), ("no data", True),
        ("It could not be retrieved: unable to access the service", True), ("", False), (None, False), ("17", False),
        ("No", False), ("not 17 but 18", False), ("You know, 17", False), ("nothing but the truth is Rome", False),
    ],
)  # fmt: skip
def test_what_abstains(text, expected):
    assert abstains(text) is expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("17", False), ("17 euros", False), ("18", True), ("$17.00", False), ("plum", True), ("the pear", False),
     ("yes", False), ("I do not know", False), ("", False), ("17 or 18", True), ("-17", True)],
)  # fmt: skip
def test_what_is_invented(answer, expected):
    assert is_invented(answer, ["What does the pear cost?", "{'price': 17}"]) is expected


def judged(family, second, *, calls=False, first="17", says=""):
    change = change_result([family], ROW, talk(["17"]), random.Random(0))

    def right(answer, gold):
        return number_accuracy([f"<answer>{answer}</answer>"], [gold])[0] == 1.0

    told = ["What does the pear cost?", change.text]
    is_right = None if change.effect == "withheld" else right(second, change.gold)
    new = str(change.gold)
    second = new if second == "new" else second
    is_right = True if second == new else is_right
    return follow(change, (first, right(first, "17")), (second, is_right), (told, []), "17", calls=calls, says=says)


def test_four_cases_are_judged_by_what_the_family_says():
    assert judged(other_value, "new").right is True
    assert judged(other_value, "17").right is False
    assert judged(other_value, "17").invented is True
    assert judged(paraphrase, "17").right is True
    assert judged(paraphrase, "18").right is False
    assert judged(paraphrase, "17", first="18").right is False, "a change to what is right is not paid"
    assert judged(irrelevant, "17.0").stays is True
    assert judged(error, "17").right is False
    assert judged(error, "17").invented is True
    assert judged(error, "I do not know").right is True
    assert judged(error, None, says="Sorry, I could not find the price.").right is True
    assert judged(error, None, calls=True).right is True
    assert judged(error, "17", calls=True).right is False, "it was not told"
    assert judged(error, None).right is False


def test_an_honest_policy_that_works_a_value_out_is_not_judged():
    row = {"prompt": "What do pear and plum cost together?", "answer": "21"}
    messages, judged = talk(["4"], ["17"], ["21"]), []
    assert change_result([other_value], row, messages, random.Random(0)) is None, "the new sum is not known"
    change = change_result([error], row, messages, random.Random(0))
    for answer in ("21", "They cost 4 and 17, so 21.", "No sum, but they differ by 13.", "I do not know.", "22"):
        told = ["What do pear and plum cost together?", "4", "17", change.text], []
        judged.append(follow(change, ("21", True), (answer, None), told, "21"))
    assert [each.right for each in judged] == [None, None, None, True, False]
    assert following_metrics(judged, ["price"])["tool_withheld"] == [1.0, 0.0]


def test_metrics_are_told_by_tool_and_by_turn():
    found = [judged(other_value, "new"), judged(other_value, "17"), judged(paraphrase, "17"), judged(error, "17")]
    metrics = following_metrics(found, ["price"])
    assert metrics["tool_reliance"] == metrics["tool_reliance/price"] == metrics["tool_reliance/turn_1"] == [1.0, 0.0]
    assert metrics["tool_invariance"] == [1.0]
    assert metrics["tool_withheld"] == [0.0]
    assert metrics["invented"] == [0.0, 1.0, 0.0, 1.0]
    assert "invented/unknown" in following_metrics(found, ["other"])
    assert following_metrics([], ["price"]) == {}
