from contextlib import contextmanager

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from tiny import tiny_model, tiny_tokenizer, tiny_vl_model_and_processor
from transformers import GPT2Config, GPT2LMHeadModel

from align.methods.grpo.config import GRPOConfig
from align.methods.grpo.trainer import GuardedGRPOTrainer
from align.methods.rollouts.zero_advantage import Window
from align.models.shared_prefixes import fold, prefixes_read_once

TOKENIZER = tiny_tokenizer()
LOSSES = ("grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo")
QUIET = {"bf16": False, "use_cpu": True, "report_to": "none", "save_strategy": "no", "disable_tqdm": True}
SIZES = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4, "num_generations": 4, "max_steps": 2}


def some_teach(prompts, completions, **kwargs):
    """Pays the same for all completions of a prompt with `many`, so that these have no advantage."""
    texts = zip(map(str, prompts), map(str, completions), strict=True)
    return [1.0 if "many" in prompt else float(len(text) % 3) for prompt, text in texts]


def nothing_teaches(prompts, completions, **kwargs):
    return [1.0] * len(prompts)


def make_rows():
    return [{"prompt": f"Ann has {'many ' * (i % 3)}{i}. Who?"} for i in range(16)]


def make_trainer(
    folder,
    model=None,
    reward=some_teach,
    rows=None,
    tokenizer=TOKENIZER,
    peft_config=None,
    kind=GuardedGRPOTrainer,
    **settings,
):
    config = GRPOConfig(
        **QUIET | SIZES | {"output_dir": str(folder), "max_completion_length": 6, "learning_rate": 0.1} | settings,
        optim="sgd", lr_scheduler_type="constant", logging_steps=1, max_grad_norm=0.0, gradient_checkpointing=False,
    )  # fmt: skip
    return kind(
        model or tiny_model(vocabulary=len(TOKENIZER)),
        reward_funcs=[reward],
        args=config,
        train_dataset=Dataset.from_list(rows or make_rows()),
        processing_class=tokenizer,
        peft_config=peft_config,
    )


def generated(trainer):
    """Generates once, and returns TRL's batches; the trainer stands where an update begins."""
    torch.manual_seed(0)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    with as_trl(trainer):
        trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    return trainer._buffered_inputs


@contextmanager
def as_trl(trainer):
    trainer._cuts, cuts = False, trainer._cuts
    yield
    trainer._cuts = cuts


def gradient(trainer, batches):
    trainer.model.zero_grad()
    for batch in batches:
        trainer._compute_loss(trainer.model, batch).backward()
    weights = (weight for weight in trainer.model.parameters() if weight.requires_grad)
    return torch.cat([(torch.zeros_like(w) if w.grad is None else w.grad).flatten() for w in weights])


def packed(trainer, batches):
    return [trainer._cut(batch) for batch in (trainer._pack(batches) if trainer._packs else batches)]


def distance(trainer, batches):
    """Compares the gradients of TRL's batches and of the packed ones, as a share of the largest entry."""
    found = gradient(trainer, packed(trainer, batches))
    with as_trl(trainer):
        expected = gradient(trainer, batches)
    assert expected.abs().max() > 0
    return float((expected - found).abs().max() / expected.abs().max())


def double_model():
    """Builds a model that computes in fp64 throughout (no rotary angles, no RMS norms), and learns its positions."""
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(TOKENIZER),
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=128,
            initializer_range=0.3,
            attn_pdrop=0,
            resid_pdrop=0,
            embd_pdrop=0,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=1,
        )
    )
    return model.double()


def scores_in_doubles(model, input_ids, attention_mask, logits_to_keep, **kwargs):
    """Scores completions as `_get_per_token_logps_and_entropies` does, whose output head is of single precision."""
    logits = model(input_ids=input_ids, attention_mask=attention_mask).logits[:, -logits_to_keep - 1 : -1]
    logps = logits.log_softmax(-1)
    tokens, counted = input_ids[:, -logits_to_keep:, None], attention_mask[:, -logits_to_keep:]
    return logps.gather(-1, tokens)[..., 0] * counted, -(logps.exp() * logps).sum(-1) * counted, None


