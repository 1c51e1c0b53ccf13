from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from align.data import pair_to_row
from align.data.pairs.preferences import check_pair
from align.data.pairs.spans import Span
from align.data.problems import BadRow

USER, SYSTEM = {"role": "user", "content": "Capital of France?"}, {"role": "system", "content": "Be brief."}
PARIS, ROME = {"role": "assistant", "content": "It is Paris."}, {"role": "assistant", "content": "It is Rome."}
TEXT = {"prompt": "Capital of France?", "chosen": "It is Paris.", "rejected": "It is Rome."}
TALK = {"prompt": [USER], "chosen": [PARIS], "rejected": [ROME]}
WHOLE = {"chosen": [SYSTEM, USER, PARIS], "rejected": [SYSTEM, USER, ROME]}
TAGGED = {"chosen": "It is <MASK>Paris</MASK>.", "rejected": "It is <MASK>Rome</MASK>."}
OFFSETS = {"chosen_spans": [[6, 11]], "rejected_spans": [[6, 10]]}


def words(pair):
    return [
        [text[start:end] for start, end in spans]
        for text, spans in ((pair.chosen, pair.chosen_spans), (pair.rejected, pair.rejected_spans))
    ]


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        (TEXT, "Capital of France?"),
        (TALK, [USER]),
        (TALK | {"chosen": [USER, PARIS]}, [USER]),  # one response repeats the prompt
        (WHOLE, [SYSTEM, USER]),
        (WHOLE | {"prompt": None}, [SYSTEM, USER]),
        (WHOLE | {"prompt": [SYSTEM, USER]}, [SYSTEM, USER]),
        (WHOLE | {"prompt": "Capital of France?"}, [SYSTEM, USER]),  # the prompt is written twice
        ({"chosen": [USER, PARIS, USER, PARIS], "rejected": [USER, PARIS, USER, ROME]}, [USER, PARIS, USER]),
        (TALK | {"prompt": [USER | {"tool_calls": None}], "chosen": [USER, PARIS | {"name": None}]}, [USER]),
    ],
)
def test_every_form_gives_the_prompt_and_the_texts(row, prompt):
    pair = check_pair(row)
    assert (pair.prompt, pair.chosen, pair.rejected) == (prompt, "It is Paris.", "It is Rome.")
    assert words(pair) == [["Paris"], ["Rome"]]


@pytest.mark.parametrize(
    ("change", "expected", "source"),
    [
        ({}, [["Paris"], ["Rome"]], "diff"),
        (TAGGED, [["Paris"], ["Rome"]], "tags"),
        (OFFSETS, [["Paris"], ["Rome"]], "offsets"),
        ({"chosen": "<MASK>It</MASK> is Paris."}, [["It"], []], "tags"),  # the other response has nothing marked
        ({"chosen_spans": [[0, 5]], "rejected_spans": []}, [["It is"], []], "offsets"),
        ({"chosen_spans": [], "rejected_spans": []}, [[], []], "offsets"),
        ({"chosen_spans": None, "rejected_spans": None}, [["Paris"], ["Rome"]], "diff"),
        ({"prompt": "Fill <MASK>."}, [["Paris"], ["Rome"]], "diff"),  # tags in a prompt are text
    ],
)
def test_spans_are_offsets_else_tags_else_a_diff(change, expected, source):
    pair = check_pair(TEXT | change)
    assert (pair.chosen, pair.rejected) == ("It is Paris.", "It is Rome.")
    assert (words(pair), pair.spans_from) == (expected, source)


@given(
    st.sampled_from([TEXT, TALK, WHOLE]),
    st.sampled_from([{}, OFFSETS, {"chosen_spans": [], "rejected_spans": [[0, 2]]}]),
    st.sampled_from([{}, {"id": 7}]),
)
def test_a_row_made_from_a_pair_gives_the_pair_again(row, spans, label):
    pair = check_pair(row | spans | label)
    again = pair_to_row(pair)
    found = check_pair(again)  # its row says what the spans are, also those that a diff found
    assert (found.chosen_spans, found.rejected_spans) == (pair.chosen_spans, pair.rejected_spans)
    assert replace(found, given_spans=pair.given_spans) == pair
    assert all(isinstance(again[side], str) == isinstance(pair.prompt, str) for side in ("chosen", "rejected"))


