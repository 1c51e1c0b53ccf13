import json
import shutil

import pandas as pd
import pytest
from looking import NAMES, looking_model
from peft import LoraConfig, get_peft_model
from scenes import square, write_squares

from align.cli.app import app

pytestmark = pytest.mark.slow

pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
pytest.importorskip("torchvision", reason="needs the extra `vision`")
PROMPT = ("--prompt_template", "{question}\n{options}", "--max_new_tokens", "12", "--device", "cpu")


def run(*words):
    return app(["eval", *map(str, words)], standalone_mode=False) or 0


@pytest.fixture(scope="module")
def models(tmp_path_factory, tiny_model_folder):
    """A policy that looks, an adapter on it that unlearns to, and one that reads text only."""
    folder = tmp_path_factory.mktemp("policies")
    model, processor = looking_model()
    model.save_pretrained(folder / "looking")
    processor.save_pretrained(folder / "looking")
    shutil.copytree(tiny_model_folder, folder / "text")
    saved = type(model).from_pretrained(folder / "looking")
    adapter = get_peft_model(saved, LoraConfig(target_modules="all-linear", lora_alpha=200, init_lora_weights=False))
    adapter.save_pretrained(folder / "adapter")
    return folder


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def image_rows(folder, count=4):
    write_squares(folder / "squares")
    files = sorted((folder / "squares").iterdir())
    return [
        {
            "id": f"q{i}",
            "question": "Which colour?",
            "options": NAMES,
            "answer": i % 4,
            "image": f"squares/{files[i % 4].name}",
        }
        for i in range(count)
    ]


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "questions.jsonl", image_rows(tmp_path))


def test_a_vision_model_is_measured_with_its_images(models, data, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["--model", models / "looking", "--data", data, "--out", out, "--num_shuffles", 1, *PROMPT]
    assert run(*words) == 0
    printed = capsys.readouterr().out
    assert "modality_reliance/no_images" in printed
    record = json.loads((out / "evaluation.json").read_text())
    assert list(record["suites"])[-1] == "modality"  # by default, as there are images
    measured = record["suites"]["modality"]["looking"]
    assert (
        measured["accuracy_with/own_images"]["value"] == record["suites"]["accuracy"]["looking"]["accuracy"]["value"]
    )
    assert measured["accuracy_with/own_images"]["value"] == 1
    assert measured["modality_reliance/no_images"]["value"] == 0.75
    assert record["about"]["models"][0]["extra_generations"] == 4 * 3
    assert record["about"]["data"]["with_images"] == 4
    assert record["about"]["profile"]["media"]["num_frames"] == 16
    items = pd.read_parquet(out / "items.parquet")
    assert [list(paths) for paths in items.images[:2]] == [
        [str(tmp_path / "squares" / "00-red.png")],
        [str(tmp_path / "squares" / "01-green.png")],
    ]
    assert "Reliance on the images" in (out / "report.html").read_text()

    assert run(*words) == 0
    again = json.loads((out / "evaluation.json").read_text())
    assert again["about"]["models"][0]["cached_items"] >= 4 * 7  # nothing was asked again
    square("green").save(tmp_path / "squares" / "00-red.png")
    assert run(*words) == 0
    changed = json.loads((out / "evaluation.json").read_text())
    assert changed["suites"]["accuracy"]["looking"]["accuracy"]["value"] == 0.75


@pytest.mark.nightly  # test_local_images.py reads one
def test_an_adapter_is_loaded_on_its_base_with_the_bases_processor(models, data, tmp_path):
    out = tmp_path / "out"
    words = ["--model", models / "adapter", "--baseline", models / "looking", "--data", data, "--out", out, *PROMPT]
    assert run(*words, "--suite", "accuracy", "modality") == 0
    record = json.loads((out / "evaluation.json").read_text())
    assert [model["kind"] for model in record["about"]["models"]] == ["adapter", "model"]
    assert [model["extra_generations"] for model in record["about"]["models"]] == [12, 12]
    accuracy = {name: cells["accuracy"]["value"] for name, cells in record["suites"]["accuracy"].items()}
    assert accuracy["adapter"] < accuracy["looking"] == 1  # its random weights change the answers
    differences = {row["metric"]: row["difference"]["value"] for row in record["comparisons"]}
    assert differences["modality_reliance/no_images"] == pytest.approx(
        record["suites"]["modality"]["adapter"]["modality_reliance/no_images"]["value"] - 0.75
    )


def test_frames_of_a_video_are_read_as_the_command_line_says(models, tmp_path):
    write_squares(tmp_path / "clip", NAMES * 2)
    rows = [{"question": "Which colour?", "options": NAMES, "answer": "A", "video": "clip"}]
    data = write(tmp_path / "videos.jsonl", rows)
    out = tmp_path / "out"
    media = ["--num_frames", 3, "--frames_dir", tmp_path / "frames", "--video_as", "images"]
    words = ["--model", models / "looking", "--data", data, "--suite", "accuracy", "modality", "--out", out]
    assert run(*words, *media, *PROMPT) == 0
    record = json.loads((out / "evaluation.json").read_text())
    assert record["about"]["profile"]["media"]["num_frames"] == 3
    items = pd.read_parquet(out / "items.parquet")
    assert items.prompt[0].count("<|image_pad|>") == len(items.images[0]) == 3
    assert list(items.asked_with[0]) == ["own_images", "no_images", "blank_images", "shuffled_frames"]  # no donor
    assert record["suites"]["modality"]["looking"]["accuracy_with/other_images"]["value"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "text"], "Question 'q0' has images, and {models}/text reads text only."),
        (["--model", "looking", "--baseline", "text"], "Question 'q0' has images, and {models}/text reads text only."),
        (["--model", "looking", "--verifier", "text"], "`--verifier` reads text only, and question 'q0' has images."),
        (["--model", "looking", "--no-conversational"], "'q0' has images, which need messages"),
        (["--model", "looking", "--num_frames", "0"], "`num_frames`: Input should be greater than or equal to 1"),
        (["--reward_model", "looking", "--fps", "2"], "`--fps` does not go with `--reward_model`"),
    ],
)
def test_what_cannot_be_seen_is_one_sentence(models, data, tmp_path, capsys, words, message):
    named = [str(models / word) if word in ("text", "looking") else word for word in words]
    assert run(*named, "--data", data, "--out", tmp_path / "out", *PROMPT) == 1
    error = capsys.readouterr().err
    assert "Error: " in error
    assert message.format(models=models) in " ".join(error.split())


