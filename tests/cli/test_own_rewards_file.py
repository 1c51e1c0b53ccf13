"""A user's `rewards.py` beside the recipe: the commands take our package of that name, recipes take the file."""

from pathlib import Path

import pytest
from some_recipes import QUESTIONS, TRAINER
from started import ROOT, align, start

OWN = """\
from rewards import completion_text  # ours, also from the file that has its name


def variety(completions, **kwargs):
    return [len(set(completion_text(text))) for text in completions]
"""
SENTENCE = "hides TrueAlign's package `rewards`, on which `align` is built. Give it another name"


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "rewards.py").write_text(OWN, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
@pytest.mark.nightly  # `scripts/fresh.sh` checks a reward of such a file and a built-in one in CI
def test_commands_find_our_package_and_the_users_file(folder):
    done = align("rewards", "check", "./rewards.py:variety", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    listed = align("rewards", "check", "accuracy", cwd=folder)
    assert listed.returncode == 0, listed.stdout + listed.stderr


@pytest.mark.slow
def test_a_folder_of_that_name_is_no_obstacle_either(tmp_path):
    (tmp_path / "rewards").mkdir()
    (tmp_path / "rewards" / "__init__.py").write_text(OWN.partition("\n")[2], encoding="utf-8")
    (tmp_path / "rewards" / "mine.py").write_text(OWN, encoding="utf-8")
    assert align("rewards", "check", "rewards/mine.py:variety", cwd=tmp_path).returncode == 0


@pytest.mark.slow
def test_the_script_align_finds_our_package_where_the_path_names_the_folder(folder):
    script = folder / "bin" / "align"
    script.parent.mkdir()
    script.write_text("import sys\nfrom align.cli import main\nsys.exit(main())\n", encoding="utf-8")
    path = f"{folder}:{ROOT}"
    done = start(str(script), "rewards", "check", "./rewards.py:variety", cwd=folder, PYTHONPATH=path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.by_day("import rewards, align")
@pytest.mark.parametrize(
    "code",
    [
        f"from align import {TRAINER}",
        "import rewards, align",
        f"from align.methods.{QUESTIONS}.trainer import {TRAINER}",
    ],
)
def test_a_script_beside_it_gets_one_sentence(folder, code):
    (folder / "rewards.py").write_text("def variety(completions): return [1.0]", encoding="utf-8")
    (folder / "train.py").write_text(code, encoding="utf-8")
    done = start("train.py", cwd=folder)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"ImportError: {folder / 'rewards.py'} {SENTENCE}")
    assert "not a package" not in done.stderr


@pytest.mark.slow
def test_a_script_that_uses_its_own_file_only_is_left_alone(folder):
    (folder / "rewards.py").write_text("def variety(completions): return [1.0]", encoding="utf-8")
    (folder / "train.py").write_text("import trl\nimport rewards\nprint(rewards.variety('a'))", encoding="utf-8")
    assert start("train.py", cwd=folder).stdout == "[1.0]\n"


@pytest.mark.slow
def test_a_dotted_name_of_the_users_file_is_answered_with_its_path(folder):
    done = align("rewards", "check", "rewards.variety", cwd=folder)
    assert done.returncode == 1
    assert "Name your own file by its path: `./rewards.py:variety`." in done.stdout


def test_worker_processes_take_our_package_and_leave_the_path_as_it_was(folder):
    (folder / "path.py").write_text("import sys\ndef path(row): return sys.path\n", encoding="utf-8")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import rewards.running.workers; del sys.path[0]\n"
        "from path import path\n"
        "print(rewards.running.workers.WorkerPool(path, workers=1).map([0])[0].value == sys.path)"
    )
    done = start("-c", code, cwd=folder)
    assert done.stdout == "True\n", done.stderr


@pytest.mark.slow
@pytest.mark.nightly  # `scripts/fresh.sh` launches one process with a worker and a file of that name in CI
def test_launched_processes_with_workers_use_the_users_file(tiny_recipe):
    recipe = tiny_recipe(reward_funcs=["./rewards.py:variety"], reward_weights=[1.0], reward_workers=1, max_steps=1)
    (recipe.parent / "rewards.py").write_text(OWN, encoding="utf-8")
    launch = ["-m", "accelerate.commands.launch", "--num_processes", "2", "--cpu", "-m", "align"]
    done = start(*launch, "train", "recipe.yaml", cwd=recipe.parent, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Model and logs are in" in done.stdout
