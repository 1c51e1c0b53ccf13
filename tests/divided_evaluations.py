"""Evaluations of every task in several chunks, whole and by a launch, and what must be equal of their results."""

import json
import shutil

from tiny import tiny_reward_model, tiny_tokenizer
from written_questions import write_questions

from align.cli.app import app

PROMPT = ("--prompt_template", "{question}\n{options}\n", "--no-conversational", "--max_new_tokens", "8")
BREVITY = """
def brevity(completions, **kwargs):
    from pathlib import Path

    calls = Path(__file__).with_name("calls")
    calls.write_text(str(int(calls.read_text() if calls.exists() else 0) + 1))
    return [1 / (1 + len(completion[-1]["content"])) for completion in completions]
"""


def run(*words):
    return app(["eval", *map(str, words)], standalone_mode=False) or 0


def save_models(folder, practised, untrained):
    """Saves two policies and a reward model."""
    shutil.copytree(practised, folder / "practised")
    shutil.copytree(untrained, folder / "untrained")
    tiny_reward_model(vocabulary=len(tiny_tokenizer())).save_pretrained(folder / "scalar")
    tiny_tokenizer().save_pretrained(folder / "scalar")
    return folder


def write_data(folder):
    """Writes rows of every task, and a reward that counts how often it is called."""
    write_questions(folder / "questions.jsonl", count=10)
    prompts = [{"prompt": [{"role": "user", "content": f"{i}+{i}?"}], "answer": 2 * i} for i in range(10)]
    pairs = [
        {"prompt": f"Capital {i}? ", "chosen": f"It is Paris {i}." * (1 + i % 3), "rejected": f"It is Rome {i}."}
        for i in range(66)
    ]
    candidates = [{"prompt": f"Say {i}.", "responses": [f"It is {i}{'!' * j}" for j in range(8)]} for i in range(5)]
    core = [{"question": f"Bird {i}?", "core": "water", "spurious": ["land", "sky"]} for i in range(30)]
    written = {"prompts": prompts, "pairs": pairs, "candidates": candidates, "core": core}
    for name, rows in written.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "mine.py").write_text(BREVITY)
    return folder


def commands_of(models, data):
    """Lists a command of each task, with several chunks."""
    first = ["--model", models / "practised"]
    policies = [*first, "--baseline", models / "untrained"]
    rewards = ["--rewards", "number_accuracy", f"{data}/mine.py:brevity", models / "scalar", "--max_new_tokens", 8]
    judged = ["--judge", models / "practised", "--max_new_tokens", 4]
    probes = ["--probes", "--probe_pairs", 6, "--best_of_n", data / "candidates.jsonl"]
    sampled = ["--num_samples", 2, "--temperature", 1]
    return {
        "questions": [*first, "--data", data / "questions.jsonl", "--batch_size", 4, *PROMPT],
        "prompts": [*policies, "--data", data / "prompts.jsonl", "--batch_size", 4, *rewards],
        "samples": [*policies, "--data", data / "prompts.jsonl", "--batch_size", 4, *rewards, *sampled],
        "pairs": [*first, "--reference", models / "untrained", "--data", data / "pairs.jsonl", *judged],
        "rows of a suite": [*first, "--data", data / "core.jsonl", "--suite", "core_advantage"],
        "reward models": ["--reward_model", models / "scalar", "--data", data / "pairs.jsonl", *probes],
    }


def results_in(folder):
    """What must be equal to the byte: the record without times and counts, and every other result."""
    record = json.loads((folder / "evaluation.json").read_text())
    for each in [record.get("about", {}), *record.get("about", {}).get("models", [])]:
        for name in ("created", "seconds", "command", "cached_items"):
            each.pop(name, None)
    files = {path.name: path.read_bytes() for path in folder.glob("*.parquet")}
    files |= {path.name: path.read_bytes() for path in folder.glob("*.jsonl")}
    assert files
    return json.dumps(record), files


def counts_in(folder):
    """Answers that were there, by model."""
    about = json.loads((folder / "evaluation.json").read_text())["about"]
    return [model["cached_items"] for model in about["models"]]
