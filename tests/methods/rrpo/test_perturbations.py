import random
import re

from hypothesis import given
from hypothesis import strategies as st

from align.methods.rrpo.augmentation.sources import MASK, PERTURBATIONS, ModelInput, split_question

WORD = st.text("abcdefgh0123", min_size=1, max_size=6)
WORDS = st.lists(WORD, min_size=1, max_size=40)
QUESTION = "Where is it?"


def sentences(words: list[str]) -> str:
    """Puts a full stop after every fifth word."""
    return " ".join(word + "." * (i % 5 == 4) for i, word in enumerate(words)).removesuffix(".") + "."


def perturb(name: str, text: str, seed: int = 0) -> str:
    return PERTURBATIONS[name](ModelInput(text), random.Random(seed)).rendered


@given(words=WORDS, seed=st.integers(0, 99))
def test_shuffles_keep_every_word(words, seed):
    text = sentences(words)
    for name in ("local_shuffle", "global_shuffle", "none"):
        assert sorted(perturb(name, text, seed).split()) == sorted(text.split()), name


@given(words=st.lists(WORD, min_size=2, max_size=40), seed=st.integers(0, 99))
def test_a_quarter_to_a_half_of_the_words_is_masked(words, seed):
    for name in ("mask", "mask_local_shuffle"):
        masked = perturb(name, sentences(words), seed).split()
        assert len(masked) == len(words), name
        assert 0.25 * len(words) <= masked.count(MASK) <= 0.5 * len(words), name


@given(words=WORDS, seed=st.integers(0, 99))
def test_masking_leaves_the_other_words_in_their_places(words, seed):
    before, after = sentences(words).split(), perturb("mask", sentences(words), seed).split()
    assert all(new in (old, MASK) for old, new in zip(before, after, strict=True))


@given(words=WORDS, seed=st.integers(0, 99))
def test_a_local_shuffle_moves_words_inside_windows_of_four(words, seed):
    before, after = sentences(words).split(), perturb("local_shuffle", sentences(words), seed).split()
    for start in range(0, len(before), 4):
        assert sorted(before[start : start + 4]) == sorted(after[start : start + 4])
        if len(set(before[start : start + 4])) > 1:
            assert before[start : start + 4] != after[start : start + 4]


@given(words=WORDS, seed=st.integers(0, 99))
def test_a_global_shuffle_moves_whole_sentences(words, seed):
    before = re.split(r"(?<=\.) ", sentences(words))
    after = re.split(r"(?<=\.) ", perturb("global_shuffle", sentences(words), seed))
    assert sorted(before) == sorted(after)
    assert before != after or len(set(before)) == 1


@given(words=WORDS, seed=st.integers(0, 99))
def test_a_trailing_question_stays_as_it_is(words, seed):
    text = f"{sentences(words)}\n\n{QUESTION}"
    for name in PERTURBATIONS:
        assert perturb(name, text, seed).endswith(f"\n\n{QUESTION}"), name
        assert perturb(name, QUESTION, seed) == QUESTION, name


@given(words=WORDS, seed=st.integers(0, 99))
def test_the_same_seed_gives_the_same_text(words, seed):
    for name in PERTURBATIONS:
        assert perturb(name, sentences(words), seed) == perturb(name, sentences(words), seed), name


@given(words=st.lists(WORD, min_size=13, max_size=40, unique=True))
def test_another_seed_gives_another_text(words):
    assert len({perturb("mask_local_shuffle", sentences(words), seed) for seed in range(8)}) > 1


@given(st.text(" \n\tab.?!", max_size=40))
def test_no_text_is_lost_when_a_question_is_split_off(text):
    body, question = split_question(text)
    assert body + question == text
    assert question.rstrip().endswith("?") == text.rstrip().endswith("?")


def test_only_the_last_message_is_perturbed():
    messages = [
        {"role": "system", "content": "Be brief and kind."},
        {"role": "user", "content": f"a b c d. {QUESTION}"},
    ]
    given_ = ModelInput(messages)
    perturbed = PERTURBATIONS["mask"](given_, random.Random(0)).rendered
    assert perturbed[0] == messages[0]
    assert MASK in perturbed[1]["content"]
    assert given_.rendered == messages, "the original is left alone"


def test_with_a_context_only_the_context_is_perturbed():
    perturbed = PERTURBATIONS["local_shuffle"](ModelInput("Name the town.", "a b c d"), random.Random(0))
    assert perturbed.prompt == "Name the town."
    assert sorted(perturbed.rendered.split("\n\n")[0]) == sorted("a b c d")
    assert perturbed.rendered != "a b c d\n\nName the town."
