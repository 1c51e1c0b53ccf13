import json
import re

import pytest
import torch
import transformers
import yaml
from clips import write_clip
from datasets import Dataset, Image
from packaging.version import Version
from pair_recipe import write_rows
from scenes import COLOURS, square
from tiny import tiny_vl_model_and_processor
from trained import logged, weights
from trl import SFTTrainer

from align.assets import find_recipe
from align.checks.launch import Launch
from align.cli.app import app
from align.data.demonstration_adapters import video_r1_cot
from align.data.demonstrations import load_demonstrations
from align.data.media.video import VideoMetadata
from align.errors import DataError
from align.methods.sft.config import SFTConfig
from align.methods.sft.trainer import CountedSFTTrainer
from align.models.videos import Video
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare

pytest.importorskip("torchvision", reason="needs the extra `vision`")

SMALL = {
    "bf16": False, "use_cpu": True, "report_to": "none", "save_strategy": "no", "disable_tqdm": True, "max_steps": 2,
    "gradient_checkpointing": False, "per_device_train_batch_size": 4, "learning_rate": 1e-2, "logging_steps": 1,
    "max_length": None,
}  # fmt: skip
TIMES = {"total_num_frames": 8, "fps": 2.0, "frames_indices": [0, 2, 4, 6]}


def turns(i, form):
    user, assistant = {"role": "user", "content": f"q{i}?"}, {"role": "assistant", "content": f"It is {i}."}
    if form == "messages":
        return {"messages": [user, assistant]}
    return {"prompt": [user], "completion": [assistant]}


def make_trainer(folder, rows, trainer=CountedSFTTrainer, family="qwen2_5_vl", **settings):
    model, processor = tiny_vl_model_and_processor(family=family)
    data = Dataset.from_list(rows).cast_column("images", [Image()])
    args = SFTConfig(output_dir=str(folder), **SMALL, **settings)
    return trainer(model, args=args, train_dataset=data, processing_class=processor)


@pytest.mark.parametrize("form", ["messages", "prompt"])
def test_rows_with_images_are_trained_on_as_trl_does_to_the_last_bit(tmp_path, form):
    rows = [turns(i, form) | {"images": [square(list(COLOURS)[i % 4])] if i % 3 else []} for i in range(8)]
    ours, theirs = (make_trainer(tmp_path, rows, kind) for kind in (CountedSFTTrainer, SFTTrainer))
    for trainer in (ours, theirs):
        trainer.train()
    assert logged(ours) == logged(theirs)
    assert len(logged(ours)) == 2
    assert torch.equal(weights(ours), weights(theirs))


@pytest.mark.skipif(Version(transformers.__version__) < Version("5.18"), reason="its masks are wrong beside images")
def test_answers_alone_are_learnt_from_beside_images(tmp_path):
    rows = [turns(i, "messages") | {"images": [square("red")] if i % 3 else []} for i in range(4)]
    trainer = make_trainer(tmp_path, rows, assistant_only_loss=True)
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(4)])
    learnt = [trainer.processing_class.tokenizer.decode(labels[labels != -100]) for labels in batch["labels"]]
    assert learnt == [f"It is {i}.<|im_end|>\n" for i in range(4)]


@pytest.mark.parametrize(
    ("form", "family"), [("messages", "qwen2_5_vl"), ("prompt", "qwen2_5_vl"), ("prompt", "qwen3_vl")]
)
def test_the_model_reads_what_its_processor_makes_of_the_video(tmp_path, form, family):
    films = [[square(list(COLOURS)[(i + k) % 4]) for k in range(4)] for i in range(4)]
    rows = [turns(i, form) | {"images": film, "video_metadata": TIMES} for i, film in enumerate(films)]
    trainer = make_trainer(tmp_path, rows, family=family)
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(4)])
    _, processor = tiny_vl_model_and_processor(family=family)
    conversations = [
        [
            {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": f"q{i}?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": f"It is {i}."}]},
        ]
        for i in range(4)
    ]
    own = processor(
        text=processor.apply_chat_template(conversations, tokenize=False),
        videos=[Video(tuple(film), VideoMetadata.of(TIMES)).array() for film in films],
        video_metadata=[dict(TIMES) for _ in films],
        do_sample_frames=False,
        padding=True,
        padding_side="right",
        return_tensors="pt",
    )
    for name, value in own.items():
        assert torch.equal(torch.as_tensor(batch[name]), torch.as_tensor(value)), name
    assert (batch["labels"] != -100).any()
    trainer.train()
    assert all(map(torch.isfinite, torch.tensor(logged(trainer))))


def test_rows_of_video_r1_are_asked_as_acre_asks():
    row = {
        "problem": "What moves?", "problem_type": "multiple choice", "options": ["A. red", "B. blue"],
        "process": "<think>It is blue.</think>", "solution": "<answer>B</answer>", "data_type": "video",
        "path": "a.mp4",
    }  # fmt: skip
    read = video_r1_cot(row)
    template = load_recipe(find_recipe("acre/qwen2.5-vl-7b")).dataset.prompt_template
    asked = template.replace("{question}", "What moves?").replace("{options}", "A. red\nB. blue")
    assert read["prompt"] == [{"role": "user", "content": asked}]
    assert read["video"] == "a.mp4"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": "q?", "completion": "a", "image": "a.png"}, "column `prompt`: images have no place"),
        (turns(0, "messages") | {"image": "none.png"}, "column `image`: the image file does not exist"),
        (turns(0, "messages") | {"video": "rows.jsonl"}, "column `video`: the video gives no frames"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}] * 2}, turns(0, "messages")["messages"][1]]}
            | {"image": "a.png"},
            "column `messages`: the prompt has 2 places for images, and the row has 1",
        ),
        (
            turns(0, "prompt") | {"image": "a.png"}
            | {"completion": [{"role": "assistant", "content": "<image>"}]},
            "column `completion`: the text has a placeholder for an image",
        ),
        (
            {"messages": [{"role": "user", "content": "q?"}, {"role": "assistant", "content": [{"type": "image"}] }]},
            "an assistant message",
        ),
    ],
)  # fmt: skip
def test_a_row_whose_images_cannot_be_shown_is_refused_in_a_sentence(tmp_path, row, words):
    square("red").save(tmp_path / "a.png")
    with pytest.raises(DataError, match=re.escape(words)):
        load_demonstrations(write_rows(tmp_path / "rows.jsonl", [row]))