def test_the_suite_needs_images_and_a_vision_model_needs_its_processor(models, data, tmp_path, capsys):
    rows = [{name: value for name, value in row.items() if name != "image"} for row in image_rows(tmp_path)]
    text = write(tmp_path / "text.jsonl", rows)
    words = ["--model", models / "looking", "--out", tmp_path / "out", *PROMPT]
    assert run(*words, "--data", text, "--suite", "modality") == 1
    assert "changes the images of questions, and none in" in capsys.readouterr().err
    assert run(*words, "--data", text) == 0  # a vision-language model on text, as before
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert "modality" not in record["suites"]
    assert "with_images" not in record["about"]["data"]
    plain = tmp_path / "plain"  # the template in the tokenizer only, as some models save it
    shutil.copytree(models / "looking", plain)
    template = (plain / "chat_template.jinja").read_text()
    (plain / "chat_template.jinja").unlink()
    settings = json.loads((plain / "tokenizer_config.json").read_text())
    (plain / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": template}))
    assert run("--model", plain, "--data", data, "--suite", "accuracy", "--out", tmp_path / "plain out", *PROMPT) == 0
    record = json.loads((tmp_path / "plain out" / "evaluation.json").read_text())
    assert record["suites"]["accuracy"]["plain"]["accuracy"]["value"] == 1
    bare = tmp_path / "bare"
    shutil.copytree(models / "looking", bare, ignore=shutil.ignore_patterns("*processor_config.json"))
    assert run("--model", bare, "--data", data, "--out", tmp_path / "other", *PROMPT) == 1
    assert "has no processor to prepare them. Save it beside the model" in capsys.readouterr().err


def test_a_video_is_read_as_one_or_as_images(models, tmp_path, capsys):
    write_squares(tmp_path / "clip", NAMES * 2)
    rows = [{"question": "Which colour?", "options": NAMES, "answer": "A", "video": "clip"}]
    data = write(tmp_path / "videos.jsonl", rows)
    words = ["--data", data, "--suite", "accuracy", "--frames_dir", tmp_path / "frames", *PROMPT]
    for way, token, count in (("auto", "video", 1), ("images", "image", 8)):
        out = tmp_path / way
        assert run("--model", models / "looking", *words, "--video_as", way, "--out", out) == 0
        assert pd.read_parquet(out / "items.parquet").prompt[0].count(f"<|{token}_pad|>") == count
    blind = tmp_path / "blind"
    shutil.copytree(models / "looking", blind)
    template = (blind / "chat_template.jinja").read_text()
    (blind / "chat_template.jinja").write_text(template.replace("video", "film"))
    assert run("--model", blind, *words, "--video_as", "video", "--out", tmp_path / "refused") == 1
    error = " ".join(capsys.readouterr().err.split())
    assert "reads a video as images: its processor or its chat template has no path for one" in error
    assert "Give `--video_as images`." in error
    assert run("--model", blind, *words, "--out", tmp_path / "as images") == 0
    square("red").resize((40, 40)).save(tmp_path / "clip" / "07-yellow.png")
    assert run("--model", models / "looking", *words, "--out", tmp_path / "sizes") == 1
    error = " ".join(capsys.readouterr().err.split())
    assert "the frames of the video have several sizes" in error
    assert "Give them one size, or set `video_as: images`." in error
