"""Generation of `align eval --rewards` against the engine called directly, on the same prompts in the same batches.

    python -m scripts.benches.prompts --rounds 5 --json bench_prompts.json
    python -m scripts.benches.prompts --recipe acre/smollm2-135m --prompts 64 --backend vllm --dtype bfloat16

Two arms alternate in one process: `engine` hands tokens to `generate` of transformers, or all prompts to vLLM in one
call, and decodes what comes; `align` is what the command does with prompts, each answer kept in a folder that was
opened before. Both end in the same texts, which is counted. Reported is the median over rounds of the ratio of their
throughputs in tokens a second; `--check_bar` exits with 1 if it is below 0.95. On a busy machine `--clock cpu` with
OMP_NUM_THREADS=1 counts the time of this process and of those that it has started, of which vLLM's engine is one.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything that is needed is in the repository

import psutil
import torch

from align.assets import find_recipe
from align.data.questions.multiple_choice import load_questions
from align.data.questions.templates import PromptTemplate
from align.evaluation.asked_models import Engine, open_policy
from align.evaluation.asking import KeptAnswers, complete_prompts
from align.models.answer_cache import AnswerCache
from align.models.checkpoint import find_checkpoint
from align.models.policies.asking import Decoding, Prompt
from align.models.policies.token_policy import end_tokens
from align.recipe.recipe import load_recipe
from scripts.benches.random_model import NAMES, random_model
from scripts.harness import Options, write_numbers

BAR = 0.95
Answer = tuple[str, int]  # the text, and how many tokens it has


def cpu_seconds() -> float:
    """Adds up what this process and its children have computed."""
    own = psutil.Process()
    return sum(each.cpu_times().user + each.cpu_times().system for each in [own, *own.children(recursive=True)])


CLOCKS = {"wall": time.perf_counter, "cpu": cpu_seconds}


def by_align(policy: Any, prompts: Sequence[Prompt], decoding: Decoding, cache: AnswerCache) -> list[Answer]:
    """Asks as the command does, and keeps the answers."""
    found = complete_prompts(policy, prompts, decoding, KeptAnswers(cache))
    return [(each[0].text, len(each[0].ids or ())) for each in found]


def by_transformers(policy: Any, prompts: Sequence[Prompt], decoding: Decoding, _: Any = None) -> list[Answer]:
    """Calls `generate` on batches of similar length."""
    model, tokenizer = policy.model, policy.tokenizer
    encoded = tokenizer([prompt.content for prompt in prompts])["input_ids"]
    order = sorted(range(len(prompts)), key=lambda i: len(encoded[i]))
    ends = end_tokens(tokenizer, model.generation_config)
    found: dict[int, Answer] = {}
    for start in range(0, len(order), policy.chunk_size):
        part = order[start : start + policy.chunk_size]
        ids = [encoded[i] for i in part]
        batch = tokenizer.pad({"input_ids": ids}, padding_side="left", return_tensors="pt").to(model.device)
        with torch.no_grad():
            output = model.generate(
                **batch, do_sample=False, max_new_tokens=decoding.max_new_tokens, pad_token_id=tokenizer.pad_token_id,
                eos_token_id=ends,
            )  # fmt: skip
        new = output[:, batch["input_ids"].shape[1] :]
        lengths = [next((j for j, token in enumerate(row) if token in ends), len(row)) for row in new.tolist()]
        texts = tokenizer.batch_decode(new, skip_special_tokens=True)
        found |= zip(part, zip(texts, lengths, strict=True), strict=True)
    return [found[i] for i in range(len(prompts))]


def by_vllm(policy: Any, prompts: Sequence[Prompt], decoding: Decoding, _: Any = None) -> list[Answer]:
    """Hands all prompts to the engine at once."""
    from vllm import SamplingParams

    encoded = policy.tokenizer([prompt.content for prompt in prompts])["input_ids"]
    given: list[Any] = [{"prompt_token_ids": ids} for ids in encoded]
    params = SamplingParams(temperature=0.0, max_tokens=decoding.max_new_tokens)
    outputs = policy.llm.generate(given, sampling_params=params, use_tqdm=False)
    firsts = [output.outputs[0] for output in outputs]
    return [(each.text, len(each.token_ids) - (each.finish_reason == "stop")) for each in firsts]


@contextmanager
def opened(arguments: argparse.Namespace) -> Iterator[tuple[Any, list[Prompt], Decoding]]:
    """Loads the model of a recipe, and makes prompts of its questions."""
    recipe = load_recipe(find_recipe(arguments.recipe))
    data = recipe.dataset
    template = PromptTemplate(data.prompt_template, data.system_prompt, data.conversational)
    questions = load_questions(data.eval_path, max_rows=arguments.prompts)[0]
    prompts = [Prompt(each.id, template.render(each.question, each.options)) for each in questions]
    if not isinstance(prompts[0].content, str):
        raise SystemExit(f"{arguments.recipe} asks in messages. Name a recipe with `conversational: false`.")
    model = recipe.model.model_name_or_path
    if arguments.model:
        model = random_model(tempfile.mkdtemp(), arguments.model) if arguments.model in NAMES else arguments.model
    engine = Engine(arguments.backend, arguments.dtype, arguments.device, arguments.batch_size)
    decoding = Decoding(max_new_tokens=arguments.max_new_tokens or int(recipe.settings.max_completion_length))
    with open_policy(find_checkpoint(model), lambda _: template, engine) as (policy, _):
        yield policy, prompts, decoding


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Times both arms in turn."""
    direct: Callable[..., list[Answer]] = {"transformers": by_transformers, "vllm": by_vllm}[arguments.backend]
    arms = {"engine": direct, "align": by_align}
    clock = CLOCKS[arguments.clock]
    seconds: dict[str, list[float]] = {arm: [] for arm in arms}
    answers: dict[str, list[Answer]] = {}
    with opened(arguments) as (policy, prompts, decoding):
        direct(policy, prompts[:4], decoding)  # warms up
        for number in range(arguments.rounds):
            for arm in arms if number % 2 else reversed(arms):
                if arguments.backend == "vllm":
                    policy.llm.reset_prefix_cache()
                with tempfile.TemporaryDirectory() as folder, closing(AnswerCache(Path(folder))) as cache:
                    started = clock()
                    answers[arm] = arms[arm](policy, prompts, decoding, cache)
                    seconds[arm].append(clock() - started)
            print(", ".join(f"{arm} {each[-1]:.2f} s" for arm, each in seconds.items()), flush=True)
    same = sum(ours == theirs for ours, theirs in zip(answers["align"], answers["engine"], strict=True))
    tokens = {arm: sum(length for _, length in each) for arm, each in answers.items()}
    ratios = [
        (tokens["align"] / ours) / (tokens["engine"] / theirs)
        for ours, theirs in zip(seconds["align"], seconds["engine"], strict=True)
    ]
    return {
        "prompts": len(prompts),
        "same_texts": same,
        "same_share": same / len(prompts),
        "tokens": tokens,
        "seconds": seconds,
        "ratios": ratios,
    }


