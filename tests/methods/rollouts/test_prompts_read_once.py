"""What the completions of a group begin with is read once in an update."""

import pytest
import torch
from grpo_updates import (
    TOKENIZER,
    all_teach,
    as_trl,
    distance,
    double_model,
    generated,
    gradient,
    long_prompts,
    make_trainer,
    packed,
    tokens_of_an_update,
)
from tiny import tiny_vl_model_and_processor
from transformers import MistralConfig, MistralForCausalLM

from align.models.shared_prefixes import fold, prefixes_read_once


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"per_device_train_batch_size": 6, "gradient_accumulation_steps": 2},
        {"per_device_train_batch_size": 3, "num_generations": 3},
    ],
    ids=["a prompt a batch", "more prompts than batches", "odd groups"],
)
def test_completions_read_their_prompt_once(tmp_path, sizes):
    trainer = make_trainer(tmp_path, reward=all_teach, rows=long_prompts(), **sizes)
    batches = generated(trainer)
    read = []
    hook = trainer.model.get_input_embeddings().register_forward_hook(
        lambda _, given, __: read.append(given[0].numel())
    )
    found = packed(trainer, batches)
    prompts = [{tuple(row.tolist()) for row in batch["prompt_ids"]} for batch in found if batch]
    assert max(map(len, prompts)) == (2 if sizes.get("per_device_train_batch_size") == 6 else 1)
    read.clear()  # of the trial
    gradient(trainer, found)
    together = sum(read)
    trainer._shared._is_on = False
    gradient(trainer, found)
    assert together < 0.65 * (sum(read) - together)
    trainer._shared._is_on = True
    hook.remove()
    assert distance(trainer, batches) < 2e-6


def test_a_shared_prompt_gets_the_gradient_of_all_its_completions():
    body = double_model().base_model
    ids = torch.randint(2, len(TOKENIZER), (5, 20), generator=torch.Generator().manual_seed(0))
    ids[1:, :12] = ids[0, :12]
    mask = (torch.arange(20) < torch.tensor([20, 18, 15, 19, 13])[:, None]).int()
    found = []
    for folded in (lambda *_: None, lambda *given: fold(*given, 4_096)):
        body.zero_grad()
        with prefixes_read_once(body, folded):
            hidden = body(input_ids=ids, attention_mask=mask).last_hidden_state
        (hidden[mask.bool()] ** 2 * torch.arange(1, hidden.shape[-1] + 1)).sum().backward()
        found.append(torch.cat([weight.grad.flatten() for weight in body.parameters()]))
    assert (found[0] - found[1]).abs().max() < 1e-12 * found[0].abs().max()


def test_layers_keep_their_window_where_a_prompt_is_read_once(tmp_path):
    config = MistralConfig(
        vocab_size=len(TOKENIZER), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=8, initializer_range=0.2, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    trainer = make_trainer(tmp_path, MistralForCausalLM(config), all_teach, long_prompts())
    batches = generated(trainer)
    assert distance(trainer, batches) < 2e-6
    ours, trl = tokens_of_an_update(trainer, batches)
    assert ours < 0.65 * trl


@pytest.mark.by_day("idefics3")
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "idefics3"])
def test_a_group_reads_its_images_once(tmp_path, family):
    pytest.importorskip("torchvision", reason="needs the extra `vision`")
    from scenes import COLOURS, square

    model, processor = tiny_vl_model_and_processor(family=family)
    rows = [  # texts that are alike, and images that are not
        {"prompt": [{"role": "user", "content": "Look at it. " * 20}], "images": [square(colour, place=(i, i))]}
        for i, colour in enumerate(COLOURS)
    ]
    model.save_pretrained(tmp_path / "model")
    sizes = {"per_device_train_batch_size": 8, "num_generations": 8, "gradient_accumulation_steps": 2}
    for beta in (0.0, 0.04):
        trainer = make_trainer(tmp_path, str(tmp_path / "model"), all_teach, rows, processor, beta=beta, **sizes)
        batches = generated(trainer)
        trainer._tokens_read = 0
        assert distance(trainer, batches) < 2e-6
        assert trainer._shared.with_images
        counted = trainer._metrics["train"]["rollouts/read_tokens"]
        ours, trl = tokens_of_an_update(trainer, batches, trainer.model.base_model.get_decoder().layers[0])
        assert ours < 0.35 * trl
        assert counted[0] == ours  # without the passes of the trial
        seen = tokens_of_an_update(trainer, batches, tower_layer(trainer.model.base_model))
        assert seen[0] * 8 == seen[1]  # the tower reads one image for eight rows


