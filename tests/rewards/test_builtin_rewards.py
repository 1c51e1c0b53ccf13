"""Every built-in: found by name, usable as it is in plain TRL, the same for both forms of completions."""

import pickle
from pathlib import Path

import pytest
from datasets import Dataset
from tiny import tiny_model, tiny_tokenizer
from trl import GRPOConfig, GRPOTrainer

import rewards

PHRASES = {"file": str(Path(__file__).with_name("phrases.txt"))}
NEEDS = {
    "length": {"max_length": 8, "margin": 4},
    "phrases": PHRASES,
    "code_accuracy": {"isolation": "none"},  # works where there are no namespaces, too
}
ANSWERS = ["5", "6", "5 or 6", "", "Ada Lovelace"]
TEXTS = [f"<think>Hm, hm, hm.</think><answer>{answer}</answer>" for answer in ANSWERS]
COLUMNS = {
    "prompts": ["p", "p", "q", "q", "q"],
    "completion_ids": [[1, 2, 3, 1, 2, 3]] * 5,
    "origin": ["o"] * 5,
    "family": ["original", "whitespace", "distractor", "original", "original"],
    "first_choice": [0] * 5,
    "second_choices": [[0]] * 5,
    "tests": [["assert f() == 5"]] * 5,
    "task": ["reasoning_gym:gcd"] * 5,
    "entry": ['{"question": "gcd of 10 and 15?", "answer": "5", "metadata": {}}'] * 5,
    "trainer_state": None,
}
GOLDS = {"accuracy": 0, "answer_consistency": 0, "text_accuracy": "5", "number_accuracy": 5, "math_accuracy": "5"}


def call(reward, completions, **columns):
    given = COLUMNS | {"answer": [GOLDS.get(reward.__name__, "5")] * 5}
    if reward.__name__ in ("accuracy", "answer_agreement", "follows_trace"):
        given["options"] = [["5", "6", "hm"]] * 5
    if reward.__name__ == "reference_consistency":
        given["origin"] = given["prompts"]  # with one it would have nothing to contrast with
    return reward(completions=completions, **given | columns)


@pytest.mark.parametrize("name", rewards.REWARDS)
def test_every_built_in_is_found_by_name_pickles_and_reads_both_forms(name):
    if name == "reasoning_gym":
        pytest.importorskip("reasoning_gym", reason="needs the extra `reasoning-gym`")
    reward = rewards.resolve_reward(name, NEEDS.get(name))
    assert reward.__name__ == name
    scores = call(reward, TEXTS)
    assert len(scores) == 5
    assert any(score is not None for score in scores) or name == "vote_agreement"  # whose votes tie
    if name not in ("code_accuracy", "math_accuracy", "reasoning_gym"):  # a copy starts processes of its own
        assert call(pickle.loads(pickle.dumps(reward)), TEXTS) == scores
    assert call(reward, [[{"role": "assistant", "content": text}] for text in TEXTS]) == scores
    if name not in NEEDS:
        assert getattr(rewards, name).__name__ == name


@pytest.mark.parametrize("name", ["accuracy", "text_accuracy", "number_accuracy", "math_accuracy"])
def test_only_the_reference_itself_earns(name):
    assert call(getattr(rewards, name), TEXTS) == [1.0, 0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", ["perturbation_consistency", "reference_consistency"])
def test_rewards_that_compare_a_batch_say_so(name):
    assert getattr(rewards, name).whole_batch


def test_plain_trl_trains_on_them(tmp_path):
    class Scripted(GRPOTrainer):
        def _generate_single_turn(self, prompt_ids, *args, **kwargs):
            ids = [self.processing_class.encode(TEXTS[i % 4]) for i in range(len(prompt_ids))]
            return [[*row, self.processing_class.eos_token_id] for row in ids], None

    names = ["text_accuracy", "number_accuracy", "math_accuracy", "format", "repetition", "reference_consistency"]
    tokenizer = tiny_tokenizer()
    trainer = Scripted(
        tiny_model(vocabulary=len(tokenizer)),
        reward_funcs=[getattr(rewards, name) for name in names],
        args=GRPOConfig(
            output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=8, num_generations=4, logging_steps=1,
            max_completion_length=64, bf16=False, use_cpu=True, report_to="none", save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list([{"prompt": f"q{i}?", "answer": "5"} for i in range(4)]),
        processing_class=tokenizer,
    )  # fmt: skip
    trainer.train()
    logs = trainer.state.log_history[0]
    means = [logs[f"rewards/{name}/mean"] for name in names]
    assert means[:4] == [0.25, 0.25, 0.25, 0.75]
    assert means[4] < 0
    assert means[5] == 0.0
    assert logs["math_accuracy/timeout_rate"] == 0.0
    assert logs["reference_consistency/agreement"] == logs["reference_consistency/chance"]
