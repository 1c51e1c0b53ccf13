"""A run with `push_to_hub` against a stand-in of the hub: what arrives, and what a refusal leaves."""

import json

import pytest
from hub_api import asked_by, local_hub
from huggingface_hub import ModelCard
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from align.errors import RecipeError, RunFolderError
from align.recipe.recipe import load_recipe
from align.services.train import run
from align.training.hub import push_finished

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
    recipe = str(tiny_recipe(push_to_hub=True, hub_private_repo=True))
    folder = tmp_path / "run"
    hub.refused["/commit/"] = 403
    with pytest.raises(RunFolderError, match=r"is finished .* not on the hub: the token may not write to run.*`--re"):
        run(recipe, [], None)
    printed = capfd.readouterr()
    assert "The last save was not pushed to me/run: the token may not write to me/run." in printed.err
    assert (folder / "report.html").is_file()
    AutoModelForCausalLM.from_pretrained(folder)
    assert hub.files("me/run") == {}

    hub.refused.clear()
    assert run(recipe, [], "auto") == 0
    assert f"Model, tokenizer and card are at {hub.address}/me/run." in capfd.readouterr().out
    assert run(recipe, [], "auto") == 0
    assert [message for message, _ in hub.commits] == ["End of training"]
    files = hub.files("me/run")
    assert set(files) == MODEL
    assert files["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert [name for name, content in files.items() if any(
        each in content for each in (str(tmp_path).encode(), b"hf_standin", b"/root", b"/home"))] == []  # fmt: skip
    card = ModelCard(files["README.md"].decode())
    assert card.data.tags[:2] == ["trl", "truealign"]
    assert 'from_pretrained("me/run")' in card.text
    assert not list(folder.glob(".push-*"))


@pytest.mark.slow
def test_saves_are_pushed_while_a_run_goes_on_and_a_whole_checkpoint_where_that_is_asked_for(
    hub, tiny_recipe, tmp_path
):
    words = ["--push_to_hub", "true", "--hub_strategy", "all_checkpoints", "--hub_always_push", "true"]
    words += ["--hub_revision", "try", "--save_total_limit", "1", "--max_steps", "3", "--save_steps", "1"]
    assert run(str(tiny_recipe()), words, None) == 0
    messages = [f"Training in progress, step {step}" for step in (1, 2, 3)]
    assert [message for message, _ in hub.commits] == [*messages, "End of training"]
    files = hub.files("me/run", "try")
    assert {name for name in files if "/" not in name} == MODEL
    assert {name.partition("/")[0] for name in files} - MODEL == {"checkpoint-1", "checkpoint-2", "checkpoint-3"}
    assert json.loads(files["checkpoint-2/trainer_state.json"])["global_step"] == 2
    assert "| steps | 3 |" in files["README.md"].decode()


def test_a_repository_that_cannot_be_made_is_told_before_a_step(hub, tiny_recipe):
    recipe = tiny_recipe(push_to_hub=True, hub_model_id="them/run")
    with pytest.raises(RecipeError, match=r"^`push_to_hub: true`: the token may not write to them/run\. Name a repo"):
        run(str(recipe), [], None)


def test_an_adapter_is_pushed_without_the_path_of_its_base(hub, tiny_recipe, tmp_path):
    recipe, folder = load_recipe(tiny_recipe(push_to_hub=True, use_peft=True)), tmp_path / "run"
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear")).save_pretrained(folder)
    (folder / "README.md").write_text('---\ntags:\n- x\n---\n# run\nload("run")\n')
    (folder / "versions.json").write_text("{}")
    assert push_finished(recipe, folder) == f"{hub.address}/me/run"
    files = hub.files("me/run")
    assert set(files) == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    assert files["README.md"].decode().endswith('# me/run\nload("me/run")\n')
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "model"
    kept = json.loads((folder / "adapter_config.json").read_text())
    assert kept["base_model_name_or_path"] == str(tmp_path / "model")
    (tmp_path / "model").rename(tmp_path / "moved")
    push_finished(recipe, folder)
    assert json.loads(hub.files("me/run")["adapter_config.json"])["base_model_name_or_path"] == "model"
