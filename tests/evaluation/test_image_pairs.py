import json
from dataclasses import replace

import pytest
import torch
from pair_recipe import as_messages
from scenes import COLOURS, square
from tiny import tiny_vl_model_and_processor

from align.data.pairs.preferences import load_preferences, pair_to_row
from align.errors import DataError, UserError
from align.evaluation.suites.pairs.evaluation import pair_key, pair_values
from align.models.pair_terms import _render_images, pair_terms, tokenize_image_pair

pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
pytest.importorskip("torchvision", reason="needs the extra `vision`")
both_families = pytest.mark.parametrize("family", ["qwen2_5_vl", "idefics3"])


@pytest.fixture
def pairs(tmp_path):
    """Three pairs: with one image, with two of which one is not square, and without any."""
    rows = []
    for i in range(3):
        right, wrong = (list(COLOURS)[(i + k) % 4] for k in range(2))
        row = as_messages({"prompt": f"q{i}?", "chosen": f"It is {right}, yes.", "rejected": f"It is {wrong}, yes."})
        images = [square(right), square(wrong).crop((0, 0, 40, 28))][:i]
        for k, image in enumerate(images):
            image.save(tmp_path / f"{i}-{k}.png")
        rows.append(row | ({"images": [f"{i}-{k}.png" for k in range(i)]} if i else {}))
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_preferences(tmp_path / "pairs.jsonl")[0]


def read_alone(processor, model, pair, response):
    """Log-probs of every next token behind prompt and images, in one plain forward pass; and the tokens."""
    from align.data.media.images import open_image

    images = [{"type": "image", "image": open_image(image)} for image in pair.images]
    question = {"role": "user", "content": [*images, {"type": "text", "text": pair.prompt[0]["content"]}]}
    answer = {"role": "assistant", "content": [{"type": "text", "text": response}]}
    prompt = processor.apply_chat_template([question], add_generation_prompt=True, tokenize=False)
    full = processor.apply_chat_template([question, answer], tokenize=False)
    opened = {"images": [[each["image"] for each in images]]} if images else {}
    length = processor(text=[prompt], **opened, return_tensors="pt")["input_ids"].shape[1]
    fields = processor(text=[full], **opened, return_tensors="pt")
    with torch.no_grad():
        return model(**fields).logits[0, length - 1 : -1].log_softmax(-1), fields["input_ids"][0, length:]


@pytest.mark.by_day("idefics3")
@both_families
def test_terms_are_those_of_the_definition(family, pairs):
    """Log-probs of one plain reading of images, prompt and response; the marked tokens are the colour's letters."""
    model, processor = tiny_vl_model_and_processor(family=family)
    reference = tiny_vl_model_and_processor(seed=1, family=family)[0]
    tokens = [tokenize_image_pair(processor, pair) for pair in pairs]
    for pair, found in zip(pairs, pair_terms(model, reference, tokens), strict=True):
        for response, terms in ((pair.chosen, found.chosen), (pair.rejected, found.rejected)):
            p, ids = read_alone(processor, model, pair, response)
            q, _ = read_alone(processor, reference, pair, response)
            places = torch.arange(len(ids))
            assert terms.tokens == len(ids)
            assert terms.logp == pytest.approx(float(p[places, ids].sum()), abs=1e-3)
            assert terms.kl == pytest.approx(float((q.exp() * (q - p)).sum()), abs=1e-3)
            assert terms.kl > 0
            text, colour = processor.tokenizer.decode(ids), response.split()[2].strip(",")
            spoken = text.index(colour) + torch.arange(len(colour))  # a token is a character, but for those behind
            assert terms.marked == len(colour)
            assert terms.marked_ref_logp == pytest.approx(float(q[spoken, ids[spoken]].sum()), abs=1e-3)


@both_families
def test_images_are_seen_and_looked_at_once_for_both_responses(family, pairs):
    model, processor = tiny_vl_model_and_processor(family=family)
    tokens = [tokenize_image_pair(processor, pairs[2])]
    looked = []
    tower = next(each for name, each in model.named_modules() if name.endswith(("visual", "vision_model")))
    tower.register_forward_hook(lambda *_: looked.append(1))
    values = pair_values(pair_terms(model, model, tokens))
    assert looked == [1]
    assert {name: each[0] for name, each in values.items() if name.startswith("implicit")} == {
        "implicit_reward_accuracy": 0.5,
        "implicit_reward_accuracy/marked": 0.5,
    }
    swapped = replace(pairs[2], images=pairs[2].images[::-1])
    first, other = (
        pair_terms(model, model, [tokenize_image_pair(processor, pair)])[0] for pair in (pairs[2], swapped)
    )
    assert first.chosen.logp != pytest.approx(other.chosen.logp, abs=1e-4)


@both_families
def test_texts_are_those_that_training_renders(family, pairs):
    trl = pytest.importorskip("trl", reason="needs the size `train`")
    processor = tiny_vl_model_and_processor(family=family)[1]
    for pair in pairs:
        row = pair_to_row(pair)
        messages = {side: trl.prepare_multimodal_messages(row[side]) for side in ("chosen", "rejected")}
        messages["prompt"] = trl.prepare_multimodal_messages(row["prompt"], images=[None] * len(pair.images))
        told = trl.apply_chat_template(messages, processor)
        assert _render_images(processor, pair) == (told["prompt"], [told["chosen"], told["rejected"]])


def test_what_is_kept_is_named_by_the_images(pairs):
    assert len(pair_key(pairs[0])) == 5  # as before there were images
    swapped = replace(pairs[2], images=pairs[2].images[::-1])
    assert pair_key(pairs[2]) != pair_key(swapped)


def test_what_is_kept_is_named_by_what_the_chat_template_is_told(pairs):
    told = [replace(pairs[0], template={"chat_template_kwargs": {"enable_thinking": on}}) for on in (True, False)]
    assert pair_key(told[0]) != pair_key(told[1]) != pair_key(pairs[0])


def test_an_image_that_is_gone_is_named_with_its_row(pairs, tmp_path):
    processor = tiny_vl_model_and_processor()[1]
    (tmp_path / "1-0.png").unlink()
    with pytest.raises(DataError, match=r"Row 2 \(pairs-2\): an image cannot be read: .*1-0\.png.* Repair or replace"):
        tokenize_image_pair(processor, pairs[1])


def test_what_has_no_place_is_refused(pairs):
    processor = tiny_vl_model_and_processor()[1]
    with pytest.raises(DataError, match=r"Row 2 .*<\|image_pad\|>, which this model reads as an image. Take it out"):
        tokenize_image_pair(processor, replace(pairs[1], chosen="see <|image_pad|>"))
    processor.chat_template = None
    with pytest.raises(UserError, match="The processor has no chat template"):
        tokenize_image_pair(processor, pairs[1])
