"""RRPO's and ACRE's tables: vision-language models that learn from videos, on public benchmarks of videos and images.

Both papers' numbers are of other models or were not found: RRPO's three are no architectures of transformers, and of
ACRE's paper only its abstract and its reviews were read.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from align.assets import asset_dir, find_recipe
from align.evaluation.record import EVALUATION_FILE
from align.recipe.dataset import MultipleChoiceDatasetConfig
from align.recipe.recipe import Recipe, load_recipe
from scripts.harness import write_rows
from scripts.labs.vision.world import OPTIONS, Picture, look
from scripts.papers.plan import Asked, Column, Job, PaperSet, Published, trained
from scripts.stages import Stage

MODEL = asset_dir("recipes") / "acre" / "assets" / "vision" / "model"
BEFORE = "before"
TEMPLATE = "{question}\nOptions:\n{options}\nAnswer with the letter of the right option inside <answer> </answer>."
TINY_TEMPLATE = "{question}\n{options}"
SHARED = {"dtype": "float32", "bf16": "false", "gradient_checkpointing": "false", "use_cpu": "true",
          "max_steps": "20", "save_strategy": "no", "dataset.num_frames": "4"}  # fmt: skip
ON_VIDEOS = {
    "TVBench": "tvbench",
    "VideoHallucer": "videohallucer",
    "TempCompass": "tempcompass",
    "MVBench": "mvbench",
    "VideoMME": "video_mme",
    "MLVU": "mlvu",
    "LongVideoBench": "longvideobench",
}
ON_REASONING = {
    "MMVU": "mmvu",
    "VideoMMMU": "video_mmmu",
    "VSI-Bench": "vsi_bench",
    "MathVista": "mathvista",
    "MathVerse": "mathverse",
    "MathVision": "mathvision",
}


class Trained(NamedTuple):
    """A recipe whose checkpoints answer benchmarks.

    Attributes:
        recipe: Its name.
        arms: Its overrides by arm; `before` is the model that the recipe starts from.
        benchmarks: Adapter by benchmark; its rows are in `ADAPTER.jsonl`.
        suites: Of `align eval questions`, with the metrics that are read: column by metric.
        tiny: Overrides of the small form.
        data: File of the rows to learn from.
        batch: Pairs or completions of a step.
        frames: Of a video, in an evaluation.
    """

    recipe: str
    arms: Mapping[str, Sequence[str]]
    benchmarks: Mapping[str, str]
    suites: Mapping[str, Mapping[str, str]]
    tiny: Mapping[str, str]
    data: str
    batch: int
    frames: int

    def jobs(self, asked: Asked) -> Iterator[Job]:
        """Yields the answers of the start, and then the job of each seed and arm; two benchmarks in the small form."""
        if asked.tiny and len(self.benchmarks) > 2:
            yield from self._replace(benchmarks=dict(list(self.benchmarks.items())[:2])).jobs(asked)
            return
        # Videos lie beside the rows, wherever those of the recipe do.
        overrides = {"dataset.path": str(asked.data / self.data), "dataset.media_dir": "null"}
        if asked.tiny:
            overrides |= {"model_name_or_path": str(asked.data / "model")} | SHARED | dict(self.tiny)
        recipe = load_recipe(find_recipe(self.recipe), [w for key, v in overrides.items() for w in (f"--{key}", v)])
        measured = partial(self._measured, asked, recipe)
        if BEFORE in asked.arms:
            folder = asked.out / BEFORE
            found = measured(folder, model=recipe.model.model_name_or_path)
            yield Job(BEFORE, found, lambda: {BEFORE: self._read(folder)})
        others = asked._replace(arms=[arm for arm in asked.arms if arm != BEFORE])
        yield from trained(self.recipe, self.arms, others, overrides, measured, self._read, self.batch)

    def _measured(self, asked: Asked, recipe: Recipe, folder: Path, model: str | None = None) -> list[Stage]:
        """Asks as the recipe asks when it trains, if it asks questions."""
        questions = isinstance(recipe.dataset, MultipleChoiceDatasetConfig)
        template = recipe.dataset.prompt_template if questions else TINY_TEMPLATE if asked.tiny else TEMPLATE
        frames = () if asked.tiny else ("--num_frames", str(self.frames))
        tiny = ("--max_new_tokens", "8", "--batch_size", "16", "--conversational") if asked.tiny else ()
        stages = []
        for adapter in self.benchmarks.values():
            words: tuple[str, ...] = ("eval", "questions", "--model", model or str(folder))
            words += ("--data", str(asked.data / f"{adapter}.jsonl"))
            how = ("--adapter", adapter, "--prompt_template", template, "--suite", *self.suites, *frames, *tiny)
            beside = ("--recipe", self.recipe) if model else ()
            words += (*how, *beside, "--out", str(folder / f"on-{adapter}"))
            stages.append(Stage(adapter, words, launch=asked.launch("--multi_gpu")))
        return stages

    def _read(self, folder: Path) -> dict[str, float]:
        found: dict[str, float] = {}
        others: dict[str, list[float]] = {}
        for benchmark, adapter in self.benchmarks.items():
            record = json.loads((folder / f"on-{adapter}" / EVALUATION_FILE).read_text(encoding="utf-8"))
            for suite, columns in self.suites.items():
                (cells,) = record["suites"][suite].values()
                for metric, column in columns.items():
                    value = cells.get(metric, {}).get("value")
                    if metric == "accuracy" and "set_accuracy" in cells:  # of pairs both of which must be right
                        value = cells["set_accuracy"]["value"]
                    if value is None:
                        continue
                    if column:
                        others.setdefault(column, []).append(100 * value)
                    else:
                        found[benchmark] = 100 * value
        return found | {column: sum(values) / len(values) for column, values in others.items()}


def films(count: int, rng: random.Random) -> Iterator[tuple[str, str, list[Picture]]]:
    """Yields question, truth and frames."""
    for _ in range(count):
        seen = look("way", rng)
        yield seen.question, seen.truth, seen.images


def write_film(path: Path, frames: Sequence[Picture]) -> None:
    """Writes frames as a video, every one of them for a tenth of a second."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = frames[0].size
        stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
        for picture in (*frames, frames[-1]):
            for packet in stream.encode(av.VideoFrame.from_image(picture)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def benchmark_row(adapter: str, number: int, question: str, options: Sequence[str], truth: str) -> dict[str, Any]:
    """Writes a question about `videos/NUMBER.mp4` in the columns of a benchmark."""
    letter = "ABCD"[options.index(truth)]
    lines = [f"{name}. {option}" for name, option in zip("ABCD", options, strict=False)]
    name, file = f"videos/{number}", f"videos/{number}.mp4"
    plain = {"question": question, "options": list(options), "answer": letter}
    image = {"image": f"videos/{number}.png"}
    sides = {"basic": (truth, "yes"), "hallucination": (next(each for each in options if each != truth), "no")}
    columns: dict[str, dict[str, Any]] = {
        "videohallucer": {name: {"video": file, "question": f"{question} {option} ?", "answer": answer}
                          for name, (option, answer) in sides.items()} | {"type": "direction"},
        "tempcompass": {"video_id": name, "question": "\n".join([question, *lines]), "dim": "direction",
                        "answer": lines[options.index(truth)]},
        "video_mme": {"videoID": name, "question_id": str(number), "task_type": "motion"} | plain | {"options": lines},
        "longvideobench": {"id": str(number), "question": question, "candidates": list(options),
                           "correct_choice": options.index(truth), "video_path": file, "question_category": "S2E"},
        "mmvu": {"id": str(number), "question": question, "choices": dict(zip("ABCD", options, strict=False)),
                 "answer": letter, "video": file, "question_type": "multiple-choice"},
        "video_mmmu": plain | {"id": name},
        "vsi_bench": {"id": number, "dataset": "videos", "scene_name": str(number), "question_type": "route_planning",
                      "question": question, "options": lines, "ground_truth": letter},
        "mathvista": {"pid": str(number), "question": question, "choices": list(options), "answer": truth,
                      "question_type": "multi_choice"} | image,
        "mathverse": {"sample_index": str(number), "question": "\n".join([question, "Choices:", *lines]),
                      "answer": letter, "question_type": "multi-choice", "problem_version": "Lite"} | image,
        "mathvision": plain | {"id": str(number), "subject": "motion"} | image,
    }  # fmt: skip
    others = {"video": file, "question": question, "candidates": list(options), "answer": truth}
    return columns.get(adapter, others)


def make_tiny(folder: Path, seed: int, benchmarks: Sequence[str], data: str) -> None:
    """Writes films, rows to learn from and the benchmarks' rows about them, and the lab's tiny model."""
    import shutil

    rng = random.Random(f"papers {seed}")
    questions = []
    for number, (question, truth, frames) in enumerate(films(48, rng)):
        write_film(folder / "videos" / f"{number}.mp4", frames)
        frames[-1].save(folder / "videos" / f"{number}.png")
        options = rng.sample(OPTIONS["way"], 4)
        questions.append((number, question, options, truth))
    for adapter in benchmarks:
        write_rows(folder / f"{adapter}.jsonl", (benchmark_row(adapter, *each) for each in questions[32:]))
    write_rows(folder / data, (_row(data, *each) for each in questions[:32]))
    shutil.copytree(MODEL, folder / "model", dirs_exist_ok=True)


def _row(data: str, number: int, question: str, options: Sequence[str], truth: str) -> dict[str, Any]:
    file = f"videos/{number}.mp4"
    if data.startswith("self"):
        wrong = next(option for option in options if option != truth)
        said = {"answer": f"it moves {truth} now .", "pred": f"it moves {wrong} now ."}
        masked = {f"{key}_masked": text.replace(word, f"<MASK> {word} </MASK>")
                  for (key, text), word in zip(said.items(), (truth, wrong), strict=True)}  # fmt: skip
        return {"sample_id": str(number), "question": question, "video": file} | said | masked
    lines = [f"{name}. {option}" for name, option in zip("ABCD", options, strict=False)]
    return {
        "problem_id": number,
        "problem": question,
        "data_type": "video",
        "problem_type": "multiple choice",
        "options": lines,
        "solution": f"<answer>{'ABCD'[options.index(truth)]}</answer>",
        "path": file,
    }


RATE_OF_DPO = ("--learning_rate", "5.0e-7")  # a tenth of RRPO's, as notes on the paper have it
RRPO = Trained(
    recipe="rrpo/qwen2.5-vl-7b",
    arms={
        "dpo": ("--spans", "whole", "--kl_coef", "0.0", *RATE_OF_DPO),
        "tdpo": ("--spans", "whole", "--kl_placement", "margin", "--kl_coef", "0.5", *RATE_OF_DPO),
        "rrpo without KL": ("--kl_coef", "0.0"),
        "rrpo without spans": ("--spans", "whole"),
        "rrpo": (),
    },
    benchmarks=ON_VIDEOS,
    suites={"accuracy": {"accuracy": ""}},
    tiny={"use_peft": "false", "per_device_train_batch_size": "8", "gradient_accumulation_steps": "1",
          "learning_rate": "1e-3", "max_length": "100"},
    data="self-alignment.jsonl",
    batch=32,
    frames=64,
)  # fmt: skip
ACRE = Trained(
    recipe="acre/qwen2.5-vl-7b",
    arms={
        "grpo": ("--reward_funcs", "[accuracy, format]", "--reward_weights", "[1.0, 1.0]", "--reward_kwargs", "{}",
                 "--second_pass", "off"),
        "acre": (),
    },
    benchmarks=ON_REASONING,
    suites={
        "accuracy": {"accuracy": "", "trace_answer_consistency": "CACR"},
        "consistency": {"option_shuffle_consistency": "OSCR"},
    },
    tiny={"use_vllm": "false", "stop_on": "[]", "per_device_train_batch_size": "32", "num_generations": "4",
          "gradient_accumulation_steps": "1", "max_completion_length": "8", "learning_rate": "3e-4",
          "dataset.prompt_template": TINY_TEMPLATE, "dataset.conversational": "true"},
    data="video-r1-mcq.jsonl",
    batch=32,
    frames=16,
)  # fmt: skip
IN_TABLE = ("TVBench", "TempCompass", "VideoHallucer", "VidHalluc", "MVBench", "VideoMME", "MLVU", "LongVideoBench")
OF_PAPER = {  # LLaVA-Video-7B, trained on 16 frames
    BEFORE: (51.0, 66.0, 50.0, 76.6, 61.1, 64.0, 68.6, 60.1),
    "dpo": (51.9, 66.4, 53.3, 76.5, 60.6, 63.1, 67.4, 59.4),
    "rrpo": (51.9, 66.8, 55.7, 76.5, 62.2, 64.5, 69.1, 60.4),
}
ROWS = "Its rows as a line each, with the videos or images beside them, as `docs/evidence/papers.md` says."
FRAMES = (
    "Of a video 16 frames are learnt from and 64 are asked about, as one video: the paper's table marks its start "
    "with 64 frames, which is read as those of its evaluation."
)
AS_IMAGES = "Of a video 16 frames are read, as images: under ZeRO-3 no video can stand beside images."


def _set(of: Trained, **more: Any) -> PaperSet:
    names = [*of.benchmarks, *dict.fromkeys(c for columns in of.suites.values() for c in columns.values() if c)]
    meant = {
        "VideoHallucer": "pairs of questions both of which are right",
        "CACR": "share of answers that their trace states by rules, mean over benchmarks",
        "OSCR": "share of answers that stay under a shuffle of the options, mean over benchmarks",
    }
    return PaperSet(
        arms=dict.fromkeys((BEFORE, *of.arms), ()),
        columns=[Column(name, meant.get(name, "accuracy") + ", in percent", 1) for name in names],
        seeds=1,
        jobs=of.jobs,
        batch=of.batch,
        files=dict.fromkeys((of.data, *(f"{adapter}.jsonl" for adapter in of.benchmarks.values())), ROWS),
        make_tiny=lambda folder, seed: make_tiny(folder, seed, list(of.benchmarks.values()), of.data),
        **more,
    )


SETS = {
    "rrpo-qwen2.5-vl-7b": _set(
        RRPO,
        title="DPO, RRPO and its ablations on benchmarks of videos",
        paper="RRPO, arXiv 2504.12083.",
        batch_of="the authors' scripts",
        hours="1 to 10 hours on 4 A100 of 80 GB for a training, as notes on the paper say",
        published=Published(
            "LLaVA-Video-7B-Qwen2, whose values the recipe has; its table of ablations is of LongVU-7B",
            {arm: dict(zip(IN_TABLE, row, strict=True)) for arm, row in OF_PAPER.items()},
        ),
        unlike=(
            "The paper's three models (VideoChat2, LLaVA-Video, LongVU) are no architectures of transformers; this is "
            "Qwen2.5-VL-7B, with the values of LLaVA-Video-7B-Qwen2.",
            "How the rivals were tuned was not found: `dpo` and `tdpo` have a tenth of RRPO's rate, since notes on "
            "the paper say that RRPO's is ten times DPO's; `tdpo` is TDPO2 with alpha 0.5, which others give as the "
            "value of its paper.",
            "How the benchmarks' questions are worded was not found; all arms are asked in one wording of ours.",
            "DPA and DDPO are no arms (`docs/evidence/papers.md` says why); VidHalluc has no adapter.",
            FRAMES,
        ),
    ),
    "acre-qwen2.5-vl-7b": _set(
        ACRE,
        title="the SFT start, GRPO and ACRE on benchmarks of videos and of mathematics with images",
        paper="ACRE, arXiv 2510.10104.",
        batch_of="Video-R1's scripts, as the paper's was not found",
        rows=9_200,
        hours="5.6 GPU-hours for ACRE and 4.5 for GRPO, of which GPU was not found",
        said=lambda means: [
            "The paper has ACRE 2.2 points (videos) and 1.5 points (mathematics) above GRPO on average, and GRPO's "
            "answers on MMVU consistent with their trace in 79.7 %; its table by benchmark was not found."
        ],
        unlike=(
            "The paper's ACRE-9.2k is not public: rows of Video-R1 are in its place. Its coefficients were not found.",
            "Of a benchmark the questions with options are asked, in the wording of the training; answers are the "
            "likeliest ones, of 768 tokens at most (Video-R1 samples at temperature 0.1, 1,024 tokens).",
            AS_IMAGES,
        ),
    ),
}
