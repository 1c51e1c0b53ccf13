import base64

import numpy as np
import pytest

from align.data.conversations import put_images_in
from align.models.samplers.input_images import MOST_PIXELS, InputImage, data_url

pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
from scenes import Black, square, write_squares

from align.data.media.images import open_image


def decode(url):
    kind, content = url.split(",")
    assert kind == "data:image/jpeg;base64"
    return open_image({"bytes": base64.b64decode(content)})


def test_a_digest_tells_images_and_edits_apart_and_not_places(tmp_path):
    red, green = write_squares(tmp_path / "a", ("red", "green"))
    (moved,) = write_squares(tmp_path / "b", ("red",))
    edits = [None, Black(), Black(0.125), Black(0.25), Black(0.5)]
    assert len({InputImage(image, edit).digest for image in (red, green) for edit in edits}) == 10
    assert InputImage(moved).digest == InputImage(red).digest
    assert InputImage(moved, Black()).digest == InputImage(red, Black()).digest


def test_an_image_is_read_when_it_is_opened_and_not_before(tmp_path):
    image = InputImage(str(tmp_path / "late.png"), Black())
    with pytest.raises(FileNotFoundError):
        image.open()
    square("red").save(tmp_path / "late.png")
    assert not np.asarray(image.open()).any()


def test_a_data_url_holds_the_edited_image(tmp_path):
    (path,) = write_squares(tmp_path, ("red",))
    sent = np.asarray(decode(data_url(InputImage(path, Black(0.5)))), dtype=int)
    assert sent[:24, :24].max() < 12
    assert np.abs(sent[36:, 36:] - 128).max() < 12


@pytest.mark.parametrize("size", [(4000, 3000), (20000, 100)])
def test_a_large_image_is_made_smaller_in_proportion(size):
    from PIL import Image

    sent = decode(data_url(InputImage(Image.new("RGB", size))))
    assert 0.95 * MOST_PIXELS < sent.width * sent.height <= MOST_PIXELS
    assert sent.width / sent.height == pytest.approx(size[0] / size[1], rel=0.02)


def test_images_stand_where_trl_puts_them_in_training():
    from trl import prepare_multimodal_messages

    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is it?"},
        {"role": "assistant", "content": "A square."},
        {"role": "user", "content": "Which colour?"},
    ]
    images = [square("red"), square("green")]
    ours = put_images_in(messages, [{"type": "image", "image": image} for image in images])
    assert ours == prepare_multimodal_messages(messages, images=images)
    assert messages[1]["content"] == "What is it?", "the messages are left alone"
