"""A whole run whose loss explodes: how it ends, what it leaves, and that it goes on from there."""

import json
import math

import pytest
from some_recipes import DEMONSTRATIONS
from started import launch

from align.errors import RunFolderError
from align.services.train import run

pytestmark = pytest.mark.slow
# Long steps, which nothing clips; deterministic, and no number in the sixth or so.
EXPLODES = {
    "learning_rate": 10.0,
    "optim": "sgd",
    "max_grad_norm": 0,
    "lr_scheduler_type": "constant",
    "max_steps": 60,
}
SAID = r"Step (\d+): the (?:loss|gradient) is NaN or infinite, so training ends here\. The last good checkpoint is "


@pytest.fixture
def explosive(recipe_of, tmp_path):
    recipe_of(DEMONSTRATIONS, **EXPLODES, save_steps=1)
    return tmp_path / "recipe.yaml", tmp_path / "out"


def newest(folder):
    return max(int(path.name.rpartition("-")[2]) for path in folder.glob("checkpoint-*"))


def numbers(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_it_goes_on_from_the_last_good_checkpoint_and_a_lower_rate_helps(explosive):
    path, folder = explosive
    with pytest.raises(RunFolderError, match=SAID) as caught:
        run(str(path), [], None)
    last = newest(folder)
    assert f"Step {last + 1}: " in str(caught.value)
    assert f"{folder / f'checkpoint-{last}'}: `--resume auto` tries once more" in str(caught.value)
    assert all(math.isfinite(value) for line in numbers(folder) for value in line.values())
    with pytest.raises(RunFolderError, match=SAID) as again:
        run(str(path), [], "auto")
    assert str(again.value) == str(caught.value)  # from the same checkpoint to the same step
    assert newest(folder) == last
    assert "`--output_dir` and `--learning_rate 1`" in str(caught.value)
    lower = ["--learning_rate", "0.01", "--output_dir", str(folder.with_name("lower")), "--max_steps", str(last + 2)]
    assert run(str(path), lower, None) == 0


def test_two_processes_end_together(explosive):
    path, folder = explosive
    ended = launch("ddp_cpu.yaml", "-m", "align", "train", path, timeout=300)
    assert ended.returncode == 1
    assert "NaN or infinite, so training ends here. The last good checkpoint is " in ended.stderr
    assert "fell silent" not in ended.stderr
    assert newest(folder) + 1 == int(ended.stderr.partition("Error: Step ")[2].partition(":")[0])
