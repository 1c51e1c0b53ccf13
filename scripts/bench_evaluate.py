"""What M second answers per question cost beside the first ones, on the model of a recipe.

    python scripts/bench_evaluate.py --rounds 5 --json bench_evaluate.json
    python scripts/bench_evaluate.py --recipe acre/smollm2-135m --questions 64 --rounds 3

Two arms alternate in one process on the same questions: the first answers alone, and first answers with M shuffles.
Both go through the command's own path, with the cache on disk, and end in per-item results. Reported is the median
over rounds of the ratio of their times. `--check_bar` exits with 1 if it is above 1.6.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything that is needed is in the repository

import torch

from align.assets import find_recipe
from align.data.questions.multiple_choice import Question, load_questions
from align.data.questions.templates import PromptTemplate
from align.evaluation.policies.answering import answer_questions
from align.evaluation.policies.asker import Asker
from align.evaluation.policies.items import ItemResult
from align.models.answer_cache import AnswerCache
from align.models.checkpoint import find_checkpoint, load_model
from align.models.policies.asking import Decoding
from align.models.policies.model_policy import ModelPolicy
from align.recipe.recipe import load_recipe
from align.versions import installed_versions

BAR = 1.6


def seconds(
    policy: ModelPolicy, questions: list[Question], decoding: Decoding, num_shuffles: int
) -> tuple[float, list[ItemResult]]:
    """Times one evaluation with an empty cache."""
    with tempfile.TemporaryDirectory() as folder, closing(AnswerCache(Path(folder))) as cache:
        asker = Asker(policy, cache=cache)
        started = time.perf_counter()
        items, _ = answer_questions(asker, questions, decoding, num_shuffles=num_shuffles)
        return time.perf_counter() - started, items


def main(argv: list[str] | None = None) -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="acre/quickstart")
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--num_shuffles", type=int, default=4)
    parser.add_argument("--batch_size", type=int, default=32, help="the command's default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--check_bar", action="store_true", help=f"exit code 1 if the ratio is above {BAR}")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    recipe = load_recipe(find_recipe(arguments.recipe))
    checkpoint = find_checkpoint(recipe.model.model_name_or_path)
    model, tokenizer = load_model(checkpoint, dtype="float32", device="cpu")
    data = recipe.dataset
    template = PromptTemplate(data.prompt_template, data.system_prompt, data.conversational)
    policy = ModelPolicy(model, tokenizer, template, batch_size=arguments.batch_size)
    questions = load_questions(data.eval_path, max_rows=arguments.questions)[0]
    decoding = Decoding(max_new_tokens=int(recipe.setting("max_completion_length")))
    seconds(policy, questions[:64], decoding, 1)  # warms up
    times: dict[int, list[float]] = {0: [], arguments.num_shuffles: []}
    for number in range(arguments.rounds):
        for shuffles in times if number % 2 else reversed(times):
            taken, items = seconds(policy, questions, decoding, shuffles)
            times[shuffles].append(taken)
            if shuffles:
                answers = [len(item.second_choices or []) for item in items]
        print(", ".join(f"M={shuffles} {each[-1]:.2f} s" for shuffles, each in times.items()), flush=True)
    ratios = [a / b for a, b in zip(times[arguments.num_shuffles], times[0], strict=True)]
    ratio = statistics.median(ratios)
    print(
        f"{len(questions):,} questions, {sum(answers):,} second answers, batches of {arguments.batch_size}: "
        f"{statistics.median(times[arguments.num_shuffles]):.2f} s against {statistics.median(times[0]):.2f} s, "
        f"ratio {ratio:.2f} ({min(ratios):.2f}-{max(ratios):.2f}), bar {BAR}"
    )
    if arguments.json:
        result = {"questions": len(questions), "num_shuffles": arguments.num_shuffles, "median_ratio": ratio}
        result |= {"ratios": ratios, "seconds": {str(shuffles): each for shuffles, each in times.items()}}
        arguments.json.write_text(json.dumps({"versions": installed_versions()} | result, indent=2) + "\n")
    return int(arguments.check_bar and ratio > BAR)


if __name__ == "__main__":
    sys.exit(main())
