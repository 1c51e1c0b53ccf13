import pytest
from tiny import tiny_tokenizer
from tokenizers import AddedToken

from align.models.second_pass.answer_place import text_place
from rewards.reading.responses import ResponseFormat

TOKENIZER = tiny_tokenizer()
TAGS = ResponseFormat()


def place_of(text, tokenizer=TOKENIZER, tags=TAGS):
    return text_place(tokenizer, tokenizer.encode(text), tags)


@pytest.mark.parametrize(
    ("text", "kept", "trace", "answer", "end"),
    [
        ("<think>a</think><answer>42 km</answer>", "<think>a</think><answer>", "a", "42 km", "</answer>"),
        ("<think>a</think>\n<answer>\n 42\n</answer>.", "<think>a</think>\n<answer>\n ", "a", "42", "</answer>"),
        ("So it is.\nAnswer: Ann Lee", "So it is.\nAnswer: ", "So it is.", "Ann Lee", "\n"),
        (r"so \boxed{1} or \boxed{\frac{1}{2}}.", r"so \boxed{1} or \boxed{", r"so \boxed{1} or", r"\frac{1}{2}", "}"),
    ],
)
def test_a_response_is_cut_before_its_answer(text, kept, trace, answer, end):
    place = place_of(text)
    assert TOKENIZER.decode(place.prefix_ids) == kept
    assert (place.trace, place.answer, place.end) == (trace, answer, end)


@pytest.mark.parametrize(
    "text",
    ["", "<think>a</think><answer>42", "<think></think><answer>42</answer>", r"\boxed{3}", r"so \boxed{",
     r"so \boxed{}", "<think>a</think><answer>1</answer><answer>2</answer>", "no answer"],
)  # fmt: skip
def test_without_one_trace_and_one_answer_there_is_no_place(text):
    assert place_of(text) is None


@pytest.mark.parametrize(
    ("text", "again", "kept"),
    [
        ("<think>a</think><answer>42</answer>", "7</answer> and so on", "7</answer>"),
        ("<think>a</think><answer>42</answer>", "7 and so on", None),
        ("a\nAnswer: 42", " 7\nAnswer: 8", " 7\n"),
        (r"so \boxed{42}", r"{7}{8}} or 9}", "{7}{8}}"),
        (r"so \boxed{42}", "7", None),
        (r"so \boxed{42}", "7}", "7}"),
    ],
)
def test_what_follows_an_answer_is_left_out(text, again, kept):
    place = place_of(text)
    assert place.behind == len(TOKENIZER.decode(place.prefix_ids))
    length = place.length(again)
    assert (None if length is None else again[:length]) == kept


def test_other_tags_are_those_of_the_format():
    tokenizer, tags = tiny_tokenizer(), ResponseFormat("why", "pick")
    assert place_of("<why>a</why><pick>b</pick>", tokenizer, tags).end == "</pick>"


def test_a_token_with_a_part_of_the_answer_is_written_again():
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([AddedToken(": 4", special=False, normalized=False)])
    place = place_of("a\nAnswer: 42", tokenizer)
    assert tokenizer.decode(place.prefix_ids) == "a\nAnswer"
    assert place.length(":7\nx") == len(":7\n")


def test_a_token_with_the_brace_of_a_box_is_written_again():
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([AddedToken("{4", special=False, normalized=False)])
    place = place_of(r"so \boxed{42}", tokenizer)
    assert tokenizer.decode(place.prefix_ids) == r"so \boxed"
    assert place.length("{7} and {8}") == len("{7}")
