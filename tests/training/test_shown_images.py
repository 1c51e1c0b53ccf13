from collections import deque

import pytest
from datasets import Dataset
from datasets import Image as ImageFeature
from scenes import square, write_squares
from some_recipes import PROMPTS, trainer_class
from tiny import tiny_vl_model_and_processor
from trl import GRPOConfig

from align.data.media.thumbnails import spread_places, thumbnail
from align.report.run.folder import read_completions
from align.report.run.samples import pick_samples
from align.report.thumbnails import Thumbnails
from align.training.shown_rows import MediaFolder, small_copies, write_copies

pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
pytest.importorskip("torchvision", reason="needs the extra `vision`")


def by_length(completions, **kwargs):
    return [float(len(completion[0]["content"]) % 3) for completion in completions]


def train(folder, rows, **settings):
    model, processor = tiny_vl_model_and_processor()
    config = {
        "output_dir": str(folder), "max_steps": 2, "per_device_train_batch_size": 4, "num_generations": 2,
        "max_completion_length": 6, "logging_steps": 1, "bf16": False, "use_cpu": True, "report_to": "none",
        "save_strategy": "no", "disable_tqdm": True, "log_completions": True, "num_completions_to_print": 0,
        "shuffle_dataset": False,
    }  # fmt: skip
    trainer = trainer_class(PROMPTS)(
        model,
        reward_funcs=[by_length],
        args=GRPOConfig(**config | settings),
        train_dataset=Dataset.from_list(rows).cast_column("images", [ImageFeature()]),
        processing_class=processor,
    )
    trainer.train()
    return trainer


def make_rows(counts, paths):
    return [
        {"id": str(i), "prompt": [{"role": "user", "content": f"q{i}?"}], "images": paths[i : i + count]}
        for i, count in enumerate(counts)
    ]


def test_completions_name_small_copies_of_their_own_images(tmp_path):
    paths = write_squares(tmp_path / "data")
    train(tmp_path / "run", make_rows((1, 2, 0, 1), paths))  # one row shows nothing
    expected = {
        question: [MediaFolder(tmp_path / "run").keep(thumbnail(path)) for path in own]
        for question, own in (("q0?", paths[:1]), ("q1?", paths[1:3]), ("q2?", []), ("q3?", paths[3:]))
    }
    seen = {}
    rows = read_completions(tmp_path / "run" / "completions")
    for row in rows:
        (question,) = (part["text"] for part in row["prompt"][0]["content"] if part["text"])
        seen.setdefault(question, []).append(row["images"])
    assert seen == {question: [names] * 2 for question, names in expected.items()}
    assert len(list((tmp_path / "run" / "media").iterdir())) == 4
    strips = [sample.images for sample in pick_samples(rows, thumbnails=Thumbnails(tmp_path / "run"))]
    assert sorted(len(strip.pictures) for strip in strips) == [0, 0, 1, 1, 1, 1, 2, 2]
    assert all(picture.source for strip in strips for picture in strip.pictures)


def test_no_copies_are_kept_where_media_are_not_logged(tmp_path):
    train(tmp_path / "run", make_rows((1, 1), write_squares(tmp_path / "data")), max_steps=1, log_multimodal=False)
    assert "images" not in read_completions(tmp_path / "run" / "completions")[0]
    assert not (tmp_path / "run" / "media").exists()


def test_rows_of_one_question_share_their_copies_and_others_do_not():
    red, blue = square("red"), square("blue")
    rows = [
        {"id": "a", "images": [red]},
        {"id": "a", "images": [blue]},
        {"image": blue},
        {"image": red},
        {"image": None},
    ]
    copies = small_copies(rows)
    assert copies[0] is copies[1]
    assert copies[2:] == [[thumbnail(blue)], [thumbnail(red)], []]
    (frames,) = small_copies([{"images": [red] * 20}])
    assert [place for place, frame in enumerate(frames) if frame] == spread_places(20)


def test_only_what_is_new_is_written_and_rows_without_images_stay_empty(tmp_path):
    content = thumbnail(square())
    column = deque([["media/old.jpg", None], [content, None], None])
    write_copies(column, MediaFolder(tmp_path))
    assert list(column) == [["media/old.jpg", None], [MediaFolder(tmp_path).keep(content), None], []]
    assert len(list((tmp_path / "media").iterdir())) == 1
