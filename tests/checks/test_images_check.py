import json
from dataclasses import replace

import pytest
from clips import write_clip
from pair_recipe import as_messages, fact_pairs, write_pair_recipe
from trl.data_utils import prepare_multimodal_messages

from align.checks.finding import Finding
from align.checks.images import check_images, check_letters
from align.checks.launch import Launch
from align.checks.lengths import check_lengths
from align.data import load_questions
from align.methods import METHODS
from align.models.videos import as_video, video_reading
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare

pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
from PIL import Image

SIZES = {"square.png": (56, 56), "wide.png": (200, 100), "odd.png": (61, 97), "small.png": (20, 30)}
GOOD = {"question": "Which colour?", "options": ["red", "green"], "answer": 0}
MESSAGES = {"conversational": True}


def save_family(folder, family):
    from tiny import tiny_vl_model_and_processor

    model, processor = tiny_vl_model_and_processor(family=family)
    model.config.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    return save_family(tmp_path_factory.mktemp("qwen"), "qwen2_5_vl")


@pytest.fixture(scope="module")
def idefics(tmp_path_factory):
    return save_family(tmp_path_factory.mktemp("idefics"), "idefics3")


@pytest.fixture
def recipe(tiny_recipe, tmp_path):
    """Writes questions and their images, and loads a recipe with them."""

    def make(model, *questions, dataset=MESSAGES, **changes):
        for name, size in SIZES.items():
            Image.new("RGB", size).save(tmp_path / name)
        path = tiny_recipe(model_name_or_path=str(model), dataset=dataset, **changes)
        rows = questions or [GOOD | {"images": list(SIZES)}, GOOD, GOOD | {"image": "wide.png"}]
        (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return load_recipe(path)

    return make


def load(recipe) -> list[dict]:
    return METHODS[recipe.method].part("load")(recipe).rows


def check(recipe) -> list[Finding]:
    method = METHODS[recipe.method]
    return method.part("check")(recipe, method.part("load")(recipe), [])


def about(findings, name):
    return [finding for finding in findings if finding.check == name]


def processed_length(folder, row):
    """Counts what the real processor makes of a row."""
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    images = [Image.open(path) for path in row["images"]]
    messages = prepare_multimodal_messages(row["prompt"], images=images)
    text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    return len(processor(text=[text], images=[images])["input_ids"][0])


@pytest.mark.parametrize("family", ["qwen", "idefics"])
def test_prompts_with_images_have_the_lengths_of_the_processor(recipe, request, family):
    folder = request.getfixturevalue(family)
    made = recipe(folder)
    rows = load(made)
    expected = max(processed_length(folder, row) for row in rows if row["images"])
    found = check_images(made, rows)
    (finding,) = check_lengths(made, rows, found.tokens)
    assert finding.level in ("ok", "warning")  # this configuration of Idefics3 names no window
    assert finding.numbers["max"] == expected
    assert found.tokens[1] == 0
    assert found.findings[0].numbers["max_images"] == 4


def test_images_that_do_not_fit_the_window_are_an_error_with_the_remedy(recipe, qwen, tmp_path):
    made = recipe(qwen)
    longest = about(check(made), "lengths")[0].numbers["max"]
    config = json.loads((qwen / "config.json").read_text())
    for room, level in ((longest + 8, "ok"), (longest + 7, "error")):
        small = tmp_path / f"model-{room}"
        save_family(small, "qwen2_5_vl")
        config["text_config"]["max_position_embeddings"] = room
        (small / "config.json").write_text(json.dumps(config))
        (finding,) = about(check(recipe(small)), "lengths")
        assert finding.level == level
    assert "Lower `dataset.max_pixels` or `dataset.num_frames`" in finding.text


def test_smaller_images_take_fewer_tokens(recipe, qwen, tmp_path):
    row = GOOD | {"images": ["wide.png", "odd.png"]}
    (large,) = about(check(recipe(qwen, row)), "images")
    frames = {"max_pixels": 900, "frames_dir": str(tmp_path / "frames")}
    (small,) = about(check(recipe(qwen, row, dataset=MESSAGES | frames)), "images")
    assert (large.numbers["max"], small.numbers["max"]) == (2 + 2, 2 + 1)
    assert "1 prompts have 2 to 2 images of 2 to 2 tokens" in large.text


def test_a_model_that_reads_text_only_is_an_error(recipe):
    (finding,) = about(check(recipe("./model")), "images")
    assert finding.level == "error"
    assert finding.text.startswith("2 of 3 rows have images and ")
    assert "reads text only. Name a vision-language model" in finding.text
    assert about(check(recipe("./model", GOOD, GOOD)), "images") == []


def test_a_model_without_a_processor_and_prompts_that_are_texts_are_errors(recipe, qwen, tmp_path):
    (tmp_path / "bare").mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "bare" / name).write_bytes((qwen / name).read_bytes())
    (finding,) = about(check(recipe(tmp_path / "bare")), "images")
    assert finding.level == "error"
    assert "neither processor_config.json nor preprocessor_config.json" in finding.text
    (finding,) = about(check(recipe(qwen, dataset={})), "images")
    assert finding.level == "error"
    assert "Set `dataset.conversational: true`" in finding.text


