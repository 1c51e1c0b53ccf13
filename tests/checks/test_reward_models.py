import json

import pytest
import transformers
from packaging.version import Version
from peft import AutoPeftModelForSequenceClassification, LoraConfig, get_peft_model
from tiny import tiny_model, tiny_reward_model, tiny_tokenizer
from transformers import AutoModelForSequenceClassification

from align.checks.launch import Launch
from align.checks.rewards import check_reward_model
from align.data.tables.outcome_rows import SCALE_FILE, Scale
from align.models.rewards import find_reward_model
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare
from align.services.train import run

TOKENIZER = tiny_tokenizer()


@pytest.fixture
def reward_model(tmp_path):
    """Puts a reward model beside the recipe."""

    def write(model=None, **config):
        (model or tiny_reward_model(vocabulary=len(TOKENIZER))).save_pretrained(tmp_path / "rm")
        TOKENIZER.save_pretrained(tmp_path / "rm")
        path = tmp_path / "rm" / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | config))
        return tmp_path / "rm"

    return write


def reward_findings(path):
    return [f for f in prepare(load_recipe(path), Launch()).findings if f.check == "rewards"]


def test_a_reward_model_is_checked_without_loading_it(tiny_recipe, reward_model):
    folder = reward_model()
    path = tiny_recipe(
        reward_funcs=["./rm"], reward_weights=[1.0], reward_kwargs={},
        dataset={"path": "./train.jsonl", "conversational": True},
    )  # fmt: skip
    (finding,) = reward_findings(path)
    assert (finding.level, finding.text) == ("ok", f"{folder} is a reward model with one score.")


BROKEN = {
    "two labels": ({"id2label": {"0": "a", "1": "b"}}, "a sequence classifier with one label"),
    "no pad token": ({"pad_token_id": None}, "no `pad_token_id`"),
    "pairwise": ({"truealign_pairwise": True}, "it is pairwise: it compares two answers and rewards no single one"),
    "not a classifier": ({"architectures": ["LlamaForCausalLM"]}, "a sequence classifier with one label"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_model_that_cannot_reward_is_an_error(tiny_recipe, reward_model, case):
    config, words = BROKEN[case]
    reward_model(**config)
    (finding,) = reward_findings(tiny_recipe(reward_funcs=["./rm"], reward_weights=[1.0], reward_kwargs={}))
    assert finding.level == "error"
    assert words in finding.text


def test_an_adapter_is_refused_because_its_score_head_would_be_random(tiny_recipe, reward_model, tmp_path):
    base = AutoModelForSequenceClassification.from_pretrained(reward_model())
    adapted = get_peft_model(base, LoraConfig(task_type="SEQ_CLS", target_modules="all-linear"))
    adapted.base_model.model.score.modules_to_save["default"].weight.data.fill_(1.0)
    adapted.save_pretrained(tmp_path / "adapter")
    path = tiny_recipe(reward_funcs=["./adapter"], reward_weights=[1.0], reward_kwargs={})
    (finding,) = reward_findings(path)
    assert "Merge it into its model first" in finding.text

    # the remedy works; and once the second half holds for every version that is taken, the check can go
    folder = str(tmp_path / "adapter")
    merged = AutoPeftModelForSequenceClassification.from_pretrained(folder, num_labels=1).merge_and_unload()
    assert set(merged.score.weight.unique().tolist()) == {1.0}
    plain = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    loaded = set(dict(plain.named_parameters())["score.modules_to_save.default.weight"].unique().tolist()) == {1.0}
    assert loaded == (Version(transformers.__version__) >= Version("5.18"))


def test_a_folder_that_is_not_there_and_settings_of_a_model_are_errors(tiny_recipe, reward_model):
    (finding,) = reward_findings(tiny_recipe(reward_funcs=["./absent"], reward_weights=[1.0], reward_kwargs={}))
    assert "there is no such folder" in finding.text
    folder = str(reward_model())
    settings = {"rm": {"x": 1}}
    (finding,) = reward_findings(tiny_recipe(reward_funcs=[folder], reward_weights=[1.0], reward_kwargs=settings))
    assert "takes no settings" in finding.text


def test_training_is_rewarded_by_the_model(tiny_recipe, reward_model, tmp_path):
    reward_model()
    path = tiny_recipe(
        reward_funcs=["./rm", "format"], reward_weights=[1.0, 0.5], reward_kwargs={}, second_pass="off", max_steps=1
    )
    assert run(str(path), [], None) == 0
    (line,) = [
        json.loads(line)
        for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
        if '"reward"' in line
    ]
    assert line["reward"] == pytest.approx(line["rewards/rm/mean"] + 0.5 * line["rewards/format/mean"], abs=1e-5)
    assert line["rewards/rm/std"] > 0


def test_a_generating_model_is_no_reward(tiny_recipe, reward_model):
    reward_model(tiny_model(vocabulary=len(TOKENIZER)))
    (finding,) = reward_findings(tiny_recipe(reward_funcs=["./rm"], reward_weights=[1.0], reward_kwargs={}))
    assert "LlamaForCausalLM" in finding.text


def test_a_model_that_read_confounders_before_its_texts_is_refused_unless_the_prompts_have_them(
    tiny_recipe, reward_model
):
    folder = reward_model()
    (folder / SCALE_FILE).write_text(json.dumps(Scale("clicks", 0.0, 1.0, "popularity +0.0\n").record()))
    path = tiny_recipe(reward_funcs=["./rm"], reward_weights=[1.0], reward_kwargs={})
    (finding,) = reward_findings(path)
    assert finding.level == "error"
    assert r"Write 'popularity +0.0\n' before every prompt" in finding.text
    (ok,) = check_reward_model("rm", str(folder), ["popularity +0.0\nq0?"])
    assert ok.level == "ok"


def test_a_file_in_place_of_a_reward_model_is_refused(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "rm.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"^Reward 'models/rm.safetensors': .*rm.safetensors is a file. Name"):
        find_reward_model("models/rm.safetensors", tmp_path)
