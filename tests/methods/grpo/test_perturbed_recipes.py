"""Rows that a recipe makes of others reach the rewards, together, through the real trainer."""

import json
import re

import pandas as pd
import pytest
import yaml
from started import metrics_of

import align.methods.grpo.trainer
from align.checks.launch import Launch
from align.errors import RecipeError
from align.evaluation.suites.perturbation.rows import trained_families
from align.methods.grpo.trainer import GuardedGRPOTrainer, build
from align.methods.rollouts.prompt_data import load
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare
from align.services.train import run

OPTIONS = ["iron", "gold", "tin", "lead"]
# What share of its row's three versions a response meets in its call, each with its two completions.
WHOLE = """
def together(completions, origin, family, **kwargs):
    rows = list(zip(origin, family, strict=True))
    return [sum(rows.count((name, each)) == 2 for each in ("original", "option_order", "whitespace")) / 3
            for name in origin]
together.whole_batch = True
"""


@pytest.fixture
def recipe(tmp_path, tiny_model_folder):
    """Writes a recipe on eight questions that are perturbed; keywords change keys."""

    def write(rows=None, **changes):
        for name in ("train", "eval"):
            questions = [
                {
                    "id": f"{name}-{i}",
                    "question": f"Which of {name}, {i}?",
                    "options": OPTIONS,
                    "answer": "ABCD"[i % 4],
                }
                for i in range(8)
            ]
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows or questions))
        (tmp_path / "own.py").write_text(WHOLE)
        dataset = {
            "path": "./train.jsonl", "conversational": False, "prompt_template": "{question}\n{options}\n",
            "perturb": ["option_order", "whitespace"],
        }  # fmt: skip
        content = {
            "method": "grpo", "model_name_or_path": str(tiny_model_folder), "output_dir": str(tmp_path / "run"),
            "dataset": dataset | changes.pop("dataset", {}), "reward_funcs": ["./own.py:together"],
            "num_generations": 2, "per_device_train_batch_size": 12, "max_completion_length": 4, "max_steps": 4,
            "logging_steps": 1, "save_strategy": "no", "use_cpu": True, "bf16": False, "report_to": "none",
            "gradient_checkpointing": False, "scale_rewards": "batch",
        }  # fmt: skip
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(content | changes))
        return path

    return write


def findings(path):
    return [(f.check, f.level, f.text) for f in prepare(load_recipe(path), Launch()).findings]


def problems(path):
    return [f"{level}: {text}" for _, level, text in findings(path) if level != "ok"]


def test_versions_meet_in_one_call_while_rows_are_shuffled_in_training_and_in_evaluation(recipe, tmp_path):
    path = recipe(
        dataset={"eval_path": "./eval.jsonl"}, eval_strategy="steps", eval_steps=5, per_device_eval_batch_size=6,
        max_steps=5,
    )  # fmt: skip
    assert problems(path) == []
    assert run(str(path), [], None) == 0
    metrics = metrics_of(tmp_path / "run")
    assert [metrics[step]["rewards/together/mean"] for step in range(1, 6)] == [1.0] * 5
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    evaluated = [line["eval_rewards/together/mean"] for line in lines if "eval_loss" in line]
    assert evaluated == [1.0]
    asked = []
    for step in range(1, 5):
        table = pd.read_parquet(tmp_path / f"run/completions/completions_{step:05}.parquet")
        asked += dict.fromkeys(re.findall(r"train,\s+(\d)\?", " ".join(table["prompt"])))
    assert sorted(asked) == list("01234567")  # an epoch asks each once
    assert asked != sorted(asked)  # in an order that is drawn, not that of the file


class Scripted(GuardedGRPOTrainer):
    """Answers A whatever it is asked; everything after the sampling is real."""

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        ids = self.processing_class.encode("<answer>A</answer>")
        return [[*ids, self.processing_class.eos_token_id] for _ in prompt_ids], None


