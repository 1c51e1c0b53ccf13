import pytest

from align.models.samplers.input_images import InputImage
from align.models.samplers.local_model import LocalSampler
from align.models.samplers.sampler import NO_IMAGE, Answer, Failure, Request, SamplerError

pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
from scenes import Black, write_squares
from tiny import tiny_vl_model_and_processor


@pytest.fixture(scope="module", params=["qwen2_5_vl", "idefics3"])
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    model, processor = tiny_vl_model_and_processor(family=request.param)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return [InputImage(path) for path in write_squares(tmp_path_factory.mktemp("squares"))]


@pytest.fixture(scope="module")
def sampler(model):
    return LocalSampler(str(model), batch_size=4)


def sample(sampler, asked):
    results = {}
    sampler.sample(asked, results.__setitem__)
    return [results[i] for i in range(len(asked))]


def request(images, prompt="Which colour?", seed=0, temperature=0.0):
    return Request(prompt, seed=seed, temperature=temperature, max_new_tokens=4, images=tuple(images))


@pytest.mark.by_day("qwen2_5_vl")
def test_answers_depend_on_the_images_and_not_on_their_batch(sampler, images):
    lists = [images[:1], images[1:2], images[:3], [], images[2:4]]
    asked = [request(each, f"Which {'very ' * i}colour?", i, temperature=1.0) for i, each in enumerate(lists)]
    together = sample(sampler, asked)
    assert [sample(sampler, [each])[0] for each in asked] == together
    assert sample(sampler, asked[::-1])[::-1] == together
    # Greedy: what differs is the image.
    shown = sample(sampler, [request([image], temperature=0.0) for image in images])
    assert len({answer.text for answer in shown}) > 1
    masked = sample(sampler, [request([InputImage(images[0].source, Black())])])
    assert masked[0] != shown[0]


def test_the_prompt_is_the_one_of_training(sampler, model, images):
    """The same tokens and pixels as TRL makes of a row with these images."""
    from transformers import AutoProcessor
    from trl import prepare_multimodal_messages

    opened = [image.open() for image in images[:2]]
    messages = prepare_multimodal_messages([{"role": "user", "content": "Which colour?"}], images=opened)
    processor = AutoProcessor.from_pretrained(model)
    expected = processor.apply_chat_template(
        [messages], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    (answer,) = sample(sampler, [request(images[:2])])
    assert answer.prompt_tokens == expected["input_ids"].shape[1]
    output = sampler._model.generate(**expected, do_sample=False, max_new_tokens=4)
    text = processor.tokenizer.decode(output[0, answer.prompt_tokens :], skip_special_tokens=True)
    assert text == answer.text


def test_one_image_that_is_gone_costs_no_other_its_answer(sampler, images, tmp_path):
    results = sample(sampler, [request(images[:1]), request([InputImage(str(tmp_path / "gone.png"))])])
    assert isinstance(results[0], Answer)
    assert isinstance(results[1], Failure)
    assert results[1].reason == NO_IMAGE
    assert "gone.png" in results[1].detail


def test_a_model_of_texts_refuses_images(tiny_model_folder, images):
    with pytest.raises(SamplerError, match=r"reads no images. Set `--model` to a vision-language model"):
        sample(LocalSampler(str(tiny_model_folder)), [request(images[:1])])


def test_without_a_chat_template_nothing_says_where_the_images_stand(model, images, tmp_path):
    import shutil

    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").unlink()
    with pytest.raises(SamplerError, match="has no chat template"):
        sample(LocalSampler(str(tmp_path / "model")), [request(images[:1])])


@pytest.mark.by_day("idefics3")
def test_an_adapter_is_read_with_the_processor_of_its_base(model, images, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    base = AutoModelForImageTextToText.from_pretrained(model)
    config = LoraConfig(target_modules="all-linear", lora_alpha=200, init_lora_weights=False)
    get_peft_model(base, config).save_pretrained(tmp_path / "adapter")
    asked = [request(images[:1])]
    own, adapted = (sample(LocalSampler(str(each)), asked)[0] for each in (model, tmp_path / "adapter"))
    assert own.prompt_tokens == adapted.prompt_tokens
    assert own.text != adapted.text
