"""`align chat`: answers to lines, asked as the model's run asked, and a clean end of all that can be wrong."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml
from started import ROOT
from typer.testing import CliRunner

from align.cli.app import app


def chat(*words, lines="hello\n"):
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["chat", *map(str, words)], input=lines)


@pytest.fixture
def run_folder(tiny_recipe, answering_model_folder, tmp_path):
    """The folder of a run, as training leaves it: a model with the recipe that it was trained by."""
    folder = tmp_path / "run"
    shutil.copytree(answering_model_folder, folder)
    recipe = yaml.safe_load(tiny_recipe(max_completion_length=16).read_text())
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return folder


def test_lines_are_asked_as_the_run_asked_and_its_options_are_lettered(run_folder):
    result = chat(run_folder, lines="q7? | 5 | 1 | 22 | 33\n\n")
    assert result.exit_code == 0, result.output
    shown, answer = result.stdout.splitlines()
    assert shown == "> q7? | 5 | 1 | 22 | 33"
    assert answer.startswith("<think>x</think><answer>")
    assert "`prompt_template` of" in result.stderr
    assert "Which rusts? | iron | gold" in result.stderr


def test_a_template_of_several_columns_is_told_to_be_left_out(run_folder):
    recipe = yaml.safe_load((run_folder / "recipe.yaml").read_text())
    recipe["dataset"]["prompt_template"] = "{topic}: {question}\n{options}"
    (run_folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    result = chat(run_folder)
    assert "does not read one column, so lines are asked without it" in result.stderr, result.output
    assert result.exit_code == 0


def test_two_models_answer_each_line_by_their_names(run_folder, tiny_model_folder):
    result = chat(run_folder, "--beside", tiny_model_folder, "--max_new_tokens", 3, lines="q? | 1 | 2\nagain\n")
    assert result.exit_code == 0, result.output
    starts = [line.partition(":")[0] for line in result.stdout.splitlines() if line.startswith(("run:", "model:"))]
    assert starts == ["run", "model", "run", "model"]


def test_a_system_prompt_stands_before_each_line_and_the_temperature_draws(run_folder, monkeypatch):
    import align.models.policies.model_policy as policies

    recipe = yaml.safe_load((run_folder / "recipe.yaml").read_text())
    recipe["dataset"] |= {"conversational": True, "system_prompt": "Be brief."}
    (run_folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    asked, complete = [], policies.ModelPolicy.complete
    monkeypatch.setattr(
        policies.ModelPolicy, "complete", lambda self, *given: asked.append(given) or complete(self, *given)
    )
    assert chat(run_folder, "--temperature", 1, lines="a | 1 | 2\nb | 1 | 2\n").exit_code == 0
    (prompt,), decoding = asked[0]
    assert prompt.content == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "a\nA. 1\nB. 2\n"},
    ]
    assert (decoding.temperature, decoding.max_new_tokens) == (1.0, 16)
    assert asked[1][1].seed != decoding.seed


def test_a_model_without_a_chat_template_goes_on_from_the_text(tiny_model_folder, tmp_path):
    folder = tmp_path / "base"
    shutil.copytree(tiny_model_folder, folder)
    (folder / "chat_template.jinja").unlink()
    result = chat(folder, "--max_new_tokens", 2)
    assert result.exit_code == 0, result.output
    assert "base has no chat template: it goes on from a line as a text." in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("/nowhere",), "There is no folder /nowhere."),
        (("FOLDER", "--temperature", "-1"), "`temperature` must be a number from 0"),
        (("FOLDER", "--max_new_tokens", "0"), "`max_new_tokens` must be at least 1"),
        (("FOLDER", "--beside", "FOLDER"), "The same model is given twice"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(words, said, tiny_model_folder):
    result = chat(*(str(tiny_model_folder) if word == "FOLDER" else word for word in words))
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert said in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("key", "code", "said"), [(b"\x04", 0, "Ctrl-D ends."), (b"\x03", 130, "Stopped by Ctrl-C.")])
def test_a_terminal_is_asked_until_ctrl_d_or_ctrl_c(tiny_model_folder, key, code, said):
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "align", "chat", str(tiny_model_folder), "--max_new_tokens", "2"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    written = b""
    try:
        while chunk := os.read(ours, 65536):
            written += chunk
            if written.endswith(b"> "):
                os.write(ours, key)
    except OSError:  # how Linux says that nobody writes any more
        pass
    os.close(ours)
    assert process.wait() == code, written
    assert said in written.decode()
    assert "Traceback" not in written.decode()
