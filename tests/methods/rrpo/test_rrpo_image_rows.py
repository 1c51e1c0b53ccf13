import json

import pytest
import torch
from datasets import Dataset
from pair_recipe import write_pair_recipe
from peft import LoraConfig
from scenes import square, write_squares
from test_rrpo_images import (
    LANGUAGE_MODEL,
    SMALL,
    both_families,
    logged,
    make_dataset,
    make_rows,
    make_trainer,
    marked_texts,
    pair,
)
from tiny import tiny_vl_model_and_processor

from align.data.conversations import as_written
from align.errors import DataError
from align.methods.rrpo.config import RRPOConfig
from align.methods.rrpo.spans import ImageTokens, mark_vision_dataset
from align.services.train import run
from align.training.row_sets import check_all_have_images

PIL = pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
pytest.importorskip("torchvision", reason="needs the extra `vision`")


@pytest.mark.by_day("qwen2_5_vl")
@both_families
def test_the_pairs_left_out_are_those_whose_marks_max_length_cuts_off(tmp_path, family):
    rows = [*make_rows(4), pair(4, images=0)]
    rows[1]["images"][0] = square(size=112)  # other sizes make other lengths
    trainer = make_trainer(tmp_path, family, rows)
    spans = trainer.data_collator([trainer.train_dataset[i] for i in range(len(rows))])["span_mask"]
    first = spans.argmax(-1).view(2, -1).min(0).values.tolist()  # the first marked token of each pair
    assert len(set(first)) > 2
    for max_length in (min(first), max(first), min(first) + 1, max(first) + 1):
        config = RRPOConfig(**SMALL | {"output_dir": str(tmp_path), "max_length": max_length})
        kept = mark_vision_dataset(
            make_dataset(rows), trainer._marker(trainer.processing_class, config, "train"), config
        )
        assert [as_written(prompt) for prompt in kept["prompt"]] == [
            row["prompt"] for row, place in zip(rows, first, strict=True) if place < max_length
        ]
    left_out = sum(place >= max(first) for place in first)
    short = make_trainer(tmp_path, family, rows, max_length=max(first))
    assert short.num_left_out == {"train": left_out}
    short.train()
    with pytest.raises(DataError, match="No pair of the train dataset has a marked token within `max_length` = 9"):
        make_trainer(tmp_path, family, rows, max_length=9)


@pytest.mark.parametrize("orientation", [1, 6], ids=["upright", "turned"])
def test_the_tokens_of_an_image_are_counted_from_its_size(tmp_path, orientation):
    processor = tiny_vl_model_and_processor(family="idefics3")[1]
    processor.image_processor.do_image_splitting = True  # tiles in rows and columns, with a token after each row
    processor.image_processor.size["longest_edge"] = 224
    exif = PIL.Exif()
    exif[0x0112] = orientation
    PIL.new("RGB", (224, 112)).save(tmp_path / "wide.jpg", exif=exif)
    image = make_dataset([pair(0) | {"images": [str(tmp_path / "wide.jpg")]}])[0]["images"][0]  # as training reads it
    assert image.size == ((224, 112) if orientation == 1 else (112, 224))
    tokens = len(processor(text=["<image>"], images=[[image]])["input_ids"][0])
    content = (tmp_path / "wide.jpg").read_bytes()
    for form in (image, str(tmp_path / "wide.jpg"), {"bytes": content, "path": None}):
        assert ImageTokens(processor).count(form) == tokens - 1


def test_pairs_with_nothing_to_mark_are_left_out_or_kept_as_dpo(tmp_path):
    spans = {"chosen_spans": [], "rejected_spans": []}
    rows = [pair(0) | spans, pair(1) | dict.fromkeys(spans)]
    trainer = make_trainer(tmp_path, "qwen2_5_vl", rows)
    assert (len(trainer.train_dataset), trainer.num_left_out) == (1, {"train": 1})
    trainer = make_trainer(tmp_path, "qwen2_5_vl", rows, on_missing_spans="whole")
    assert trainer.num_left_out == {"train": 0}
    assert marked_texts(trainer)[0].startswith("It is red, yes.")


@pytest.mark.by_day("idefics3")
@both_families
def test_rows_with_and_without_images_train_together(tmp_path, family):
    rows = [pair(i, images=i % 3) for i in range(6)]
    trainer = make_trainer(tmp_path, family, rows, per_device_train_batch_size=2, max_steps=3)
    trainer.train()
    assert len(logged(trainer)) == 3
    for order in ([0, 1], [1, 0], [0, 3], [2, 0]):
        batch = trainer.data_collator([trainer.train_dataset[i] for i in order])
        assert torch.isfinite(trainer.compute_loss(trainer.model, batch))


