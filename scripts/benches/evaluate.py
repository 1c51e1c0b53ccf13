"""What M second answers per question cost beside the first ones, on the model of a recipe.

    python -m scripts.benches.evaluate --rounds 5 --json bench_evaluate.json
    python -m scripts.benches.evaluate --recipe acre/smollm2-135m --questions 32 --rounds 3

Two arms alternate in one process on the same questions: the first answers alone, and first answers with M shuffles.
Both go through the command's own path, with the cache on disk, and end in per-item results. Reported is the median
over rounds of the ratio of their times; on a busy machine `--clock cpu` with one thread counts the process's own time.
Then both kinds of answers are given once more and counted: floating-point operations, tokens, bytes of tensors at
once. The floor of second answers is, for a chunk of questions, what all of them begin with read once, then every token
of a question's rows once, whatever these have in common, and one projection to the vocabulary for each different row.
No kernel reaches the floor's operations, because attention counts what its mask hides. `--check_bars` exits with 1 if
the time or the tokens are above their bar.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything that is needed is in the repository

import torch

from align.assets import find_recipe
from align.data.questions.multiple_choice import Question, load_questions
from align.data.questions.templates import PromptTemplate
from align.evaluation.asking import Asker, KeptAnswers
from align.evaluation.suites.questions.answering import ItemResult, answer_questions
from align.models.answer_cache import AnswerCache
from align.models.checkpoint import find_checkpoint, load_model
from align.models.policies.asking import Completion, Decoding, LetterQuestion
from align.models.policies.model_policy import ModelPolicy
from align.recipe.recipe import load_recipe
from scripts.benches.counted import Cost, counting, least
from scripts.benches.device import CLOCKS, add_device, clock
from scripts.harness import Options, write_numbers

BARS = {"time": 1.6, "floor": 1.02}


class CountedPolicy(ModelPolicy):
    """Counts what first and second answers take, and what second answers could not do without."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.first, self.second = Cost(), Cost()

    def generate(self, questions: Sequence[Question], decoding: Decoding) -> list[list[Completion]]:
        """Answers questions."""
        with counting(self.model, self.first):
            return super().generate(questions, decoding)

    def score_letters(self, rows: Sequence[LetterQuestion]) -> list[list[float]]:
        """Gives second answers."""
        sequences = [row.prompt_ids + row.prefix_ids for row in self._prompts.second_pass(rows)]
        flops, tokens = least(self.model, sequences, [row.question.id for row in rows])
        self.second.floor_flops += flops
        self.second.floor_tokens += tokens
        with counting(self.model, self.second):
            return super().score_letters(rows)


def seconds(
    policy: ModelPolicy,
    questions: list[Question],
    decoding: Decoding,
    num_shuffles: int,
    ticks: Callable[[], float] = time.perf_counter,
) -> tuple[float, list[ItemResult]]:
    """Times one evaluation with an empty cache."""
    with tempfile.TemporaryDirectory() as folder, closing(AnswerCache(Path(folder))) as cache:
        asker = Asker(policy, kept=KeptAnswers(cache))
        started = ticks()
        items, _ = answer_questions(asker, questions, decoding, num_shuffles=num_shuffles)
        return ticks() - started, items


def count(policy: CountedPolicy, questions: list[Question], decoding: Decoding, num_shuffles: int) -> dict[str, Any]:
    """Counts one evaluation, how much more than the floor is done, and what second answers add to the first."""
    seconds(policy, questions[:1], decoding, 1)  # once per policy: whether the model reads trees
    policy.first, policy.second = Cost(), Cost()
    seconds(policy, questions, decoding, num_shuffles)
    first, second = policy.first, policy.second
    return {
        "first": asdict(first),
        "second": asdict(second),
        "flops_over_floor": second.flops / second.floor_flops,
        "tokens_over_floor": second.tokens / second.floor_tokens,
        "flops_ratio": (first.flops + second.flops) / first.flops,
        "floor_ratio": (first.flops + second.floor_flops) / first.flops,
    }


