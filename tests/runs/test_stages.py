import pytest
from observed_table import write_outcome_recipe
from saved_checkpoint import save_checkpoint

from align.errors import RunFolderError
from align.recipe.recipe import load_recipe
from align.runs.folder import record_end, record_run
from align.runs.stages import ToDo, is_finished, plan_stage


@pytest.fixture
def path(tmp_path):
    return write_outcome_recipe(tmp_path, tmp_path / "model")


@pytest.fixture
def recipe(path):
    return load_recipe(path)


def finish_first(recipe, tmp_path):
    record_run(tmp_path / "run", recipe.resolved, {})
    record_end(tmp_path / "run", 4)


def test_a_run_is_made_anew_goes_on_or_is_finished(recipe, tmp_path):
    assert plan_stage(recipe, None).checkpoint is None
    record_run(tmp_path / "run", recipe.resolved, {})
    saved = save_checkpoint(tmp_path / "run", 2)
    assert plan_stage(recipe, "auto").checkpoint == plan_stage(recipe, str(saved)).checkpoint == saved
    record_end(tmp_path / "run", 4)
    assert plan_stage(recipe, "auto").todo is ToDo.NOTHING
    with pytest.raises(RunFolderError, match="already holds a finished run"):
        plan_stage(recipe, None)


def test_a_run_that_starts_anew_or_gets_longer_is_not_finished(recipe, path, tmp_path):
    finish_first(recipe, tmp_path)
    assert is_finished(recipe)
    assert not is_finished(load_recipe(path, ["--max_steps", "8"]))
    record_run(tmp_path / "run", recipe.resolved, {})
    assert not is_finished(recipe)


def test_of_a_run_that_made_all_steps_the_end_is_left(path, recipe, tmp_path):
    record_run(tmp_path / "run", recipe.resolved, {})
    save_checkpoint(tmp_path / "run", 4)
    assert plan_stage(recipe, "auto").todo is ToDo.END
    assert plan_stage(load_recipe(path, ["--max_steps", "8"]), "auto").todo is ToDo.TRAINING
    with pytest.raises(
        RunFolderError, match=r"checkpoint-4 was written after 4 steps, and `max_steps: 3` asks for fewer"
    ):
        plan_stage(load_recipe(path, ["--max_steps", "3"]), "auto")


def test_passes_over_the_data_end_a_run_too(path, tmp_path):
    recipe = load_recipe(path, ["--max_steps", "-1", "--num_train_epochs", "2"])
    record_run(tmp_path / "run", recipe.resolved, {})
    save_checkpoint(tmp_path / "run", 4, epoch=2.0, max_steps=5)
    assert plan_stage(recipe, "auto").todo is ToDo.TRAINING
    save_checkpoint(tmp_path / "run", 5, epoch=2.0, max_steps=5)
    assert plan_stage(recipe, "auto").todo is ToDo.END
    longer = load_recipe(path, ["--max_steps", "-1", "--num_train_epochs", "3"])
    assert plan_stage(longer, "auto").todo is ToDo.TRAINING


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
    assert plan_stage(recipe, "auto").todo is todo


def test_fewer_passes_than_were_made_are_refused(path, tmp_path):
    def asked(passes):
        return load_recipe(path, ["--max_steps", "-1", "--num_train_epochs", str(passes)])

    record_run(tmp_path / "run", asked(2).resolved, {})
    save_checkpoint(tmp_path / "run", 10, epoch=2.0, max_steps=10)
    with pytest.raises(RunFolderError, match=r"written after 2 passes, and `num_train_epochs: 1` asks for fewer"):
        plan_stage(asked(1), "auto")
    assert plan_stage(asked(1.9), "auto").todo is ToDo.END  # its last step goes up to two


@pytest.mark.parametrize("before", [["--max_steps", "-1", "--num_train_epochs", "1"], ["--max_steps", "8"]])
def test_a_run_that_was_killed_before_it_saved_a_step_of_its_new_length_is_not_at_its_end(path, tmp_path, before):
    record_run(tmp_path / "run", load_recipe(path, before).resolved, {})
    save_checkpoint(tmp_path / "run", 8, epoch=1.0, max_steps=8)
    longer = load_recipe(path, ["--max_steps", "-1", "--num_train_epochs", "3"])
    assert plan_stage(longer, "auto").todo is ToDo.TRAINING
    record_run(tmp_path / "run", longer.resolved, {})  # it begins, and is killed
    assert plan_stage(longer, "auto").todo is ToDo.TRAINING
    save_checkpoint(tmp_path / "run", 24, epoch=3.0 - 1e-9, max_steps=24)
    assert plan_stage(longer, "auto").todo is ToDo.END


def test_a_checkpoint_of_another_recipe_is_refused_wherever_it_lies(path, recipe, tmp_path):
    record_run(tmp_path / "run", recipe.resolved, {})
    saved = save_checkpoint(tmp_path / "run", 2)
    elsewhere = ["--output_dir", str(tmp_path / "other")]
    assert plan_stage(load_recipe(path, elsewhere), str(saved)).checkpoint == saved
    with pytest.raises(RunFolderError, match="was run with `learning_rate"):
        plan_stage(load_recipe(path, [*elsewhere, "--learning_rate", "0.5"]), str(saved))