@pytest.fixture(scope="module")
def doubles(tmp_path_factory):
    """A trainer in fp64, and its batches with the columns that vLLM, tools and a second iteration add."""
    torch.manual_seed(0)
    trainer = make_trainer(tmp_path_factory.mktemp("double"), double_model())
    batches = generated(trainer)
    trainer._get_per_token_logps_and_entropies = scores_in_doubles
    rng = torch.Generator().manual_seed(0)
    for batch in batches:
        shape = batch["completion_ids"].shape
        mask = batch["completion_mask"]
        batch["old_per_token_logps"] = -5 * torch.rand(shape, generator=rng, dtype=torch.float64) * mask
        batch["sampling_per_token_logps"] = batch["old_per_token_logps"] - 0.1
        batch["importance_sampling_ratio"] = 1 - torch.rand(shape, generator=rng, dtype=torch.float64) * mask
        batch["tool_mask"] = (torch.rand(shape, generator=rng) > 0.3).int()
        batch["tool_mask"][0] = 0  # a completion of which all is a tool's
    return trainer, batches


@pytest.mark.by_day(*(f"{loss}-token" for loss in LOSSES), "grpo-sequence", "dapo-sequence")
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("loss_type", LOSSES)
def test_the_gradient_is_that_of_all_rows(doubles, monkeypatch, loss_type, level):
    trainer, batches = doubles
    monkeypatch.setattr(trainer, "loss_type", loss_type)
    monkeypatch.setattr(trainer, "importance_sampling_level", level)
    monkeypatch.setattr(trainer, "off_policy_mask_threshold", 0.3)
    for use_vllm in (False, True):  # whether the ratio to the sampler counts
        monkeypatch.setattr(trainer, "use_vllm", use_vllm)
        # The advantages to which `bnpo` gives another weight are of single precision.
        assert distance(trainer, batches) < (1e-6 if loss_type == "bnpo" else 1e-12)
    assert trainer._cuts_left is False  # its positions count padding


def test_rows_that_teach_fill_the_last_batches(doubles):
    trainer, batches = doubles
    found = packed(trainer, batches)
    sizes = [len(batch["advantages"]) if batch else 0 for batch in found]
    assert sizes == sorted(sizes, key=bool)
    assert sizes[0] == 0
    counted = [(batch["completion_mask"] * batch["tool_mask"]).any(1) for batch in batches]
    taught = [(batch["advantages"] != 0) & each for batch, each in zip(batches, counted, strict=True)]
    assert sum(sizes) == sum(int(each.sum()) for each in taught)


def test_padding_is_left_out_on_both_sides(tmp_path):
    trainer = make_trainer(tmp_path)
    batches = generated(trainer)
    widest = {name: batches[0][name].shape[1] for name in ("prompt_ids", "completion_ids")}
    found = [batch for batch in packed(trainer, batches) if batch]
    assert max(batch["prompt_ids"].shape[1] for batch in found) < widest["prompt_ids"]
    assert trainer._cuts_left
    assert distance(trainer, batches) < 2e-6


@pytest.mark.by_day(
    "{'num_iterations': 2, 'loss_type': 'bnpo'}", "{'beta': 0.1}", "{'top_entropy_quantile': 0.5, 'max_steps': 1}"
)
@pytest.mark.parametrize(
    "settings",
    [
        {"num_iterations": 2, "loss_type": "bnpo"},
        {"steps_per_generation": 8, "loss_type": "grpo"},
        {"steps_per_generation": 2},
        {"beta": 0.1},
        {"entropy_coef": 0.1, "max_steps": 1},
        {"top_entropy_quantile": 0.5, "max_steps": 1},
    ],
    ids=str,
)
def test_steps_leave_the_weights_of_trl(tmp_path, tiny_model_folder, settings):
    weights, logs = [], []
    for knob in ("off", "auto"):
        trainer = make_trainer(tmp_path, str(tiny_model_folder), skip_without_advantage=knob, **settings)
        trainer.train()
        weights.append(torch.cat([weight.detach().flatten() for weight in trainer.model.parameters()]))
        logs.append(trainer.state.log_history[0])
    assert (weights[0] - weights[1]).abs().max() < 1e-6
    assert "entropy" in logs[1]  # in TRL's name
    for name in ("frac_reward_zero_std", "completions/mean_length", "reward"):
        assert logs[0][name] == logs[1][name]


