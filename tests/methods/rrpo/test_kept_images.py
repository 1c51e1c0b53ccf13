"""Images that the pairs of a run name: by the path they have, or by one in its folder."""

from io import BytesIO

import pytest

from align.data.media.images import open_image
from align.methods.rrpo.augmentation.command import keep_image
from align.methods.rrpo.augmentation.sources import Blur, Mask
from align.models.samplers.input_images import InputImage

pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
from scenes import square, write_squares


def test_a_digest_tells_perturbations_apart(tmp_path):
    (red,) = write_squares(tmp_path, ("red",))
    edits = [None, Mask(), Mask(8, (0,)), Mask(8, (1,)), Blur()]
    assert len({InputImage(red, edit).digest for edit in edits}) == 5


def test_an_image_of_a_file_keeps_its_path_and_any_other_is_written_once(tmp_path, monkeypatch):
    (path,) = write_squares(tmp_path / "data", ("red",))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "images"
    assert keep_image("data/00-red.png", folder) == keep_image({"bytes": None, "path": path}, folder) == path
    assert not folder.exists()
    content = (tmp_path / "data" / "00-red.png").read_bytes()
    kept = [keep_image({"bytes": content, "path": name}, folder) for name in (None, "x.png")]
    kept.append(keep_image(square("green"), folder))
    assert kept[0] == kept[1]
    assert len(list(folder.iterdir())) == 2
    assert [open_image(name) for name in kept[1:]] == [square("red"), square("green")]
    assert BytesIO(content).getvalue() == (folder / kept[0]).read_bytes(), "bytes are not written anew"