def test_a_missing_extra_is_an_error_with_the_line_that_installs_it(recipe, qwen, monkeypatch):
    made = recipe(qwen)
    monkeypatch.setattr("rewards.extras.is_installed", lambda name: name != "torchvision")
    (finding,) = about(check(made), "images")
    assert finding.level == "error"
    assert finding.fix == 'pip install "truealign[vision]"'


def test_what_cannot_be_told_is_said(recipe, qwen, tmp_path):
    (tmp_path / "other").mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "other" / name).write_bytes((qwen / name).read_bytes())
    (tmp_path / "other" / "preprocessor_config.json").write_text('{"image_processor_type": "OwnImageProcessor"}')
    (finding,) = about(check(recipe(tmp_path / "other")), "images")
    assert finding.level == "warning"
    assert "The tokens that an image takes are unknown: its processor does not tell" in finding.text
    (finding,) = about(check(recipe("owner/not-here")), "images")
    assert finding.level == "warning"
    assert "is not on this machine" in finding.text


def test_an_image_that_the_processor_would_refuse_is_an_error(recipe, qwen, tmp_path):
    made = recipe(qwen, GOOD | {"image": "thin.png", "id": "thin"}, GOOD | {"image": "square.png"})
    Image.new("RGB", (500, 2)).save(tmp_path / "thin.png")
    _, finding = about(check(made), "images")
    assert finding.level == "error"
    assert "stop at the images of 1 rows; 'thin': absolute aspect ratio must be smaller than 200" in finding.text


SPOKEN = [
    "Which object is labelled A?", "Is the point marked (B) higher than the line?", "Which option C is it?",
    "What is the name of the box labeled as 'D'?",
]  # fmt: skip
PLAIN = ["Which colour is it?", "What did a man do with the marked card?", "Which vitamin A?", "Labelled as what?"]


def test_letters_that_may_stand_in_the_picture_are_warned_about_with_their_rows(recipe, qwen, tmp_path):
    letters = [GOOD | {"options": ["(A)", "(B)", "C."], "image": "wide.png", "answer": 1}]
    spoken = [GOOD | {"question": question, "image": "wide.png"} for question in SPOKEN]
    plain = [GOOD | {"question": question, "image": "wide.png"} for question in PLAIN]
    unseen = [GOOD | {"question": question} for question in SPOKEN]
    made = recipe(qwen, *plain, *letters, *spoken, *unseen)
    _, finding = about(check(made), "images")
    assert finding.level == "warning"
    assert finding.numbers["rows"] == [5, 6, 7, 8, 9]
    assert finding.text.startswith(
        "5 of 9 questions with images speak of letters that may stand in the picture: row 5"
    )
    assert "not read" in finding.text
    assert check_letters(load_questions(made.dataset.path)[0][:4]) == []


def test_videos_are_counted_by_their_frames(recipe, qwen, tmp_path):
    pytest.importorskip("av", reason="needs the extra `vision`")
    from clips import write_clip

    write_clip(tmp_path / "clip.mp4", 12, size=(64, 64))
    dataset = MESSAGES | {"num_frames": 5, "frames_dir": str(tmp_path / "frames")}
    for way, count, tokens in (("images", 5, 20), ("auto", 1, 12)):  # 56 x 56, 2 x 2 tokens, of two frames each
        made = recipe(qwen, GOOD | {"video": "clip.mp4"}, dataset=dataset | {"video_as": way})
        (finding,) = about(check(made), "images")
        assert finding.numbers == {"prompts": 1, "max_images": count, "mean": tokens, "max": tokens}


def shown_pairs(tmp_path):
    Image.new("RGB", (56, 56)).save(tmp_path / "square.png")
    return [as_messages(row) | {"images": ["square.png"] * 3} for row in fact_pairs(3)]


