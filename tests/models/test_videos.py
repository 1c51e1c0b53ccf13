import numpy as np
import pytest
import torch
from clips import write_clip
from tiny import tiny_vl_model_and_processor
from trl.data_utils import prepare_multimodal_messages

from align.data.media.rows import MediaReader
from align.data.questions.multiple_choice import Question
from align.data.questions.templates import PromptTemplate
from align.errors import DataError
from align.models.policies.vision_prompts import VisionPrompts
from align.models.videos import (
    Video,
    as_frames,
    as_video,
    place_in_time,
    read_renamed,
    reads_videos,
    video_of,
    video_reading,
)
from align.recipe.dataset import MediaSettings

pytest.importorskip("av", reason="needs the extra `vision`")
pytest.importorskip("torchvision", reason="needs the extra `vision`")
from PIL import Image
from transformers.video_utils import VideoMetadata

QUESTION = [{"role": "user", "content": "What moves?"}]
FAMILIES = ("qwen2_5_vl", "qwen3_vl")


@pytest.fixture(params=FAMILIES)
def family(request):
    return tiny_vl_model_and_processor(family=request.param)


@pytest.fixture
def read(tmp_path):
    """Writes a video of one size, and reads it as a row does."""

    def make(num_frames=24, wanted=8, fps=4, name="clip.mp4", **settings):
        write_clip(tmp_path / name, num_frames, fps=fps, size=(64, 32))
        reader = MediaReader(tmp_path, MediaSettings(num_frames=wanted, frames_dir=str(tmp_path / "kept"), **settings))
        return reader.show({"video": name})

    return make


def own_fields(processor, images, metadata):
    """What the model's own processor makes of frames and times that were taken."""
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "What moves?"}]}],
        add_generation_prompt=True,
        tokenize=False,
    )
    frames = [np.asarray(Image.open(path).convert("RGB")) for path in images]
    return processor(
        text=[text],
        videos=[np.stack(frames)],
        video_metadata=[VideoMetadata(**metadata)],
        do_sample_frames=False,
        return_tensors="pt",
    )


def conversation(*items):
    return prepare_multimodal_messages(QUESTION, images=list(items))


def same(left, right):
    assert set(left) == set(right)
    for name, value in left.items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(right[name])), name


def test_a_file_becomes_the_tensors_of_the_models_own_processor(family, read):
    _, processor = family
    images, video = read()
    assert video == (24, 4.0, (1, 4, 7, 10, 13, 16, 19, 22))
    expected = own_fields(processor, images, {"total_num_frames": 24, "fps": 4.0, "frames_indices": [*video[2]]})
    how = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
    messages = conversation(Video(images, video))
    same(video_reading(processor).apply_chat_template([messages], **how), expected)
    prompts = VisionPrompts(processor, PromptTemplate("{question}{options}"))
    question = Question("q", "What moves?", ("a", "b"), 0, None, images, 1, video=video)
    found = prompts.read([prompts.prompt(question)])
    for name in ("pixel_values_videos", "video_grid_thw", "second_per_grid_ts"):
        assert torch.equal(found.get(name, torch.zeros(1)), expected.get(name, torch.zeros(1)))
    if "second_per_grid_ts" in expected:
        assert expected["second_per_grid_ts"].tolist() == [1.5]
    else:
        text = processor.tokenizer.decode(expected["input_ids"][0])
        assert "<0.6 seconds>" in text  # the mean of frames 1 and 4 at 4 a second
        assert "<5.1 seconds>" in text
    as_images = VisionPrompts(processor, PromptTemplate("{question}{options}"))
    apart = as_images.read([as_images.prompt(Question("q", "What moves?", ("a", "b"), 0, None, images, 1))])
    counts = [int((each["input_ids"] == token).sum()) for each, token in
              ((found, processor.video_token_id), (apart, processor.image_token_id))]  # fmt: skip
    assert counts[1] == 2 * counts[0] > 0


