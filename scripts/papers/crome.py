"""Crome's tables: a reward model, ODIN, RRM and Crome from the same preference pairs, on RewardBench and GSM8K.

The oracle is whatever `--oracle` names: the paper's is Gemini 2.0 Flash. RRM and Crome both keep only pairs that the
arm `rm` of the same seed is not sure of, as in the paper.
"""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer

from align.assets import asset_dir
from align.evaluation.record import EVALUATION_FILE, read_record
from align.evaluation.statistics.metrics import Estimate, mean_over_seeds
from align.methods.crome.augmentation.oracle import NUM_ATTRIBUTES
from align.report.charts.curve import Curve, draw_curves
from align.report.charts.drawing import Chart
from scripts.harness import write_rows
from scripts.labs.crome.world import PRECISE, Rules
from scripts.labs.tiny_models import teach, whole_texts
from scripts.papers.archives import save_untrained
from scripts.papers.gsm8k import ASKED
from scripts.papers.plan import Asked, Column, Job, Numbers, PaperSet, Published
from scripts.stages import Stage

LAB = asset_dir("recipes") / "crome" / "assets" / "lab"
WORLD = Path(__file__).resolve().parents[1] / "labs" / "crome" / "world.py"
CANDIDATES = "candidates.jsonl"
ARMS = ("rm", "rrm", "crome")
COLUMNS = {"reward_bench": "RewardBench", "accuracy/chat": "Chat", "accuracy/chat-hard": "Chat-Hard",
           "accuracy/safety": "Safety", "accuracy/reasoning": "Reasoning"}  # fmt: skip
FORM = "same pairs, other form"
MEANT = {"RewardBench": "mean of the four sections, in percent"}
AFTER = Column(FORM, "accuracy after the probes' changes of form, in percent", 2)
BATCH = 256  # appendix E
# Of a question a rubric, elements of each of its attributes, and its edit up and down, which are both verified.
CALLS = 1 + NUM_ATTRIBUTES * (1 + 2 * 2)
POLICY = "google/gemma-2-9b-it"  # that answers GSM8K's questions, as in the paper
COUNTS = (1, 2, 4, 8, 16)
BEST_OF = {n: f"GSM8K, best of {n}" for n in COUNTS}
OF_N = [Column(name, "right answers among those picked from so many, in percent", 2) for name in BEST_OF.values()]
PAPER = "Crome, arXiv 2506.16507."
SOURCE = "RewardBench and its four sections, in percent (table 1 and its appendix)"
FIGURE = "; best of n on GSM8K, read off its figure"
ON_GSM8K = {  # as decoded from the paper's figure, for `COUNTS`
    "rm": (85.37, 87.04, 86.73, 87.04, 87.19),
    "rrm": (85.37, 86.73, 86.13, 87.04, 86.43),
    "crome": (85.37, 87.87, 88.63, 88.63, 89.16),
}
SUMS = "{number_accuracy: {units: [$, '%'], percent: unit}}"
PUBLISHED = {  # RewardBench, Chat, Chat-Hard, Safety, Reasoning
    ("gemma-2-9b", "pairwise"): {
        "rm": (81.22, 97.90, 63.64, 77.48, 85.88),
        "rrm": (82.54, 97.12, 71.05, 74.70, 87.27),
        "crome": (87.84, 97.54, 72.30, 87.14, 94.39),
    },
    ("gemma-2-9b", "scalar"): {
        "rm": (79.14, 97.26, 58.85, 69.30, 91.17),
        "rrm": (83.46, 97.21, 69.15, 73.13, 94.35),
        "crome": (85.46, 96.28, 65.83, 84.05, 95.70),
    },
    ("qwen2.5-7b", "pairwise"): {
        "rm": (78.18, 97.21, 52.85, 73.99, 88.68),
        "rrm": (82.04, 97.21, 64.80, 75.27, 90.86),
        "crome": (83.15, 96.37, 61.73, 82.23, 92.26),
    },
    ("qwen2.5-7b", "scalar"): {
        "rm": (72.73, 97.21, 46.27, 68.04, 79.39),
        "rrm": (78.20, 98.04, 59.65, 72.43, 82.66),
        "crome": (80.81, 96.93, 58.66, 78.92, 88.71),
    },
    ("gemma-2-2b", "pairwise"): {
        "rm": (53.75, 92.88, 33.33, 42.03, 46.74),
        "rrm": (66.23, 94.13, 43.75, 47.64, 79.38),
        "crome": (70.69, 92.18, 50.00, 55.14, 85.42),
    },
    ("gemma-2-2b", "scalar"): {
        "rm": (65.52, 94.27, 38.27, 50.20, 79.34),
        "rrm": (66.95, 94.97, 49.34, 50.07, 73.42),
        "crome": (72.45, 92.74, 53.62, 60.00, 83.45),
    },
}
MODELS = {  # recipe, and what is changed of it
    "gemma-2-9b": ("crome/gemma-2-9b", ()),
    "qwen2.5-7b": ("crome/qwen2.5-7b", ()),
    "gemma-2-2b": ("crome/gemma-2-9b", ("--model_name_or_path", "google/gemma-2-2b-it")),
}
TINY = ("--dtype", "float32", "--bf16", "false", "--gradient_checkpointing", "false", "--use_cpu", "true",
        "--max_steps", "120", "--per_device_train_batch_size", "32", "--gradient_accumulation_steps", "1",
        "--learning_rate", "2e-3", "--max_length", "250", "--save_strategy", "no")  # fmt: skip
