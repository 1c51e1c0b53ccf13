import pytest
from tiny import tiny_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from align.models.second_pass.answer_place import answer_place, retokenised_place
from rewards.reading.responses import parse_response


def byte_level_tokenizer(extra_tokens=()):
    """Builds a byte-level tokenizer in the manner of GPT-2, where " B" is one token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", letter) for letter in "ABCD"] + list(extra_tokens)
    vocabulary = {token: i for i, token in enumerate(alphabet + ["".join(merge) for merge in merges])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def place_of(tokenizer, text, num_options=4):
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids) == text
    return ids, answer_place(tokenizer, ids, text, parse_response(text), num_options)


@pytest.mark.parametrize(
    "text",
    ["<think>abc</think><answer>B</answer>", "<think>B or C?</think>\n<answer> (B) </answer>", "So.\nAnswer: B"],
)
@pytest.mark.parametrize("make_tokenizer", [tiny_tokenizer, byte_level_tokenizer])
def test_prefix_and_chosen_letter_are_the_tokens_of_the_response(make_tokenizer, text):
    tokenizer = make_tokenizer()
    ids, place = place_of(tokenizer, text)
    assert [*place.prefix_ids, place.letter_ids[1]] == ids[: len(place.prefix_ids) + 1]
    assert [tokenizer.decode([i]).strip() for i in place.letter_ids] == list("ABCD")


def test_a_letter_with_its_space_keeps_its_space():
    tokenizer = byte_level_tokenizer()
    _, place = place_of(tokenizer, "Answer: C")
    assert [tokenizer.decode([i]) for i in place.letter_ids] == [" A", " B", " C", " D"]
    assert tokenizer.decode(place.prefix_ids) == "Answer:"


def test_a_lower_case_letter_has_lower_case_siblings():
    tokenizer = tiny_tokenizer()
    _, place = place_of(tokenizer, "<think>x</think><answer>c</answer>")
    assert [tokenizer.decode([i]) for i in place.letter_ids] == list("abcd")


def test_a_letter_merged_with_its_tag_is_tokenised_anew():
    tokenizer = byte_level_tokenizer(extra_tokens=[(">", "B")])  # ">B" is one token, ">C" is two
    text = "<think>x</think><answer>B</answer>"
    _, place = place_of(tokenizer, text)
    assert tokenizer.decode(place.prefix_ids) == "<think>x</think><answer>"
    assert [tokenizer.decode([i]) for i in place.letter_ids] == list("ABCD")


def test_an_answer_given_as_text_is_asked_as_a_letter():
    tokenizer = tiny_tokenizer()
    _, place = place_of(tokenizer, "<think>x</think><answer>Rome</answer>", num_options=3)
    assert tokenizer.decode(place.prefix_ids) == "<think>x</think><answer>"
    assert [tokenizer.decode([i]) for i in place.letter_ids] == list("ABC")


def test_text_in_several_bytes_per_character_before_the_letter_does_not_shift_the_place():
    tokenizer = byte_level_tokenizer()
    ids, place = place_of(tokenizer, "<think>é 漢字 🙂</think><answer>B</answer>")
    assert ids[len(place.prefix_ids)] == place.letter_ids[1]


def test_letters_that_no_single_token_spells_are_an_error():
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "A": 1, "B": 2}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
    with pytest.raises(ValueError, match="second_pass: off"):
        retokenised_place(fast, "x", 3)


def test_a_response_without_an_answer_is_refused():
    tokenizer = tiny_tokenizer()
    text = "<think>x</think>"
    with pytest.raises(ValueError, match="has none"):
        answer_place(tokenizer, tokenizer.encode(text), text, parse_response(text), 4)
