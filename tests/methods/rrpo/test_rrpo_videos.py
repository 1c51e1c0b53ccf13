import copy
import math
import pickle

import pytest
import torch
from datasets import Dataset
from scenes import COLOURS, square
from test_rrpo_images import SMALL, make_dataset, pair
from tiny import tiny_vl_model_and_processor
from trained import logged, weights
from trl import DPOConfig, DPOTrainer

from align.errors import DataError
from align.methods.rrpo.config import RRPOConfig
from align.methods.rrpo.spans import ImageTokens
from align.methods.rrpo.trainer import RRPOTrainer
from align.models.videos import ShowsVideos, Video, place_in_time, video_of, video_reading
from align.training.row_sets import check_all_have_images

pytest.importorskip("torchvision", reason="needs the extra `vision`")


def rows(count=8):
    """Pairs about videos of four and of three frames, and every fourth one about an image."""
    made = []
    for i in range(count):
        frames = [square(list(COLOURS)[(i + k) % 4]) for k in range(4 - i % 2)]
        metadata = {"total_num_frames": 8, "fps": 2.0, "frames_indices": list(range(0, 2 * len(frames), 2))}
        shown = {"images": frames, "video_metadata": metadata}
        made.append(pair(i) | (shown if i % 4 else {"video_metadata": None}))
    return made


def make_trainer(folder, trainer=RRPOTrainer, family="qwen2_5_vl", **settings):
    model, processor = tiny_vl_model_and_processor(family=family)
    kind = RRPOConfig if issubclass(trainer, RRPOTrainer) else DPOConfig
    args = kind(output_dir=str(folder), **SMALL | settings)
    data = make_dataset(rows())
    return trainer(model, copy.deepcopy(model), args=args, train_dataset=data, processing_class=processor)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_pairs_about_videos_are_trained_on_as_videos(tmp_path, family):
    trainer = make_trainer(tmp_path, family=family)
    batch = next(iter(trainer.get_train_dataloader()))
    grids = batch["video_grid_thw"]
    assert set(grids[:, 0].tolist()) == {2}  # patches of two frames
    counts = (batch["mm_token_type_ids"] == 2).sum()
    assert counts == grids.prod(-1).sum() // 4
    assert len(grids) + len(batch.get("image_grid_thw", ())) == 8  # of both responses of four pairs
    assert batch["span_mask"].any()
    trainer.train()
    assert len(logged(trainer)) == 2
    assert all(map(math.isfinite, logged(trainer)))


def test_with_neutral_settings_it_is_trls_dpo_on_the_same_batches(tmp_path):
    neutral = {"spans": "whole", "kl_coef": 0.0}
    ours = make_trainer(tmp_path / "ours", **neutral)
    theirs = make_trainer(tmp_path / "theirs", DPOTrainer)
    theirs.data_collator = ShowsVideos(theirs.data_collator, ("prompt", "chosen", "rejected", "images"))
    theirs.args.remove_unused_columns = False
    for model in filter(None, (theirs.model, theirs.ref_model)):
        place_in_time(model)
    for trainer in (ours, theirs):
        trainer.train()
    assert logged(ours) == logged(theirs)
    assert len(logged(ours)) == 2
    assert torch.equal(weights(ours), weights(theirs))


def test_the_tokens_of_a_video_are_counted_and_its_reader_can_be_sent_to_a_worker():
    _, processor = tiny_vl_model_and_processor(family="qwen3_vl")
    row = rows()[1]
    video = Video(tuple(row["images"]), video_of(row))
    reading = pickle.loads(pickle.dumps(video_reading(processor)))
    text = reading.apply_chat_template([{"role": "user", "content": [{"type": "image", "image": video}]}])
    whole = reading(text=[text], images=[[video]])["input_ids"][0]
    assert len(whole) == len(processor.tokenizer(text)["input_ids"]) + ImageTokens(processor).count(video)


def test_videos_beside_images_are_refused_where_processes_share_weights():
    marked = Dataset.from_list([{"video_metadata": row["video_metadata"], "num_images": 1} for row in rows()])
    with pytest.raises(DataError, match=r"The train dataset has rows with videos and rows with images"):
        check_all_have_images(marked, "train")
    check_all_have_images(marked.filter(lambda row: row["video_metadata"] is not None), "train")


@pytest.mark.parametrize("settings", [{}, {"spans": "whole", "kl_coef": 0.0}], ids=["RRPO", "as DPO"])
def test_they_are_refused_before_the_first_step(tmp_path, settings, monkeypatch):
    monkeypatch.setattr("align.methods.rrpo.trainer.shares_weights", lambda trainer: True)
    with pytest.raises(DataError, match=r"The train dataset has rows with videos and rows with images"):
        make_trainer(tmp_path, **settings)
