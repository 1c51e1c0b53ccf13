import pyarrow.parquet as parquet
import pytest
from scenes import square, write_squares

from align.data.media.thumbnails import spread_places, thumbnail
from align.report.run.folder import read_pairs
from align.training.shown_rows import PAIRS_FILE, MediaFolder, write_pairs

pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
ROW = {"id": "a", "prompt": "What is shown?", "chosen": "A red square.", "rejected": "A blue square."}


def test_equal_images_are_one_file_also_when_a_run_goes_on(tmp_path):
    red, blue = (thumbnail(square(colour)) for colour in ("red", "blue"))
    media = MediaFolder(tmp_path)
    names = [media.keep(content) for content in (red, blue, red)]
    assert names[0] == names[2] != names[1]
    assert (tmp_path / names[0]).read_bytes() == red
    assert MediaFolder(tmp_path).keep(blue) == names[1]
    assert sorted(path.name for path in (tmp_path / "media").iterdir()) == sorted(n.split("/")[1] for n in names[:2])


def test_a_full_folder_takes_no_more_and_says_so(tmp_path):
    red, blue = (thumbnail(square(colour)) for colour in ("red", "blue"))
    media = MediaFolder(tmp_path, most=1)
    name = media.keep(red)
    with pytest.warns(UserWarning, match="holds 1 images"):
        assert media.keep(blue) is None
    assert media.keep(red) == name
    assert len(list((tmp_path / "media").iterdir())) == 1


def test_a_run_without_images_has_no_such_folder(tmp_path):
    MediaFolder(tmp_path)
    write_pairs(tmp_path, [ROW])
    assert [path.name for path in tmp_path.iterdir()] == [PAIRS_FILE]


def test_pairs_keep_copies_of_their_images_in_the_run_folder(tmp_path):
    paths = write_squares(tmp_path / "data")
    content = (tmp_path / "data" / "00-red.png").read_bytes()
    given = [paths[:2], [{"bytes": content, "path": "00-red.png"}], [square(place=(i, i)) for i in range(16)], []]
    rows = [ROW | {"id": str(i), "images": images} for i, images in enumerate(given)]
    write_pairs(tmp_path / "run", rows)
    for path in paths:
        (tmp_path / "data" / path).unlink()
    two, one, many, none = (row["images"] for row in read_pairs(tmp_path / "run" / PAIRS_FILE))
    assert one == two[:1]
    assert [place for place, name in enumerate(many) if name] == spread_places(16)
    assert none == []
    assert all((tmp_path / "run" / name).exists() for name in {*two, *filter(None, many)})


def test_an_image_that_cannot_be_read_leaves_its_name_and_stops_nothing(tmp_path):
    rows = [ROW | {"images": images} for images in (["gone.png", None, 7, {"path": "gone.jpg"}], None)]
    write_pairs(tmp_path, rows)
    kept = parquet.read_table(tmp_path / PAIRS_FILE).column("images").to_pylist()
    assert kept == [["gone.png", None, None, "gone.jpg"], None]
