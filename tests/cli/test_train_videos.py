import json

import pandas as pd
import pytest
from clips import write_clip
from pair_recipe import as_messages, write_pair_recipe
from tiny import tiny_vl_model_and_processor

from align.cli.app import app

pytestmark = pytest.mark.slow
pytest.importorskip("av", reason="needs the extra `vision`")
pytest.importorskip("torchvision", reason="needs the extra `vision`")


def run(*words):
    return app([*map(str, words)], standalone_mode=False) or 0


def save(folder):
    for part in tiny_vl_model_and_processor():
        part.save_pretrained(folder / "model")
    for number in range(4):
        write_clip(folder / f"{number}.mp4", 12 + 4 * number, fps=4, size=(64, 32))


@pytest.mark.parametrize("streaming", [False, pytest.param(True, marks=pytest.mark.nightly)])
def test_pairs_about_videos_are_checked_and_trained_on(tmp_path, streaming, capsys):
    save(tmp_path)
    rows = [
        as_messages({"prompt": f"q{i}?", "chosen": f"It is red{i}.", "rejected": f"It is blue{i}."})
        | {"video": f"{i % 4}.mp4"}
        for i in range(8)
    ]
    dataset = {"num_frames": 6, "frames_dir": str(tmp_path / "frames"), "streaming": streaming}
    recipe = write_pair_recipe(tmp_path, tmp_path / "model", rows, dataset=dataset, max_length=512, max_steps=2)
    assert run("check", recipe) == 0
    assert "8 prompts have 1 to 1 images of 6 to 6 tokens" in " ".join(capsys.readouterr().out.split())  # 3 patches
    assert run("train", recipe) == 0


def test_questions_about_videos_are_checked_and_trained_on(tiny_recipe, tmp_path, capsys):
    save(tmp_path)
    dataset = {"conversational": True, "num_frames": 6, "frames_dir": str(tmp_path / "frames")}
    recipe = tiny_recipe(dataset=dataset, max_steps=2, reward_funcs=["answer_consistency"], reward_weights=[1.0])
    rows = [
        {"question": "What moves?", "options": ["red", "green"], "answer": i % 2, "video": f"{i}.mp4"}
        for i in range(4)
    ]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("check", recipe) == 0
    assert "4 prompts have 1 to 1 images of 6 to 6 tokens" in " ".join(capsys.readouterr().out.split())
    assert run("train", recipe) == 0
    table = pd.read_parquet(sorted((tmp_path / "run" / "completions").glob("*.parquet"))[0])
    assert len(table.images[0]) == 6  # the page shows frames
