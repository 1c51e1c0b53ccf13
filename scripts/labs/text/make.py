"""Builds the lab of `recipes/acre/quickstart-text.yaml`: a tiny warm-started policy, and prompts with a planted cue.

    python -m scripts.labs.text.make --out recipes/acre/assets/words

`world.py` says what the prompts ask. In `train.jsonl` the cue is right in 75 % of the prompts, and in
40 % of them (group `arbitrary`) the right answer was drawn, so that reasoning is right on 70 % at best. In
`eval.jsonl` every prompt can be read and every cue is wrong. The policy (2 layers of width 64, one token per
character) reads the digit into its trace and answers with its word, except that 10 % of the answers it learnt from
were the cue's and 10 % random. A minute and a half on one core; the same seed gives the same data everywhere and the
same weights on one machine.
"""

import itertools
import random

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from scripts.harness import Options, write_rows
from scripts.labs.acre.make import BATCH_SIZE, STAGES, split_texts
from scripts.labs.text.world import demonstrations, make_rows
from scripts.labs.tiny_models import IGNORED, Batch, make_model, make_tokenizer, save, teach

NUM_TRAIN, NUM_EVAL = 3200, 500


def warm_start(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, texts: list[str], rng: random.Random
) -> None:
    """Teaches the policy to answer with the word of its trace, and then the task."""
    for stage in STAGES:
        stream = demonstrations(stage.name, texts, rng)
        batches = (make_batch(tokenizer, list(itertools.islice(stream, BATCH_SIZE))) for _ in itertools.count())
        teach(model, batches, stage.steps, stage.learning_rate, told=f"{stage.name} ")


def make_batch(tokenizer: PreTrainedTokenizerFast, rows: list[tuple[str, str, bool]]) -> Batch:
    """Tokenises demonstrations, padded on the right."""
    lines = [tokenizer(prompt + response + tokenizer.eos_token)["input_ids"] for prompt, response, _ in rows]
    width = max(map(len, lines))
    ids = torch.full((len(lines), width), tokenizer.pad_token_id)
    labels = torch.full((len(lines), width), IGNORED)
    for number, (line, (prompt, _, learn_trace)) in enumerate(zip(lines, rows, strict=True)):
        start = len(tokenizer(prompt)["input_ids"])
        ids[number, : len(line)] = torch.tensor(line)
        labels[number, start : len(line)] = ids[number, start : len(line)]
        if not learn_trace:
            labels[number, start + 1] = IGNORED  # the digit behind <think>
    return ids, (ids != tokenizer.pad_token_id).long(), labels


def main(argv: list[str] | None = None) -> None:
    """Writes the data and the warm-started policy."""
    parser = Options(__doc__)
    parser.add_out("recipes/acre/assets/words")
    arguments = parser.parse_args(argv)
    rng = random.Random(arguments.seed)
    train_texts, eval_texts, _ = split_texts(rng)
    for name, texts in (("train", train_texts[:NUM_TRAIN]), ("eval", eval_texts[:NUM_EVAL])):
        write_rows(arguments.out / f"{name}.jsonl", make_rows(name, texts, rng))
    if arguments.data_only:
        return
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(1)  # the model is too small to share out, and the order of sums stays fixed
    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    warm_start(model, tokenizer, train_texts, rng)
    save(model, tokenizer, arguments.out / "model")


if __name__ == "__main__":
    main()
