import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_model, tiny_tokenizer
from trl import GRPOConfig, GRPOTrainer

import rewards
from rewards import PerturbationConsistency, UnseenPerturbationConsistency, perturbed_rows, render_options

OPTIONS = ["iron", "gold", "zinc"]


def answers(letters):
    return [f"Answer: {letter}" if letter != "-" else "no idea" for letter in letters]


def score(letters, families, gold=0, settings=None, log=None, **columns):
    """Scores one question's responses; `families` says with o, w, d and h which version each one answers."""
    names = {"o": "original", "w": "whitespace", "d": "distractor", "h": "misleading_hint"}
    given = {
        "origin": ["q"] * len(letters),
        "family": [names[letter] for letter in families],
        "options": [OPTIONS] * len(letters),
        "answer": [gold] * len(letters),
        "log_metric": None if log is None else lambda name, value: log.append((name, value)),
    }
    reward = PerturbationConsistency(**{"families": ["whitespace", "distractor"]} | (settings or {}))
    return reward(answers(letters), **given | columns)


BY_HAND = [
    # original A A, whitespace A B: each original agrees with 1 of 2, each version with all originals
    ("AAAB", "ooww", [0.5, 0.5, 1.0, 0.0]),
    # two families count alike, however many responses they have: (1/2 + 1) / 2
    ("AABA", "owwd", [0.75, 1.0, 0.0, 1.0]),
    # a wrong answer earns nothing, however stable
    ("BBB", "oww", [0.0, 0.0, 0.0]),
    # no answer is a flip, also from no answer
    ("A--", "oww", [0.0, 0.0, 0.0]),
    ("-A", "ow", [0.0, 0.0]),
    # nothing to hold against: no version, or no original
    ("AA", "oo", [None, None]),
    ("AA", "ww", [None, None]),
    # a family that does not count, and does not count for the original either
    ("AAB", "owh", [1.0, 1.0, None]),
]


@pytest.mark.parametrize(("letters", "families", "expected"), BY_HAND)
def test_one_minus_the_flip_rate_by_hand(letters, families, expected):
    assert score(letters, families) == expected


def test_answers_are_compared_by_content_and_not_by_letter():
    columns = {"options": [OPTIONS, ["gold", "zinc", "iron"]], "permutation": [None, [1, 2, 0]], "answer": [0, 2]}
    families = {"settings": {"families": ["whitespace"]}}
    assert score("AC", "ow", **families, **columns) == [1.0, 1.0]
    assert score("AA", "ow", **families, **columns) == [0.0, 0.0]


def test_answers_without_options_are_compared_as_texts():
    columns = {"options": None, "answer": ["Goethe", "Goethe"], "origin": [7, 7], "family": ["original", "distractor"]}
    assert rewards.perturbation_consistency(["Answer: Goethe"] * 2, **columns) == [None, None]
    reward = UnseenPerturbationConsistency()
    assert reward(["Answer: goethe.", "Answer: **Goethe**"], **columns) == [1.0, 1.0]
    assert reward(["Answer: Goethe", "Answer: Goethe or Kant"], **columns) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("gold", "right", "wrong"),
    [
        (72, "72", "7"),
        (72.0, "72.", "72 apples"),
        (0.5, "0.5", "5"),
        (["Paris", "City of Light"], "city of light", "Rome"),
        (("1/2", 0.5), "**1/2**", "2"),
    ],
)
def test_without_options_a_number_is_a_text_and_each_of_a_list_is_right(gold, right, wrong):
    texts = [f"Answer: {right}"] * 3 + [f"Answer: {wrong}"]
    columns = {"origin": ["q"] * 4, "family": ["original"] * 2 + ["whitespace"] * 2, "answer": [gold] * 4}
    assert rewards.perturbation_consistency(texts, **columns) == [0.5, 0.5, 1.0, 0.0]


def test_origins_are_not_mixed_and_rows_without_gold_are_skipped():
    columns = {"origin": ["q", "q", "r", "r"], "family": ["original", "whitespace"] * 2, "answer": [0, 0, 1, None]}
    assert score("AABA", "owow", **columns) == [1.0, 1.0, 0.0, None]
    assert score("AABA", "owow", **columns | {"answer": [0, 0, 1, []]}) == [1.0, 1.0, 0.0, None]


def test_flip_rates_are_logged_per_family_with_that_of_the_original_itself():
    log = []
    score("AABAAB", "ooowwd", log=log)
    prefix = "perturbation_consistency/flip_rate/"
    # pairs of originals: AA agrees, AB twice not; A A B against A A; A A B against B
    assert log == [
        (prefix + "original", pytest.approx(2 / 3)),
        (prefix + "whitespace", pytest.approx(1 / 3)),
        (prefix + "distractor", pytest.approx(2 / 3)),
    ]


def test_missing_columns_are_named():
    with pytest.raises(ValueError, match="`perturbation_consistency` needs the columns `origin` and `family`"):
        rewards.perturbation_consistency(answers("A"), answer=[0])
    with pytest.raises(ValueError, match="needs the column `answer`"):
        rewards.perturbation_consistency(answers("A"), origin=["q"], family=["original"])
    with pytest.raises(ValueError, match="`families` must list some of"):
        PerturbationConsistency(families=["option_oder"])


@given(st.lists(st.tuples(st.sampled_from("ABC-"), st.sampled_from("owd")), max_size=12), st.randoms())
def test_values_are_shares_and_do_not_depend_on_the_order_of_rows(rows, rng):
    shuffled = rng.sample(range(len(rows)), len(rows))
    letters, families = [row[0] for row in rows], [row[1] for row in rows]
    values = score(letters, families)
    assert all(value is None or 0 <= value <= 1 for value in values)
    again = score([letters[i] for i in shuffled], [families[i] for i in shuffled])
    assert again == pytest.approx([values[i] for i in shuffled])
    if set(letters) == {"A"} and {"o", "w"} <= set(families):
        assert set(values) == {1.0}


class Scripted(GRPOTrainer):
    """Answers A whatever it is asked; everything after the sampling is real."""

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        ids = self.processing_class.encode("<think>x</think><answer>A</answer>")
        return [[*ids, self.processing_class.eos_token_id] for _ in prompt_ids], None


def test_plain_trl_gives_it_the_rows_of_an_origin_together(tmp_path):
    questions = [{"id": f"q{i}", "question": "Which one?", "options": OPTIONS, "answer": 0} for i in range(4)]
    rows, _ = perturbed_rows(questions, lambda q, options: f"{q}\n{render_options(options)}\n", ["option_order"])
    tokenizer = tiny_tokenizer()
    trainer = Scripted(
        tiny_model(vocabulary=len(tokenizer)),
        reward_funcs=[rewards.accuracy, rewards.perturbation_consistency, rewards.unseen_perturbation_consistency],
        args=GRPOConfig(
            output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=8, num_generations=4, logging_steps=1,
            max_completion_length=12, shuffle_dataset=False, scale_rewards="batch", bf16=False, use_cpu=True,
            report_to="none", save_strategy="no", disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )  # fmt: skip
    trainer.train()
    logs = trainer.state.log_history[:2]
    # the letter A is right in the original and wrong in another order unless iron stays first, so every order flips it
    for entry, (original, version) in zip(logs, [rows[0:2], rows[2:4]], strict=True):
        assert entry["rewards/accuracy/mean"] == (1 + (version["answer"] == 0)) / 2
        flips = float(version["options"][0] != original["options"][0])
        assert entry["perturbation_consistency/flip_rate/option_order"] == flips
        assert entry["rewards/perturbation_consistency/mean"] == 1 - flips
