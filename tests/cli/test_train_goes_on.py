"""How `align train` ends early, goes on, and refuses to go on."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file
from started import ROOT, metrics_of

from align.errors import RecipeError, RunFolderError
from align.runs.owner import owned
from align.services.train import TO_BE_CONTINUED, run

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


def start(path, *words):
    return subprocess.Popen(
        [sys.executable, "-m", "align", "train", str(path), *words],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


SLEEPS_IN_THE_THIRD_STEP = """
import time

def variety(completions, trainer_state=None, **kwargs):
    if trainer_state is not None and trainer_state.global_step == 2:
        time.sleep(60)
    return [len(set(text)) / 10 for text in completions]
"""


OWNS_ITS_TERMINAL = """
import fcntl, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY)
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run in a shell's background, where it is ignored
from align.cli import main
try:
    main()
finally:
    print(*sorted(sys.modules.keys() & {"trl", "vllm"}), "is loaded")
"""


def start_on_a_terminal(path):
    """Starts a run as the foreground of a terminal of its own."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", OWNS_ITS_TERMINAL, "train", str(path)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TERM": "xterm", "COLUMNS": "400"},
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    return process, ours


def read_until(terminal, text):
    said = b""
    while text not in said:
        said += os.read(terminal, 4096)
    return said


def wait_for(path, process, seconds=600):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.02)


