import unicodedata
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from align.data.pairs.marks import mark_tokens, place_response
from align.data.pairs.spans import Span, check_spans, diff_spans

CORPUS = [
    "The red car stops at the big house, and the old car waits there.",
    "Paris is the capital of France; it's older than it looks.",
    "das heiße Straßenfest über dem schönen Fluss, un café déjà là",
    "東京は大きい 北京很大 カメラ",
    "हिन्दी भाषा है",
    "3.5 and 12, <b> (yes) 👩‍🚀 👍🏽 ok 🎉\n\n- a\n- b\tc",
]
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TRIMMED = (
    "{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] | trim }}<|eot_id|>"
    "{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
THINKING = (  # writes an empty block that the generation prompt does not have
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' %}<think>\n\n</think>\n\n"
    "{% endif %}{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FORMS = {"plain": None, "chatml": CHATML, "trimmed": TRIMMED, "thinking": THINKING}


@cache
def tokenizer(family):
    """A trained tokenizer: bytes with or without the space in front of a word, word pieces, or unigrams."""
    if family.startswith("bytes"):
        built = Tokenizer(models.BPE())
        built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        built.post_processor = processors.ByteLevel(trim_offsets=family == "bytes, trimmed")
        built.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=400, initial_alphabet=alphabet, special_tokens=SPECIAL, show_progress=False
        )
    elif family == "word pieces":
        built = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        built.normalizer = normalizers.BertNormalizer(lowercase=True)
        built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        built.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]", *SPECIAL], show_progress=False)
    else:
        built = Tokenizer(models.Unigram())
        built.normalizer = normalizers.NFKC()
        built.pre_tokenizer = pre_tokenizers.Metaspace()
        built.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=250, special_tokens=["<unk>", *SPECIAL], unk_token="<unk>", show_progress=False
        )
    built.train_from_iterator(CORPUS, trainer)
    unknown = {"word pieces": "[UNK]", "unigrams": "<unk>"}.get(family)
    return PreTrainedTokenizerFast(tokenizer_object=built, unk_token=unknown, additional_special_tokens=SPECIAL)


FAMILIES = ["bytes", "bytes, trimmed", "word pieces", "unigrams"]
PIECES = [*" ".join(CORPUS).split(), "cafe\u0301", "ﬁsh", "x", "🙂", "\u017f", "İstanbul", "한국어", "²"]
SPACES = ["", " ", " ", " ", "  ", "\n", "\n\n", "\t", "\u00a0"]
TEXTS = st.lists(st.tuples(st.sampled_from(SPACES), st.sampled_from(PIECES), st.sampled_from(SPACES)), max_size=8).map(
    lambda parts: "".join(piece for part in parts for piece in part)
)
RESPONSES = (TEXTS | st.text(max_size=20)).filter(
    lambda text: text.strip() and not any("\ud800" <= character <= "\udfff" for character in text)
)


@st.composite
def marked_responses(draw):
    """A text and spans between random borders of it."""
    text = draw(RESPONSES)
    borders = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)))
    pairs = [[a, b] for a, b in zip(borders[::2], borders[1::2], strict=False) if text[a:b].strip()]
    return text, check_spans(pairs, text, "chosen_spans")


def render(family, form, response, prompt="Which car?"):
    """Gives the tokens, the text they are of, and where the response starts in it."""
    if FORMS[form] is None:
        before, full = prompt, prompt + response
    else:
        tokenizer(family).chat_template = FORMS[form]
        messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
        before = tokenizer(family).apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
        full = tokenizer(family).apply_chat_template(messages, tokenize=False)
    tokens = tokenizer(family)(full, return_offsets_mapping=True, add_special_tokens=False)
    return tokens, full, place_response(full, before, response)


def visible(text):
    return "".join(text.split())


@pytest.mark.by_day(
    "bytes-chatml",
    "unigrams-trimmed",
    "bytes, trimmed-plain",
    "word pieces-thinking",
    "unigrams-plain",
    "bytes-thinking",
)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", FAMILIES)
@given(marked=marked_responses())
def test_marked_tokens_cover_the_marked_text_and_no_other_token_touches_it(family, form, marked):
    response, spans = marked
    tokens, full, start = render(family, form, response)
    marks = mark_tokens(tokens["offset_mapping"], spans, start)
    wanted = {i + start for span in spans for i in range(*span)}
    assert "".join(full[i] for i in sorted(wanted)) == "".join(response[a:b] for a, b in spans)
    seen = [set(range(*offsets)) for offsets in tokens["offset_mapping"]]
    covered = set().union(*(place for place, mark in zip(seen, marks, strict=True) if mark))
    assert wanted & set().union(*seen) <= covered
    assert all(bool(place & wanted) == bool(mark) for place, mark in zip(seen, marks, strict=True))