def test_spans_that_were_tags_or_a_diff_stay_what_they_were():
    for row, source in ((TEXT | TAGGED, "tags"), (TEXT, "diff"), (TEXT | OFFSETS, "offsets")):
        assert check_pair(pair_to_row(check_pair(row))).spans_from == source


def test_offsets_of_messages_point_into_the_content_of_the_response():
    assert check_pair(WHOLE | OFFSETS).chosen_spans == (Span(6, 11),)


EMPTY = {"role": "assistant", "content": " "}
VIDEO = {"role": "user", "content": [{"type": "video"}]}
OWN_IMAGE = {"role": "user", "content": [{"type": "image", "image": "a.png"}]}
SHOWN = {"role": "assistant", "content": [{"type": "text", "text": "Paris"}, {"type": "image"}]}
CALL = {"role": "assistant", "tool_calls": [{"function": {"name": "look"}}]}
BAD = {
    "no prompt": (TEXT | {"prompt": None}, "prompt", "the prompt is missing or empty"),
    "blank prompt": (TEXT | {"prompt": " "}, "prompt", "the prompt is missing or empty"),
    "prompt without messages": (WHOLE | {"prompt": []}, "prompt", "the prompt is missing or empty"),
    "no shared messages": ({"chosen": [PARIS], "rejected": [ROME]}, "prompt", "the prompt is missing or empty"),
    "no chosen": (TEXT | {"chosen": None}, "chosen", "the response is missing or empty"),
    "blank rejected": (TEXT | {"rejected": "\n"}, "rejected", "the response is missing or empty"),
    "number as response": (TEXT | {"rejected": 4}, "rejected", "the response is missing or empty"),
    "no messages": (TALK | {"rejected": []}, "rejected", "the response is missing or empty"),
    "blank message": (TALK | {"rejected": [EMPTY]}, "rejected", "the response is missing or empty"),
    "equal": (TEXT | {"rejected": "It is Paris. "}, "rejected", "chosen and rejected are equal"),
    "equal messages": (TALK | {"rejected": [PARIS]}, "rejected", "chosen and rejected are equal"),
    "equal conversations": ({"chosen": [USER, PARIS], "rejected": [USER, PARIS]}, "rejected",
                            "chosen and rejected are equal"),
    "equal without tags": (TEXT | {"chosen": "It is <MASK>Rome</MASK>."}, "rejected",
                           "chosen and rejected are equal"),
    "text and messages": (TALK | {"rejected": "It is Rome."}, "rejected",
                          "one response is a text and the other one messages"),
    "messages and text": (TALK | {"chosen": "It is Paris."}, "chosen",
                          "one response is a text and the other one messages"),
    "prompt of messages, responses of text": (TEXT | {"prompt": [USER]}, "prompt",
                                              "the prompt is messages and the responses are texts"),
    "prompt of text, responses alone": (TALK | {"prompt": "Capital of France?"}, "prompt",
                                        "the prompt is not the beginning of the conversations"),
    "prompt of another text": (WHOLE | {"prompt": "Capital of Spain?"}, "prompt",
                               "the prompt is not the beginning of the conversations"),
    "prompt of other messages": (WHOLE | {"prompt": [USER]}, "chosen",
                                 "the prompt is not the beginning of the conversation"),
    "prompt of one side": (TALK | {"rejected": [SYSTEM, ROME]}, "rejected",
                           "the prompt is not the beginning of the conversation"),
    "two answers": (TALK | {"chosen": [PARIS, USER, PARIS]}, "chosen", "several assistant messages follow the prompt"),
    "two answers after the prompt": (TALK | {"rejected": [USER, ROME, USER, ROME]}, "rejected",
                                     "several assistant messages follow the prompt"),
    "answers that part early": ({"chosen": [USER, PARIS, USER, PARIS], "rejected": [USER, ROME, USER, ROME]},
                                "chosen", "several assistant messages follow the prompt"),
    "no answer": (TALK | {"chosen": [USER]}, "chosen", "the prompt is not followed by an assistant message"),
    "answer of the user": (TALK | {"chosen": [USER, SYSTEM]}, "chosen",
                           "the prompt is not followed by an assistant message"),
    "answer before the question": (TALK | {"chosen": [USER, PARIS, USER]}, "chosen",
                                   "the prompt is not followed by an assistant message"),
    "message as text": (TALK | {"prompt": ["Capital?"]}, "prompt", "a message is not an object with a role"),
    "message without role": (TALK | {"chosen": [{"content": "Paris"}]}, "chosen",
                             "a message is not an object with a role"),
    "nothing shared": ({"chosen": "Paris.", "rejected": "Rome."}, "prompt",
                       "the prompt is missing, and the responses share no beginning"),
    "no parts": (TALK | {"chosen": [PARIS | {"content": []}]}, "chosen", "the content of a message is not a text"),
    "part without text": (TALK | {"chosen": [PARIS | {"content": [{"type": "text"}]}]}, "chosen",
                          "a part of a message has no type, or no text"),
    "video part": (TALK | {"prompt": [VIDEO]}, "prompt",
                   "a part of a message is of the type 'video', which is not read here"),
    "image in a part": (TALK | {"prompt": [OWN_IMAGE]}, "prompt", "a part of a message has an image of its own"),
    "image in a response": (TALK | {"chosen": [SHOWN]}, "chosen", "a response has a place for an image"),
    "offsets into tool calls": (TALK | OFFSETS | {"chosen": [CALL]}, "chosen_spans",
                                "tags and offsets are into one text, and the response is more than that"),
    "tags beside tool calls": (
        TALK | {"chosen": [CALL], "rejected": [ROME | {"content": "<MASK>Rome</MASK>"}]}, "rejected",
        "tags and offsets are into one text, and the response is more than that",
    ),
    "turn of a tool at the end": (TALK | {"chosen": [CALL, {"role": "tool", "content": "3"}]}, "chosen",
                                  "the prompt is not followed by an assistant message"),
    "offsets outside": (TEXT | OFFSETS | {"chosen_spans": [[6, 13]]}, "chosen_spans", "a span is outside the text"),
    "offsets into the conversation": (WHOLE | OFFSETS | {"rejected_spans": [[20, 24]]}, "rejected_spans",
                                      "a span is outside the text"),
    "offsets overlap": (TEXT | OFFSETS | {"rejected_spans": [[0, 8], [6, 10]]}, "rejected_spans", "two spans overlap"),
    "offsets empty": (TEXT | OFFSETS | {"rejected_spans": [[6, 6]]}, "rejected_spans", "a span marks nothing"),
    "offsets of one side": (TEXT | {"chosen_spans": [[6, 11]]}, "rejected_spans",
                            "the spans are not a list"),
    "no offsets of one side": (TEXT | {"rejected_spans": []}, "chosen_spans",
                               "the spans are not a list"),
    "tags and offsets": (TEXT | OFFSETS | TAGGED, "chosen", "there are tags and offsets"),
    "tags and offsets of one side": (TEXT | {"rejected": TAGGED["rejected"], "chosen_spans": [[0, 2]]}, "rejected",
                                     "there are tags and offsets"),
    "open tag": (TEXT | {"rejected": "It is <MASK>Rome."}, "rejected", "a <MASK> tag is not closed"),
    "nested tags": (TALK | {"chosen": [{"role": "assistant", "content": "<MASK>a<MASK>b</MASK></MASK>"}]}, "chosen",
                    "a <MASK> tag is inside another one"),
    "unknown origin": (TEXT | OFFSETS | {"spans_from": "model"}, "spans_from", "the origin of the spans is unknown"),
    "list as id": (TEXT | {"id": [1]}, "id", "the id is neither a text nor a number"),
    "tools of texts": (TEXT | {"tools": [{"name": "search"}]}, "tools",
                       "`tools` is for the chat template, and the prompt is a text"),
    "tools as names": (TALK | {"tools": ["search"]}, "tools", "the tools are not a list of objects"),
    "tools as no JSON": (TALK | {"tools": "[search]"}, "tools",
                         "the tools are not JSON: Expecting value: line 1 column 2 (char 1)"),
    "switch as text": (TALK | {"chat_template_kwargs": "no"}, "chat_template_kwargs",
                       "the settings of the template are not an object"),
    "switch of the trainer": (TALK | {"chat_template_kwargs": {"tokenize": True}}, "chat_template_kwargs",
                              "the trainer sets this itself"),
}  # fmt: skip


@pytest.mark.parametrize(("row", "column", "rule"), BAD.values(), ids=BAD.keys())
def test_a_bad_pair_is_reported_with_its_column_and_a_remedy(row, column, rule):
    with pytest.raises(BadRow) as bad:
        check_pair(row)
    assert (bad.value.column, bad.value.rule) == (column, rule)
    assert bad.value.remedy.endswith(".")
    assert len(bad.value.value) <= 60
