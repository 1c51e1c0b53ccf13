"""Rehearses planted recipes: how many open and hidden sicknesses are found, and how many sound ones called sick.

Each model answers behind a real HTTP server that speaks the chat-completions API. Rows are sums, drawn by
`--seed`, and so is what is written; limits of findings were chosen on seed 0, numbers to report are of others.

Run it with `python -m scripts.labs.rehearse.lab --out outputs/rehearse-lab --seed 1`.
"""

import argparse
import json
import math
import random
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from align.errors import UserError
from align.evaluation.statistics.metrics import wilson
from align.methods.pairs.rehearsal import CHECKS as OF_PAIRS
from align.rehearsal.rollouts import CHECKS
from align.rehearsal.rows import CHECKS as OF_ROWS
from align.services.rehearse import rehearse
from scripts.labs.rehearse.planted import HIDDEN, OPEN, SOUND, Planted
from scripts.labs.tiny_models import make_model, make_tokenizer, save

NUM_ROWS = 64
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "


class Server:
    """Answers requests by what a planted policy writes, cut at `max_tokens` words."""

    def __init__(self) -> None:
        self.planted: Planted | None = None
        self.asked = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *words: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                content = json.dumps(server.answer(body)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> "Server":
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Makes a chat completion."""
        assert self.planted is not None
        self.asked += 1
        question = body["messages"][-1]["content"]
        first, second = (int(word) for word in question.split("=")[0].split("+"))
        rng = random.Random(f"{question}/{body['seed']}")
        words = self.planted.policy(question, first + second, rng).split(" ")
        is_cut = len(words) >= body["max_tokens"]
        choice = {
            "index": 0,
            "finish_reason": "length" if is_cut else "stop",
            "message": {"role": "assistant", "content": " ".join(words[: body["max_tokens"]])},
        }
        usage = {"prompt_tokens": 8, "completion_tokens": min(len(words), body["max_tokens"])}
        return {
            "id": "0",
            "object": "chat.completion",
            "created": 0,
            "model": "planted",
            "choices": [choice],
            "usage": usage,
        }


def prepare(folder: Path, seed: int) -> list[dict[str, Any]]:
    """Makes rows, and writes pairs and a tiny model whose files the checks of a recipe read."""
    rng = random.Random(seed)
    rows = []
    for number in range(NUM_ROWS):
        first, second = rng.randint(100, 999), rng.randint(100, 999)
        prompt = [{"role": "user", "content": f"{first}+{second}="}]
        rows.append({"id": f"sum-{number}", "prompt": prompt, "answer": first + second})
    same = [(f"{row['id']}?", f"{row['answer']} it is") for row in rows]
    pairs = [{"prompt": prompt, "chosen": f"{text}, so it is", "rejected": text} for prompt, text in same]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    tokenizer = make_tokenizer()
    tokenizer.chat_template = TEMPLATE
    save(make_model(tokenizer, max_position_embeddings=2048), tokenizer, folder / "model")
    return rows


def write_recipe(folder: Path, planted: Planted, rows: list[dict[str, Any]]) -> Path:
    """Writes a planted recipe and its rows."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in planted.rows(rows)))
    content = {
        "method": "grpo",
        "model_name_or_path": "./model",
        "output_dir": str(folder / "run"),
        "dataset": {"path": "./rows.jsonl"},
        "reward_funcs": planted.rewards,
        "max_completion_length": planted.longest,
        "per_device_train_batch_size": 8,
        "num_generations": 8,
        "max_steps": 10,
        "use_cpu": True,
        "bf16": False,
        **planted.keys,
    }
    path = folder / f"{planted.name.replace(' ', '-').replace('%', '')}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def look(folder: Path, server: Server, planted: Planted, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rehearses one recipe."""
    server.planted = planted
    out = folder / planted.name.replace("/", "-")
    started = time.process_time()
    try:
        if planted.recipe:
            keys = json.loads(json.dumps(planted.keys).replace("{folder}", str(folder)))
            result = rehearse(planted.recipe, out=out, **keys)
        else:
            result = rehearse(
                write_recipe(folder, planted, rows), out=out, endpoint=server.url, served_model="planted"
            )
        checks = [each.check for each in result.findings]
        ends = {each.name: [*each.estimate[1:3]] for each in result.record.found.measures}
        texts = [f"{each.level} {each.check}: {each.text}" for each in result.findings]
    except UserError as error:
        checks, texts, ends = ["refused"], [str(error)], {}
    is_found = bool(set(planted.finds) & set(checks)) if planted.finds else bool(checks)
    return {"name": planted.name, "sick": bool(planted.finds), "found": is_found, "checks": checks, "texts": texts,
            "ends": ends, "cpu_seconds": round(time.process_time() - started, 1)}  # fmt: skip


def main() -> None:
    """Rehearses all recipes, and writes what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("outputs/rehearse-lab"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="Names with this in them.")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, Server() as server:
        folder = Path(name)
        rows, found = prepare(folder, given.seed), list[dict[str, Any]]()
        for kind, listed in {"open": OPEN, "hidden": HIDDEN, "sound": SOUND}.items():
            asked = [each for each in listed if (given.only or "") in f"{kind}: {each.name}"]
            seen = [look(folder, server, each, rows) for each in asked]
            for each in seen:
                print(f"{kind:7}{'+' if each['found'] else ' '} {each['name']:40}{', '.join(each['checks']) or '-'}")
            num, found = sum(each["found"] for each in seen), found + seen
            print(f"{kind}, {'called sick' if kind == 'sound' else 'found'}: {num} of {len(seen)}, ",
                  wilson(num, len(seen)), flush=True)  # fmt: skip
    for name, check in {**CHECKS, **OF_ROWS, **OF_PAIRS}.items():  # each limit beside the nearest ends of intervals
        known = [each for each in found if name in each["ends"]]
        for limit, end, last, first in ((check.above, 0, max, min), (check.below, 1, min, max)):
            sound = [each["ends"][name][end] for each in known if not each["sick"]]
            sick = [each["ends"][name][end] for each in known if each["sick"] and check.check in each["checks"]]
            if math.isfinite(limit) and sound:
                print(f"| `{name}` | {limit:g} | {last(sound):.2f} | {f'{first(sick):.2f}' if sick else ''} |")
    (given.out / f"planted-{given.seed}.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
