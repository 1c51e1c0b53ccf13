import json
import shutil

import pandas as pd
import pytest
from divided_evaluations import run
from pair_recipe import as_messages
from scenes import COLOURS, square
from tiny import tiny_vl_model_and_processor

pytestmark = pytest.mark.slow

pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
pytest.importorskip("torchvision", reason="needs the extra `vision`")


@pytest.fixture(scope="module")
def models(tmp_path_factory, tiny_model_folder):
    """Two policies that see, and one that reads text only."""
    folder = tmp_path_factory.mktemp("policies")
    for seed, name in enumerate(("first", "second")):
        model, processor = tiny_vl_model_and_processor(seed=seed)
        model.save_pretrained(folder / name)
        processor.save_pretrained(folder / name)
    shutil.copytree(tiny_model_folder, folder / "text")
    return folder


@pytest.fixture
def data(tmp_path):
    """Six pairs with an image each, of which the first half show the same one, and one without."""
    rows = []
    for i in range(7):
        right, wrong = (list(COLOURS)[(i // 3 + k) % 4] for k in range(2))
        row = as_messages({"prompt": f"q{i}?", "chosen": f"It is {right}, yes.", "rejected": f"It is {wrong}, yes."})
        square(right).save(tmp_path / f"{right}.png")
        rows.append(row | ({"image": f"{right}.png"} if i < 6 else {}))
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "pairs.jsonl"


def record_in(folder):
    return json.loads((folder / "evaluation.json").read_text())


def test_pairs_with_images_are_read_and_judged(models, data, tmp_path):
    out = tmp_path / "out"
    words = ["--model", models / "first", "--baseline", models / "second", "--data", data, "--device", "cpu"]
    words += ["--judge", models / "second", "--max_new_tokens", 4, "--out", out]
    assert run(*words) == 0
    record = record_in(out)
    own, reference = (record["suites"]["pairs"][name] for name in ("first", "second"))
    assert reference["implicit_reward_accuracy"]["value"] == 0.5
    assert reference["kl_per_token/chosen"]["value"] == 0
    assert own["kl_per_token/chosen"]["value"] > 0
    assert own["implicit_reward_accuracy/marked"]["n"] == 7
    assert record["suites"]["judge"]["first"]["judged_win_rate/second"]["n"] == 7
    items = pd.read_parquet(out / "items.parquet").set_index(["model", "id"])
    assert list(items.loc[("first", "pairs-1"), "images"]) == [str(tmp_path / "red.png")]
    assert list(items.loc[("first", "pairs-7"), "images"]) == []
    assert "data:image" in (out / "report.html").read_text()
    assert run(*words) == 0
    assert record_in(out)["suites"] == record["suites"]
    assert [model["cached_items"] for model in record_in(out)["about"]["models"]] == [14, 14]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "text", "--reference", "text"], "has images, and {text} reads text only. Leave such rows"),
        (["--model", "first", "--reference", "second", "--judge", "text"], "has images, and {text} reads text only"),
    ],
)
def test_a_model_that_cannot_see_is_refused(words, message, models, data, tmp_path, capsys):
    words = [word if word.startswith("--") else models / word for word in words]
    assert run(*words, "--data", data, "--out", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "Pair 'pairs-1' " + message.format(text=models / "text") in error
    assert "Reading with" not in error


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_a_broken_or_missing_image_is_named_with_its_row(content, models, data, tmp_path, capsys):
    (tmp_path / "green.png").unlink()
    if content:
        (tmp_path / "green.png").write_bytes(content)
    words = ["--model", models / "first", "--reference", models / "second", "--data", data]
    assert run(*words, "--out", tmp_path / "out") == 1
    error = " ".join(capsys.readouterr().err.split())
    assert "row 4" in error
    assert "green.png" in error
    assert "Reading with" not in error
    assert run(*words, "--out", tmp_path / "out", "--on_bad_rows", "skip", "--device", "cpu") == 0
    assert record_in(tmp_path / "out")["about"]["data"]["questions"] == 4