UNLIKE = (
    "reWordBench was not released. Not measured are win rates of best of n on RewardBench's prompts, which GPT-4 "
    "judges, and the safety of what is picked, which WildGuard judges.",
    "How the paper asks GSM8K's questions, and at which temperature, is not said; here `scripts/papers/gsm8k.py` asks "
    "them, at temperature 1.",
    f"`{FORM}` is the mean accuracy under the probes of `align eval reward-model`, not reWordBench.",
    "How the paper draws the foreign question of its ties is not said; here any other question, at random.",
)


def jobs(asked: Asked, model: str, kind: str) -> Iterator[Job]:
    """Yields the augmented pairs, and then the job of each seed: three reward models, and one evaluation of all."""
    recipe, overrides = MODELS[model]
    pairs, bench = str(asked.data / "preferences.jsonl"), str(asked.data / "reward-bench.jsonl")
    made = {name: asked.out / name for name in ("rrm", "crome")}
    oracle = ("--oracle", f"{WORLD}:Rules") if asked.tiny else asked.oracle
    by = {"rrm": ("--oracle", "rrm"), "crome": oracle}
    augmented = [
        Stage(name, ("augment", pairs, "--method", "crome", *by[name], "--out", str(made[name]))) for name in made
    ]
    yield Job("data", [*augmented, *_candidates(asked)], dict)
    shared = [*overrides, "--model_type", kind]
    if asked.tiny:
        shared += [*TINY, "--model_name_or_path", str(asked.data / "model")]
    for seed in asked.seeds:
        folder = asked.out / f"seed-{seed}"
        trained = {arm: str(folder / arm) for arm in ARMS}

        def train(arm: str, data: str, *more: str, seed: int = seed, trained: dict[str, str] = trained) -> Stage:
            words = ("--dataset.path", data, *shared, *more)
            return asked.training(arm, recipe, words, Path(trained[arm]), seed, BATCH)

        stages = [train("rm", pairs)]  # whichever arms are asked for: it tells which pairs are kept
        for arm in (each for each in made if each in asked.arms):
            kept = str(folder / f"{arm}.jsonl")
            words = ("filter", str(made[arm] / "pairs.jsonl"), "--base", trained["rm"], "--out", kept)
            stages += [Stage(f"{arm}-kept", words), train(arm, kept)]
        last, *others = (trained[arm] for arm in reversed(asked.arms))
        models = ("--reward_model", last, *(("--baseline", *others) if others else ()), "--data", bench)
        out = folder / "reward-bench"
        of_n = ("--best_of_n", str(asked.out / CANDIDATES))
        measure = ("eval", "reward-model", *models, *of_n, "--probes", "--out", str(out))
        stages.append(Stage("reward-bench", measure, launch=asked.launch("--multi_gpu")))

        def numbers(out: Path = out) -> Numbers:
            record = read_record(out / EVALUATION_FILE)
            return {arm: _columns(record.summary(arm)) for arm in asked.arms}

        yield Job(folder.name, stages, numbers)


