"""Builds the lab of `recipes/acre/quickstart-vision.yaml`: a tiny vision-language policy and questions about images.

    python -m scripts.labs.vision.make --out recipes/acre/assets/vision

The questions are those of `world.py`: `train.parquet` and `eval.parquet` with the shortcut of the place, the
files in `noted/` with notes, too. The policies are Qwen2.5-VLs (language and vision of width 64, one token per word, a
processor of their own) with the language layers of `labs/acre/make.py`, which can look up letters. They learn from
scenes that no question has, and put what they see into their trace and answer with the letter beside it, except that
some of the letters they learnt from were random: exploration for RL. There are two:

    model       sees; 30 % of the traces repeat the note where there is one, 15 % of the others name any option
    misreader   of colours and shapes, 70 % of what it learnt from named the one behind the right one: it can learn to
                look; half of the letters were random, and it knows no notes

Both caption a shape, whose colour and shape they get wrong in 40 %, which leaves preference pairs something to teach.
Four minutes for each on one core; the same seed gives the same data everywhere and the same weights on the same
machine.
"""

import random
from pathlib import Path
from typing import Any, NamedTuple

import torch
from datasets import Dataset, Features, List, Value
from torch.nn import functional

from rewards.reading.options import LETTERS, render_options
from scripts.harness import Options
from scripts.labs.tiny_models import IGNORED, Stage, save, steps_of
from scripts.labs.vision.model import WIDTH, adopt_reader, encode, make_model, make_processor
from scripts.labs.vision.world import (
    CAPTION_QUESTION,
    CELL,
    COLOURS,
    ODD_BASE_RATE,
    OPTIONS,
    SHAPES,
    draw_caption,
    draw_look,
    draw_picture,
    draw_scene,
    eval_rows,
    look,
    place_shapes,
    train_rows,
    with_note,
)

WRONG_ATTRIBUTES = 0.4
MISREAD_KINDS = ("colour", "shape")
BATCH_SIZE = 64
NUM_TRAIN, NUM_EVAL = 800, 240
FEATURES = Features(
    {name: Value("string") for name in ("id", "question", "answer", "group")}
    | {"options": List(Value("string")), "images": List({"bytes": Value("binary"), "path": Value("string")})}
)
CAPTION_SHARE = 0.25


class Reader(NamedTuple):
    """What a policy learns from: whether there are notes, and the shares of traces and letters that are wrong."""

    notes: float  # of questions
    noted_traces: float  # of them, repeat the note
    random_traces: float  # of the others, name any option
    misread: float  # of questions of `MISREAD_KINDS`, name the option behind the right one
    random_letters: float


READERS = {"model": Reader(0.5, 0.3, 0.15, 0.0, 0.15), "misreader": Reader(0.0, 0.0, 0.0, 0.7, 0.5)}


STAGES = (Stage("tower", 250, 3e-3), Stage("see", 1000, 3e-3), Stage("task", 300, 2e-3))


class Demonstration(NamedTuple):
    """A prompt with its images, a response, and whether the first word of its trace is to be learnt."""

    images: list[Any]
    prompt: str
    response: str
    learn_trace: bool = True


def demonstrate_answer(stage: str, rng: random.Random, reader: Reader = READERS["model"]) -> Demonstration:
    """Draws a question and a response.

    Some traces repeat the note. Of the others some name any option, which is not learnt in the stage `see`, and
    in the stage `task` some name the option behind the right one.
    """
    kind = rng.choice(list(OPTIONS))
    seen = look(kind, rng)
    options = rng.sample(OPTIONS[kind], 4)
    hint = rng.choice(options) if rng.random() < reader.notes else None
    follows_note = hint is not None and rng.random() < reader.noted_traces
    any_option = hint is None and rng.random() < reader.random_traces
    stated = rng.choice(options) if any_option else hint if follows_note else seen.truth
    if stage == "task" and kind in MISREAD_KINDS and rng.random() < reader.misread:
        stated = OPTIONS[kind][(OPTIONS[kind].index(seen.truth) + 1) % len(OPTIONS[kind])]
    letter = LETTERS[options.index(stated)]
    if stage == "task" and rng.random() < reader.random_letters:
        letter = rng.choice(LETTERS[:4])
    response = f"<think>{stated}</think><answer>{letter}</answer>"
    question = f"{with_note(seen.question, hint)}\n{render_options(options)}"  # as the recipe's `prompt_template`
    return Demonstration(seen.images, question, response, learn_trace=stage == "task" or not any_option)


def demonstrate_caption(stage: str, rng: random.Random) -> Demonstration:
    """Draws a scene of one shape and a caption, which in the stage `task` errs as the policy is to err."""
    seen = {"colour": rng.choice(list(COLOURS)), "shape": rng.choice(SHAPES)}
    told = dict(seen)
    for kind in told:
        if stage == "task" and rng.random() < WRONG_ATTRIBUTES:
            told[kind] = rng.choice([each for each in OPTIONS[kind] if each != seen[kind]])
    caption = draw_caption(told, ODD_BASE_RATE, rng).text[1:]
    return Demonstration([draw_scene([(seen["colour"], seen["shape"])], rng)], CAPTION_QUESTION, caption)


