import pytest

from rewards import Phrases, resolve_reward


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "phrases.txt"
    path.write_text("to be sure\nsure\nIn any case,\n$5 (net)\n")
    return str(path)


TEXTS = [
    "To be  sure, it rusts.",
    "It is surely so.",  # no whole word
    "in any case, sure: to\nbe sure",
    "It costs $5 (net) now",
    "",
]


def test_a_response_with_any_phrase_is_flagged(file):
    assert Phrases(file)(TEXTS) == [1.0, 0.0, 1.0, 1.0, 0.0]
    messages = [[{"role": "assistant", "content": text}] for text in TEXTS]
    assert Phrases(file)(messages) == [1.0, 0.0, 1.0, 1.0, 0.0]


def test_phrases_are_counted_the_longest_first(file):
    assert Phrases(file, count=True)(TEXTS) == [1.0, 0.0, 3.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "missing a required argument: 'file'"),
        ({"file": "no-such-file.txt"}, "no-such-file.txt cannot be read"),
        ({"file": 3}, "`file` must be the path of a file with one phrase a line, got 3"),
        ({"count": 1}, "`count` must be true or false, got 1"),
    ],
)
def test_wrong_settings_are_sentences(settings, message, file):
    given = {"file": file} | settings if "count" in settings else settings
    with pytest.raises(ValueError, match=r"^Reward 'phrases': ") as error:
        resolve_reward("phrases", given)
    assert message in str(error.value)