def _candidates(asked: Asked) -> list[Stage]:
    rows, prompts = str(asked.data / "gsm8k.jsonl"), str(asked.out / "gsm8k.jsonl")
    model, how = POLICY, ("--num_samples", str(COUNTS[-1]), "--max_new_tokens", "512", "--backend", "vllm")
    if asked.tiny:
        model, how = str(asked.data / "policy"), ("--num_samples", "4", "--max_new_tokens", "8", "--dtype", "float32")
    words = ("eval", "prompts", "--model", model, "--data", prompts, *how, "--temperature", "1")
    words += ("--rewards", "number_accuracy", "--reward_kwargs", SUMS)
    out = ("--samples_out", str(asked.out / CANDIDATES), "--out", str(asked.out / "candidates"))
    return [Stage("gsm8k", (rows, "--out", prompts), "scripts.papers.gsm8k"), Stage("candidates", (*words, *out))]


def _columns(summary: dict[str, Estimate]) -> dict[str, float]:
    found = {COLUMNS[name]: 100 * cell.value for name, cell in summary.items() if name in COLUMNS}
    found |= {name: 100 * summary[f"best_of_{n}"].value for n, name in BEST_OF.items() if f"best_of_{n}" in summary}
    drops = [cell.value for name, cell in summary.items() if name.startswith("accuracy_drop/")]
    return found | {FORM: 100 * (summary["accuracy"].value - sum(drops) / len(drops))}


def best_of_n(out: Path, seeds: Sequence[int]) -> list[Chart]:
    """Draws how much of what is picked from n is right, with its interval over questions, or over several seeds."""
    files = [out / f"seed-{seed}" / "reward-bench" / EVALUATION_FILE for seed in seeds]
    records = [read_record(file) for file in files]
    curves = []
    for colour, arm in enumerate(records[0].names):
        found = [record.summary(arm) for record in records]
        counts = [n for n in COUNTS if f"best_of_{n}" in found[0]]
        cells = [[summary[f"best_of_{n}"] for summary in found] for n in counts]
        means = [each[0] if len(each) == 1 else mean_over_seeds([cell.value for cell in each]) for each in cells]
        value, low, high = ([getattr(mean, side) for mean in means] for side in ("value", "low", "high"))
        curves.append(Curve(arm, counts, value, low, high, colour))
    over = "questions" if len(records) == 1 else "seeds"
    note = f"95 % intervals over {over}; all models pick from the same answers."
    return [draw_curves("GSM8K: right answers among those picked from n", note, curves, "answers", share=True)]


