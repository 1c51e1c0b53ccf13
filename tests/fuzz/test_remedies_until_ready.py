"""What a refusal proposes is done, one thing at a time, until the recipe is ready; then it trains a step."""

import json

import pytest
import yaml
from remedies import applied, remedies_of
from some_recipes import DEMONSTRATIONS, OUTCOMES, PAIRS, PROMPTS, QUESTIONS, REWARD_PAIRS
from test_fuzz_remedies import refusals

from align.methods import METHODS
from align.services.train import run

pytestmark = pytest.mark.slow
MOST = 5  # remedies of one recipe
SKIPPED = {"dataset.on_bad_rows": "skip"}
REFUSED = [
    (PROMPTS, {"loss_type": "gspo"}),
    (PROMPTS, {"loss_type": "grppo"}),
    (PROMPTS, {"num_generations": 1}),
    (PROMPTS, {"max_completion_length": 0}),
    (PROMPTS, {"learning_rate": -1.0}),
    (PROMPTS, {"learning_rates": 1e-5}),
    (PROMPTS, {"scale_rewards": "groups"}),
    (PROMPTS, {"importance_sampling_level": "sequences"}),
    (PROMPTS, {"temperature": 0.0}),
    (PROMPTS, {"top_p": 2.0}),
    (QUESTIONS, {"optim": "adamw_torchh"}),
    (QUESTIONS, {"lr_scheduler_type": "cosin"}),
    (QUESTIONS, {"save_strategy": "step"}),
    (QUESTIONS, {"second_pass_batch_size": -1}),
    (QUESTIONS, {"reward_clip": [1]}),
    (PAIRS, {"max_length": 4}),
    (PAIRS, {"max_length": 4} | SKIPPED),
    (PAIRS, {"max_length": 4, "on_missing_spans": "whole"} | SKIPPED),
    (PAIRS, {"spans": "differ"}),
    (PAIRS, {"diff_unit": "words"}),
    (PAIRS, {"truncation_mode": "keep_ends"}),
    (PAIRS, {"beta": -0.1}),
    (REWARD_PAIRS, {"max_length": 2} | SKIPPED),
    (REWARD_PAIRS, {"model_type": "scaler"}),
    (REWARD_PAIRS, {"warmup_steps": -1}),
    (DEMONSTRATIONS, {"max_length": 2}),
    (DEMONSTRATIONS, {"loss_type": "nl"}),
    (DEMONSTRATIONS, {"packing_strategy": "bfdd"}),
    (OUTCOMES, {"head": "ridg"}),
    (OUTCOMES, {"num_train_epochs": -1}),
]


VARIETY = """
from rewards.reading.responses import completion_text

def variety(completions, **kwargs):
    return [len(set(completion_text(each))) / 99 for each in completions]
"""


def changed(content, changes):
    for key, value in changes.items():
        block = content["dataset"] if key.startswith("dataset.") else content
        block[key.removeprefix("dataset.")] = value
    return content


@pytest.mark.by_day(f"{PROMPTS}-gspo", f"{PAIRS}-4-skip", f"{REWARD_PAIRS}-2-skip", f"{DEMONSTRATIONS}-2")
@pytest.mark.parametrize(
    ("method", "changes"), REFUSED, ids=[f"{m}-{'-'.join(map(str, c.values()))}" for m, c in REFUSED]
)
def test_remedies_lead_to_a_step(method, changes, recipe_of, tmp_path):
    recipe_of(method)
    (tmp_path / "own.py").write_text(VARIETY)
    content = changed(yaml.safe_load((tmp_path / "recipe.yaml").read_text()), changes)
    said = []
    while found := refusals(content, tmp_path, checked=True):
        said.append(found[0])
        assert len(said) <= MOST, said
        proposed = [remedy for text in found for remedy in remedies_of(text)]
        assert proposed, said
        of_first = [*remedies_of(found[0])] or proposed[:1]
        for remedy in of_first if len(of_first) > 1 and "` and `" in found[0] else of_first[:1]:
            content = applied(remedy, content)
    assert said, "it was not refused"
    content |= {"max_steps": 1, "output_dir": str(tmp_path / "out")}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    assert run(str(tmp_path / "recipe.yaml"), [], None) == 0
    (line, *_) = map(json.loads, (tmp_path / "out" / "metrics.jsonl").read_text().splitlines())
    assert line["grad_norm"] > 0 or METHODS[method].has_rewards, line
