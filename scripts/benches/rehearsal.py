"""What a rehearsal takes, over sampling the same prompts with `generate` of transformers and doing nothing else.

    python -m scripts.benches.rehearsal --model models/smollm2-135m --rounds 2

32 prompts of `recipes/grpo/smollm2-135m-sums.yaml`, 8 completions each of up to 64 tokens. Both are whole processes,
one after the other in each round, on one thread, in seconds of the processor: those of the clock differ by a third
between rounds on a machine that others use, too.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scripts.harness import Options, tell, write_numbers

RECIPE = "recipes/grpo/smollm2-135m-sums.yaml"
PROMPTS, SAMPLES, TOKENS, AT_ONCE = 32, 8, 64, 64


def sample_alone(model_path: str) -> None:
    """Samples by transformers alone, and prints the seconds without the start."""
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from align.recipe.recipe import load_recipe

    recipe = load_recipe(Path(RECIPE))
    rows = recipe.record.part("load")(recipe).rows
    drawn = np.random.default_rng(recipe.settings.seed).permutation(len(rows))[:PROMPTS]
    tokenizer = AutoTokenizer.from_pretrained(model_path, padding_side="left")
    template = {"tokenize": False, "add_generation_prompt": True}
    prompts = [tokenizer.apply_chat_template(rows[place]["prompt"], **template) for place in sorted(drawn.tolist())]
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32).eval()
    torch.manual_seed(0)
    began, size = time.process_time(), AT_ONCE // SAMPLES
    for start in range(0, len(prompts), size):
        asked = tokenizer(prompts[start : start + size], return_tensors="pt", padding=True)
        how = {"num_return_sequences": SAMPLES, "max_new_tokens": TOKENS, "pad_token_id": tokenizer.eos_token_id}
        with torch.inference_mode():
            model.generate(**asked, do_sample=True, temperature=1.0, top_p=1.0, top_k=0, **how)
    print(json.dumps({"sampling": time.process_time() - began}))


def seconds_of(words: list[str]) -> tuple[float, str]:
    """Runs a process; returns its seconds of the processor, children included, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, run.stdout


def main() -> int:
    """Runs the rounds, and prints the ratios."""
    parser = Options(__doc__)
    parser.add_argument("--model", default="models/smollm2-135m")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="sample by transformers in this process, and end")
    parser.add_numbers("exit with 1 unless a rehearsal takes at most 1.1 times of sampling alone")
    arguments = parser.parse_args()
    if arguments.alone:
        sample_alone(arguments.model)
        return 0
    found: dict[str, list[float]] = {"whole": [], "over_sampling": []}
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as out:
            how = {"num_prompts": PROMPTS, "num_samples": SAMPLES, "max_completion_length": TOKENS, "out": out}
            words = [word for key, value in how.items() for word in (f"--{key}", str(value))]
            given = ["-m", "align", "rehearse", RECIPE, "--model_name_or_path", arguments.model, *words]
            whole, _ = seconds_of(given)
        alone, printed = seconds_of(["-m", "scripts.benches.rehearsal", "--alone", "--model", arguments.model])
        sampled = json.loads(printed.splitlines()[-1])["sampling"]
        print(f"rehearsal {whole:.0f} s; alone {alone:.0f} s, of which sampled {sampled:.0f}", flush=True)
        for name, ratio in zip(found, (whole / alone, whole / sampled), strict=True):
            found[name].append(ratio)
    for name, ratios in found.items():
        print(f"{name}: {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})")
    write_numbers(arguments.json, found)
    return tell({"at most 1.1 times of sampling alone": statistics.median(found["whole"]) <= 1.1}, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
