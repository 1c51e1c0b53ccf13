import base64
import re
import shutil
import sys
from io import BytesIO

import pandas as pd
import pytest
from browser import HOSTILE
from markupsafe import escape
from scenes import square, write_squares
from written_evaluation import write_evaluation
from written_images import give_images_to_evaluation, give_images_to_run
from written_pairs_run import write_pairs_run
from written_run import write_run

from align.data.media.thumbnails import thumbnail
from align.report import build_any_report, build_comparison, build_report
from align.report.run.samples import pick_samples
from align.report.thumbnails import Filmstrip, Thumbnails
from align.training.shown_rows import MediaFolder

Image = pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
SOURCES = re.compile(r'<img src="data:image/jpeg;base64,([A-Za-z0-9+/=]+)" alt="([^"]*)"')


def shown(page):
    return [(Image.open(BytesIO(base64.b64decode(data))), words) for data, words in SOURCES.findall(page)]


def test_the_images_of_a_run_stand_in_its_page_beside_the_completions(tmp_path):
    run = give_images_to_run(write_run(tmp_path / "run", steps=20))
    page = build_report(run).read_text()
    images = shown(page)
    assert all(max(image.size) == 160 for image, _ in images)
    first = page.split('<details class="sample"')[1]
    assert len(SOURCES.findall(first)) in (1, 4, 8)
    assert "image 1 of 1" in {words for _, words in images}
    assert "image 16 of 16" in {words for _, words in images}
    assert "+8 more" in page
    assert page.count('<div class="strip') == page.count('class="sample"') > 40
    assert len(page) < 4_500_000


def test_the_page_of_a_run_needs_no_data_and_no_pillow(tmp_path, monkeypatch):
    run = give_images_to_run(write_run(tmp_path / "run", steps=20))
    before = build_report(run).read_bytes()
    moved = shutil.move(run, tmp_path / "moved" / "run")
    monkeypatch.setattr("align.report.thumbnails.thumbnail", lambda image: pytest.fail("read with Pillow"))
    assert build_report(moved).read_bytes() == before


def test_the_places_of_images_in_a_prompt_are_counted():
    frames = [{"type": "image", "text": None}] * 16
    prompt = [{"role": "user", "content": [*frames, {"type": "text", "text": "Which way?"}, frames[0]]}]
    (sample,) = pick_samples([{"step": 1, "prompt": prompt, "completion": "Left."}])
    assert sample.prompt == "user: [16 images] Which way? [image]"


def test_pairs_and_items_show_their_images(tmp_path):
    pairs = build_any_report(give_images_to_run(write_pairs_run(tmp_path / "pairs", steps=5), counts=(2,)))
    assert [words for _, words in shown(pairs.read_text())] == ["image 1 of 2", "image 2 of 2"] * 40
    paths = write_squares(tmp_path / "data")
    folder = give_images_to_evaluation(write_evaluation(tmp_path / "eval", questions=40), paths[:2])
    page = build_any_report(folder).read_text()
    images = shown(page)
    assert len(images) == 2 * page.count('<details class="sample"') > 50
    assert {words for _, words in images} == {"image 1 of 2: 00-red.png", "image 2 of 2: 01-green.png"}
    red, green = (image.convert("RGB").getpixel((20, 20)) for image, _ in images[:2])
    assert red[0] > 180 > green[0]


def test_answers_with_changed_images_are_shown_where_they_were_asked_for(tmp_path):
    folder = write_evaluation(tmp_path / "eval", questions=8, models=("ours",))
    table = pd.read_parquet(folder / "items.parquet")
    table["asked_with"] = [["own_images", "no_images", "blank_images"]] * len(table)
    table["no_images_choice"], table["blank_images_choice"] = 2.0, None
    table.to_parquet(folder / "items.parquet")
    page = build_any_report(folder).read_text()
    assert page.count("<dt>without images</dt><dd>C</dd>") == 8
    assert page.count("<dt>with blank images</dt><dd>none</dd>") == 8
    assert "with shuffled frames" not in page