def test_pairs_count_their_images_against_max_length(qwen, tmp_path):
    def findings(**changes):
        made = load_recipe(write_pair_recipe(tmp_path, qwen, shown_pairs(tmp_path), **changes))
        return check(made)

    (lengths,) = about(findings(max_length=None), "lengths")
    (images,) = about(findings(max_length=None), "images")
    assert images.numbers["max"] == 3 * 4
    longest = lengths.numbers["max"]
    row = load(load_recipe(tmp_path / "recipe.yaml"))[0]
    assert longest == processed_length(qwen, row | {"prompt": [*row["prompt"], *row["chosen"]]}) - generation_prompt(
        qwen
    )
    (fits,) = about(findings(max_length=longest), "lengths")
    assert fits.level == "ok"
    (cut,) = about(findings(max_length=longest - 1), "lengths")
    assert "have an end without marks cut off" in cut.text
    assert "Lower `dataset.max_pixels` or `dataset.num_frames`, or raise `max_length`" in cut.text
    (gone,) = about(findings(max_length=20), "lengths")
    assert gone.level == "error"
    assert "the prompt alone fills `max_length`" in gone.text


def generation_prompt(folder):
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    messages = [{"role": "user", "content": [{"type": "text", "text": "q"}]}]
    lengths = [
        len(processor.tokenizer(processor.apply_chat_template(messages, add_generation_prompt=add, tokenize=False))[0])
        for add in (True, False)
    ]
    return lengths[0] - lengths[1]


def test_broken_images_stop_a_recipe_or_are_left_out(recipe, qwen, tmp_path):
    made = recipe(qwen, GOOD | {"image": "square.png"}, GOOD | {"image": "broken.png"}, GOOD)
    (tmp_path / "broken.png").write_bytes((tmp_path / "square.png").read_bytes()[:50])
    (finding,) = [found for found in prepare(made, Launch()).errors if found.check == "data"]
    assert "1 of 3 rows" in finding.text
    assert "row 2, column `image`: the image cannot be read, or is not whole" in finding.text
    skipping = load_recipe(made.path, ["--dataset.on_bad_rows", "skip"])
    (left_out,) = [found for found in check(skipping) if found.check == "data" and "left out (" in found.text]
    assert "1 x the image cannot be read" in left_out.text


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory):
    return save_family(tmp_path_factory.mktemp("qwen3"), "qwen3_vl")


def video_questions(folder, recipe, model, **dataset):
    write_clip(folder / "clip.mp4", 24, fps=4, size=(64, 32))
    made = recipe(model, GOOD | {"video": "clip.mp4"}, GOOD | {"image": "wide.png"}, dataset=MESSAGES | dataset)
    return made, load(made)


@pytest.mark.parametrize("family", ["qwen", "qwen3"])
def test_prompts_with_videos_have_the_lengths_of_the_processor(recipe, request, family, tmp_path):
    from transformers import AutoProcessor

    folder = request.getfixturevalue(family)
    made, rows = video_questions(tmp_path, recipe, folder, num_frames=8, frames_dir=str(tmp_path / "frames"))
    processor = video_reading(AutoProcessor.from_pretrained(folder))
    row = as_video(rows[0])
    messages = prepare_multimodal_messages(row["prompt"], images=row["images"])
    text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    expected = len(processor(text=[text], images=[row["images"]])["input_ids"][0])
    found = check_images(made, rows)
    (length,) = about(check_lengths(made, rows, found.tokens), "lengths")
    assert length.numbers["max"] == expected
    as_images, same_rows = video_questions(
        tmp_path, recipe, folder, num_frames=8, frames_dir=str(tmp_path / "frames"), video_as="images"
    )
    more = check_images(as_images, same_rows).tokens
    if family == "qwen":
        assert more[0] == 2 * found.tokens[0]
    assert more[1] == found.tokens[1]


def test_what_reads_a_video_as_images_is_said(recipe, qwen, idefics, tmp_path):
    frames = {"num_frames": 3, "frames_dir": str(tmp_path / "frames")}
    for how, level in (("auto", "ok"), ("video", "error")):
        made, rows = video_questions(tmp_path, recipe, idefics, video_as=how, **frames)
        (said,) = [each for each in about(check_images(made, rows).findings, "images") if "as images" in each.text]
        assert said.level == level
        assert "reads a video as images: its processor or its chat template has no path for one" in said.text
        assert ("Set `dataset.video_as: images`." in said.text) == (how == "video")
    made, rows = video_questions(tmp_path, recipe, idefics, video_as="images", **frames)
    assert not [each for each in check_images(made, rows).findings if "as images" in each.text]
    made, rows = video_questions(tmp_path, recipe, qwen, **frames)
    assert not [each for each in check_images(made, rows).findings if "as images" in each.text]
    with_tools = replace(made, settings=made.settings.model_copy(update={"tools": ["./mine.py:price"]}))
    (said,) = [each for each in check_images(with_tools, rows).findings if "beside tools" in each.text]
    assert (said.level, "Set `dataset.video_as: images`." in said.text) == ("error", True)
