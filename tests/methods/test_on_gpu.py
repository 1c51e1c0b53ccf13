"""Every trainer puts what it makes where the model is: two steps on a GPU that is pretended."""

import pytest
import torch
from pretended_gpu import GPU, is_there, pretended_gpu
from sharded_cases import METHODS, REWARD_MODELS, SETTINGS
from tiny import tiny_model, tiny_reward_model, tiny_tokenizer, tiny_vl_model_and_processor

pytestmark = pytest.mark.slow
CLOCKS = ("time", "seconds", "per_second", "second_pass_share")  # how names of metrics end


def save_model(method, folder):
    size = {"vocabulary": len(tiny_tokenizer())}
    if method in REWARD_MODELS:
        tiny_reward_model(**size).save_pretrained(folder)
    elif method.endswith("images"):
        tiny_vl_model_and_processor()[0].save_pretrained(folder)
    else:
        tiny_model(**size).save_pretrained(folder)


def trained(method, model, out):
    trainer = METHODS[method](str(model), str(out), None)
    trainer.train()
    return trainer


def test_what_is_there_does_not_meet_what_is_here():
    with pretended_gpu():
        there, here = torch.ones(2, device=GPU), torch.ones(2)
        assert (there + 1).to(here).device == here.device != (2 * there).device == GPU
        assert (there.cpu() + here).numpy().tolist() == [2, 2]
        for mixed in (lambda: there + here, lambda: torch.cat([there, here]), lambda: here[there.long()] + there[0]):
            with pytest.raises(RuntimeError, match=r"on the pretended GPU and, of shapes \[\(2,\)\], on the CPU"):
                mixed()
        with pytest.raises(TypeError):
            there.numpy()


@pytest.mark.by_day(*(each for each in METHODS if "_" not in each or each.endswith("images")))
@pytest.mark.parametrize("method", [method for method in METHODS if not method.endswith("stream")])
def test_two_steps_there_are_two_steps_here(method, tmp_path, monkeypatch):
    save_model(method, tmp_path / "model")
    here = trained(method, tmp_path / "model", tmp_path / "here")
    monkeypatch.setitem(SETTINGS, "use_cpu", False)
    with pretended_gpu():
        there = trained(method, tmp_path / "model", tmp_path / "there")
        assert all(map(is_there, there.model.parameters()))
    for own, other in zip(there.state.log_history, here.state.log_history, strict=True):
        assert {name: own[name] for name in own if not name.endswith(CLOCKS)} == pytest.approx(
            {name: other[name] for name in other if not name.endswith(CLOCKS)}, rel=1e-3, abs=1e-5, nan_ok=True
        )
