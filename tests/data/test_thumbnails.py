from io import BytesIO

import numpy as np
import pytest
from scenes import square, write_squares

from align.data.media.thumbnails import MOST_SHOWN, SIDE, spread_places, thumbnail, thumbnails

Image = pytest.importorskip("PIL.Image", reason="needs the extra `vision`")


def opened(content):
    return Image.open(BytesIO(content))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1200, 800), (160, 107)), ((100, 1000), (16, 160)), ((9, 4), (9, 4)), ((5000, 2), (160, 1))],
)
def test_a_copy_is_bounded_keeps_its_shape_and_is_not_enlarged(size, expected):
    made = opened(thumbnail(Image.new("RGB", size, (200, 30, 30))))
    assert made.size == expected
    assert max(made.size) <= SIDE
    assert np.abs(np.asarray(made, dtype=int).reshape(-1, 3).mean(axis=0) - (200, 30, 30)).max() < 4


def test_noise_at_full_size_stays_small():
    pixels = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    assert len(thumbnail(Image.fromarray(pixels))) < 20_000


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "I;16"])
def test_every_kind_of_pixels_is_copied(mode):
    assert opened(thumbnail(Image.new(mode, (300, 200)))).size == (160, 107)


def test_the_image_itself_is_left_as_it_was():
    image = square(size=400)
    thumbnail(image)
    assert image.size == (400, 400)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 16, 1000])
def test_places_are_spread_from_the_first_to_the_last(count):
    places = spread_places(count)
    assert places == sorted(set(places))
    assert len(places) == min(count, MOST_SHOWN)
    assert places[:1] == [0][:count]
    assert places[-1:] == [count - 1][:count]
    assert max(np.diff(places), default=0) - min(np.diff(places), default=0) <= 1


def test_of_many_frames_some_are_copied_and_what_is_no_image_is_left_out(tmp_path):
    paths = write_squares(tmp_path)
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    copies = thumbnails([*paths, str(tmp_path / "torn.png"), str(tmp_path / "gone.png"), 7, {"path": None}])
    assert [copy is not None for copy in copies] == [True] * 4 + [False] * 4
    assert [place for place, copy in enumerate(thumbnails([square()] * 16)) if copy] == spread_places(16)