def test_one_image_may_stand_in_a_column_of_its_own(tmp_path):
    rows = [pair(i) for i in range(4)]
    single = [{name: row[name] for name in row if name != "images"} | {"image": row["images"][0]} for row in rows]
    batches = [
        trainer.data_collator([trainer.train_dataset[i] for i in range(4)])
        for trainer in (make_trainer(tmp_path, "qwen2_5_vl", data) for data in (rows, Dataset.from_list(single)))
    ]
    for name, value in batches[0].items():
        assert value.equal(batches[1][name]), name


def test_evaluation_reads_images_too_where_there_are_some(tmp_path):
    shown, texts = make_dataset(make_rows(4)), make_dataset(make_rows(4)).remove_columns("images")
    trainer = make_trainer(tmp_path, "qwen2_5_vl", eval_dataset={"shown": shown, "texts": texts})
    assert trainer.num_left_out == {"train": 0, "shown": 0, "texts": 0}
    prepared = trainer.evaluate()
    given = trainer.evaluate(shown)
    losses = prepared["eval_shown_loss"], prepared["eval_texts_loss"], given["eval_loss"]
    assert losses == pytest.approx((0.693147,) * 3, abs=1e-5)
    logps = logged(trainer, "eval_logps/chosen")
    assert logps[0] == logps[2] != logps[1]


@pytest.mark.by_day("qwen2_5_vl")
@both_families
def test_an_adapter_can_stay_in_the_language_model(tmp_path, family):
    config = LoraConfig(r=4, target_modules=LANGUAGE_MODEL, task_type="CAUSAL_LM")
    trainer = make_trainer(tmp_path, family, peft_config=config)
    trainer.train()
    trained = [name for name, parameter in trainer.model.named_parameters() if parameter.requires_grad]
    assert trained
    assert not any("vision" in name or "visual" in name for name in trained)
    assert logged(trainer, "rrpo/kl_chosen")[1] > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": "q?", "chosen": "a cat", "rejected": "a dog"}, "row 2, column `prompt`: images have no place"),
        ({"chosen": [{"role": "assistant", "content": "It is <|image_pad|>."}]}, "row 2, column `chosen`: the respon"),
        ({"images": [{"bytes": b"no image", "path": None}]}, "row 2, column `images`: an image cannot be read"),
    ],
    ids=["texts", "placeholder", "broken image"],
)
def test_rows_that_would_stop_the_training_are_named_before_it(tmp_path, change, message):
    rows = [pair(0), pair(1) | change]
    if "prompt" in change:
        rows[0] = {"prompt": "q?", "chosen": "a b", "rejected": "a c", "images": []}
        message = message.replace("row 2", "row 1")
    with pytest.raises(DataError, match=message):
        make_trainer(tmp_path, "qwen2_5_vl", rows, max_length=256)


def test_images_that_only_the_evaluation_has_are_refused(tmp_path):
    rows = [{name: row[name] for name in row if name != "images"} for row in make_rows(4)]
    with pytest.raises(DataError, match="The eval dataset has the column `images` and the train dataset has none"):
        make_trainer(tmp_path, "qwen2_5_vl", Dataset.from_list(rows), eval_dataset=make_dataset(make_rows(4)))


def test_processes_that_share_weights_need_images_in_every_row(tmp_path):
    trainer = make_trainer(tmp_path, "qwen2_5_vl", [pair(0), pair(1, images=0)])
    with pytest.raises(DataError, match="Some rows of the train dataset have images and some have none"):
        check_all_have_images(trainer.train_dataset, "train")
    check_all_have_images(trainer.train_dataset.select([1]), "train")


@pytest.fixture(scope="module")
def vl_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vl") / "model"
    for part in tiny_vl_model_and_processor():
        part.save_pretrained(folder)
    return folder


def test_align_train_reads_pairs_with_images_and_trains_the_language_model(tmp_path, vl_folder):
    paths = write_squares(tmp_path / "images")
    rows = [{"id": f"p{i}"} | pair(i, images=0) | {"images": [paths[i % 4]]} for i in range(8)]
    settings = {"use_peft": True, "lora_r": 4, "lora_target_modules": LANGUAGE_MODEL, "max_length": 256}
    recipe = write_pair_recipe(
        tmp_path, vl_folder, rows, max_steps=2, eval_strategy="steps", eval_steps=2, **settings,
        dataset={"eval_path": "./train.jsonl"},
    )  # fmt: skip
    assert run(str(recipe), [], None) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "rrpo/kl_chosen" in line] == [1, 2]
    assert [line["step"] for line in lines if "eval_rrpo/kl_chosen" in line] == [2]
    assert (tmp_path / "run" / "processor_config.json").is_file() or (tmp_path / "run" / "preprocessor_config.json")
