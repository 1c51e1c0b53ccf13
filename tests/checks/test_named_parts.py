import pytest
from pair_recipe import write_pair_recipe
from some_recipes import with_model

from align.checks.model import check_adapter, check_tokens
from align.recipe.recipe import load_recipe


@pytest.mark.parametrize("targets", [["q_proj", "mlp.up_proj", "down_proj"], "all-linear", ".*q_proj"])
def test_modules_that_are_there_get_an_adapter(tmp_path, tiny_model_folder, targets):
    path = write_pair_recipe(tmp_path, tiny_model_folder, use_peft=True, lora_target_modules=targets)
    assert check_adapter(*with_model(load_recipe(path))) == []


def test_a_misspelt_module_among_others_is_named(tmp_path, tiny_model_folder):
    path = write_pair_recipe(tmp_path, tiny_model_folder, use_peft=True, lora_target_modules=["q_proj", "v_porj"])
    (finding,) = check_adapter(*with_model(load_recipe(path)))
    assert finding.level == "warning"
    assert "the model has no module called 'v_porj'" in finding.text
    assert finding.text.endswith("Did you mean 'v_proj'?")


def test_weights_that_cannot_be_read_say_nothing_of_modules(tmp_path, tiny_model_folder):
    path = write_pair_recipe(tmp_path, tiny_model_folder, use_peft=True, lora_target_modules=["none"])
    (tmp_path / "model" / "model.safetensors").write_bytes(b"")
    assert check_adapter(*with_model(load_recipe(path))) == []


def test_a_token_that_the_tokenizer_has_not_is_refused(tmp_path, tiny_model_folder):
    known, unknown = (
        load_recipe(write_pair_recipe(tmp_path, tiny_model_folder, pad_token=token)) for token in ("<pad>", "<nil>")
    )
    assert check_tokens(*with_model(known)) == []
    (finding,) = check_tokens(*with_model(unknown))
    assert (finding.level, finding.check) == ("error", "model")
    assert finding.text.startswith("`pad_token`: '<nil>' is no token of ")