def tower_layer(body):
    tower = getattr(body, "visual", None) or body.vision_model
    return tower.blocks[0] if hasattr(tower, "blocks") else tower.encoder.layers[0]


def test_images_that_are_read_otherwise_with_others_are_read_for_each(tmp_path, capsys, monkeypatch):
    pytest.importorskip("torchvision", reason="needs the extra `vision`")
    from scenes import COLOURS, square

    model, processor = tiny_vl_model_and_processor()
    see = model.base_model.visual.forward

    def by_number(*args, **kwargs):
        output = see(*args, **kwargs)
        output.pooler_output = output.pooler_output.roll(len(output.pooler_output) // 4, -1)
        return output

    monkeypatch.setattr(model.base_model.visual, "forward", by_number)
    rows = [{"prompt": [{"role": "user", "content": "Look. " * 20}], "images": [square(each)]} for each in COLOURS]
    sizes = {"per_device_train_batch_size": 8, "num_generations": 8, "gradient_accumulation_steps": 2}
    trainer = make_trainer(tmp_path, model, reward=all_teach, rows=rows, tokenizer=processor, **sizes)
    batches = generated(trainer)
    distance(trainer, batches)
    assert trainer._shared.with_images is False
    assert "is read for each of them where it has images: Qwen2_5_VLModel does not have" in capsys.readouterr().err


@pytest.mark.parametrize(("beta", "most"), [(0.0, 0.35), (0.04, 0.35)])
def test_groups_read_their_prompt_once_in_any_precision(tmp_path, tiny_model_folder, beta, most):
    rows = [{"prompt": f"Ann has {'more and ' * 40}{i}. Who?"} for i in range(4)]
    sizes = {"per_device_train_batch_size": 8, "num_generations": 8, "gradient_accumulation_steps": 2}
    read = []
    for mixed in (False, True):
        settings = sizes | {"reward": all_teach, "rows": rows, "max_steps": 1, "bf16": mixed, "beta": beta}
        trainer = make_trainer(tmp_path, str(tiny_model_folder), **settings)
        read.append(tokens_of_an_update(trainer, generated(trainer)))
    assert read[0] == read[1]
    ours, trls = read[0]
    assert ours < most * trls


def test_log_probs_before_the_update_are_those_of_sequences_alone(tmp_path):
    trainer = make_trainer(tmp_path, rows=long_prompts(), reward=all_teach)
    batch = generated(trainer)[0]
    ids, mask = (
        torch.cat([batch[f"{part}_{kind}"] for part in ("prompt", "completion")], 1) for kind in ("ids", "mask")
    )
    given = (trainer.model, ids, mask, batch["completion_ids"].shape[1])
    with torch.no_grad(), as_trl(trainer):
        expected = trainer._get_per_token_logps_and_entropies(*given, batch_size=2)[0]
    with torch.no_grad():
        found = trainer._get_per_token_logps_and_entropies(*given, batch_size=2)[0]
    there = batch["completion_mask"].bool()
    torch.testing.assert_close(found[there], expected[there], rtol=0, atol=2e-5)


@pytest.mark.parametrize("iterations", [1, 2])
def test_a_run_logs_what_its_update_reads_and_the_least_that_it_could(tmp_path, iterations):
    sizes = {"per_device_train_batch_size": 8, "num_generations": 8, "gradient_accumulation_steps": 2}
    settings = sizes | {"max_steps": iterations, "num_iterations": iterations, "learning_rate": 0.0}
    trainer = make_trainer(tmp_path, reward=all_teach, rows=long_prompts(), **settings)
    kept = []
    pack = trainer._pack
    trainer._pack = lambda batches: kept.append(batches) or pack(batches)
    trainer.train()
    beginnings = set()
    for batch in kept[0]:
        ids, mask = (torch.cat([batch[f"prompt_{kind}"], batch[f"completion_{kind}"]], 1) for kind in ("ids", "mask"))
        rows = [row[there.bool()].tolist() for row, there in zip(ids, mask, strict=True)]
        beginnings |= {tuple(row[: end + 1]) for row in rows for end in range(len(row))}
    for log in trainer.state.log_history[:iterations]:
        assert log["rollouts/floor_tokens"] == len(beginnings)
        assert len(beginnings) <= log["rollouts/read_tokens"] < 1.25 * len(beginnings)
    ours, _ = tokens_of_an_update(trainer, kept[0])
    assert trainer.state.log_history[0]["rollouts/read_tokens"] == ours