@pytest.fixture
def check(tmp_path, tiny_model_folder):
    def run(rows, eval_rows=None, **settings):
        square("red").save(tmp_path / "a.png")
        dataset = {"path": str(write_rows(tmp_path / "rows.jsonl", rows))}
        if eval_rows:
            dataset["eval_path"] = str(write_rows(tmp_path / "eval.jsonl", eval_rows))
        content = {"method": "sft", "model_name_or_path": str(tiny_model_folder), "use_cpu": True, "bf16": False}
        content |= {"dataset": dataset, "per_device_train_batch_size": 2, "truncation_mode": "keep_start"}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content | settings))
        found = prepare(load_recipe(tmp_path / "recipe.yaml"), Launch()).findings
        return " ".join(each.text for each in found if each.level == "error")

    return run


PLAIN = [turns(i, "prompt") for i in range(4)]
SHOWN = [row | {"image": "a.png"} for row in PLAIN]
TALKS = [turns(i, "messages") | {"image": "a.png"} for i in range(4)]


@pytest.mark.parametrize(
    ("rows", "settings", "words"),
    [
        (SHOWN, {"packing": True}, "Rows have images, and `packing: true` joins rows. Remove it."),
        (SHOWN, {"padding_free": True, "max_length": None}, "`padding_free: true` joins rows"),
        (SHOWN, {"truncation_mode": "keep_end"}, "`truncation_mode: keep_end` may cut images off"),
        (SHOWN, {"pad_to_multiple_of": 8}, "`pad_to_multiple_of` does not go with `prompt` and `completion`"),
        (SHOWN, {"assistant_only_loss": True}, "`assistant_only_loss: true` needs `messages` and transformers 5.18"),
        ([row | {"tools": [{"name": "sum"}]} for row in TALKS], {}, "TRL does not give `tools` to the chat template"),
        (SHOWN, {}, "4 of 4 rows have images and "),
        (PLAIN, {"eval_rows": SHOWN}, "The rows for evaluation have images and those for training have none"),
    ],
)  # fmt: skip
def test_what_trl_does_not_do_beside_images_is_told_before_a_model_is_loaded(check, rows, settings, words):
    assert words in check(rows, **settings)


@pytest.mark.slow
def test_demonstrations_about_videos_are_checked_and_trained_on(tmp_path, capsys):
    pytest.importorskip("av", reason="needs the extra `vision`")
    for part in tiny_vl_model_and_processor():
        part.save_pretrained(tmp_path / "model")
    rows = []
    for i in range(4):
        write_clip(tmp_path / f"{i}.mp4", 12, fps=4, size=(64, 32))
        made = {"problem": f"q{i}?", "problem_type": "numerical", "process": "<think>So.</think>", "options": None}
        rows.append(made | {"solution": f"<answer>{i}</answer>", "data_type": "video", "path": f"{i}.mp4"})
    write_rows(tmp_path / "rows.jsonl", rows)
    dataset = {"path": "./rows.jsonl", "adapter": "video_r1_cot", "num_frames": 6, "frames_dir": str(tmp_path / "f")}
    content = {"method": "sft", "model_name_or_path": "./model", "output_dir": str(tmp_path / "run")}
    content |= {"dataset": dataset, **SMALL, "max_length": 512}
    recipe = tmp_path / "recipe.yaml"

    def run(command, **more):
        recipe.write_text(json.dumps(content | more))
        code = app([command, str(recipe)], standalone_mode=False) or 0
        return code, " ".join(capsys.readouterr().out.split())

    code, said = run("check", max_length=8)
    assert code == 1, said
    assert "The images of 4 demonstrations do not fit into `max_length` = 8: rows-1, rows-2" in said
    code, said = run("check")
    assert (code, "4 prompts have 1 to 1 images of 6 to 6 tokens" in said) == (0, True)  # 3 patches of pairs
    assert run("train")[0] == 0
