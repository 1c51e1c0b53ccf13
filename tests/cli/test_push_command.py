"""A run with `push_to_hub` against a stand-in of the hub: what arrives, and what a refusal leaves."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hub_api import asked_by, local_hub
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM

from align.errors import RunFolderError, UserError
from align.models.hub import push
from align.recipe.recipe import load_recipe
from align.services.train import run

MODEL = {
    "README.md", "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors",
    "tokenizer.json", "tokenizer_config.json",
}  # fmt: skip


@pytest.fixture
def hub(monkeypatch):
    with local_hub() as running:
        asked_by(monkeypatch, running.address)
        yield running


@pytest.mark.slow
def test_a_refused_push_loses_nothing_and_what_arrives_is_model_tokenizer_and_card(hub, tiny_recipe, tmp_path, capfd):
    recipe = str(tiny_recipe(push_to_hub=True, hub_private_repo=True, save_steps=1))
    folder = tmp_path / "run"
    hub.refused["/commit/"] = 403
    with pytest.raises(RunFolderError, match=r"is finished .* not on the hub: .*says 403.* By hand: hf up") as refused:
        run(recipe, [], None)
    assert (folder / "report.html").is_file()
    assert list(folder.glob("checkpoint-*/model.safetensors"))
    AutoModelForCausalLM.from_pretrained(folder)
    assert hub.files("me/run") == {}

    hub.refused.clear()
    by_hand = shlex.split(str(refused.value).partition("By hand: ")[2])
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # as in an activated environment
    address = {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0", "PATH": programs}
    subprocess.run(by_hand, env=os.environ | address, check=True)
    files = dict(hub.files("me/run"))
    hub.files("me/run").clear()
    capfd.readouterr()
    assert run(recipe, [], "auto") == 0
    assert f"Model, tokenizer and card are at {hub.address}/me/run." in capfd.readouterr().out
    assert [message for message, _ in hub.commits][1:] == ["End of training"]
    assert hub.files("me/run") == files
    assert set(files) == MODEL
    assert files["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert [name for name, content in files.items() if any(
        each in content for each in (str(tmp_path).encode(), b"hf_standin", b"/root", b"/home"))] == []  # fmt: skip
    card = ModelCard(files["README.md"].decode())
    assert card.data.tags[:2] == ["trl", "truealign"]
    assert 'from_pretrained("me/run")' in card.text


def test_an_adapter_goes_to_its_branch_unless_it_names_a_folder_here(hub, tiny_recipe, tmp_path):
    recipe, folder = load_recipe(tiny_recipe(push_to_hub=True, use_peft=True, hub_revision="try")), tmp_path / "run"
    (folder / "checkpoint-2").mkdir(parents=True)
    for name in ("adapter_model.safetensors", "checkpoint-2/adapter_model.safetensors", "training_args.bin"):
        (folder / name).write_bytes(b"weights")
    (folder / "README.md").write_text('---\ntags:\n- x\n---\n# run\nload(".")\n')
    for base in (tmp_path / "model", tmp_path / "moved", "./model"):
        (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
        with pytest.raises(UserError, match=f"names its base {base}, a folder of this machine"):
            push(recipe, folder)
    assert hub.asked == []
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/base"}')
    assert push(recipe, folder) == f"{hub.address}/me/run"
    assert hub.files("me/run") == {}
    files = hub.files("me/run", "try")
    assert set(files) == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    assert files["README.md"].decode().endswith('# me/run\nload("me/run")\n')