def same_weights(first, second):
    return (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


def test_a_finished_run_says_so_and_stays_as_it_is(tiny_recipe, folder, capfd):
    path = tiny_recipe(max_steps=2)
    assert run(str(path), [], None) == 0
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    said = capfd.readouterr().err
    assert said.index(f"Checking the data, rewards and settings of {path}.") < said.index("Loading ")
    assert json.loads((folder / "started.json").read_text())["seconds_to_first_step"] > 0
    assert run(str(path), [], "auto") == 0
    assert f"{folder} holds a finished run; nothing is left to do." in capfd.readouterr().err
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before

    (folder / "report.html").unlink()
    assert run(str(path), [], "auto") == 0
    assert (folder / "report.html").is_file()


def test_a_run_that_only_lacks_its_end_gets_model_card_and_report_without_a_step(tiny_recipe, folder, tmp_path, capfd):
    path = tiny_recipe(max_steps=2)
    assert run(str(path), [], None) == 0
    shutil.copytree(folder, tmp_path / "whole")
    for name in ("finished.json", "model.safetensors", "config.json", "README.md", "report.html"):
        (folder / name).unlink()
    (folder / "model.safetensors").write_bytes(b"torn")
    capfd.readouterr()
    assert run(str(path), [], "auto") == 0
    assert "All steps of" in capfd.readouterr().err
    names = {file.name for file in (tmp_path / "whole").iterdir()}
    assert {file.name for file in folder.iterdir()} == names
    assert same_weights(folder, tmp_path / "whole")
    assert (folder / "metrics.jsonl").read_text() == (tmp_path / "whole" / "metrics.jsonl").read_text()
    assert json.loads((folder / "finished.json").read_text()) == {"steps": 2}


def test_a_damaged_checkpoint_is_passed_over_and_kept(tiny_recipe, folder, tmp_path, capfd):
    path = tiny_recipe()
    assert run(str(path), [], None) == 0
    shutil.copytree(folder, tmp_path / "whole")
    (folder / "finished.json").unlink()
    optimizer = folder / "checkpoint-4" / "optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:-100])
    assert run(str(path), [], "auto") == 0
    said = capfd.readouterr().err
    assert "checkpoint-4 is passed over: optimizer.pt has " in said
    assert "goes on from checkpoint-2" in said
    assert same_weights(folder, tmp_path / "whole")
    assert (folder / "passed-over-checkpoint-4" / "optimizer.pt").is_file()


def test_data_that_changed_are_refused_before_anything_is_written(tiny_recipe, folder, tmp_path, capfd):
    path = tiny_recipe(max_steps=2)
    assert run(str(path), [], None) == 0
    data = tmp_path / "train.jsonl"
    data.write_text(data.read_text().replace("q1?", "q1!?"))
    recorded = (folder / "versions.json").read_text()
    with pytest.raises(RunFolderError, match=r"trained on other data: train.jsonl \(SHA-256 .*--allow_changed_data"):
        run(str(path), ["--max_steps", "3"], "auto")
    assert (folder / "versions.json").read_text() == recorded
    assert run(str(path), ["--max_steps", "3"], "auto", allow_changed_data=True) == 0
    assert "was trained on other data" in capfd.readouterr().err
    assert (folder / "versions.json").read_text() != recorded


def test_a_mended_reward_goes_on_and_the_run_its_card_and_its_report_tell(tiny_recipe, folder, tmp_path, capfd):
    path = tiny_recipe(max_steps=2)
    assert run(str(path), [], None) == 0
    own = tmp_path / "own.py"
    own.write_text(own.read_text() + "\n# mended\n")
    capfd.readouterr()
    assert run(str(path), ["--max_steps", "3"], "auto") == 0
    sentence = "own.py was exchanged before step 3 (fingerprint "
    assert capfd.readouterr().err.count(sentence) == 1
    assert all(sentence in (folder / name).read_text() for name in ("README.md", "report.html"))


def test_a_torn_table_does_not_undo_a_finished_training(tiny_recipe, folder, capfd):
    path = tiny_recipe(max_steps=2)
    assert run(str(path), [], None) == 0
    (folder / "finished.json").unlink()
    table = folder / "completions" / "completions_00001.parquet"
    table.write_bytes(table.read_bytes()[:50])
    assert run(str(path), [], "auto") == 0
    assert (folder / "finished.json").is_file()
    assert f"There is no report: {table}" in capfd.readouterr().err.replace("\n", " ")


def test_two_runs_do_not_share_a_folder(tiny_recipe, folder):
    path = tiny_recipe(max_steps=1)
    code = "import sys, time; from pathlib import Path; from align.runs.owner import owned\n"
    code += "with owned(Path(sys.argv[1])): print(1, flush=True); time.sleep(99)"
    other = subprocess.Popen([sys.executable, "-c", code, str(folder)], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        for resume in (None, "auto"):
            with pytest.raises(RunFolderError, match=f"in use by process {other.pid}"):
                run(str(path), [], resume)
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    assert run(str(path), [], None) == 0


def test_a_run_without_optimizers_that_is_stopped_says_that_it_cannot_go_on(tiny_recipe, folder, capfd):
    assert run(str(tiny_recipe(save_only_model=True)), [], None, time_limit="1s") == 1
    said = capfd.readouterr().err
    assert "Stopped after step 1 of 4: the time limit of 1 s is near. It cannot go on: `save_only_model: true`" in said
    assert "--resume" not in said
    assert (folder / "checkpoint-1" / "model.safetensors").is_file()


def test_save_only_model_is_said_before_and_cannot_be_gone_on_from(tiny_recipe, folder, capfd):
    path = tiny_recipe(save_only_model=True)
    assert run(str(path), [], None) == 0
    assert "a run that is killed cannot go on" in capfd.readouterr().err
    (folder / "finished.json").unlink()
    with pytest.raises(RunFolderError, match=r"`save_only_model: true`.*--output_dir"):
        run(str(path), [], "auto")


@pytest.mark.parametrize("limit", ["soon", "0h", "90", "-3min", "1,5h", ""])
def test_a_time_limit_needs_a_unit_and_some_time(tiny_recipe, limit):
    if limit:
        with pytest.raises(RecipeError, match="`--time_limit` must be a duration such as 3h50m"):
            run(str(tiny_recipe()), [], None, time_limit=limit)
    else:
        assert run(str(tiny_recipe(max_steps=1, save_strategy="no")), [], None, time_limit=limit) == 0


def test_a_time_limit_ends_a_run_with_a_checkpoint_and_a_report_and_it_goes_on(tiny_recipe, folder, tmp_path, capfd):
    path = tiny_recipe(max_steps=4, save_strategy="no")
    assert run(str(path), [], None, time_limit="1s") == TO_BE_CONTINUED  # this process is older than that
    said = capfd.readouterr().err
    assert "Stopped after step 1 of 4: the time limit of 1 s is near. `--resume auto` goes on." in said
    assert (folder / "checkpoint-1" / "manifest.json").is_file()
    assert (folder / "report.html").is_file()
    assert not (folder / "finished.json").exists()
    assert run(str(path), [], "auto") == 0
    assert run(str(path), ["--output_dir", str(tmp_path / "whole")], None) == 0
    assert same_weights(folder, tmp_path / "whole")


def test_sigterm_to_all_processes_ends_a_run_with_a_checkpoint_and_it_goes_on(tiny_recipe, folder, tmp_path):
    path = tiny_recipe(max_steps=14, save_steps=12, dataloader_num_workers=2)
    process = start(path)
    wait_for(folder / "metrics.jsonl", process)
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=600)
    assert process.returncode == TO_BE_CONTINUED, said
    assert said.count("SIGTERM: the run saves and stops after this step.\n") == 1
    assert f"SIGTERM. It goes on with: align train {path} --resume auto\n" in said
    assert "leaked" not in said  # by Triton's bindings, of modules that are frozen
    reached = max(int(saved.parent.name.rpartition("-")[2]) for saved in folder.glob("checkpoint-*/manifest.json"))
    assert 0 < reached < 14
    assert run(str(path), [], "auto") == 0
    assert run(str(path), ["--output_dir", str(tmp_path / "whole")], None) == 0
    assert same_weights(folder, tmp_path / "whole")
    assert sorted(metrics_of(folder)) == list(range(1, 15))


@pytest.mark.nightly  # test_stopping.py ends a trainer so
def test_a_second_ctrl_c_on_a_terminal_ends_a_run_at_once_and_brings_the_cursor_back(tiny_recipe, folder):
    path = tiny_recipe()
    path.with_name("own.py").write_text(SLEEPS_IN_THE_THIRD_STEP)
    process, terminal = start_on_a_terminal(path)
    wait_for(folder / "checkpoint-2" / "manifest.json", process)
    os.write(terminal, b"\x03")
    said = read_until(terminal, b"Once more ends it at once")
    time.sleep(1.1)
    os.write(terminal, b"\x03")
    said += read_until(terminal, b" is loaded")
    assert b"Stopped by Ctrl-C." in said
    assert said.rstrip().endswith(b"trl is loaded")  # not vLLM, which the recipe does not ask for
    assert process.wait(60) == 130
    assert said.rindex(b"\x1b[?25h") > said.rindex(b"\x1b[?25l")
    assert f"It goes on with: align train {path} --resume auto".encode() in said
    assert b"Traceback" not in said


def test_a_terminal_that_hangs_up_leaves_a_checkpoint(tiny_recipe, folder):
    path = tiny_recipe(save_steps=1)
    path.with_name("own.py").write_text(SLEEPS_IN_THE_THIRD_STEP.replace("60", "3"))
    process, terminal = start_on_a_terminal(path)
    wait_for(folder / "checkpoint-2" / "manifest.json", process)
    os.close(terminal)
    assert process.wait(120) == TO_BE_CONTINUED
    assert (folder / "checkpoint-3" / "manifest.json").is_file()
    assert (folder / "report.html").is_file()


def test_a_full_disk_is_a_sentence_and_the_last_whole_checkpoint_stays(tiny_recipe, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mount.returncode:
        pytest.skip(f"cannot mount a small disk here: {mount.stderr}")
    path = tiny_recipe(max_steps=20, save_steps=1, output_dir=str(disk / "run"))
    try:
        with pytest.raises(RunFolderError, match=f"{disk / 'run'} has .*goes on from it."):
            run(str(path), [], None)
        kept = sorted(
            (saved.parent for saved in disk.glob("run/*/manifest.json")), key=lambda path: path.stat().st_mtime
        )
        assert load_file(kept[-1] / "model.safetensors")
        for old in kept[:-1]:
            shutil.rmtree(old)
        assert run(str(path), ["--save_total_limit", "1", "--max_steps", "22"], "auto") == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_run_in_a_folder_that_this_process_holds_is_refused(tiny_recipe, folder):
    with owned(folder), pytest.raises(RunFolderError, match=f"in use by process {os.getpid()}"):
        run(str(tiny_recipe()), [], None)
