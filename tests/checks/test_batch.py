import pytest
from pair_recipe import fact_pairs, sourced_pairs, write_pair_recipe, write_reward_recipe

from align.checks.launch import Launch
from align.methods import METHODS
from align.recipe.recipe import load_recipe

EVALUATES = {"eval_strategy": "steps", "dataset": {"eval_path": "./train.jsonl"}}


@pytest.fixture
def findings(tiny_recipe):
    def check(processes=1, questions=40, **changes):
        recipe = load_recipe(tiny_recipe(**changes))
        return recipe.record.part("check_batch")(recipe, Launch(num_processes=processes), questions)

    return check


@pytest.mark.parametrize(
    ("changes", "processes", "completions", "prompts", "steps"),
    [
        ({}, 1, 8, 2, 20),
        ({}, 2, 16, 4, 10),
        ({"gradient_accumulation_steps": 2}, 1, 16, 4, 10),
        ({"gradient_accumulation_steps": 2}, 4, 64, 16, 2),
        ({"per_device_train_batch_size": 1}, 4, 4, 1, 40),
        ({"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4}, 1, 4, 1, 40),
        ({"steps_per_generation": 2}, 1, 8, 4, 20),
        ({"generation_batch_size": 32}, 1, 8, 8, 20),
        ({"generation_batch_size": 32, "gradient_accumulation_steps": 2}, 2, 32, 8, 5),
        ({"num_iterations": 3}, 1, 8, 2, 60),
        ({"num_generations": 8}, 1, 8, 1, 40),
    ],
)
def test_a_step_is_counted_as_by_hand(findings, changes, processes, completions, prompts, steps):
    (finding,) = findings(processes, save_strategy="no", **changes)
    assert finding.level == "ok"
    assert finding.numbers == {
        "completions_per_step": completions, "prompts_per_generation": prompts, "steps_per_pass": steps,
    }  # fmt: skip
    assert f"= {completions} completions" in finding.text


def test_saving_the_best_while_completions_are_in_use_is_a_warning(findings):
    best = EVALUATES | {"save_strategy": "best", "metric_for_best_model": "loss", "num_iterations": 2}
    warnings = [each.text for each in findings(**best, eval_steps=3) if each.level == "warning"]
    assert [text.partition(" while")[0] for text in warnings] == ["`eval_steps: 3` saves"]
    assert all(each.level != "warning" for each in findings(**best, eval_steps=4))


@pytest.mark.parametrize(
    ("changes", "every"),
    [
        ({}, 1),
        ({"num_iterations": 3}, 3),
        ({"steps_per_generation": 4}, 4),
        ({"steps_per_generation": 4, "gradient_accumulation_steps": 2}, 2),
        ({"steps_per_generation": 4, "num_iterations": 2, "gradient_accumulation_steps": 2}, 4),
    ],
)
def test_saving_while_completions_are_in_use_is_a_warning(tiny_recipe, findings, changes, every):
    from align.training.build import build_config
    from align.training.resuming import exact_every

    assert exact_every(build_config(load_recipe(tiny_recipe(**changes)))) == every
    for steps in (every - 1, every, every + 1, 3 * every):
        said = [
            finding.text for finding in findings(save_steps=max(steps, 1), **changes) if finding.level == "warning"
        ]
        assert len(said) == (max(steps, 1) % every > 0)
        assert all(f"a multiple of {every}" in text for text in said)


def test_the_steps_of_one_pass_are_those_of_the_trainer(tiny_recipe):
    from align.services.prepared import prepare
    from align.training.build import build_trainer

    keys = {"dataset": {"max_rows": 37}, "save_strategy": "no"}
    checked = prepare(load_recipe(tiny_recipe(**keys)), Launch())
    for changes in (
        {},
        {"gradient_accumulation_steps": 3, "num_generations": 6},
        {"steps_per_generation": 4, "gradient_accumulation_steps": 2},
        {"generation_batch_size": 24, "num_iterations": 2},
        {"num_generations": 8},
    ):
        recipe = load_recipe(tiny_recipe(**keys, **changes))
        trainer = build_trainer(recipe, checked.data, checked.rewards)
        batches = len(trainer.get_train_dataloader())
        expected = max(1, -(-batches // trainer.args.gradient_accumulation_steps))
        (finding,) = recipe.record.part("check_batch")(recipe, Launch(), len(trainer.train_dataset))
        assert changes or finding in checked.findings
        assert finding.numbers["steps_per_pass"] == expected, changes
        prompts = finding.numbers["prompts_per_generation"]
        assert prompts * trainer.num_generations == trainer.args.generation_batch_size, changes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"num_generations": 3},
            ["`num_generations` = 3", "does not divide", "8 per device x 1 process", "example 9"],
        ),
        ({"num_generations": 16}, ["`num_generations` = 16", "example 16"]),
        ({"generation_batch_size": 12}, ["`generation_batch_size` = 12", "multiple", "8"]),
        ({"generation_batch_size": 16, "steps_per_generation": 2}, ["the same thing twice", "Keep one"]),
        (EVALUATES | {"per_device_eval_batch_size": 6}, ["6 completions", "`num_generations_eval`"]),
    ],
)
def test_a_batch_that_trl_would_refuse_is_an_error(findings, changes, words):
    (finding,) = [finding for finding in findings(**changes) if finding.level == "error"]
    assert [word for word in words if word not in finding.text] == []


