"""Below which size of a model more threads of torch do not help: a training step and 16 written tokens, by threads.

    python -m scripts.benches.threads --rounds 5

Llama models of random weights, 16 rows of 64 tokens; each number of threads in turn, medians over the rounds, in
seconds of the clock and of the processor. `align.threads.SMALL` is set from it. With `--busy 1` a loop runs beside it,
and threads that wait for each other spin.
"""

import os
import statistics
import subprocess
import sys
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from scripts.harness import Options

SIZES = {  # width, layers, vocabulary
    "0.1M": (64, 2, 128),
    "1M": (128, 4, 1_024),
    "5M": (256, 5, 2_048),
    "15M": (384, 6, 8_192),
    "30M": (512, 6, 16_384),
    "135M": (576, 30, 49_152),
}


def step(model: LlamaForCausalLM, ids: torch.Tensor) -> None:
    """Makes the gradient of one batch and writes some tokens."""
    model(input_ids=ids, labels=ids).loss.backward()
    model.zero_grad()
    with torch.no_grad():
        model.generate(ids[:, :16], attention_mask=torch.ones_like(ids[:, :16]), max_new_tokens=16, do_sample=False)


def main(argv: list[str] | None = None) -> None:
    """Prints a line for each size."""
    parser = Options(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--busy", type=int, default=0, help="Loops that run beside it.")
    arguments = parser.parse_args(argv)
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(arguments.busy)]
    cores = len(os.sched_getaffinity(0))
    print(f"torch {torch.__version__}, {cores} cores, {arguments.busy} loops beside it")
    try:
        for name in arguments.sizes:
            width, layers, vocabulary = SIZES[name]
            config = LlamaConfig(
                hidden_size=width, intermediate_size=3 * width, num_hidden_layers=layers, vocab_size=vocabulary,
                num_attention_heads=max(2, width // 64), num_key_value_heads=None, eos_token_id=None, pad_token_id=0,
            )  # fmt: skip
            model, ids = LlamaForCausalLM(config), torch.randint(1, vocabulary, (16, 64))
            taken: dict[int, list[tuple[float, float]]] = {1: [], cores: []}
            for number in range(arguments.rounds + 1):
                for threads, times in taken.items():
                    torch.set_num_threads(threads)
                    clock, processor = time.perf_counter(), time.process_time()
                    step(model, ids)
                    if number:  # the first is for warming up
                        times.append((time.perf_counter() - clock, time.process_time() - processor))
            shown = [
                f"{threads} threads {statistics.median(each[0] for each in times):.3f} s "
                f"({statistics.median(each[1] for each in times):.3f} s of the processor)"
                for threads, times in taken.items()
            ]
            print(f"{name:>5}: {', '.join(shown)}", flush=True)
    finally:
        for loop in loops:
            loop.kill()


if __name__ == "__main__":
    main()
