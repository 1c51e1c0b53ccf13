import pytest
import yaml
from observed_table import write_chain_recipe
from saved_checkpoint import save_checkpoint
from some_recipes import OUTCOMES, PROMPTS

from align.errors import RunFolderError
from align.recipe.recipe import load_recipe
from align.runs.folder import record_end, record_run
from align.runs.stages import ToDo, is_finished, plan_stages


@pytest.fixture
def path(tmp_path):
    return write_chain_recipe(tmp_path, tmp_path / "model")


@pytest.fixture
def recipe(path):
    return load_recipe(path)


def folders(recipe):
    return recipe.settings.output_dir, recipe.then.settings.output_dir


def finish_first(recipe, tmp_path):
    record_run(tmp_path / "run", recipe.resolved, {})
    record_end(tmp_path / "run", 4)


def methods(stages):
    return [
        (stage.recipe.method, stage.checkpoint and stage.checkpoint.name)
        for stage in stages
        if stage.todo is not ToDo.NOTHING
    ]


def test_a_new_chain_makes_both_runs(recipe, tmp_path):
    assert methods(plan_stages(recipe, None)) == [(OUTCOMES, None), (PROMPTS, None)]
    finish_first(recipe, tmp_path)
    with pytest.raises(RunFolderError, match="already holds a run"):
        plan_stages(recipe, None)


def test_an_interrupted_first_run_goes_on(recipe, tmp_path):
    record_run(tmp_path / "run", recipe.resolved, {})
    save_checkpoint(tmp_path / "run", 2)
    assert methods(plan_stages(recipe, "auto")) == [(OUTCOMES, "checkpoint-2"), (PROMPTS, None)]


def test_a_finished_first_run_is_not_made_again(recipe, tmp_path):
    finish_first(recipe, tmp_path)
    assert methods(plan_stages(recipe, "auto")) == [(PROMPTS, None)]
    saved = save_checkpoint(tmp_path / "run" / PROMPTS, 1)
    assert methods(plan_stages(recipe, "auto")) == [(PROMPTS, "checkpoint-1")]
    assert methods(plan_stages(recipe, str(saved))) == [(PROMPTS, "checkpoint-1")]


def test_a_run_that_starts_anew_or_gets_longer_is_not_finished(recipe, path, tmp_path):
    finish_first(recipe, tmp_path)
    assert is_finished(recipe)
    assert not is_finished(load_recipe(path, ["--max_steps", "8"]))
    record_run(tmp_path / "run", recipe.resolved, {})
    assert not is_finished(recipe)


def test_a_policy_of_another_reward_model_is_not_gone_on_with(path, recipe, tmp_path):
    finish_first(recipe, tmp_path)
    saved = save_checkpoint(tmp_path / "run" / PROMPTS, 1)
    longer = load_recipe(path, ["--max_steps", "8"])
    for resume in ("auto", str(saved)):
        with pytest.raises(RunFolderError, match=r"on a model in .* that is not the one this recipe trains"):
            plan_stages(longer, resume)


def test_the_second_run_may_change_what_any_run_may(path, recipe, tmp_path):
    finish_first(recipe, tmp_path)
    record_run(tmp_path / "run" / PROMPTS, recipe.then.resolved, {})
    plan_stages(load_recipe(path, ["--then.max_steps", "9"]), "auto")
    with pytest.raises(RunFolderError, match="was run with `learning_rate"):
        plan_stages(load_recipe(path, ["--then.learning_rate", "0.5"]), "auto")
    saved = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert saved["then"]["reward_funcs"] == ["trained"]


def test_of_a_run_that_made_all_steps_the_end_is_left(path, recipe, tmp_path):
    record_run(tmp_path / "run", recipe.resolved, {})
    save_checkpoint(tmp_path / "run", 4)
    assert [stage.todo for stage in plan_stages(recipe, "auto")] == [ToDo.END, ToDo.TRAINING]
    longer = plan_stages(load_recipe(path, ["--max_steps", "8"]), "auto")
    assert [stage.todo for stage in longer] == [ToDo.TRAINING, ToDo.TRAINING]
    with pytest.raises(
        RunFolderError, match=r"checkpoint-4 was written after 4 steps, and `max_steps: 3` asks for fewer"
    ):
        plan_stages(load_recipe(path, ["--max_steps", "3"]), "auto")


