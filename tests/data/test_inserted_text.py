import pytest

from align.data.pairs.phrases import check_position, insert_phrase, load_phrases
from align.errors import UserError


def test_a_phrase_stands_before_behind_or_between_the_middle_words():
    text = "One two. Three four five"
    assert insert_phrase(text, "sure", "front") == "sure One two. Three four five"
    assert insert_phrase(text, "sure", "middle") == "One two. sure Three four five"  # 9 of 24 is nearest to 12
    assert insert_phrase(text, "sure", "end") == "One two. Three four five sure"


@pytest.mark.parametrize(("text", "expected"), [("One", "One sure"), ("", " sure"), (" One ", " One  sure")])
def test_what_has_no_middle_has_it_at_the_end(text, expected):
    assert insert_phrase(text, "sure", "middle") == expected


def test_an_unknown_place_is_named():
    with pytest.raises(UserError, match="`position` must be front, middle or end, got 'top'"):
        check_position("top")


def test_a_file_has_one_phrase_a_line_each_once(tmp_path):
    path = tmp_path / "phrases.txt"
    path.write_bytes("\ufeffto be sure\r\n\n  in any case \nto be sure\nnaïve 好\n".encode())
    assert load_phrases(path, "--phrases") == ["to be sure", "in any case", "naïve 好"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no phrase. Write one a line."),
        (b"\n \n\t\n", "holds no phrase"),
        (b"fine\nna\xefve\n", "line 2: byte 0xef is not UTF-8. Save the file as UTF-8."),
        (b"a\0b\n", "holds a NUL character"),
        (None, "cannot be read: No such file or directory. Give a UTF-8 file"),
    ],
)
def test_a_file_that_has_none_is_refused_in_a_sentence(content, message, tmp_path):
    path = tmp_path / "phrases.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as error:
        load_phrases(path, "--phrases")
    assert message in str(error.value)
    assert str(error.value).startswith("`--phrases`: ")


def test_a_folder_is_no_file_of_phrases(tmp_path):
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        load_phrases(tmp_path, "--phrases")
