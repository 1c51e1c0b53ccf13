import json

import pytest

from align.methods.crome.augmentation.oracle import Edit, Elements, FullRubric, Rubric, Verdict
from align.models.samplers.reply import UnreadableReplyError

ATTRIBUTES = [{"name": f"a{i}", "weight": 0.2} for i in range(5)]
RUBRIC = json.dumps({"attributes": ATTRIBUTES})


@pytest.mark.parametrize(
    "text",
    [
        RUBRIC,
        f"Sure!\n```json\n{RUBRIC}\n```\nDone.",
        f"{RUBRIC} {{}}",
        f'{RUBRIC} {{"attributes": [',
        f"<think>{RUBRIC.replace('a1', 'b')}</think>{RUBRIC}",
        f'<think>It could be {{"attributes": "none"}} or {{"a "b": 1}}.</think>Of \\frac{{1}}{{2}}: {RUBRIC}',
    ],
)
def test_the_object_counts_whatever_is_around_it(text):
    assert [each.name for each in FullRubric.read(text).attributes] == ["a0", "a1", "a2", "a3", "a4"]


def test_weights_that_nearly_add_up_are_made_exact():
    rubric = Rubric.model_validate({"attributes": [{"name": "a", "weight": 0.33}, {"name": "b", "weight": 0.66}]})
    assert [each.weight for each in rubric.heaviest(2)] == pytest.approx([2 / 3, 1 / 3])
    assert [each.name for each in rubric.heaviest(1)] == ["b"]


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        (FullRubric, "", "There is no JSON object in it."),
        (FullRubric, RUBRIC[:-2], "It is not valid JSON: "),
        (FullRubric, "{" * 100_000, "It is not valid JSON: "),
        (FullRubric, json.dumps({"attributes": ATTRIBUTES[:4]}), "attributes: Tuple should have at least 5 items"),
        (FullRubric, RUBRIC.replace("a1", "A0"), "two attributes have the same name"),
        (FullRubric, RUBRIC.replace("0.2", "0.3"), "the weights must add up to 1, and add up to 1.5"),
        (FullRubric, RUBRIC.replace("0.2", "NaN"), "attributes.0.weight: Input should be"),
        (Elements, '{"elements": []}', "elements: Tuple should have at least 5 items"),
        (Edit, '{"plan": "x"}', "response: Field required"),
        (Edit, '{"response": null}', "response: Input should be a valid string"),
        (Verdict, '{"verdict": "perhaps"}', "verdict: Input should be 'pass' or 'fail'"),
        (Verdict, "{'verdict': 'pass'}", "It is not valid JSON: Expecting property name enclosed in double quotes"),
        (Verdict, '<think>{"verdict": "pass"}</think>I cannot tell.', "There is no JSON object in it."),
    ],
)
def test_what_breaks_a_rule_says_which(kind, text, reason):
    with pytest.raises(UnreadableReplyError) as error:
        kind.read(text)
    assert reason in str(error.value)
    assert len(str(error.value)) < 600


def test_line_breaks_inside_texts_and_capitals_are_forgiven():
    assert Edit.read('{"response": "one\ntwo"}').response == "one\ntwo"
    assert Verdict.read('{"verdict": " PASS "}').verdict == "pass"
