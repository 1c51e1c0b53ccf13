import pytest
from scenes import square
from tiny import tiny_vl_model_and_processor
from trl.data_utils import prepare_multimodal_messages

from align.models.vllm_engine import placeholder_ids

pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
pytest.importorskip("torchvision", reason="needs the extra `vision`")


@pytest.mark.parametrize("family", ["qwen2_5_vl", "idefics3"])
def test_an_image_is_one_token_and_the_text_that_of_the_processor(family):
    _, processor = tiny_vl_model_and_processor(family=family)
    question = [{"role": "user", "content": "how many?"}]
    prompts = [prepare_multimodal_messages(question, images=[square()] * count) for count in (2, 1)]
    found = placeholder_ids(processor, [*prompts, prepare_multimodal_messages(question)])
    assert [ids.count(processor.image_token_id) for ids in found] == [2, 1, 0]
    whole = processor.apply_chat_template(prompts, add_generation_prompt=True, tokenize=True, return_dict=True)
    for ids, expanded in zip(found, whole["input_ids"], strict=False):
        start, end = ids.index(processor.image_token_id), expanded[::-1].index(processor.image_token_id)
        assert len(ids) < len(expanded)
        assert ids[: start - 1] == expanded[: start - 1]
        assert ids[-end + 1 :] == expanded[-end + 1 :]
