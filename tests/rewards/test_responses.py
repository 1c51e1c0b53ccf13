import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.reading.responses import ResponseFormat, completion_text, is_taken_apart, parse_response

# text, trace, answer, well_formed
CASES = {
    "both parts in tags": ("<think>a b</think><answer>B</answer>", "a b", "B", True),
    "whitespace around the parts": ("<think>\n a \n</think>\n\n<answer> B </answer>\n", "a", "B", True),
    "prefilled opening tag": ("a b</think><answer>B</answer>", "a b", "B", True),
    "plain last line": ("Iron rusts.\nAnswer: B", "Iron rusts.", "B", False),
    "plain line in lower case": ("Iron.\n answer : (B) \n\n", "Iron.", "(B)", False),
    "plain line after a tagged trace": ("<think>a</think>\nAnswer: B", "a", "B", False),
    "plain line alone": ("Answer: B", None, "B", False),
    "plain answer that is not last": ("Answer: B\nor so", None, None, False),
    "two plain answers": ("Answer: A\nAnswer: B", None, None, False),
    "plain line where answer tags occur": ("<answer></answer>\nAnswer: B", None, None, False),
    "plain line right behind the trace": ("<think>Iron.</think>Answer: B", "Iron.", "B", False),
    "two plain lines behind the trace": ("<think>Iron.</think>Answer: A\nAnswer: B", "Iron.", None, False),
    "plain line inside the trace": ("<think>Answer: A</think>", "Answer: A", None, False),
    "empty plain answer": ("Iron.\nAnswer:", None, None, False),
    "the word within a sentence": ("I think the answer: B", None, None, False),
    "several answers": ("<think>a</think><answer>A</answer><answer>B</answer>", "a", None, False),
    "the same answer twice": ("<think>a</think><answer>B</answer><answer>B</answer>", "a", None, False),
    "an answer inside the trace": ("<think>a <answer>B</answer></think>", "a <answer>B</answer>", None, False),
    "an answer inside and one after": (
        "<think><answer>A</answer></think><answer>B</answer>",
        "<answer>A</answer>",
        None,
        False,
    ),
    "nested answers": ("<think>a</think><answer><answer>B</answer>", "a", None, False),
    "empty answer": ("<think>a</think><answer>  </answer>", "a", None, False),
    "cut off in the trace": ("<think>a b", "a b", None, False),
    "answer in a trace that is never closed": ("<think>a<answer>B</answer>", "a<answer>B</answer>", None, False),
    "cut off before the answer": ("<think>a</think>", "a", None, False),
    "cut off in the answer": ("<think>a</think><answer>B", "a", None, False),
    "answer closed but not opened": ("<think>a</think>B</answer>", "a", None, False),
    "two traces": ("<think>a</think><think>b</think><answer>B</answer>", None, "B", False),
    "trace closed before it is opened": ("</think>a<think><answer>B</answer>", None, None, False),
    "answer before the trace": ("<answer>B</answer><think>a</think>", "a", None, False),
    "empty trace": ("<think></think><answer>B</answer>", "", "B", False),
    "text between the parts": ("<think>a</think>so<answer>B</answer>", "a", "B", False),
    "text after the parts": ("<think>a</think><answer>B</answer>.", "a", "B", False),
    "text before the parts": ("Hm.<think>a</think><answer>B</answer>", "a", "B", False),
    "no think tags": ("Iron rusts. <answer>B</answer>", "Iron rusts.", "B", False),
    "only an answer": ("<answer>B</answer>", None, "B", False),
    "tags in upper case": ("<THINK>a</THINK><ANSWER>B</ANSWER>", None, None, False),
    "nothing": ("", None, None, False),
    "no marks": ("Iron rusts.", None, None, False),
}


@pytest.mark.parametrize(("text", "trace", "answer", "well_formed"), CASES.values(), ids=CASES.keys())
def test_a_response_is_taken_apart_as_documented(text, trace, answer, well_formed):
    response = parse_response(text)
    assert (response.trace, response.answer, response.well_formed) == (trace, answer, well_formed)
    if answer is None:
        assert response.answer_start is None
    else:
        assert text[response.answer_start :].startswith(answer)


PIECES = ["<think>", "</think>", "<answer>", "</answer>", "B", "C", "iron", "\n", " ", "Answer:", "."]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_text_parses_and_the_offset_points_at_the_answer(text):
    response = parse_response(text)
    if response.answer is not None:
        assert response.answer == response.answer.strip() != ""
        assert text[response.answer_start :].startswith(response.answer)
    if response.trace:
        assert response.trace in text
    if response.well_formed:
        assert text.count("<answer>") == text.count("</answer>") == text.count("</think>") == 1
        assert response.trace
        assert response.answer is not None


@given(st.text(st.characters(exclude_characters="<>"), min_size=1), st.sampled_from("ABCD"))
def test_what_is_written_in_tags_is_read_back(trace, letter):
    response = parse_response(f"<think>{trace}</think><answer>{letter}</answer>")
    assert response.trace == trace.strip()
    assert response.answer == letter
    assert response.well_formed == bool(trace.strip())


def test_tags_can_be_chosen():
    response_format = ResponseFormat(think_tag="reasoning", answer_tag="final")
    text = "<reasoning>a</reasoning><final>B</final>"
    assert parse_response(text, response_format).well_formed
    assert parse_response(text).answer is None


@pytest.mark.parametrize("tags", [("<think>", "answer"), ("", "answer"), ("think", "think"), ("think", "an swer")])
def test_tags_that_cannot_be_told_apart_are_refused(tags):
    with pytest.raises(ValueError, match="_tag"):
        ResponseFormat(*tags)


def test_a_response_of_many_spaces_is_read_in_no_time():
    began = time.process_time()
    assert parse_response("Answer: B" + 90_000 * " " + "or C").answer is not None
    assert time.process_time() - began < 10  # seconds; a search that goes back takes minutes


def test_the_last_message_of_a_conversation_is_read():
    messages = [{"role": "assistant", "content": "first"}, {"role": "assistant", "content": "Answer: B"}]
    assert completion_text(messages) == "Answer: B"
    parts = [{"type": "image"}, {"type": "text", "text": "Answer: "}, {"type": "text", "text": "B"}]
    assert completion_text([{"role": "assistant", "content": parts}]) == "Answer: B"


@pytest.mark.parametrize("completion", [[], 3, None, [{"role": "assistant"}], ["text"]])
def test_what_is_no_completion_is_refused(completion):
    with pytest.raises(TypeError, match="completion must be a string or a list of messages"):
        completion_text(completion)


@pytest.mark.parametrize("name", ["reasoning_content", "thinking"])
def test_a_trace_that_trl_took_out_is_read(name):
    parts = {"role": "assistant", name: "It rusts.\n", "content": "<answer>B</answer>"}
    assert parse_response(completion_text([parts]))[:2] == ("It rusts.", "B")
    assert completion_text([parts | {name: None}]) == completion_text([parts | {name: " "}]) == "<answer>B</answer>"
    written = "<think>a</think><answer>B</answer>"
    assert completion_text([parts | {"content": written}]) == written


def test_trl_took_nothing_apart_where_there_is_no_trace_of_its_own():
    assert is_taken_apart([{"role": "user", "content": "q"}, {"role": "assistant", "thinking": "It", "content": "B"}])
    for completion in ("thinking", [], [{"role": "assistant", "content": ""}], [{"thinking": "It"}, {"content": "B"}]):
        assert not is_taken_apart(completion)