@pytest.mark.parametrize(
    "changes", [{"num_generations": 3}, {"generation_batch_size": 12}, EVALUATES | {"eval_steps": 1,
    "per_device_eval_batch_size": 6}]
)  # fmt: skip
def test_trl_refuses_those_batches(tiny_recipe, changes):
    recipe = load_recipe(tiny_recipe(**changes))
    with pytest.raises(ValueError, match=r"divisible"):
        METHODS[recipe.method].config_class()(**recipe.training)


def test_too_few_questions_for_a_step_are_an_error(findings):
    levels = {finding.level: finding.text for finding in findings(4, questions=7)}
    assert "asks 8 questions and the data has 7" in levels["error"]
    assert [finding.level for finding in findings(4, questions=8)] == ["ok"]


@pytest.fixture
def pair_findings(tmp_path, tiny_model_folder):
    def check(processes=1, pairs=37, **changes):
        recipe = load_recipe(write_pair_recipe(tmp_path, tiny_model_folder, **changes))
        return recipe.record.part("check_batch")(recipe, Launch(num_processes=processes), pairs)

    return check


@pytest.mark.parametrize(
    ("changes", "processes", "pairs", "steps"),
    [
        ({}, 1, 4, 10),
        ({}, 2, 8, 5),
        ({"gradient_accumulation_steps": 3}, 1, 12, 4),
        ({"gradient_accumulation_steps": 2}, 4, 32, 2),
        ({"dataloader_drop_last": True}, 1, 4, 9),
        ({"per_device_train_batch_size": 64}, 1, 64, 1),
    ],
)
def test_a_step_of_pairs_is_counted_as_by_hand(pair_findings, changes, processes, pairs, steps):
    (finding,) = pair_findings(processes, **changes)
    assert finding.level == "ok"
    assert finding.numbers == {"pairs_per_step": pairs, "sequences_per_step": 2 * pairs, "steps_per_pass": steps}
    assert f"= {pairs} pairs, of two sequences each" in finding.text


def test_no_whole_batch_of_pairs_is_an_error(pair_findings):
    (finding,) = pair_findings(2, pairs=7, dataloader_drop_last=True)
    assert (finding.level, "8 pairs, the data has 7" in finding.text) == ("error", True)
    assert [finding.level for finding in pair_findings(2, pairs=7)] == ["ok"]
    assert [finding.level for finding in pair_findings(pairs=0)] == ["error"]


@pytest.mark.parametrize("changes", [{}, {"gradient_accumulation_steps": 2}, {"dataloader_drop_last": True}])
def test_the_steps_over_pairs_are_those_of_the_trainer(tmp_path, tiny_model_folder, changes):
    from align.services.prepared import prepare
    from align.training.build import build_trainer

    rows = [*fact_pairs(37), {"prompt": "q?", "chosen": "a b", "rejected": "a  b"}]
    recipe = load_recipe(write_pair_recipe(tmp_path, tiny_model_folder, rows, **changes))
    checked = prepare(recipe, Launch())
    trainer = build_trainer(recipe, checked.data, checked.rewards)
    batches = len(trainer.get_train_dataloader())
    (finding,) = [finding for finding in checked.findings if finding.check == "batch"]
    assert finding.numbers["steps_per_pass"] == -(-batches // trainer.args.gradient_accumulation_steps)


@pytest.mark.parametrize("model_type", ["scalar", "pairwise"])
def test_the_steps_over_pairs_of_a_reward_model_are_those_of_the_trainer(tmp_path, tiny_model_folder, model_type):
    from align.services.prepared import prepare
    from align.training.build import build_trainer

    settings = {"model_type": model_type, "gradient_accumulation_steps": 2, "max_length": 400}
    recipe = load_recipe(write_reward_recipe(tmp_path, tiny_model_folder, sourced_pairs(37), **settings))
    checked = prepare(recipe, Launch())
    trainer = build_trainer(recipe, checked.data, checked.rewards)
    (finding,) = [finding for finding in checked.findings if finding.check == "batch"]
    assert finding.numbers == {"pairs_per_step": 8, "sequences_per_step": 16, "steps_per_pass": 5}
    assert -(-len(trainer.get_train_dataloader()) // 2) == 5
