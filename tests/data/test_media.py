import json
import subprocess
import sys
import tracemalloc
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from scenes import square, write_squares

from align.data import DataError, PromptTemplate, load_preferences, load_questions, questions_to_rows
from align.data.media.images import open_image
from align.data.media.rows import MediaReader, media_folder
from align.data.pairs.preferences import pairs_to_rows
from align.data.problems import BadRow
from align.recipe.dataset import MediaSettings

Image = pytest.importorskip("PIL.Image", reason="needs the extra `vision`")

GOOD = {"question": "Which colour?", "options": ["red", "green"], "answer": 0}
PAIR = {
    "prompt": [{"role": "user", "content": "Which colour?"}],
    "chosen": [{"role": "assistant", "content": "It is red."}],
    "rejected": [{"role": "assistant", "content": "It is green."}],
}


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def encoded(image, kind="PNG"):
    content = BytesIO()
    image.save(content, format=kind)
    return content.getvalue()


def read(folder, row, **settings):
    return MediaReader(folder, MediaSettings(frames_dir=str(folder / "frames"), **settings)).read(row)


def test_rows_without_media_have_none():
    for row in ({}, {"image": None}, {"images": [], "image": None, "video": None}):
        assert MediaReader().read(row) == ()


def test_paths_bytes_and_images_are_read_in_their_order(tmp_path):
    red, green = write_squares(tmp_path, ("red", "green"))
    content = encoded(square("blue"))
    assert read(tmp_path, {"image": "00-red.png"}) == (red,)
    assert read(tmp_path, {"images": [green, {"path": "00-red.png"}, {"path": red, "bytes": None}]}) == (
        green, red, red,
    )  # fmt: skip
    (kept,) = read(tmp_path, {"image": {"bytes": content}})
    assert Path(kept).read_bytes() == content
    assert kept.startswith(str(tmp_path / "frames"))
    assert read(tmp_path, {"images": [square()]})[0].size == (56, 56)
    assert read(tmp_path / "elsewhere", {"image": "00-red.png"}, media_dir=str(tmp_path)) == (red,)


BAD = {
    "absent": ({"image": "no.png"}, "image", "the image file does not exist", "It was looked for at "),
    "folder": ({"image": "folder"}, "image", "the image file is a folder", "It was looked for at "),
    "none in a list": ({"images": [None]}, "images", "an image is missing", "Write its path"),
    "URL": ({"image": "https://x.org/b.png"}, "image", "the image is a URL", "download the file"),
    "video URL": ({"video": "https://x.org/b.mp4"}, "video", "the video is a URL", "download the file"),
    "absent video": ({"video": "no.mp4"}, "video", "the video file does not exist", "It was looked for at "),
    "data URL": ({"image": "data:image/png;base64,iVBO"}, "image", "the image is a URL", "write its path"),
    "base64": ({"images": ["iVBO" * 100]}, "images", "the image file cannot be looked for", "File name too long"),
    "long name": ({"video": "a" * 300}, "video", "the video file cannot be looked for", "File name too long"),
    "no such user": ({"image": "~no-such-user/a.png"}, "image", "the image file cannot be looked for",
                     "home directory"),
    "long folders": ({"image": "folder/" * 300 + "a.png"}, "image", "the image file does not exist", "..."),
    "several videos": ({"videos": ["a.mp4"]}, "videos", "the column is not read", "Write one path in `video`"),
    "video in a list": ({"video": ["text.png"]}, "video", "the image cannot be read, or is not whole",
                        "A list in `video` holds the frames of one video"),
    "number": ({"image": 3}, "image", "an image is neither a path nor an image", "Write the path of a file"),
    "number as video": ({"video": 3}, "video", "the video is not a path", "Write the path of a file or of a folder"),
    "text as bytes": ({"image": {"bytes": "iVBO"}}, "image", "the bytes of an image are missing or are not bytes",
                      "JSON cannot hold bytes"),
    "two kinds": ({"image": "a.png", "video": "a.mp4"}, "video", "the row has image and video", "Keep one of them"),
    "text": ({"image": "text.png"}, "image", "the image cannot be read, or is not whole", "Pillow says: cannot"),
    "empty": ({"image": "empty.png"}, "image", "the image cannot be read, or is not whole", "Pillow says: cannot"),
}  # fmt: skip


@pytest.mark.parametrize(("row", "column", "rule", "remedy"), BAD.values(), ids=BAD.keys())
def test_bad_media_are_reported_with_column_value_rule_and_remedy(tmp_path, row, column, rule, remedy):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").touch()
    with pytest.raises(BadRow) as bad:
        read(tmp_path, row)
    assert (bad.value.column, bad.value.rule) == (column, rule)
    assert remedy in bad.value.remedy
    assert bad.value.remedy.endswith(".")
    assert len(bad.value.value) <= 60


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_a_cut_image_is_found_when_it_is_read(tmp_path, kind):
    content = encoded(Image.effect_noise((64, 64), 50).convert("RGB"), kind)
    (tmp_path / "whole").write_bytes(content)
    assert len(read(tmp_path, {"image": "whole"})) == 1
    for share in (0.3, 0.6, 0.97):
        (tmp_path / "cut").write_bytes(content[: int(len(content) * share)])
        for image in ("cut", {"bytes": content[: int(len(content) * share)]}):
            with pytest.raises(BadRow, match="cannot be read, or is not whole"):
                read(tmp_path, {"image": image})


