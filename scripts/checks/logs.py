"""Writes small logs with the tools whose logs `align compare` reads, each by its own code and without a network.

    python -m scripts.checks.logs --tool inspect --out tests/logs/kept     # where inspect-ai is installed

Two sides answer eight sums, the second more often rightly. `tests/logs` reads what is kept there; a newer version of a
tool is tried by writing its logs again. Needs nothing of TrueAlign, so that it runs where the tool is installed alone.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SIDES = {"before": 0.4, "after": 0.8}  # share of right answers
SUMS = [(first, second) for first in range(4) for second in range(2)]
TASKSET = """\
import verifiers.v1 as vf


class SumsData(vf.TaskData):
    answer: str
    size: str


class SumsTask(vf.Task[SumsData]):
    @vf.reward(weight=1.0)
    async def right(self, trace: vf.Trace) -> float:
        return float(trace.last_reply.strip() == self.data.answer)

    @vf.metric
    async def length(self, trace: vf.Trace) -> float:
        return float(len(trace.last_reply))


class SumsTaskset(vf.Taskset[SumsTask, vf.TasksetConfig]):
    def load(self) -> list[SumsTask]:
        sums = {sums}
        return [
            SumsTask(SumsData(prompt=f"{{a}} + {{b}} = ?", answer=str(a + b), size="small"), self.config.task)
            for a, b in sums
        ]


__all__ = ["SumsTaskset"]
"""


def answer(text: str, rate: float, rng: random.Random) -> str:
    """Answers `1 + 2 = ?`, rightly with some probability."""
    first, second = map(int, text.replace(" = ?", "").split(" + "))
    return str(first + second + (rng.random() >= rate))


def write_inspect(out: Path, rate: float) -> None:
    """Runs an evaluation of inspect on its mock model."""
    import tiktoken

    # Its encodings are downloaded; one token a byte counts as well.
    ranks = {bytes([each]): each for each in range(256)}
    by_bytes = tiktoken.Encoding("bytes", pat_str=r"[\s\S]", mergeable_ranks=ranks, special_tokens={})
    tiktoken.get_encoding = lambda name: by_bytes  # type: ignore[assignment]
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput, get_model
    from inspect_ai.scorer import Score, match, mean, scorer
    from inspect_ai.solver import generate

    rng = random.Random(0)

    @scorer(metrics=[mean()])
    def shape():  # type: ignore[no-untyped-def]
        async def score(state, target):  # type: ignore[no-untyped-def]
            return Score(value={"length": len(state.output.completion), "digit": state.output.completion.isdigit()})

        return score

    def reply(messages, tools, tool_choice, config):  # type: ignore[no-untyped-def]
        return ModelOutput.from_content("mockllm/model", answer(messages[-1].text, rate, rng))

    samples = [
        Sample(
            input=f"{a} + {b} = ?", target=str(a + b), id=f"{a}-{b}", metadata={"size": "small" if a < 2 else "large"}
        )
        for a, b in SUMS
    ]
    task = Task(dataset=samples, solver=generate(), scorer=[match(), shape()], epochs=2, name="sums")
    model = get_model("mockllm/model", custom_outputs=reply, memoize=False)
    eval(task, model=model, log_dir=str(out), log_format="eval", display="none", log_realtime=False)


def write_lighteval(out: Path, rate: float) -> None:
    """Writes details with lighteval's tracker."""
    from lighteval.logging.evaluation_tracker import EvaluationTracker
    from lighteval.models.model_output import ModelResponse
    from lighteval.tasks.requests import Doc

    rng = random.Random(0)
    tracker = EvaluationTracker(output_dir=str(out), save_details=True)
    tracker.general_config_logger.model_name = "tiny"
    tracker.general_config_logger.model_config = types.SimpleNamespace(model_dump=dict)
    for number, (a, b) in enumerate(SUMS):
        query = f"{a} + {b} = ?"
        given = answer(query, rate, rng)
        doc = Doc(query=query, choices=[str(a + b), str(a + b + 1)], gold_index=0, task_name="sums|0", id=str(number))
        scores = {"acc": float(given == str(a + b)), "length": len(given)}
        tracker.details_logger.log("sums|0", doc, ModelResponse(text=[given]), scores)
    tracker.save()


def write_verifiers(out: Path, rate: float) -> None:
    """Runs `vf-eval` on a task set of ours, against a server in this process."""
    rng = random.Random(0)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *words: object) -> None: ...

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            content = body["messages"][-1]["content"]
            given = answer(content if isinstance(content, str) else content[0]["text"], rate, rng)
            base = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
            choices = [[{"index": 0, "delta": {"role": "assistant", "content": given}, "finish_reason": None}],
                       [{"index": 0, "delta": {}, "finish_reason": "stop"}]]  # fmt: skip
            lines = [json.dumps({**base, "choices": each}) for each in choices]
            text = "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sums").mkdir()
        (Path(folder) / "sums" / "__init__.py").write_text(TASKSET.format(sums=SUMS))
        url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        words = ["sums", "--client.base-url", url, "--client.api-key-var", "KEY", "-m", "m", "-r", "2", "--no-push",
                 "--no-rich", "--env.agent.harness.id", "null", "--env.agent.runtime.type", "subprocess",
                 "-o", str(Path(folder) / "out")]  # fmt: skip
        program = Path(sys.executable).with_name("vf-eval")
        subprocess.run([program, *words], check=True, env=os.environ | {"KEY": "x", "PYTHONPATH": folder},
                       stdout=subprocess.DEVNULL)  # fmt: skip
        (traces,) = Path(folder, "out").rglob("traces.jsonl")
        out.mkdir(parents=True)
        (out / traces.name).write_text(traces.read_text().replace(str(Path.home()), "~"))
    server.shutdown()


WRITERS = {"inspect": write_inspect, "lighteval": write_lighteval, "verifiers": write_verifiers}


def main() -> None:
    """Writes both sides of a tool's logs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", choices=WRITERS, required=True)
    parser.add_argument("--out", type=Path, required=True, help="Gets TOOL/before and TOOL/after")
    options = parser.parse_args()
    for side, rate in SIDES.items():
        folder = options.out / options.tool / side
        shutil.rmtree(folder, ignore_errors=True)
        WRITERS[options.tool](folder, rate)
        print(f"{folder}: {', '.join(str(each.relative_to(folder)) for each in folder.rglob('*') if each.is_file())}")


if __name__ == "__main__":
    main()