def main(argv: list[str] | None = None) -> int:
    """Runs the benchmark."""
    parser = Options(__doc__)
    parser.add_argument("--recipe", default="acre/quickstart")
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--num_shuffles", type=int, default=4)
    parser.add_argument("--batch_size", type=int, default=32, help="the command's default")
    parser.add_argument("--rounds", type=int, default=5, help="0 counts only")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    add_device(parser)
    parser.add_numbers(f"exit code 1 if a ratio is above its bar: {BARS}")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    recipe = load_recipe(find_recipe(arguments.recipe))
    checkpoint = find_checkpoint(recipe.model.model_name_or_path)
    model, tokenizer = load_model(checkpoint, dtype=arguments.dtype, device=arguments.device)
    data = recipe.dataset
    template = PromptTemplate(data.prompt_template, data.system_prompt, data.conversational)
    questions = load_questions(data.eval_path, max_rows=arguments.questions)[0]
    decoding = Decoding(max_new_tokens=int(recipe.settings.max_completion_length))
    counted = count(
        CountedPolicy(model, tokenizer, template, batch_size=arguments.batch_size),
        questions, decoding, arguments.num_shuffles,
    )  # fmt: skip
    for name in ("first", "second"):
        cost = counted[name]
        print(
            f"{name} answers: {cost['flops']:.3e} FLOPs, {cost['tokens']:,} tokens, {cost['peak_bytes'] / 1e9:.2f} GB"
        )
    print(
        f"second answers over the floor: {counted['flops_over_floor']:.3f} of the FLOPs, "
        f"{counted['tokens_over_floor']:.3f} of the tokens (bar {BARS['floor']}); FLOPs of both over the first "
        f"{counted['flops_ratio']:.2f}, at the floor {counted['floor_ratio']:.2f}",
        flush=True,
    )
    result = {"questions": len(questions), "num_shuffles": arguments.num_shuffles, "counted": counted}
    is_over = counted["tokens_over_floor"] > BARS["floor"]
    if arguments.rounds:
        policy = ModelPolicy(model, tokenizer, template, batch_size=arguments.batch_size)
        timed = compare(policy, questions, decoding, arguments)
        is_over |= timed["median_ratio"] > BARS["time"]
        result |= timed
    write_numbers(arguments.json, result, under="versions")
    return int(arguments.check_bars and is_over)


def compare(
    policy: ModelPolicy, questions: list[Question], decoding: Decoding, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Times both arms in turn."""
    ticks = clock(arguments, arguments.clock)
    seconds(policy, questions[:64], decoding, 1)  # warms up
    times: dict[int, list[float]] = {0: [], arguments.num_shuffles: []}
    for number in range(arguments.rounds):
        for shuffles in times if number % 2 else reversed(times):
            taken, items = seconds(policy, questions, decoding, shuffles, ticks)
            times[shuffles].append(taken)
            if shuffles:
                answers = [len(item.second_choices or []) for item in items]
        print(", ".join(f"M={shuffles} {each[-1]:.2f} s" for shuffles, each in times.items()), flush=True)
    ratios = [a / b for a, b in zip(times[arguments.num_shuffles], times[0], strict=True)]
    ratio = statistics.median(ratios)
    print(
        f"{len(questions):,} questions, {sum(answers):,} second answers, batches of {arguments.batch_size}: "
        f"{statistics.median(times[arguments.num_shuffles]):.2f} s against {statistics.median(times[0]):.2f} s, "
        f"ratio {ratio:.2f} ({min(ratios):.2f}-{max(ratios):.2f}), bar {BARS['time']}"
    )
    spent = {str(shuffles): each for shuffles, each in times.items()}
    return {"clock": arguments.clock, "median_ratio": ratio, "ratios": ratios, "seconds": spent}


if __name__ == "__main__":
    sys.exit(main())