def test_damage_in_the_middle_of_a_png_is_found(tmp_path):
    content = bytearray(encoded(Image.effect_noise((64, 64), 50)))
    content[len(content) // 2] ^= 0xFF
    with pytest.raises(BadRow, match="not whole"):
        read(tmp_path, {"image": {"bytes": bytes(content)}})


def test_a_jpeg_may_be_padded(tmp_path):
    (tmp_path / "camera.jpg").write_bytes(encoded(square(), "JPEG") + bytes(500))
    assert len(read(tmp_path, {"image": "camera.jpg"})) == 1


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_larger_images_are_kept_smaller_and_in_proportion(tmp_path, suffix):
    square(size=64).resize((96, 48)).save(tmp_path / f"large{suffix}")
    small = write_squares(tmp_path, ("red",))[0]
    (found,) = read(tmp_path, {"image": f"large{suffix}"}, max_pixels=1152)
    assert open_image(found).size == (48, 24)
    assert found.startswith(str(tmp_path / "frames"))
    assert read(tmp_path, {"image": f"large{suffix}"}, max_pixels=1152) == (found,)
    assert read(tmp_path, {"image": small}, max_pixels=56 * 56) == (small,)
    content = {"bytes": (tmp_path / f"large{suffix}").read_bytes(), "path": "x"}
    (as_bytes, pil) = read(tmp_path, {"images": [content, square(size=96)]}, max_pixels=1152)
    assert open_image(as_bytes).size == (48, 24)
    assert pil.size == (33, 33)


def test_damage_in_the_middle_that_only_decoding_finds_is_a_bad_row(tmp_path):
    pixels = b"IDAT" + bytes(100)  # no compressed data, under a right checksum
    content = encoded(square())
    start, end = content.index(b"IDAT") - 4, content.index(b"IEND") - 4
    chunk = (len(pixels) - 4).to_bytes(4, "big") + pixels + zlib.crc32(pixels).to_bytes(4, "big")
    (tmp_path / "odd.png").write_bytes(content[:start] + chunk + content[end:])
    with pytest.raises(BadRow, match="not whole"):
        read(tmp_path, {"image": "odd.png"}, max_pixels=1000)


def test_bad_media_stop_the_load_with_row_numbers_or_are_left_out(tmp_path):
    write_squares(tmp_path, ("red",))
    (tmp_path / "broken.png").write_bytes((tmp_path / "00-red.png").read_bytes()[:60])
    file = write(
        tmp_path / "rows.jsonl",
        GOOD | {"image": "00-red.png"}, GOOD | {"image": "broken.png"}, GOOD, GOOD | {"image": "no.png"},
    )  # fmt: skip
    with pytest.raises(DataError, match=r"2 of 4 rows.*\n.*row 2, column `image`: the image cannot be read"):
        load_questions(file)
    questions, report = load_questions(file, on_bad_rows="skip")
    assert [(question.row, len(question.images)) for question in questions] == [(1, 1), (3, 0)]
    assert [problem.row for problem in report.problems] == [2, 4]


def test_a_placeholder_in_the_question_is_refused(tmp_path):
    write_squares(tmp_path, ("red",))
    row = GOOD | {"question": "<image>\nWhich colour?"}
    assert len(load_questions(write(tmp_path / "text.jsonl", row))[0]) == 1  # without an image it is only text
    options = GOOD | {"options": ["red", "<|image_pad|>"], "image": "00-red.png"}
    with pytest.raises(DataError, match=r"column `options`: the text has a placeholder"):
        load_questions(write(tmp_path / "options.jsonl", options))
    with pytest.raises(DataError, match=r"column `question`: the text has a placeholder.*Remove <image>"):
        load_questions(write(tmp_path / "rows.jsonl", row | {"image": "00-red.png"}))


def test_pairs_with_images_are_messages_and_become_rows_with_one_column(tmp_path):
    red, _ = write_squares(tmp_path, ("red", "green"))
    pairs, _ = load_preferences(write(tmp_path / "pairs.jsonl", PAIR | {"image": "00-red.png"}, PAIR))
    assert [pair.images for pair in pairs] == [(red,), ()]
    assert [row["images"] for row in pairs_to_rows(pairs)] == [[red], []]
    assert "images" not in pairs_to_rows(pairs[1:])[0]
    texts = {"prompt": "Which colour?", "chosen": "It is red.", "rejected": "It is green."}
    with pytest.raises(DataError, match=r"column `prompt`: images have no place: the prompt is not messages"):
        load_preferences(write(tmp_path / "texts.jsonl", texts | {"image": "00-red.png"}))
    asked = PAIR | {"prompt": [{"role": "user", "content": "<|image_pad|>Which colour?"}], "image": "00-red.png"}
    with pytest.raises(DataError, match="the text has a placeholder"):
        load_preferences(write(tmp_path / "asked.jsonl", asked))


@pytest.mark.parametrize(("kind", "suffix"), [("PNG", ".png"), ("JPEG", ".jpg"), ("WEBP", ".webp")])
def test_bytes_are_kept_on_disk_once_as_they_are(tmp_path, kind, suffix):
    content = encoded(square(), kind)
    (first,) = read(tmp_path, {"image": {"bytes": content, "path": "a"}})
    time = Path(first).stat().st_mtime_ns
    assert read(tmp_path, {"images": [{"bytes": content, "path": "b"}]}, max_pixels=10_000) == (first,)
    assert (Path(first).suffix, Path(first).stat().st_mtime_ns) == (suffix, time)
    assert Path(first).read_bytes() == content
    smaller = [read(tmp_path, {"image": {"bytes": content}}, max_pixels=pixels)[0] for pixels in (900, 1600)]
    assert [open_image(image).size for image in smaller] == [(30, 30), (40, 40)]


def test_the_images_of_a_data_set_are_not_held_in_memory(tmp_path):
    contents = [encoded(Image.effect_noise((200, 200), 50)) for _ in range(20)]
    folder = hub_data_set(tmp_path / "set", *contents)
    settings = MediaSettings(frames_dir=str(tmp_path / "frames"))
    tracemalloc.start()
    questions, _ = load_questions(folder, media=settings)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [Path(question.images[0]).read_bytes() for question in questions] == contents
    assert held < sum(map(len, contents)) / 2


def hub_data_set(folder, *contents):
    import datasets

    column = {"question": ["?"] * len(contents), "options": [["a b", "c d"]] * len(contents)}
    column |= {"answer": [0] * len(contents), "image": [{"bytes": content, "path": None} for content in contents]}
    features = datasets.Features(
        question=datasets.Value("string"), options=datasets.List(datasets.Value("string")),
        answer=datasets.Value("int64"), image=datasets.Image(),
    )  # fmt: skip
    datasets.Dataset.from_dict(column, features=features).save_to_disk(str(folder))
    return folder


def test_images_of_a_data_set_on_disk_are_not_decoded_before_they_are_checked(tmp_path):
    content = encoded(square())
    folder = hub_data_set(tmp_path / "set", content, content[:60])
    with pytest.raises(DataError, match="row 2, column `image`: the image cannot be read"):
        load_questions(folder, media=MediaSettings(frames_dir=str(tmp_path / "frames")))
    settings = MediaSettings(frames_dir=str(tmp_path / "frames"))
    (question,), _ = load_questions(folder, on_bad_rows="skip", media=settings)
    assert Path(question.images[0]).read_bytes() == content


def test_parquet_with_images_is_read_as_bytes(tmp_path):
    import datasets

    content = encoded(square())
    datasets.load_from_disk(hub_data_set(tmp_path / "set", content)).to_parquet(tmp_path / "rows.parquet")
    settings = MediaSettings(frames_dir=str(tmp_path / "frames"))
    (question,), _ = load_questions(tmp_path / "rows.parquet", media=settings)
    assert Path(question.images[0]).read_bytes() == content


def test_paths_and_bytes_in_one_data_set_make_one_column_that_datasets_reads(tmp_path):
    import datasets

    (red,) = write_squares(tmp_path, ("red",))
    content = encoded(square("blue"))
    reader = MediaReader(tmp_path, MediaSettings(frames_dir=str(tmp_path / "frames")))
    images = [reader.read({"images": [red]}), reader.read({"images": [{"bytes": content}, square("green")]}), ()]
    (question,), _ = load_questions(write(tmp_path / "rows.jsonl", GOOD))
    questions = [question.__class__(**vars(question) | {"id": str(i), "images": found})
                 for i, found in enumerate(images)]  # fmt: skip
    rows, _ = questions_to_rows(questions, PromptTemplate())
    read_back = datasets.Dataset.from_list(rows).cast_column("images", datasets.List(datasets.Image()))
    assert [len(row["images"]) for row in read_back] == [1, 2, 0]
    assert read_back[1]["images"][0].getpixel((10, 10)) == (40, 70, 220)


def test_paths_are_relative_to_the_rows(tmp_path):
    file = write(tmp_path / "rows.jsonl", GOOD)
    assert media_folder(str(file)) == media_folder(str(tmp_path)) == tmp_path
    assert str(media_folder("owner/name")) == "."


def test_a_machine_without_pillow_reads_texts_and_names_the_extra_for_images(tmp_path):
    write_squares(tmp_path, ("red",))
    write(tmp_path / "texts.jsonl", GOOD)
    write(tmp_path / "images.jsonl", GOOD | {"image": "00-red.png"})
    code = (
        "import sys; sys.modules['PIL'] = None\n"
        "from align.data import load_questions\n"
        "print(len(load_questions('texts.jsonl')[0]))\n"
        "try: load_questions('images.jsonl')\n"
        "except ValueError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    count, words = done.stdout.splitlines()
    assert count == "1"
    assert words == 'Reading images needs pillow, which is not installed. Run `pip install "truealign[vision]"`.'