def test_under_the_names_of_images_a_model_reads_the_same(family, read):
    model, processor = family
    images, video = read()
    other, short = read(num_frames=9, wanted=3, fps=3, name="short.mp4")
    picture = Image.new("RGB", (64, 32), "red")
    rows = [[Video(images, video)], [picture, picture], [Video(other, short)]]
    prompts = [conversation(*row) for row in rows]
    renaming, native = video_reading(processor, as_images=True), video_reading(processor)
    texts = renaming.apply_chat_template(prompts, add_generation_prompt=True, tokenize=False)
    padding = {"padding": True, "padding_side": "left", "return_tensors": "pt"}
    renamed = renaming(images=rows, text=texts, **padding)
    expected = native(images=rows, text=texts, **padding)
    assert not {"pixel_values_videos", "video_grid_thw", "second_per_grid_ts"} & set(renamed)
    assert {"pixel_values_videos", "video_grid_thw", "pixel_values"} <= set(expected)
    model.eval()
    with torch.no_grad():
        before = model(**expected).logits
        read_renamed(model)
        assert torch.equal(model(**expected).logits, before)  # its own names are left alone
        assert torch.equal(model(**renamed).logits, before)


def test_one_frame_is_a_video_of_one_patch_in_time(family, read):
    _, processor = family
    images, video = read(num_frames=1, wanted=8)
    assert video == (1, 2.0, (0,))
    found = video_reading(processor)(
        images=[[Video(images, video)]],
        text=video_reading(processor).apply_chat_template([conversation(Video(images, video))], tokenize=False),
        return_tensors="pt",
    )
    assert found["video_grid_thw"][:, 0].tolist() == [1]
    assert video.frames_indices == (0,)  # which Qwen3-VL's processor fills up in a list of its own


def test_a_row_of_a_trainer_becomes_a_video_and_frames_again():
    frames, metadata = ["a.png", "b.png"], {"total_num_frames": 4, "fps": 2.0, "frames_indices": [0, 2]}
    parts = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "q"}]
    row = {"prompt": [{"role": "user", "content": parts}], "images": frames, "video_metadata": metadata}
    made = as_video(row)
    assert made["prompt"] == [{"role": "user", "content": parts[1:]}]
    assert made["images"] == [Video(("a.png", "b.png"), video_of(row))]
    assert as_video(made) is made
    assert as_frames(made)["images"] == frames
    for other in ({**row, "video_metadata": None}, {"prompt": [], "images": []}):
        assert as_video(other) is other
        assert as_frames(other) is other


def test_a_model_without_the_path_is_told_apart():
    model, processor = tiny_vl_model_and_processor(family="idefics3")
    assert not reads_videos(processor)
    assert video_reading(processor) is processor
    with pytest.raises(DataError, match=r"has no positions for videos.* Set `video_as: images`\."):
        read_renamed(model)
    _, processor = tiny_vl_model_and_processor()
    assert reads_videos(processor)
    processor.chat_template = "{{ messages }}"
    assert not reads_videos(processor)  # its template has no place for one


def test_tokens_of_videos_stand_where_qwen_put_them():
    model, _ = tiny_vl_model_and_processor()
    body, video, image = model.model, model.config.video_token_id, model.config.image_token_id
    ids = torch.tensor([[0, 0, 5, *[video] * 8, 6, image, 7], [5, *[video] * 2, 6, *[video] * 8, 7, 7]])
    mask = torch.ones_like(ids)
    mask[0, :2] = 0
    given = {
        "mm_token_type_ids": (ids == video) * 2 + (ids == image) * 1,
        "attention_mask": mask,
        "video_grid_thw": torch.tensor([[8, 2, 2], [2, 2, 2], [2, 4, 4]]),
        "image_grid_thw": torch.tensor([[1, 2, 2]]),
        "second_per_grid_ts": torch.tensor([0.375, 1.0, 2.0]),
    }
    place_in_time(model)
    place_in_time(model)  # is done once
    found, deltas = body.get_rope_index(ids, **given)
    # 4 positions a second: 1.5 for each patch of the first video, and text begins behind the last
    assert found[0, 0, 2:].tolist() == [0, 1, 2, 4, 5, 7, 8, 10, 11, 12, 13, 14]
    assert found[1, 0, 2:].tolist() == [0, *[1] * 8, 12, 13, 14]
    assert found[0, 1].tolist() == [0, 1, 5, 6, *[7] * 4, *[15] * 4, 16, 17]
    assert found[2, 1].tolist() == [0, 1, 1, 6, *[7, 8] * 4, 16, 17]
    assert deltas.flatten().tolist() == [15 - 12, 18 - 14]
