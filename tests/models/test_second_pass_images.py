import random

import pytest
import torch
from peft import LoraConfig, get_peft_model
from scenes import square
from tiny import tiny_vl_model_and_processor
from torch import distributed
from torch.distributed.fsdp import FullyShardedDataParallel

from align.models.second_pass.forward import SecondPassRow, score_letters
from align.models.second_pass.image_memo import is_sharded, remembered_images

pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
pytest.importorskip("torchvision", reason="needs the extra `vision`")
FAMILIES = {"qwen2_5_vl": "visual", "idefics3": "vision_model"}
IMAGES = {"red?": [square("red")], "both?": [square("green"), square("blue", size=42)]}


def make_prompt(processor, question, images):
    parts = [{"type": "image", "image": image} for image in images] + [{"type": "text", "text": question}]
    found = processor.apply_chat_template(
        [[{"role": "user", "content": parts}]],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    fields = {name: value for name, value in found.items() if name not in ("input_ids", "attention_mask")}
    return SecondPassRow(found["input_ids"][0].tolist(), [], [40, 41, 42, 43], fields)


def make_rows(processor):
    """Makes two questions with images, each in two orders of its options, answered from three traces each."""
    rng = random.Random(0)
    rows = []
    for question, images in IMAGES.items():
        for order in ("A) x B) y", "A) y B) x"):
            prompt = make_prompt(processor, question + order, images)
            rows += [prompt._replace(prefix_ids=rng.choices(range(3, 100), k=length)) for length in (2, 5, 5)]
    text = SecondPassRow([5, 6, 7, 8], [9, 10], [40, 41, 42, 43])
    return [*rows, text]


def naive_scores(model, row):
    """Reads one row in a plain forward pass of the untouched model."""
    ids = torch.tensor([row.prompt_ids + row.prefix_ids])
    fields = dict(row.images)
    if "mm_token_type_ids" in fields:
        fields["mm_token_type_ids"] = torch.nn.functional.pad(fields["mm_token_type_ids"], (0, len(row.prefix_ids)))
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), **fields).logits[0, -1]
    return logits[row.letter_ids].log_softmax(-1)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    """A model, a list that grows with every run of its vision tower, rows, and what a plain pass says of them."""
    model, processor = tiny_vl_model_and_processor(family=request.param)
    model.eval()
    rows = make_rows(processor)
    expected = torch.stack([naive_scores(model, row) for row in rows])
    runs = []
    getattr(model.model, FAMILIES[request.param]).register_forward_hook(lambda *_: runs.append(1))
    return model, runs, rows, expected


@pytest.mark.parametrize(
    ("settings", "num_runs"),
    [
        ({}, 2),  # one per set of images
        ({"remember_images": False}, 4),  # one per prompt
        ({"share_prompts": False}, 2),
        ({"share_prompts": False, "remember_images": False}, 12),  # one per row
        ({"batch_size": 2}, 2),
        ({"batch_size": 2, "remember_images": False}, 8),
    ],
)
def test_scores_are_those_of_one_plain_pass_per_row_and_the_tower_runs_seldom(family, settings, num_runs):
    model, runs, rows, expected = family
    runs.clear()
    scores = score_letters(model, rows, pad_token_id=0, **{"batch_size": 8} | settings)
    torch.testing.assert_close(torch.tensor(scores), expected, rtol=0, atol=2e-5)
    assert len(runs) == num_runs
    assert "get_image_features" not in vars(model.model)  # the model is left as it was


def test_the_images_matter(family):
    model, _, rows, expected = family
    other = rows[0]._replace(images=rows[0].images | {"pixel_values": -rows[0].images["pixel_values"]})
    (scores,) = score_letters(model, [other], pad_token_id=0, batch_size=1)
    assert (torch.tensor(scores) - expected[0]).abs().max() > 1e-3


def test_rows_without_images_keep_their_positions_after_rows_with_images(family):
    model, _, rows, expected = family
    scores = score_letters(model, [*rows[:1], rows[-1], *rows[3:4]], pad_token_id=0, batch_size=8)
    torch.testing.assert_close(torch.tensor(scores), expected[[0, -1, 3]], rtol=0, atol=2e-5)


def test_dummies_run_the_tower_as_often_as_a_prompt_does(family, monkeypatch):
    monkeypatch.setattr("align.models.second_pass.tree_pass.is_sharded", lambda model: True)
    model, runs, rows, _ = family
    runs.clear()
    dummy = rows[0]
    settings = {"pad_token_id": 0, "batch_size": 8, "remember_images": False, "most_batches": lambda own: 4}
    assert score_letters(model, [], dummy=dummy, **settings) == []
    assert len(runs) == 4


def test_an_adapter_changes_the_features_and_their_memory_does_not_outlive_the_pass(family):
    model, _, rows, expected = family
    tower = get_peft_model(model, LoraConfig(r=2, target_modules=r".*vis.*\.(qkv|q_proj)", init_lora_weights=False))
    tower.eval()
    scores = [score_letters(tower, rows[:2], pad_token_id=0, batch_size=8)]
    with tower.disable_adapter():
        scores.append(score_letters(tower, rows[:2], pad_token_id=0, batch_size=8))
        torch.testing.assert_close(torch.tensor(scores[1]), expected[:2], rtol=0, atol=2e-5)
    tower.unload()
    assert (torch.tensor(scores[0]) - expected[:2]).abs().max() > 1e-4


class Sharded(torch.nn.Module):
    """Has a weight of which each rank holds a part, and counts how often its images are read."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.runs = 0

    def get_image_features(self, pixel_values):
        self.runs += 1
        return pixel_values


@pytest.mark.parametrize(("is_sharded", "num_runs"), [(False, 1), (True, 2)])
def test_a_sharded_model_runs_its_tower_every_time(is_sharded, num_runs):
    model = Sharded()
    if is_sharded:
        model.weight.ds_id = 0  # as DeepSpeed marks the weights of ZeRO-3
    with remembered_images(model):
        for _ in range(2):
            model.get_image_features(torch.ones(2))
    assert model.runs == num_runs


def test_a_model_whose_weights_are_shared_out_is_known(tmp_path):
    weights = torch.nn.Linear(2, 2)
    assert not is_sharded(weights)
    distributed.init_process_group(
        "gloo", store=distributed.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1
    )
    try:
        assert is_sharded(torch.nn.Sequential(FullyShardedDataParallel(weights, device_id=torch.device("cpu"))))
    finally:
        distributed.destroy_process_group()
