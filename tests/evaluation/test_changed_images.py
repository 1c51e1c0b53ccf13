from dataclasses import replace

import pytest
from looking import NAMES, colour_question, order_question
from scenes import square, write_squares

from align.data.media.images import image_digest, open_image
from align.evaluation.suites.questions.modality import (
    with_blank_images,
    with_other_images,
    with_shuffled_frames,
)
from align.models.policies.answer_keys import image_names

pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
TEXT = colour_question(0, images=())


def test_a_question_without_images_is_left_out_and_the_text_never_changes():
    questions = [TEXT, order_question(0), order_question(1)]
    changed = [
        [*map(with_blank_images, questions)],
        [with_shuffled_frames(each, 0) for each in questions],
        with_other_images(questions, 0)[0],
    ]
    for each in changed:
        assert each[0] is None
        assert [replace(new, images=old.images) for new, old in zip(each[1:], questions[1:], strict=True)] == [
            *questions[1:]
        ]


def test_blank_images_are_grey_and_as_large_as_the_own_ones(tmp_path):
    paths = write_squares(tmp_path, NAMES[:1])
    blank = with_blank_images(colour_question(0, [paths[0], square("red", size=84).crop((0, 0, 84, 56))]))
    assert [open_image(image).size for image in blank.images] == [(56, 56), (84, 56)]
    assert {open_image(image).getpixel((9, 9)) for image in blank.images} == {(128, 128, 128)}


def test_donors_show_something_else_and_as_much_of_it_where_they_can():
    questions = [*map(colour_question, range(12)), *map(order_question, range(12)), TEXT]
    questions = [replace(each, id=str(i)) for i, each in enumerate(questions)]
    changed, donors = with_other_images(questions, 3)
    for own, new, donor in zip(questions[:-1], changed, donors, strict=False):
        assert len(new.images) == len(own.images)
        assert image_names(new.images) != image_names(own.images)
        assert new.images == questions[int(donor)].images
    assert donors[-1] is None
    assert with_other_images(questions, 3) == (changed, donors)
    assert with_other_images(questions, 4)[1] != donors


def test_without_another_content_there_is_no_donor():
    questions = [replace(colour_question(0), id=name) for name in "abc"]
    assert with_other_images(questions, 0) == ([None] * 3, [None] * 3)
    changed, donors = with_other_images([colour_question(0), order_question(1)], 0)
    assert donors == ["q1", "q0"]  # of another number of images, as there is nothing else
    assert len(changed[0].images) == 2


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_frames_are_the_own_ones_and_never_in_their_order(seed):
    for old in map(order_question, range(8)):
        assert image_names(with_shuffled_frames(old, seed).images) == image_names(old.images)[::-1]
    for still in (colour_question(0, [square("red"), square("red")]), colour_question(0)):
        assert with_shuffled_frames(still, seed) is None


def test_the_name_of_a_file_follows_its_content(tmp_path):
    first, second = write_squares(tmp_path, ("red", "blue"))
    before = image_names([first, second])
    assert before == [image_digest(first), image_digest(second)]
    square("green").save(first)
    assert image_names([first])[0] not in before