def main(argv: list[str] | None = None) -> int:
    """Runs the benchmark."""
    parser = Options(__doc__)
    parser.add_argument("--recipe", default="acre/quickstart")
    parser.add_argument("--model", help=f"in place of the recipe's: a folder, or one of {', '.join(NAMES)}")
    parser.add_argument("--max_new_tokens", type=int, help="in place of the recipe's")
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--backend", choices=("transformers", "vllm"), default="transformers")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--batch_size", type=int, default=32, help="the command's default; vLLM makes its own batches")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_numbers()
    parser.add_argument("--check_bar", action="store_true", help=f"exit code 1 if the ratio is below {BAR}")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    result = measure(arguments)
    ratio = statistics.median(result["ratios"])
    rate = {arm: result["tokens"][arm] / statistics.median(each) for arm, each in result["seconds"].items()}
    print(
        f"{result['prompts']} prompts, {result['same_texts']} with the same text, {arguments.backend}: "
        f"{rate['align']:.1f} tokens a second against {rate['engine']:.1f}, ratio {ratio:.3f} "
        f"({min(result['ratios']):.3f}-{max(result['ratios']):.3f}), bar {BAR}"
    )
    about = {"backend": arguments.backend, "clock": arguments.clock, "median_ratio": ratio}
    write_numbers(arguments.json, about, result, under="versions")
    return int(arguments.check_bar and ratio < BAR)


if __name__ == "__main__":
    sys.exit(main())