@pytest.mark.by_day(
    "bytes-chatml",
    "unigrams-trimmed",
    "bytes, trimmed-plain",
    "word pieces-thinking",
    "unigrams-plain",
    "bytes-thinking",
)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", FAMILIES)
@example(marked=(" cafe\u0301", (Span(1, 5),)))  # the span leaves the accent out
@example(marked=("  Thecafe\u0301", (Span(4, 10),)))  # the span has it
@given(marked=marked_responses())
def test_marked_tokens_decode_to_the_marked_text_up_to_tokens_that_straddle_a_border(family, form, marked):
    response, spans = marked
    tokens, full, start = render(family, form, response)
    ids, offsets = tokens["input_ids"], tokens["offset_mapping"]
    for span in spans:
        kept = [i for i, mark in enumerate(mark_tokens(offsets, [span], start)) if mark]
        assert not {ids[i] for i in kept} & set(tokenizer(family).convert_tokens_to_ids(SPECIAL))
        if not kept or tokenizer(family).unk_token_id in [ids[i] for i in kept]:
            continue
        if any(composes(response[:border], response[border:]) for border in span):
            continue  # the normalizer makes one character of both sides, whose token straddles the border
        decoded = visible(decode(family, [ids[i] for i in kept]))
        text = visible(normalize(family, response[slice(*span)]))
        first, last = min(offsets[i][0] for i in kept), max(offsets[i][1] for i in kept)
        if not visible(full[first : start + span.start]) and last <= start + span.end:
            assert decoded == text
        elif family.startswith("bytes"):  # a token may go on with the first bytes of a character
            assert text in decoded
        else:  # what a character becomes can depend on the one before
            # An offset ends before the accent that its character was composed with; the span may end behind it.
            shown = full[min(first, start + span.start) : max(last, start + span.end)]
            assert decoded == visible(normalize(family, shown))


def composes(before, after):
    whole, *parts = (unicodedata.normalize("NFKC", text) for text in (before + after, before, after))
    return whole != "".join(parts)


def decode(family, ids):
    pieces = tokenizer(family).convert_ids_to_tokens(ids)
    if family.startswith("bytes"):
        return decoders.ByteLevel().decode(pieces)
    return "".join(piece.removeprefix("##").replace("▁", " ") for piece in pieces)


def normalize(family, text):
    normalizer = tokenizer(family).backend_tokenizer.normalizer
    return text if normalizer is None else normalizer.normalize_str(text)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_differing_word_is_all_that_is_marked(family):
    chosen, rejected = "Paris is the big capital", "Paris is the old capital"
    for response, spans, word in zip((chosen, rejected), diff_spans(chosen, rejected), ("big", "old"), strict=True):
        tokens, _, start = render(family, "chatml", response)
        marks = mark_tokens(tokens["offset_mapping"], spans, start)
        kept = [token for token, mark in zip(tokens["input_ids"], marks, strict=True) if mark]
        assert visible(decode(family, kept)) == word


@pytest.mark.parametrize(
    ("full", "prompt", "response", "start"),
    [
        ("Hi: yes", "Hi: ", "yes", 4),
        ("Hi:yes yes", "Hi:", "yes yes", 3),
        ("yes? yes<end>", "yes? ", "yes", 5),  # also in the prompt
        ("<bot>\nend<|end|>", "<bot>\n", "end", 6),  # also after the response
        ("[INST] Hi [/INST] yes</s>", "[INST] Hi [/INST]", "yes", 18),
        ("<bot>\n  yes<end>", "<bot>\n", "  yes", 6),  # kept
        ("<bot>\nyes<end>", "<bot>\n", "  yes\n", 4),  # trimmed
        ("<bot>\n<think>\n\n</think>\n\nk<end>", "<bot>\n", "k", 25),  # also in the tag in front
        ("<bot>\n<think>\n\n</think>\n\nthink<end>", "<bot>\n", "think", 25),
        ("<bot>yes<end>", "<bot><think>\n", "yes", 5),  # the prompt goes on in another way
        ("<bot><b>yes</b><end>", "<bot><think>\n", "<b>yes</b>", 5),  # and starts like the response
        ("yes", "", "yes", 0),
    ],
)
def test_the_response_is_found_where_it_starts(full, prompt, response, start):
    assert place_response(full, prompt, response) == start


@pytest.mark.parametrize("full", ["<bot>\nYES<end>", "<bot>\n<end>", "yes<bot>\n"])
def test_a_template_that_changes_the_response_is_refused(full):
    with pytest.raises(ValueError, match=r"changes the response.*'yes' is not in .*Use a template"):
        place_response(full, "yes<bot>\n" if full.startswith("yes") else "<bot>\n", "yes")


def test_tokens_without_width_are_never_marked():
    assert mark_tokens([(0, 0), (2, 2), (0, 3), (3, 3), (3, 6)], [Span(0, 5)], start=0) == [0, 0, 1, 0, 1]
    assert mark_tokens([(0, 3)], [], start=0) == [0]
    assert mark_tokens([], [Span(0, 3)], start=0) == []


def test_tokens_that_touch_a_span_from_outside_are_not_marked():
    offsets = [(0, 4), (4, 6), (6, 8), (8, 9), (9, 12)]
    assert mark_tokens(offsets, [Span(2, 6), Span(7, 8)], start=2) == [0, 1, 1, 0, 1]