def test_a_missing_and_a_broken_image_leave_their_names_escaped(tmp_path):
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "words.jpg").write_text("not found")
    hostile = "<b onclick='x'> & \"y\".png"
    names = ["gone.png", str(tmp_path / "torn.png"), str(tmp_path / "words.jpg"), hostile, "a\0b.png", "x" * 5000]
    page = build_any_report(give_images_to_evaluation(write_evaluation(tmp_path / "eval", questions=8), names))
    text = page.read_text()
    assert "image 1 of 6: gone.png is missing" in text
    assert "image 2 of 6: torn.png cannot be read" in text
    assert "image 3 of 6: words.jpg cannot be read" in text
    assert f"image 4 of 6: {escape(hostile)} is missing" in text
    assert "image 5 of 6: a\0b.png cannot be read" in text
    assert f"image 6 of 6: …{'x' * 60} cannot be read" in text
    assert "<b onclick" not in text
    assert shown(text) == []


def test_a_lost_or_torn_copy_of_a_run_leaves_a_place_and_nothing_else_fails(tmp_path):
    run = give_images_to_run(write_run(tmp_path / "run", steps=20), counts=(1,))
    gone, torn, *_ = sorted((run / "media").iterdir())
    gone.unlink()
    torn.write_bytes(b"")
    page = build_report(run).read_text()
    assert '<span class="no-image">image 1 of 1 is missing</span>' in page
    assert '<span class="no-image">image 1 of 1 cannot be read</span>' in page
    assert len(shown(page)) > 10


def test_hostile_names_do_not_leave_their_attribute(tmp_path):
    name = HOSTILE.replace("/", "")[:200] + ".png"
    square().save(tmp_path / name)
    page = build_any_report(
        give_images_to_evaluation(write_evaluation(tmp_path / "eval", questions=4), [str(tmp_path / name)])
    ).read_text()
    assert len(shown(page)) == 4
    assert not re.search(r"<(script|svg onload|img src=')", page)


def test_a_page_holds_no_more_images_than_it_may_and_says_how_many_it_left_out(tmp_path):
    content = thumbnail(square(size=200))
    name = MediaFolder(tmp_path).keep(content)
    size = len(Thumbnails(tmp_path).strip([name]).pictures[0].source)
    pictures = Thumbnails(tmp_path, room=5 * size + 1)
    full, cut, none = (pictures.strip([name] * count) for count in (3, 4, 2))
    assert (len(full.pictures), full.left_out) == (3, "")
    assert len(cut.pictures) == 2
    assert cut.left_out.startswith("2 of 4 images left out: a page holds at most ")
    assert none.pictures == []
    assert none.left_out.startswith("2 of 2 images left out")


def test_the_runs_of_a_comparison_share_what_a_page_may_hold(tmp_path, monkeypatch):
    runs = {name: give_images_to_run(write_run(tmp_path / name, steps=5)) for name in ("THEIRS", "OURS")}
    monkeypatch.setattr("align.report.page.PAGE_BYTES", 60_000)
    page = build_comparison(runs, None, tmp_path / "comparison.html").read_text()
    assert 40_000 < sum(len(data) for data, _ in SOURCES.findall(page)) <= 60_000
    assert "a page holds at most 0.03 MB of images" in page


@pytest.mark.parametrize("images", [None, [], "a.png", 3])
def test_a_row_without_images_shows_none(tmp_path, images):
    assert Thumbnails(tmp_path).strip(images) == Filmstrip()


def test_images_of_which_nothing_was_kept_are_counted(tmp_path):
    assert Thumbnails(tmp_path).strip([None] * 3) == Filmstrip([], "3 images, of which nothing was kept")


def test_undecoded_images_are_shown_too(tmp_path):
    content = thumbnail(square())
    strip = Thumbnails(tmp_path).strip([{"bytes": content, "path": "deep/down/a.jpg"}, {"bytes": None, "path": None}])
    assert [picture.words for picture in strip.pictures] == ["image 1 of 2: a.jpg", "image 2 of 2 cannot be read"]
    assert [bool(picture.source) for picture in strip.pictures] == [True, False]


def test_a_page_without_pillow_says_what_is_missing(tmp_path, monkeypatch):
    (path,) = write_squares(tmp_path, ("red",))
    monkeypatch.setitem(sys.modules, "PIL", None)
    (picture,) = Thumbnails(tmp_path).strip([path]).pictures
    assert picture == ("", "image 1 of 1: 00-red.png is not shown without the extra `vision`")