def long_prompts():
    return [{"prompt": f"Ann has {'more and ' * (2 + i % 3)}{i}. Who?"} for i in range(16)]


def all_teach(prompts, completions, **kwargs):
    return [float(i % 3 == 0) for i in range(len(completions))]


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


def test_prompts_are_read_for_each_completion_where_dropout_is_drawn_for_each(tmp_path, capsys):
    trainer = make_trainer(tmp_path, peft_config=LoraConfig(target_modules="all-linear", lora_dropout=0.5))
    assert trainer._shared_width is None
    assert "The prompt of several completions is read for each of them: dropout" in capsys.readouterr().err


def test_an_adapter_gets_the_same_gradient(tmp_path):
    trainer = make_trainer(tmp_path, peft_config=LoraConfig(r=4, target_modules="all-linear"))
    assert distance(trainer, generated(trainer)) < 2e-6


@pytest.mark.by_day("idefics3")
@pytest.mark.parametrize("family", ["qwen2_5_vl", "idefics3"])
def test_rows_keep_their_images(tmp_path, family):
    pytest.importorskip("torchvision", reason="needs the extra `vision`")
    from scenes import COLOURS, square

    model, processor = tiny_vl_model_and_processor(family=family)
    rows = [
        {
            "prompt": [{"role": "user", "content": f"q {'many' * (i % 2)}"}],
            "images": [square(colour, place=(i, 3 * i)) for colour in list(COLOURS)[: 1 + i % 3]],
        }
        for i in range(8)
    ]
    trainer = make_trainer(tmp_path, model, rows=rows, tokenizer=processor)
    assert distance(trainer, generated(trainer)) < 2e-6


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
        assert distance(trainer, batches) < 2e-6
        assert trainer._shared.with_images
        ours, trl = tokens_of_an_update(trainer, batches, trainer.model.base_model.get_decoder().layers[0])
        assert ours < 0.35 * trl
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


def test_where_nothing_teaches_a_row_without_weight_is_read(tmp_path):
    trainer = make_trainer(tmp_path, reward=nothing_teaches, weight_decay=0.0)
    before = [weight.detach().clone() for weight in trainer.model.parameters()]
    trainer.train()
    after = list(trainer.model.parameters())
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert all(weight.grad is None or not weight.grad.any() for weight in after)
    first = trainer.state.log_history[0]
    assert first["rollouts/trained_share"] == 0
    assert first["rollouts/trained_tokens"] == 0
    assert "entropy" not in first  # of no completion


def tokens_of_an_update(trainer, batches, layer=None):
    """Counts what a layer reads of packed batches, and of TRL's without shared prompts."""
    read = []
    hook = (layer or trainer.model.base_model.layers[0]).register_forward_pre_hook(
        lambda _, args, kwargs: read.append((*args, *kwargs.values())[0].shape[:-1].numel()), with_kwargs=True
    )
    found = packed(trainer, batches)
    gradient(trainer, found)  # with its trials
    read.clear()
    gradient(trainer, found)
    ours = sum(read)
    with as_trl(trainer):
        gradient(trainer, batches)
    hook.remove()
    return ours, sum(read) - ours


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


