"""A gate that closes where the two heads of a reward model differ."""

import json
import pickle

import numpy as np
import pytest
from tiny import tiny_reward_model, tiny_tokenizer

from align import HeadAgreement
from align.errors import UserError
from align.models.head_agreement import agreement_in_group
from rewards import resolve_reward
from rewards.running.scores import Composition

PROMPTS, COMPLETIONS = ["q1?"] * 3 + ["q2?"], ["It is 1.", "No.", "Good, and long too.", "Well."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, tokenizer = tmp_path_factory.mktemp("heads"), tiny_tokenizer()
    tiny_reward_model(vocabulary=len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "truealign_head.json").write_text(json.dumps({"difference": [(i % 5 - 2) * 1.0 for i in range(32)]}))
    return folder


def test_agreement_counts_the_others_that_both_heads_order_alike():
    scores = np.array([[3.0, 1.0, 2.0, 2.0], [3.0, 2.0, 1.0, 1.0]])
    # The first is above the rest for both; the second is below the third and fourth for the first head only.
    assert agreement_in_group(scores).tolist() == pytest.approx([0.5, 1 / 3 - 0.5, 2 / 3 - 0.5, 2 / 3 - 0.5])
    assert agreement_in_group(np.array([[1.0], [2.0]])).tolist() == [0.5]


def test_it_compares_within_prompts_and_gates_the_reward_of_the_model(folder):
    reward = pickle.loads(pickle.dumps(resolve_reward("align.HeadAgreement", {"path": str(folder), "device": "cpu"})))
    found = reward(prompts=PROMPTS, completions=COMPLETIONS)
    from align import load_reward_model

    scores = load_reward_model(folder, device="cpu").head_scores(PROMPTS, COMPLETIONS)
    assert found == pytest.approx([*agreement_in_group(scores[:, :3]), 0.5])
    assert min(found) <= 0 < max(found)
    counted = Composition(gates={0: 1}).apply(np.stack([scores.mean(0), found], axis=1))[:, 0]
    assert [value == 0 for value in counted] == [value <= 0 for value in found]


def test_messages_are_read_too(folder):
    reward = HeadAgreement(str(folder), device="cpu")
    prompts = [[{"role": "user", "content": text}] for text in PROMPTS]
    completions = [[{"role": "assistant", "content": text}] for text in COMPLETIONS]
    assert len(reward(prompts=prompts, completions=completions)) == 4


def test_a_model_with_one_head_is_refused(tmp_path):
    tokenizer = tiny_tokenizer()
    tiny_reward_model(vocabulary=len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"has one score head.*`num_heads: 2`"):
        HeadAgreement(str(tmp_path), device="cpu")(prompts=PROMPTS, completions=COMPLETIONS)
