import pandas as pd
import pytest
import torch
from datasets import Dataset
from scenes import COLOURS, square
from test_acre_images import SETTINGS, TEMPLATE, Answered, by_length
from tiny import tiny_vl_model_and_processor
from trained import logged, weights
from transformers import AutoProcessor
from trl import GRPOConfig, GRPOTrainer

from align.errors import DataError
from align.methods.acre.config import ACREConfig
from align.methods.acre.trainer import ACRETrainer
from align.methods.rollouts.asked_rows import score_with_videos
from align.models.videos import Video, place_in_time, reads_videos, video_of, video_reading
from rewards import AnswerConsistency

pytest.importorskip("torchvision", reason="needs the extra `vision`")


def rows(count=4):
    """Questions about videos of five, four and three frames, and one about an image."""
    made = []
    for i in range(count):
        frames = [square(list(COLOURS)[(i + k) % 4]) for k in range(5 - i)] if i < 3 else [square("red")]
        metadata = {"total_num_frames": 10, "fps": 4.0, "frames_indices": list(range(0, 2 * len(frames), 2))}
        options = [str(n) for n in range(10 + i, 14 + i)]
        row = {"question": f"q{i}?", "options": options, "answer": i % 4, "images": frames}
        row |= {"prompt": TEMPLATE.render(f"q{i}?", options), "video_metadata": metadata if i < 3 else None}
        made.append(row)
    return made


class Seen(Answered):
    """Keeps the rows of second passes, and what rewards are told."""

    def _score(self, questions, dummy=None):
        self.asked = questions
        return super()._score(questions, dummy)


class VideoGRPO(GRPOTrainer):
    """TRL's, which is given videos."""

    def _generate_and_score_completions(self, inputs):
        return score_with_videos(self, super()._generate_and_score_completions, inputs)


def make_trainer(folder, trainer=Seen, family="qwen2_5_vl", rewards=None, **settings):
    model, processor = tiny_vl_model_and_processor(family=family)
    own = issubclass(trainer, ACRETrainer)
    config = (ACREConfig if own else GRPOConfig)(output_dir=str(folder), **SETTINGS | settings)
    return trainer(
        model,
        reward_funcs=rewards or [AnswerConsistency()],
        args=config,
        train_dataset=Dataset.from_list(rows()),
        processing_class=processor,
        **({"render_prompt": TEMPLATE.render} if own else {}),
    )


def read_alone(model, processor, row, prompt, completion):
    """Log-probabilities of a completion by the model under its own names, one row at a time."""
    reading = video_reading(processor)
    metadata = video_of(row)
    items = row["images"] if metadata is None else [Video(tuple(row["images"]), metadata)]
    parts = [*({"type": "image", "image": each} for each in items), {"type": "text", "text": prompt}]
    how = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
    fields = dict(reading.apply_chat_template([[{"role": "user", "content": parts}]], **how))
    ids = torch.cat([fields["input_ids"], completion[None]], dim=1)
    types = torch.nn.functional.pad(fields["mm_token_type_ids"], (0, len(completion)))
    given = fields | {"input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": types}
    logits = model(**given).logits[0, -len(completion) - 1 : -1]
    return logits.log_softmax(-1).gather(1, completion[:, None])[:, 0]


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_the_policy_reads_a_video_as_one_when_it_writes_is_scored_and_answers_again(tmp_path, family):
    told = []

    def look(completions, images, video_metadata, **_):
        told.append(([len(each) for each in images], video_metadata))
        return by_length(completions)

    trainer = make_trainer(
        tmp_path, family=family, rewards=[AnswerConsistency(), look], shuffle_dataset=False, learning_rate=0.0,
        skip_without_advantage="off", per_device_train_batch_size=16,
    )  # fmt: skip
    trainer.train()
    assert len(logged(trainer)) == 2
    trainer.save_model(str(tmp_path / "saved"))
    assert reads_videos(AutoProcessor.from_pretrained(tmp_path / "saved"))
    assert told[0][0] == [5] * 4 + [4] * 4 + [3] * 4 + [1] * 4  # rewards are shown the frames
    videos = [row.images for row in trainer.asked if "pixel_values_videos" in row.images]
    assert videos
    assert all(fields["video_grid_thw"][0, 0] in (2, 3) for fields in videos)
    data, table = rows(), pd.read_parquet(next((tmp_path / "completions").glob("*.parquet")))
    assert len(table) == 16
    batch = trainer._buffered_inputs[0]
    keep = batch["completion_ids"].shape[1]
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    names = ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")
    with torch.no_grad():
        trainer.model.eval()
        fields = {name: batch[name] for name in names}
        found = trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, keep, batch_size=4, **fields)[0]
        fresh, processor = tiny_vl_model_and_processor(family=family)
        place_in_time(fresh.eval())
        order = batch["prompt_ids"].tolist()
        for i in range(16):
            own = batch["completion_mask"][i].bool()
            text = trainer._tokenizer.decode(order[i])
            row = next(each for each in data if each["question"] in text)
            alone = read_alone(fresh, processor, row, TEMPLATE.render(row["question"], row["options"])[0]["content"],
                               batch["completion_ids"][i][own])  # fmt: skip
            assert torch.allclose(found[i][own], alone, atol=1e-4)


def test_with_neutral_settings_it_is_trls_grpo_on_videos(tmp_path):
    neutral = {"rewards": [by_length], "shuffle_dataset": False}
    ours = make_trainer(tmp_path / "ours", ACRETrainer, skip_without_advantage="off", **neutral)
    ours.train()
    theirs = make_trainer(tmp_path / "theirs", VideoGRPO, **neutral)  # here, where sampling begins anew
    theirs.train()
    for name in ("loss", "grad_norm", "reward", "entropy"):
        assert logged(ours, name) == logged(theirs, name)
    assert all(norm > 0.01 for norm in logged(ours, "grad_norm"))
    assert torch.equal(weights(ours), weights(theirs))


@pytest.mark.parametrize("family", ["qwen2_5_vl", "idefics3"])
def test_a_model_without_a_path_reads_frames_as_images_and_where_trl_takes_no_video_it_is_refused(tmp_path, family):
    trainer = make_trainer(tmp_path, family=family, shuffle_dataset=False)
    if family == "qwen2_5_vl":  # TRL looks at images of tools apart
        for name, value in {"tools": [print], "vllm_mode": "server"}.items():
            setattr(trainer, name, value)
            trainer.use_vllm = name == "vllm_mode"
            with pytest.raises(DataError, match="no videos, to its vLLM server and beside tools"):
                trainer._generate_and_score_completions(rows())
            trainer.tools = None
    else:
        trainer.train()
        assert trainer._buffered_inputs[0]["num_images"][0] == 4


def test_videos_beside_images_are_refused_where_ranks_gather_weights_together(tmp_path, monkeypatch):
    trainer = make_trainer(tmp_path)
    monkeypatch.setattr(type(trainer.accelerator), "num_processes", 2)
    monkeypatch.setattr(trainer.accelerator, "gather", lambda values: values)
    next(trainer.model.parameters()).ds_id = 0  # as DeepSpeed marks the weights of ZeRO-3
    with pytest.raises(DataError, match=r"A batch has rows with videos and rows with images.*`video_as: images`, or"):
        trainer._generate_and_score_completions(rows())