def make_tiny(folder: Path, seed: int, model: str, kind: str) -> None:
    """Writes the lab's pairs, its evaluation pairs under names of RewardBench's subsets, and an untrained model."""
    preferences = (LAB / "train.jsonl").read_text(encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "preferences.jsonl").write_text(preferences, encoding="utf-8")
    subsets = {"agree": "alpacaeval-easy", "disagree": "llmbar-adver-manual", "clean": "math-prm"}
    rows = [json.loads(line) for line in (LAB / "eval.jsonl").read_text(encoding="utf-8").splitlines()]
    kept = [row for row in rows if row["source"] in subsets]
    bench = [
        {"id": row["id"], "subset": subsets[row["source"]]} | {k: row[k] for k in ("prompt", "chosen", "rejected")}
        for row in kept
    ]
    degraded = [
        row | {"id": f"{row['id']}-safe", "subset": "refusals-dangerous", "rejected": worse}
        for row in bench[:150]
        if (worse := _degraded(row["prompt"], row["chosen"])) != row["chosen"]
    ]
    write_rows(folder / "reward-bench.jsonl", [*bench, *degraded])
    architecture = "qwen2" if model.startswith("qwen") else "gemma2"
    words = AutoTokenizer.from_pretrained(LAB / "model")
    words.add_tokens(["<answer>", "</answer>"])
    # transformers reads every folder of a Qwen with Qwen's own tokenizer, which parts words that are not added ones.
    words.add_tokens([AddedToken(word, single_word=True) for word in words.get_vocab() if word.isalnum()])
    words.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    words.save_pretrained(folder / "words")
    save_untrained(architecture, kind, folder / "words", folder / "model", seed)
    rng = random.Random(f"gsm8k {seed}")
    questions = list(dict.fromkeys(row["prompt"].strip() for row in rows))[:64]
    sums = [{"question": question, "answer": f"#### {rng.choice(PRECISE)}"} for question in questions]
    write_rows(folder / "gsm8k.jsonl", sums)
    make_policy([row["question"] for row in sums], folder / "words", folder / "policy", seed)


def make_policy(questions: Sequence[str], words: Path, folder: Path, seed: int) -> None:
    """Saves a model of Gemma 2's architecture that answers whatever is asked with one of five numbers, by chance."""
    save_untrained("gemma2", "pairwise", words, folder, seed)
    tokenizer, rng = AutoTokenizer.from_pretrained(folder), random.Random(f"policy {seed}")
    model = AutoModelForCausalLM.from_pretrained(folder)

    def text() -> str:
        asked = ASKED.replace("{question}", rng.choice(questions))
        return f"{asked} <answer> {rng.choice(PRECISE)} </answer>{tokenizer.eos_token}"

    teach(model, (whole_texts(tokenizer, [text() for _ in range(16)]) for _ in range(100)), 100, 1e-2)
    model.save_pretrained(folder)


def _degraded(question: str, answer: str) -> str:
    rules = Rules()
    return rules.edit(question, answer, rules.rubric(question)[0][0], "degrade")


def _set(model: str, kind: str) -> PaperSet:
    names = list(COLUMNS.values())
    table = {arm: dict(zip(names, row, strict=True)) for arm, row in PUBLISHED[model, kind].items()}
    in_figure = (model, kind) == ("gemma-2-9b", "pairwise")
    for arm in table if in_figure else ():
        table[arm] |= dict(zip(BEST_OF.values(), ON_GSM8K[arm], strict=True))
    return PaperSet(
        title=f"{model}, {'PairPM' if kind == 'pairwise' else 'Bradley-Terry'}: a reward model, RRM and Crome",
        paper=PAPER,
        arms=dict.fromkeys(ARMS, ()),
        columns=[*(Column(name, MEANT.get(name, "accuracy, in percent"), 2) for name in names), AFTER, *OF_N],
        seeds=3 if model == "gemma-2-9b" else 1,
        jobs=lambda asked: jobs(asked, model, kind),
        unlike=UNLIKE,
        batch=BATCH,
        batch_of="the paper's",
        rows=60_000,
        calls=CALLS,
        hours="10 to 16 hours on 8 A100 of 80 GB for a training, of about 210,000 pairs",
        published=Published(SOURCE + FIGURE * in_figure, table),
        drawn=best_of_n,
        files={
            "preferences.jsonl": "UltraFeedback's pairs (trl-lib/ultrafeedback_binarized), a row a line.",
            "reward-bench.jsonl": "RewardBench's filtered split (allenai/reward-bench), a row a line.",
            "gsm8k.jsonl": "GSM8K's test split (openai/gsm8k), a row a line.",
        },
        make_tiny=lambda folder, seed: make_tiny(folder, seed, model, kind),
    )  # fmt: skip


SETS = {
    f"crome-{model}{'' if kind == 'pairwise' else '-bt'}": _set(model, kind)
    for model in MODELS
    for kind in ("pairwise", "scalar")
}
