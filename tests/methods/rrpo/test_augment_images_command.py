import itertools
import json

import numpy as np
import pytest
from chat_server import HANG, ChatServer, kill_once_answered, shown_images
from typer.testing import CliRunner

from align.cli.app import app
from align.data.media.images import open_image
from align.data.pairs.preferences import load_preferences

pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
from scenes import COLOURS, square, write_squares

FRAMES = 8


@pytest.fixture
def data(tmp_path):
    """Rows with one image, with several, with a folder of frames, and with none."""
    write_squares(tmp_path / "images")
    (tmp_path / "video").mkdir()
    for i in range(FRAMES):
        square("red", place=(8, 4 * i)).save(tmp_path / "video" / f"{i:02}.png")
    rows = [
        {"id": "one", "prompt": "Look. Which colour?", "reference": "red", "image": "images/00-red.png"},
        {
            "id": "several",
            "prompt": "Look. Which colour is first?",
            "reference": "red",
            "images": [f"images/{i:02}-{colour}.png" for i, colour in enumerate(COLOURS)],
        },
        {"id": "video", "prompt": "Look. Where does it go?", "reference": "to the right", "video": "video"},
        {"id": "none", "prompt": "The Seine is a river. It is slow. Where is it?", "reference": "in France"},
    ]
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def augment(*words):
    return CliRunner().invoke(app, [*map(str, words)])


def words(data, out, url, *more):
    return ["augment", data, "--method", "rrpo", "--out", out, "--model", "tiny", "--endpoint", url, *more]


def text_of(body):
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else content[-1]["text"]


def reply(body, before):
    if "right fact" in text_of(body):
        return f"I say {text_of(body).split('The right fact is: ')[1].splitlines()[0]}, as I see."
    return f"I say something {body['seed'] % 89}, as I see."


def read_pairs(folder):
    return [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()]


def black_share(image):
    return float((np.asarray(image).max(-1) < 12).mean())


def test_a_model_is_shown_perturbed_images_and_the_pairs_name_the_original_ones(data, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    out = tmp_path / "out"
    with ChatServer(reply) as server:
        result = augment(*words(data, out, server.url, "--num_samples", 2))
    assert result.exit_code == 0, result.output
    # 2 samples of 1 + 4 + 8 images
    assert "They show 26 images, whose tokens are not counted" in result.stdout
    sampled = {text_of(body): body["messages"][-1]["content"] for body in server.bodies if body["temperature"]}
    shown = {text: shown_images(content) for text, content in sampled.items() if not isinstance(content, str)}
    one, several, video = (shown[text] for text in sorted(shown, key=lambda text: len(shown[text])))
    assert 0.25 <= black_share(one[0]) <= 0.5
    assert 1 <= sum(black_share(image) == 1 for image in several) <= 2
    assert 2 <= sum(black_share(image) == 1 for image in video) <= 4
    assert all(isinstance(body["messages"][-1]["content"], str) for body in server.bodies if not body["temperature"])
    assert any("____" in text for text in sampled), "a row without images has its text perturbed"

    pairs = read_pairs(out)
    assert len(pairs) == 8
    images = {pair["source_id"]: pair["images"] for pair in pairs}
    assert images["one"] == [str(tmp_path / "images" / "00-red.png")]
    assert images["video"] == [str(tmp_path / "video" / f"{i:02}.png") for i in range(FRAMES)]
    assert images["none"] == []
    seen = next(pair["perturbed_images"] for pair in pairs if pair["source_id"] == "video")
    assert sorted(each["image"] for each in seen) == [*range(FRAMES)]
    assert sorted(each["image"] for each in seen[:4]) == [0, 1, 2, 3]
    for place, image in zip(seen, video, strict=True):
        original = np.asarray(open_image(images["video"][place["image"]]), dtype=int)
        expected = np.zeros_like(original) if place["edit"] else original
        assert np.abs(expected - np.asarray(image, dtype=int)).mean() < 4

    loaded, _ = load_preferences(out)
    assert [list(pair.images) for pair in loaded] == [pair["images"] for pair in pairs]
    assert {pair.spans_from for pair in loaded} == {"offsets"}
    card = json.loads((out / "card.json").read_text())
    assert card["counts"].items() >= {"rows": 4, "rows_with_images": 3, "rows_perturbed": 4, "pairs": 8}.items()
    assert card["run"].items() >= {"perturbation": "mask_local_shuffle", "num_frames": 16}.items()
    assert "3 prompts come with images" in (out / "README.md").read_text()


@pytest.mark.slow
def test_a_run_with_images_that_was_killed_goes_on_without_paying_twice(data, tmp_path):
    counter = itertools.count()
    with ChatServer(lambda body, before: reply(body, before) if next(counter) < 6 else HANG) as server:
        command = words(data, tmp_path / "out", server.url, "--concurrency", 2)
        kill_once_answered(server, command, 6, 2)
        server.reply = reply
        result = augment(*command)
        assert result.exit_code == 0, result.output
        assert "6 more are answered already" in result.stdout
        assert max(server.answered.values()) == 1, "a prompt was paid for twice"
        # Another picture in the same file is another question.
        square("yellow").save(tmp_path / "images" / "00-red.png")
        before = len(server.bodies)
        result = augment(*command)
        assert result.exit_code == 0, result.output
        assert max(server.answered.values()) == 1
        assert sum(body["temperature"] > 0 for body in server.bodies[before:]) == 8, "4 samples of the 2 rows with it"


@pytest.mark.parametrize(
    ("perturbation", "unperturbed"), [("blur", ["none"]), ("global_shuffle", ["one"]), ("none", None)]
)
def test_rows_with_nothing_to_perturb_are_counted(data, tmp_path, perturbation, unperturbed):
    with ChatServer(reply) as server:
        more = ["--num_samples", 1, "--wording", "reference", "--perturbation", perturbation]
        result = augment(*words(data, tmp_path / "out", server.url, *more))
    assert result.exit_code == 0, result.output
    held = "1  rows hold nothing to perturb (a lone question, one image to shuffle, or a text to blur)"
    assert (held in result.stdout) == (unperturbed is not None)
    pairs = {pair["source_id"]: pair["perturbation"] for pair in read_pairs(tmp_path / "out")}
    assert [name for name, kind in pairs.items() if kind == "none"] == (unperturbed or list(pairs))


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        ({"image": "nowhere.png"}, [], "row 5, column `image`"),
        ({"image": "data.jsonl"}, [], "the image cannot be read"),
        ({"image": "images/00-red.png", "prompt": "<image> Which?"}, [], "placeholder for an image"),
        ({}, ["--num_frames", 0], "`num_frames`: Input should be greater than or equal to 1, got 0"),
        ({}, ["--method", "crome"], "does not read"),
    ],
)
def test_media_that_cannot_be_used_is_said_before_anything_is_paid_for(data, tmp_path, change, more, message):
    row = {"prompt": "Which?", "reference": "red"} | change
    data.write_text(data.read_text() + json.dumps(row) + "\n")
    with ChatServer(reply) as server:
        result = augment(*words(data, tmp_path / "out", server.url, "--max_pixels", 1000, *more))
    assert result.exit_code == 1
    assert message in result.stderr
    assert server.bodies == []
    assert not (tmp_path / "out").exists()


