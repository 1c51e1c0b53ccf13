"""Command lines that are wrong in odd ways: each ends in a result or in sentences, within seconds; none aborts."""

import os
import shutil
import sys
import time
from pathlib import Path

import pytest
from campaign import is_whole_campaign, require, run_cases
from drawn_lines import SHOP, Places, recipe
from some_recipes import PAIRS, QUESTIONS

pytestmark = pytest.mark.slow
SECONDS = 180.0  # of a line on a busy machine; most take one
CODES = {0: "done", 1: "refused", 2: "no such words"}


@pytest.fixture
def places(tmp_path, monkeypatch, tiny_model_folder, answering_model_folder):
    from peft import LoraConfig, get_peft_model
    from tiny import tiny_model, tiny_reward_model, tiny_tokenizer

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tokenizer = tiny_tokenizer()
    tiny_reward_model().save_pretrained(tmp_path / "reward")
    adapter = get_peft_model(tiny_model(), LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], r=2))
    adapter.peft_config["default"].base_model_name_or_path = str(tiny_model_folder)
    adapter.save_pretrained(tmp_path / "adapter")
    for name in ("reward", "adapter"):
        tokenizer.save_pretrained(tmp_path / name)
    models = {"m": answering_model_folder, "g": tiny_model_folder, "r": tmp_path / "reward", "a": tmp_path / "adapter"}
    models["w"] = SHOP / "model"
    data = {"path": "./questions.jsonl", "conversational": False}
    text = recipe(QUESTIONS, model_name_or_path="./reward", dataset=data, reward_funcs=["format"])
    (tmp_path / "recipe.yaml").write_text(text)
    calls = {"tools": [f"{SHOP / 'shop.py'}:price"], "max_tool_calling_iterations": 1, "families": ["other_value"]}
    calls |= {"answer_reward": "number_accuracy", "reward_funcs": ["answer_consistency"], "max_completion_length": 4}
    calls |= {"per_device_train_batch_size": 2, "num_generations": 2, "second_answer_tokens": 2}
    text = recipe(QUESTIONS, model_name_or_path=str(SHOP / "model"), dataset={"path": "./tasks.jsonl"}, **calls)
    (tmp_path / "tools.yaml").write_text(text)
    text = recipe(PAIRS, model_name_or_path=str(tiny_model_folder), dataset={"path": "./pairs.jsonl"}, beta=0.1)
    (tmp_path / "pairs.yaml").write_text(text)
    return Places(tmp_path, models)


def run(words: list[str], folder: Path) -> tuple[int, str]:
    """Runs a line in a fork of this process, which has imported everything, and returns its exit code and output."""
    with (folder / "printed.txt").open("w+b") as printed:
        process = os.fork()
        if process == 0:
            _become(words, printed.fileno())
        try:
            code = _wait(process)
        finally:
            if code_is_missing(process):
                os.kill(process, 9)
                os.waitpid(process, 0)
        printed.seek(0)
        return code, printed.read().decode(errors="replace")


def _become(words: list[str], printed: int) -> None:
    code = 70
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(printed, 1)
        os.dup2(printed, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        from align.cli.app import app

        try:
            app(words, prog_name="align")
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _wait(process: int) -> int:
    while True:  # `run_cases` interrupts it where a line hangs
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)


def code_is_missing(process: int) -> bool:
    """Tells whether a process that was started here has not been waited for."""
    try:
        return os.waitpid(process, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False


@pytest.mark.parametrize("count", [60, pytest.param(600, marks=pytest.mark.nightly)])
def test_fuzz_lines(places, count):
    whole = {path.name for path in places.folder.iterdir()}

    def case(rng):
        for path in places.folder.iterdir():
            if path.name not in whole:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        words = places.draw(rng)
        code, text = run(words, places.folder)
        said = f"align {' '.join(words)}: {text[-1_500:]}"
        require("Traceback" not in text and "panicked" not in text, said)
        require(code in CODES, f"exit code {code}: {said}")
        require(code == 0 or text.strip(), f"nothing said: {said}")
        return CODES[code]

    ends = run_cases("lines", count, case, seconds=SECONDS)
    assert not is_whole_campaign() or min(ends["done"], ends["refused"]) > count / 12
