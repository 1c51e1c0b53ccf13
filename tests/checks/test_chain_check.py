import json
import shutil

import pytest
from observed_table import write_chain_recipe

from align.checks.launch import Launch
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare

MESSAGES = {"dataset": {"path": "./messages.jsonl"}}


@pytest.fixture
def findings(tmp_path, tiny_model_folder):
    def check(then=None, **changes):
        rows = [{"prompt": [{"role": "user", "content": f"q{number}?"}]} for number in range(8)]
        (tmp_path / "messages.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        path = write_chain_recipe(tmp_path, changes.pop("model", tiny_model_folder), then, **changes)
        return prepare(load_recipe(path), Launch()).findings

    return check


def test_both_runs_are_checked_before_the_first_starts(findings):
    found = findings()
    assert not [finding.text for finding in found if finding.level == "error"]
    texts = {finding.check: finding.text for finding in found}
    assert "One step: 8 per device" in texts["batch"]
    assert "8 completions" in texts["then: batch"]
    assert texts["then: rewards"] == "`trained` is the reward model of the run before this one."
    assert "learns from texts, and scores texts, too" in texts["chain"]


def test_what_is_wrong_with_the_second_run_is_found_first(findings):
    found = findings({"num_generations": 3, "reward_funcs": ["trained", "acuracy"]})
    errors = [finding for finding in found if finding.level == "error"]
    assert {finding.check for finding in errors} == {"then: batch", "then: rewards"}
    assert any("Did you mean 'accuracy'" in finding.text for finding in errors)


def test_a_reward_model_that_reads_confounders_cannot_reward_a_policy(findings):
    (found,) = [finding for finding in findings(dataset={"estimator": "input"}) if finding.level == "error"]
    assert "The reward model: it was trained with the confounders before the text" in found.text


def test_texts_and_messages_are_not_the_same(findings, tmp_path, tiny_model_folder):
    (warned,) = [finding for finding in findings(MESSAGES) if finding.check == "chain"]
    assert (warned.level, "learns from texts and will be asked about messages" in warned.text) == ("warning", True)
    bare = shutil.copytree(tiny_model_folder, tmp_path / "bare")
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        file = bare / name
        if name.endswith(".jinja"):
            file.unlink(missing_ok=True)
        else:
            settings = json.loads(file.read_text())
            settings.pop("chat_template", None)
            file.write_text(json.dumps(settings))
    errors = [finding.text for finding in findings(MESSAGES, model=bare) if finding.check == "chain"]
    assert "has no chat template" in errors[0]