def test_images_in_bytes_are_kept_among_the_frames_and_the_pairs_name_them(tmp_path):
    import pyarrow
    import pyarrow.parquet

    (path,) = write_squares(tmp_path / "squares", ("red",))
    content = (tmp_path / "squares" / "00-red.png").read_bytes()
    rows = [{"prompt": "Which?", "reference": "red", "image": {"bytes": content, "path": None}}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "data.parquet")
    out = tmp_path / "out"
    with ChatServer(reply) as server:
        more = ["--wording", "reference", "--frames_dir", tmp_path / "frames"]
        result = augment(*words(tmp_path / "data.parquet", out, server.url, *more))
    assert result.exit_code == 0, result.output
    ((name,),) = {tuple(pair["images"]) for pair in read_pairs(out)}
    assert name.startswith(str(tmp_path / "frames"))
    assert open_image(name) == open_image(path)


def test_a_video_is_shown_by_its_frames_which_the_pairs_name(tmp_path):
    pytest.importorskip("av", reason="needs the extra `vision`")
    from clips import shown_numbers, write_clip

    write_clip(tmp_path / "clips" / "a.mp4", num_frames=12)
    row = {"prompt": "What happens?", "reference": "it brightens", "video": "a.mp4"}
    (tmp_path / "data.jsonl").write_text(json.dumps(row) + "\n")
    more = ["--num_frames", 6, "--media_dir", tmp_path / "clips", "--frames_dir", tmp_path / "frames"]
    with ChatServer(reply) as server:
        command = words(tmp_path / "data.jsonl", tmp_path / "out", server.url, "--num_samples", 1, *more)
        result = augment(*command)
        other = augment(*command, "--num_frames", 4)
        as_video = augment(*command, "--video_as", "video")
    assert result.exit_code == 0, result.output
    (pair,) = read_pairs(tmp_path / "out")
    numbers = shown_numbers(pair["images"])
    assert (len(numbers), numbers) == (6, sorted(numbers))
    assert all(name.startswith(str(tmp_path / "frames")) for name in pair["images"])
    assert len(shown_images(server.bodies[0]["messages"][-1]["content"])) == 6
    assert "made with `num_frames: 6`, now it is `4`" in other.stderr
    assert "1 rows have a video: its frames are shown as images, and the pairs name them as images." in result.output
    assert "`--video_as video` is not done here" in as_video.stderr