@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "bnpo"])
def test_with_a_kl_all_completions_keep_their_gradient(tmp_path, tiny_model_folder, loss_type):
    settings = {"beta": 0.5, "loss_type": loss_type, "per_device_train_batch_size": 8}
    trainer = make_trainer(tmp_path, str(tiny_model_folder), rows=long_prompts(), **settings)
    with torch.no_grad():  # away from the reference
        for weight in trainer.model.parameters():
            weight += 0.02 * torch.randn_like(weight)
    batches = generated(trainer)
    assert all((batch["ref_per_token_logps"] != 0).any() for batch in batches)
    assert trainer._packs == (loss_type != "bnpo")
    assert distance(trainer, batches) < 2e-6


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


class WithATerm(GuardedGRPOTrainer):
    def _compute_loss(self, model, inputs):
        self.rows.append(len(inputs.get("advantages", ())))
        return super()._compute_loss(model, inputs)


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ({}, "WithATerm has a loss of its own"),
        ({"term_over_all": "a bonus"}, "a bonus"),
        ({"term_over_all": None}, ""),
    ],
    ids=["nothing", "a term", "no term"],
)
def test_a_loss_of_a_subclass_gets_all_completions_unless_it_says_that_it_need_not(tmp_path, capsys, says, told):
    kind = type("Mine", (WithATerm,), {"rows": []} | says)
    make_trainer(tmp_path, max_steps=1, kind=kind).train()
    assert (sum(kind.rows) == 16) == bool(told)
    assert ("Completions without an advantage are computed, too" in (said := capsys.readouterr().err)) == bool(told)
    assert told in said


def test_a_rank_with_less_left_reads_rows_without_weight(doubles, monkeypatch):
    trainer, batches = doubles
    monkeypatch.setattr(trainer, "loss_type", "grpo")
    window = Window(batches, "grpo")
    expected, found = gradient(trainer, window.batches(2)), gradient(trainer, window.batches(4))
    assert torch.equal(expected, found)
    assert all(len(batch["advantages"]) for batch in window.batches(4))


def test_no_batch_is_larger_than_those_of_trl(doubles):
    _, batches = doubles
    window = Window(batches, "dapo")
    most = batches[0]["prompt_ids"].numel() + batches[0]["completion_ids"].numel()
    for batch in filter(None, window.batches(2)):
        rows = [mask.sum(1).max() * len(mask) for mask in (batch["prompt_mask"], batch["completion_mask"])]
        assert sum(rows) <= most
        assert rows[1] <= batches[0]["completion_ids"].numel()


def batch_of(*lengths, width=16):
    """Makes a batch of completions with such lengths behind prompts of two tokens, all of which teach."""
    rows = len(lengths)
    ids = {"prompt_ids": torch.zeros(rows, 2), "completion_ids": torch.zeros(rows, width)}
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).int()
    ones = {"prompt_mask": torch.ones(rows, 2), "advantages": torch.ones(rows)}
    return ids | ones | {"completion_mask": mask}


def test_rows_are_packed_by_length_into_few_batches():
    mixed = Window([batch_of(1, 16, 1, 16), batch_of(16, 1, 16, 1)], "dapo")
    assert mixed.packed == [[0, 2, 5, 7], [1, 3, 4, 6]]
    assert len(Window([batch_of(1, 1, 1, 1)] * 4, "dapo").packed) == 1
    assert len(Window([batch_of(16, 16, 16, 16)] * 4, "dapo").packed) == 4
    narrow = Window([batch_of(1, 16, 1, 16), batch_of(16, 1, 16, 1)], "dapo", 8)  # its prompts are too short to share
    assert narrow.packed == mixed.packed
    one_place = Window([batch_of(1, 1, 1, 16)], "dapo")  # a second batch would be one more than TRL's
    assert one_place.packed == [[0, 1, 2, 3]]


def test_off_is_trl(tmp_path):
    trainer = make_trainer(tmp_path, skip_without_advantage="off")
    trainer.train()
    assert {"entropy", "clip_ratio/high_mean"} <= trainer.state.log_history[0].keys()
    assert "rollouts/trained_share" not in trainer.state.log_history[0]