def test_the_reward_has_the_values_that_are_computed_by_hand(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(align.methods.grpo.trainer, "GuardedGRPOTrainer", Scripted)
    path = recipe(reward_funcs=["perturbation_consistency"], per_device_train_batch_size=6, max_steps=8)
    assert run(str(path), [], None) == 0
    rows = {row["id"]: row for row in load(load_recipe(path)).rows}
    metrics = metrics_of(tmp_path / "run")
    seen = []
    for step in range(1, 9):
        table = pd.read_parquet(tmp_path / f"run/completions/completions_{step:05}.parquet")
        (name,) = {row["origin"] for row in rows.values() if row["prompt"] == table["prompt"][0]}
        shuffled = rows[f"{name}/option_order"]
        # A says the first option of the original, and another one unless the first stayed first in the other order.
        same = shuffled["options"][0] == OPTIONS[0]
        right, right_shuffled = rows[name]["answer"] == 0, shuffled["answer"] == 0
        expected = [right * (same + 1) / 2, right_shuffled * same, right * 1.0]  # original, option_order, whitespace
        assert table["perturbation_consistency"].tolist() == [value for value in expected for _ in range(2)]
        assert metrics[step]["perturbation_consistency/flip_rate/option_order"] == 1 - same
        assert metrics[step]["perturbation_consistency/flip_rate/whitespace"] == 0
        seen.append(tuple(expected))
    assert {(0.0, 0.0, 0.0), (0.5, 0.0, 1.0)} <= set(seen)


class Naming(Scripted):
    """Names one author for the first wording of each title and, of the odd titles, another one for the second."""

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        tokenizer, answers = self.processing_class, []
        for ids in prompt_ids:
            title, other = re.search(r"T(\d)", tokenizer.decode(ids))[1], "Authors" in tokenizer.decode(ids)
            name = f"Ann {'abcd'[int(title)] * 3}{'x' if other and int(title) % 2 else ''}"
            answers.append([*tokenizer.encode(f"<answer>{name}</answer>"), tokenizer.eos_token_id])
        return answers, None


def test_several_wordings_of_a_title_are_one_reference(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(align.methods.grpo.trainer, "GuardedGRPOTrainer", Naming)
    path = recipe(
        rows=[{"id": str(i), "title": f"T{i}"} for i in range(4)],
        dataset={"prompt_template": ["Who wrote {title}?", "Authors of {title}:"], "perturb": None},
        reward_funcs=["reference_consistency"], per_device_train_batch_size=16, max_steps=1,
        max_completion_length=20,
    )  # fmt: skip
    assert problems(path) == []
    assert run(str(path), [], None) == 0
    table = pd.read_parquet(tmp_path / "run/completions/completions_00001.parquet")
    odd = table["prompt"].str.contains("T[13]")
    # Of the three other responses to a title all name the same author; of an odd one, the one in the same wording.
    assert table["reference_consistency"][~odd].tolist() == [1.0] * 8
    assert table["reference_consistency"][odd].tolist() == pytest.approx([1 / 3] * 8)


def test_evaluation_rows_may_be_perturbed_otherwise_and_training_rows_not_at_all(recipe):
    data = load(load_recipe(recipe(dataset={"eval_path": "./eval.jsonl", "eval_perturb": ["distractor"]})))
    assert [row["family"] for row in data.eval_rows[:2]] == ["original", "distractor"]
    assert len(data.eval_rows) == 16
    data = load(load_recipe(recipe(dataset={"eval_path": "./eval.jsonl", "eval_perturb": [], "perturb_seed": 3})))
    assert {row["family"] for row in data.eval_rows} == {"original"}
    only = {"perturb": None, "eval_path": "./eval.jsonl", "eval_perturb": ["whitespace"]}
    data = load(load_recipe(recipe(dataset=only)))
    assert {row["family"] for row in data.rows} == {"original"}
    assert len(data.eval_rows) == 16


def test_rows_of_a_mixture_are_perturbed_after_they_are_mixed(recipe, tmp_path):
    sets = [{"path": str(tmp_path / f"{name}.jsonl"), "weight": 0.5} for name in ("train", "eval")]
    rows = load(load_recipe(recipe(dataset={"path": None, "mix": sets}))).rows
    assert [row["family"] for row in rows] == ["original", "option_order", "whitespace"] * (len(rows) // 3)
    assert {row["source"] for row in rows} == {"train", "eval"}


def test_the_families_that_were_trained_on_are_known(recipe):
    path = recipe(dataset={"perturb": ["distractor"]})
    found = trained_families(path)
    assert found.seen == {"distractor": f"`dataset.perturb` in {path}"}
    assert found.standing("whitespace") == "unseen"


def test_check_says_what_is_made_and_what_is_left_out(recipe):
    fixed = {"id": "f", "question": "Which one?", "options": ["iron", "all of the above"], "answer": "A"}
    rows = [{"id": f"q{i}", "question": f"Which {i}?", "options": OPTIONS, "answer": "A"} for i in range(8)]
    found = findings(recipe(rows=[*rows, fixed]))
    texts = {level: text for check, level, text in found if check == "data"}
    assert texts["warning"].startswith("Rows for training are left out that a family of `perturb` cannot change")
    assert "1 by option_order." in texts["warning"]
    made = "8 rows for training are asked 3 times, as they are, and perturbed (option_order, whitespace), next to each"
    assert any(text.startswith(made) for _, _, text in found)
    assert any("9 read, 9 kept, 0 left out, 1 not changed by option order" in text for _, _, text in found)


CASES = {
    "the rewards need rows": (
        {"dataset": {"perturb": None}, "reward_funcs": ["perturbation_consistency"]},
        "error: .*needs the columns `origin` and `family`, which a recipe makes with `dataset.perturb: ",
    ),
    "nothing compares": (
        {"reward_funcs": ["accuracy"]},
        "warning: `dataset.perturb` makes versions of each row, and no reward reads `origin`",
    ),
    "divided out": (
        {"reward_funcs": ["perturbation_consistency"], "scale_rewards": "group"},
        "warning: `perturbation_consistency` gives all right responses to one prompt the same, and `scale_rewards: g",
    ),
    "torn apart": (
        {"per_device_train_batch_size": 8},
        r"error: `dataset` asks each row 3 times .* multiple of 6, and one process generates 8 at once\. Change "
        "`per_device_train_batch_size`, for example to 6",
    ),
    "torn apart in evaluation": (
        {"dataset": {"eval_path": "./eval.jsonl"}, "eval_strategy": "steps", "per_device_eval_batch_size": 4},
        "error: .* Change `per_device_eval_batch_size`, for example to 6",
    ),
    "no options in the prompt": (
        {"dataset": {"prompt_template": "{question}"}},
        "error: `dataset.perturb`: `option_order` changes 0 of 8 rows",
    ),
    "no such column": (
        {"dataset": {"prompt_template": "{titel}", "perturb": None}},
        "error: .* has no column `titel`. It has: `id`, `question`",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_check_says_what_is_wrong_in_a_sentence(recipe, case):
    changes, sentence = CASES[case]
    assert any(re.match(sentence, text) for text in problems(recipe(**changes))), problems(recipe(**changes))


REFUSED = {
    "an unknown family": ({"perturb": ["option_oder"]}, "`dataset.perturb.0`: input should be 'option_order', "),
    "a family twice": ({"perturb": ["whitespace", "whitespace"]}, "a family is there twice"),
    "no place": ({"prompt_template": "Why?"}, "a wording must name a column in braces, such as {question}"),
    "its own place": ({"prompt_template": "{prompt}"}, "and not {prompt}, which it makes"),
    "options alone": ({"prompt_template": "{options}"}, "a wording with {options} needs {question}, too"),
    "no wording": ({"prompt_template": []}, "the list must hold wordings, each once"),
    "both": ({"prompt_template": ["{question}", "Say: {question}"]}, "`perturb` makes versions of one wording"),
    "a seed of nothing": ({"perturb": None, "perturb_seed": 1}, "`perturb_seed` is the seed of `perturb`"),
    "no evaluation rows": ({"eval_perturb": []}, "`eval_perturb` is about the rows of `eval_path`"),
    "a system message of a text": ({"system_prompt": "x"}, "`system_prompt` needs a `prompt_template`, and `conv"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_keys_that_do_not_fit_are_refused_when_the_recipe_is_read(recipe, case):
    dataset, sentence = REFUSED[case]
    with pytest.raises(RecipeError, match=re.escape(sentence)):
        load_recipe(recipe(dataset=dataset))


def test_the_trainer_refuses_a_batch_that_tears_rows_apart(recipe):
    made = load_recipe(recipe(per_device_train_batch_size=8))
    with pytest.raises(ValueError, match="3 rows have to be in one call of the rewards, with 2 completions each"):
        build(made, load(made), [lambda completions, **kwargs: [0.0] * len(completions)])