def test_of_a_finished_chain_nothing_is_left(recipe, tmp_path):
    finish_first(recipe, tmp_path)
    record_run(tmp_path / "run" / PROMPTS, recipe.then.resolved, {})
    record_end(tmp_path / "run" / PROMPTS, 2)
    assert [stage.todo for stage in plan_stages(recipe, "auto")] == [ToDo.NOTHING, ToDo.NOTHING]


def test_passes_over_the_data_end_a_run_too(path, tmp_path):
    recipe = load_recipe(path, ["--max_steps", "-1", "--num_train_epochs", "2"])
    record_run(tmp_path / "run", recipe.resolved, {})
    save_checkpoint(tmp_path / "run", 4, epoch=2.0, max_steps=5)
    assert plan_stages(recipe, "auto")[0].todo is ToDo.TRAINING
    save_checkpoint(tmp_path / "run", 5, epoch=2.0, max_steps=5)
    assert plan_stages(recipe, "auto")[0].todo is ToDo.END
    longer = load_recipe(path, ["--max_steps", "-1", "--num_train_epochs", "3"])
    assert plan_stages(longer, "auto")[0].todo is ToDo.TRAINING


@pytest.mark.parametrize(
    ("words", "log", "todo"),
    [
        ([], [], ToDo.TRAINING),
        ([], [{"step": 2, "eval_loss": 0.4}, {"step": 4, "loss": 0.3}], ToDo.TRAINING),
        ([], [{"step": 4, "loss": 0.3}, {"step": 4, "eval_loss": 0.4}], ToDo.END),
        (["--eval_delay", "2"], [], ToDo.END),
        (["--eval_strategy", "no"], [], ToDo.END),
    ],
)
def test_a_run_that_lacks_its_last_evaluation_is_not_at_its_end(path, tmp_path, words, log, todo):
    evaluates = ["--eval_strategy", "epoch", "--dataset.eval_path", load_recipe(path).dataset.path]
    recipe = load_recipe(path, [*evaluates, *words])
    record_run(tmp_path / "run", recipe.resolved, {})
    save_checkpoint(tmp_path / "run", 4, state={"global_step": 4, "epoch": 1.0, "log_history": log})
    assert plan_stages(recipe, "auto")[0].todo is todo


def test_fewer_passes_than_were_made_are_refused(path, tmp_path):
    def asked(passes):
        return load_recipe(path, ["--max_steps", "-1", "--num_train_epochs", str(passes)])

    record_run(tmp_path / "run", asked(2).resolved, {})
    save_checkpoint(tmp_path / "run", 10, epoch=2.0, max_steps=10)
    with pytest.raises(RunFolderError, match=r"written after 2 passes, and `num_train_epochs: 1` asks for fewer"):
        plan_stages(asked(1), "auto")
    assert plan_stages(asked(1.9), "auto")[0].todo is ToDo.END  # its last step goes up to two


@pytest.mark.parametrize("before", [["--max_steps", "-1", "--num_train_epochs", "1"], ["--max_steps", "8"]])
def test_a_run_that_was_killed_before_it_saved_a_step_of_its_new_length_is_not_at_its_end(path, tmp_path, before):
    record_run(tmp_path / "run", load_recipe(path, before).resolved, {})
    save_checkpoint(tmp_path / "run", 8, epoch=1.0, max_steps=8)
    longer = load_recipe(path, ["--max_steps", "-1", "--num_train_epochs", "3"])
    assert plan_stages(longer, "auto")[0].todo is ToDo.TRAINING
    record_run(tmp_path / "run", longer.resolved, {})  # it begins, and is killed
    assert plan_stages(longer, "auto")[0].todo is ToDo.TRAINING
    save_checkpoint(tmp_path / "run", 24, epoch=3.0 - 1e-9, max_steps=24)
    assert plan_stages(longer, "auto")[0].todo is ToDo.END


def test_a_checkpoint_of_another_recipe_is_refused_wherever_it_lies(path, recipe, tmp_path):
    record_run(tmp_path / "run", recipe.resolved, {})
    saved = save_checkpoint(tmp_path / "run", 2)
    elsewhere = ["--output_dir", str(tmp_path / "other")]
    assert plan_stages(load_recipe(path, elsewhere), str(saved))[0].checkpoint == saved
    with pytest.raises(RunFolderError, match="was run with `learning_rate"):
        plan_stages(load_recipe(path, [*elsewhere, "--learning_rate", "0.5"]), str(saved))
