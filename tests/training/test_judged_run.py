"""A run that a judge behind a real HTTP server rewards: its noise, what it asked, and what it would ask."""

import json
import re
import zlib

import pytest
import yaml
from chat_server import ChatServer
from some_recipes import PROMPTS

from align.cli.findings import check_recipe as check
from align.errors import RewardError
from align.services.train import run as train

RUBRIC = "A good response is short."
SETTINGS = {
    "max_steps": 2, "per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 8,
    "use_cpu": True, "bf16": False, "logging_steps": 1, "save_strategy": "no", "report_to": "none",
}  # fmt: skip


@pytest.fixture
def recipe(tmp_path, tiny_model_folder):
    def write(reward, judge, **settings):
        rows = "".join(json.dumps({"prompt": f"q{i}?", "answer": f"a{i}"}) + "\n" for i in range(8))
        (tmp_path / "rows.jsonl").write_text(rows)
        content = SETTINGS | {
            "method": PROMPTS, "model_name_or_path": str(tiny_model_folder), "output_dir": str(tmp_path / "run"),
            "dataset": {"path": "./rows.jsonl"}, "reward_funcs": [f"align.{reward}"],
            "reward_kwargs": {reward: {"rubric": RUBRIC, "model": "tiny", **judge}}, **settings,
        }  # fmt: skip
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
        return str(tmp_path / "recipe.yaml")

    return write


def logged(tmp_path):
    return [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_judge_that_differs_from_itself_is_found_and_what_it_asked_is_in_the_report(recipe, tmp_path):
    def answer(body, times):  # by what is asked and how often, not by which request comes first
        return json.dumps({"score": (0, 10, 3, 7)[(zlib.crc32(json.dumps(body).encode()) + times) % 4]})

    with ChatServer(answer) as server:
        judge = {"endpoint": server.url, "reference": "answer", "prompt_price": 1.0, "completion_price": 2.0}
        path = recipe("Judge", judge, reward_repeats=0.05)
        assert check(path, [], None, as_json=False, dry_run=True) == 0
        assert server.bodies == []
        assert train(path, [], None) == 0
        asked = len(server.bodies)
    assert asked == 2 + 2 * (8 + 8)  # two to try it; each step 8 completions, and 8 of them again
    steps = [line for line in logged(tmp_path) if "rewards/judge/flaky_share" in line]
    assert steps[0]["rewards/judge/flaky_share"] > 0.5
    assert steps[0]["rewards/judge/noise_share"] > 0.2
    lines = [json.loads(line) for line in (tmp_path / "run" / "rewards.jsonl").read_text().splitlines()]
    assert [line["spent"]["requests"] for line in lines] == [16, 16]
    page = (tmp_path / "run" / "report.html").read_text()
    rows = page[page.index("<tbody>", page.index("tokens out")) :]
    cells = re.findall(r"<t[hd] [^>]*>(.*?)</t[hd]>", rows)[:8]
    assert cells[:6] == ["judge", "32", "0", "0", "224", "96"]
    assert cells[7] == f"{(224 * 1 + 96 * 2) / 1e6:,.4g}"


def test_a_dry_run_says_what_both_kinds_of_judges_would_ask(recipe, capsys):
    judge = {"endpoint": "http://127.0.0.1:9/v1", "max_new_tokens": 10, "requests_per_minute": 12}
    prices = {"prompt_price": 0.0, "completion_price": 1000.0}
    assert check(recipe("PairwiseJudge", judge | prices), [], None, as_json=True, dry_run=True) == 0
    (cost,) = [each for each in json.loads(capsys.readouterr().out) if each["check"] == "costs"]
    assert cost["numbers"]["requests"] == 2 * 2 * 4 * 3  # two steps of two groups of four
    assert cost["numbers"]["minutes"] == 4
    assert cost["numbers"]["cost"] == pytest.approx(48 * 10 / 1000)
    words = ["--eval_strategy", "steps", "--eval_steps", "1", "--dataset.eval_path", "./rows.jsonl"]
    path = recipe("Judge", judge, reward_repeats=0.5)
    words[-1] = path.replace("recipe.yaml", "rows.jsonl")
    assert check(path, words, None, as_json=True, dry_run=True) == 0
    (cost,) = [each for each in json.loads(capsys.readouterr().out) if each["check"] == "costs"]
    assert cost["numbers"]["requests"] == 2 * 8 + 2 * 8 + 2 * 8 * 4  # training, repeats, evaluations


@pytest.mark.slow
def test_a_model_of_this_machine_judges_a_run(recipe, tmp_path, tiny_model_folder):
    judge = {"model": str(tiny_model_folder), "max_new_tokens": 4, "cache": str(tmp_path / "judged")}
    assert train(recipe("PairwiseJudge", judge, max_steps=1, max_invalid_share=1.0), [], None) == 0
    (line,) = [line for line in logged(tmp_path) if "pairwise_judge/unread_share" in line]
    assert line["pairwise_judge/unread_share"] == 1.0  # a random model keeps to no form, and earns nothing
    assert line["rewards/pairwise_judge/none_share"] == 1.0


@pytest.mark.slow
def test_a_judge_whose_replies_are_no_grades_ends_the_run(recipe, tmp_path):
    (tmp_path / "own.py").write_text(
        "def brief(completions, **kwargs):\n    return [1 / (1 + len(c)) for c in completions]\n"
    )
    with ChatServer(lambda body, times: "I am sorry.") as server:
        path = recipe("Judge", {"endpoint": server.url}, max_steps=12)
        with pytest.raises(RewardError, match=r"^No reward gave a number in the last 3 steps, 8 completions each"):
            train(path, [], None)
        assert len(logged(tmp_path)) == 2
        on = ["--max_invalid_share", "1", "--max_steps", "4", "--output_dir", str(tmp_path / "on")]
        assert train(path, on, None) == 0
        beside = [
            "--reward_funcs",
            f"[{tmp_path}/own.py:brief, align.Judge]",
            "--output_dir",
            str(tmp_path / "beside"),
        ]
        with pytest.raises(RewardError, match=r"^Reward `judge` never gave a number in the last 10 steps"):
            train(path, beside, None)
    with ChatServer(lambda body, times: ("no", '{"score": 3}')[zlib.crc32(json.dumps(body).encode()) % 2]) as server:
        path = recipe("Judge", {"endpoint": server.url}, max_steps=4, output_dir=str(tmp_path / "half"))
        assert train(path, [], None) == 0