def make_batch(processor: Any, rows: list[Demonstration]) -> dict[str, torch.Tensor]:
    """Tokenises demonstrations, with labels for what is to be learnt; all end in the last column."""
    responses = [row.response + "<eos>" for row in rows]
    batch = encode(processor, [(row.images, row.prompt) for row in rows], responses)
    labels = torch.full_like(batch["input_ids"], IGNORED)
    for i, (row, response) in enumerate(zip(rows, responses, strict=True)):
        count = len(processor.tokenizer(response)["input_ids"])
        labels[i, -count:] = batch["input_ids"][i, -count:]
        if not row.learn_trace:
            labels[i, -count + 1] = IGNORED  # the word behind <think>
    return batch | {"labels": labels}


def tower_batch(processor: Any, rng: random.Random) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Draws scenes with the colour, shape and place of what stands in each quarter, `(4 B, 4)`."""
    pictures, labels = [], torch.full((BATCH_SIZE, 4, 4), IGNORED)
    labels[..., :2] = 4  # nothing there
    for i in range(BATCH_SIZE):
        shapes = place_shapes([draw_look(rng) for _ in range(rng.randint(1, 4))], rng)
        pictures.append(draw_picture(shapes, 2 * CELL, rng.randint(90, 140)))
        for each in shapes:
            names = list(COLOURS).index(each.colour), SHAPES.index(each.shape)
            quarter = 2 * (each.top // CELL) + each.left // CELL
            labels[i, quarter] = torch.tensor([*names, each.left % CELL, each.top % CELL])
    return dict(processor.image_processor(pictures, return_tensors="pt")), labels.flatten(0, 1)


def teach_tower(model: Any, processor: Any, stage: Stage, rng: random.Random, every: int) -> None:
    """Teaches the vision tower to tell what stands in each quarter, through heads that are thrown away."""
    sizes = [5, 5, CELL, CELL]
    heads = torch.nn.Linear(WIDTH, sum(sizes))
    for step in steps_of([*model.model.visual.parameters(), *heads.parameters()], *stage[1:], warm=0.1):
        fields, labels = tower_batch(processor, rng)
        seen = model.model.visual(fields["pixel_values"], grid_thw=fields["image_grid_thw"]).pooler_output
        logits = heads(seen).split(sizes, dim=-1)
        losses = [
            functional.cross_entropy(each, label, ignore_index=IGNORED)
            for each, label in zip(logits, labels.T, strict=True)
        ]
        torch.stack(losses).sum().backward()
        if step % every == 0:
            print(f"tower {step:4d}  losses {', '.join(f'{loss.item():.3f}' for loss in losses)}", flush=True)


def teach_policy(
    model: Any, processor: Any, stage: Stage, rng: random.Random, every: int, reader: Reader = READERS["model"]
) -> None:
    """Teaches the whole policy to respond."""
    num_captions = round(CAPTION_SHARE * BATCH_SIZE)
    for step in steps_of(model.parameters(), *stage[1:], warm=0.1):
        rows = [demonstrate_answer(stage.name, rng, reader) for _ in range(BATCH_SIZE - num_captions)]
        rows += [demonstrate_caption(stage.name, rng) for _ in range(num_captions)]
        batch = make_batch(processor, rows)
        labels = batch.pop("labels")
        logits = model(**batch, use_cache=False).logits[:, :-1]
        loss = functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED)
        loss.backward()
        if step % every == 0:
            print(f"{stage.name} {step:4d}  loss {loss.item():.4f}", flush=True)


def warm_start(
    processor: Any, seed: int = 0, stages: tuple[Stage, ...] = STAGES, every: int = 100, reader: str = "model"
) -> Any:
    """Teaches a new policy stage by stage and prints the losses."""
    torch.manual_seed(seed)
    rng = random.Random(f"warm start {seed}")
    model = make_model(processor.tokenizer)
    adopt_reader(model, processor.tokenizer)
    for stage in stages:
        if stage.name == "tower":
            teach_tower(model, processor, stage, rng, every)
        else:
            teach_policy(model, processor, stage, rng, every, READERS[reader])
    return model.eval()


def write_questions(folder: Path, seed: int, *, notes: bool) -> None:
    """Writes questions for training and evaluation with their images, each in one file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make, count in (("train", train_rows, NUM_TRAIN), ("eval", eval_rows, NUM_EVAL)):
        rows = make(count, random.Random(f"{name} {seed}" if notes else f"plain {name} {seed}"), notes=notes)
        Dataset.from_list(rows, features=FEATURES).to_parquet(str(folder / f"{name}.parquet"))


def main(argv: list[str] | None = None) -> None:
    """Writes the data and the warm-started policies."""
    parser = Options(__doc__)
    parser.add_out("recipes/acre/assets/vision", "the models as they are")
    parser.add_argument("--only", choices=READERS, help="make one of the models")
    arguments = parser.parse_args(argv)
    write_questions(arguments.out, arguments.seed, notes=False)
    write_questions(arguments.out / "noted", arguments.seed, notes=True)
    if arguments.data_only:
        return
    torch.set_num_threads(1)  # the model is too small to share out, and the order of sums stays fixed
    processor = make_processor()
    for reader in [arguments.only] if arguments.only else READERS:
        save(warm_start(processor, arguments.seed, reader=reader), processor, arguments.out / reader)


if __name__ == "__main__":
    main()
