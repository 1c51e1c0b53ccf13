"""Folders with the files that evaluations write, filled with plausible numbers."""

import json
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from align.evaluation.record import SCORES, Record, write_record
from align.evaluation.record.details import OfScores, ScoringProfile
from align.evaluation.record.record import About, EvaluatedModel, Items, MetricComparison
from align.evaluation.statistics.metrics import Estimate, mean_of_differences, share
from align.evaluation.suites import glossary

LETTERS = "ABCD"
TEXTS = ("The chemical symbol of tungsten is W.", "Sodium, symbol Na", "Iron is Fe, from the Latin ferrum", "Tin")
MODELS = {"ours": (0.79, 0.85, 0.3), "theirs": (0.61, 0.55, 0.47)}  # accuracy, consistency, share of A
GLOSSARY = {
    "accuracy": {"label": "Accuracy", "meaning": "items whose first answer is right", "better": "higher"},
    "accuracy/": {"label": "Accuracy", "meaning": "of one group", "better": "higher"},
    "worst_group": {"label": "Worst group", "meaning": "lowest accuracy of a group", "better": "higher"},
    "answered": {"label": "Answered", "meaning": "completions with one valid answer", "better": "higher"},
    "option_shuffle_consistency": {
        "label": "Option-shuffle consistency", "meaning": "answers that survive a shuffle", "better": "higher",
    },
    "letter_share/": {"label": "Share of letter", "meaning": "of the valid answers", "better": None},
    "letter_bias": {"label": "Letter bias", "meaning": "answers that would have to move", "better": "lower"},
    "same_answer/": {"label": "Same answer", "meaning": "second answer from this trace", "better": None},
    "trace_reliance": {"label": "Trace reliance", "meaning": "own trace minus none", "better": "higher"},
    "letter_or_answer_in_trace": {"label": "Leaks", "meaning": "traces that give the answer away", "better": "lower"},
    "best_of_": {"label": "Best of", "meaning": "accuracy of the best of n", "better": "higher"},
}  # fmt: skip


def item_rows(model: str, questions: int, seed: int, text: str | None = None) -> list[dict[str, object]]:
    """Draws the answers of one model."""
    rng, right, consistent, first_letter = np.random.default_rng(seed + 5), *MODELS[model]
    rows = []
    for number in range(questions):
        gold = number % 4
        first = gold if rng.random() < right else int(rng.choice(4, p=[first_letter, *[(1 - first_letter) / 3] * 3]))
        orders = [rng.permutation(4).tolist() for _ in range(3)]
        seconds = [first if rng.random() < consistent else int(rng.integers(4)) for _ in orders]
        trace = text or f"{TEXTS[first]} So the element asked for is the one whose symbol begins with W."
        silent = rng.random() < 0.02
        rows.append(
            {
                "model": text or model,
                "sample": 0,
                "id": text or f"q{number}",
                "group": "common" if number % 5 else "counter",
                "question": text or "Which element has the highest melting point?",
                "options": [text or option for option in TEXTS],
                "gold": gold,
                "prompt": "...",
                "completion": f"<think>{trace}</think><answer>{LETTERS[first]}</answer>",
                "trace": None if silent else trace,
                "first_choice": None if silent else first,
                "second_choices": None if silent else seconds,
                "permutations": orders,
                "trace_choice": None if silent else first,
                "correct": not silent and first == gold,
                "consistent": 0.0 if silent else float(np.mean([second == first for second in seconds])),
                "proxy": float(rng.normal()),
                "none_choice": int(rng.integers(4)),
            }
        )
    return rows


def write_evaluation(
    folder: Path,
    *,
    questions: int = 1000,
    models: tuple[str, ...] = ("ours", "theirs"),
    text: str | None = None,
    **changes,
) -> Path:
    """Writes the folder of evaluated policies; `text` stands in every place where text from outside can stand."""
    items, record = _evaluated(questions, models, text)
    folder.mkdir(parents=True)
    (folder / "items.parquet").write_bytes(items)
    (folder / "evaluation.json").write_text(json.dumps(json.loads(record) | changes, indent=1))
    return folder


@cache
def _evaluated(questions: int, models: tuple[str, ...], text: str | None) -> tuple[bytes, str]:
    """Makes the two files, once for all tests of a process: their statistics take longer than most tests."""
    rows = {name: item_rows(name, questions, seed, text) for seed, name in enumerate(models)}
    table = pa.Table.from_pylist([row for model in rows.values() for row in model])
    parquet.write_table(table, items := pa.BufferOutputStream())
    named = {text or name: frame for name, frame in rows.items()}
    measured = {name: _measure(frame) for name, frame in named.items()}
    suites: dict[str, dict[str, object]] = {}
    for name, metrics in measured.items():
        for suite, cells in metrics.items():
            suites.setdefault(suite, {})[name] = {metric: cell(share(values)) for metric, values in cells.items()}
    suites["best_of_n"] = {name: _curve(gain) for name, gain in zip(measured, (0.3, 0.18), strict=False)}
    first, *others = measured
    record = {
        "kind": "policy",
        "format": 1,
        "about": about(list(measured), questions, text),
        "suites": suites,
        "comparisons": [row for other in others for row in _comparisons(measured, first, other)],
        "paired": [_paired(first, other, named) for other in others],
        "glossary": GLOSSARY,
        "warnings": [{"model": first, "text": text or "3 questions have options that may not be moved. They stay."}],
    }  # fmt: skip
    return items.getvalue().to_pybytes(), json.dumps(record)


def _comparisons(measured: dict[str, dict[str, dict[str, list[float]]]], first: str, other: str) -> list[dict]:
    return [
        {
            "model": first,
            "baseline": other,
            "suite": suite,
            "metric": metric,
            "difference": cell(mean_of_differences(np.subtract(values, measured[other][suite][metric]))),
        }
        for suite, cells in measured[first].items()
        for metric, values in cells.items()
    ]


def _measure(rows: list[dict[str, object]]) -> dict[str, dict[str, list[float]]]:
    right = [float(bool(row["correct"])) for row in rows]
    is_first = [float(row["first_choice"] == 0) for row in rows]
    counter = [np.nan if row["group"] == "common" else value for row, value in zip(rows, right, strict=True)]
    common = [np.nan if row["group"] == "counter" else value for row, value in zip(rows, right, strict=True)]
    letters = {
        f"letter_share/{letter}": [float(row["first_choice"] == place) for row in rows]
        for place, letter in enumerate(LETTERS)
    }
    return {
        "accuracy": {
            "accuracy": right, "answered": [float(row["first_choice"] is not None) for row in rows],
            "worst_group": counter, "accuracy/common": common, "accuracy/counter": counter,
        },
        "consistency": {
            "option_shuffle_consistency": [float(row["consistent"]) for row in rows],
            "letter_bias": [abs(value - 0.25) for value in is_first], **letters,
        },
        "reliance": {
            "same_answer/own": [float(row["consistent"]) for row in rows],
            "same_answer/none": [float(row["none_choice"] == row["first_choice"]) for row in rows],
            "trace_reliance": [0.4 + 0.1 * value for value in right],
            "letter_or_answer_in_trace": [0.3 * value for value in right],
        },
    }  # fmt: skip


def cell(estimate: Estimate) -> dict[str, float | int | None]:
    """Writes an estimate as the file of policies has it."""
    ends = (estimate.value, estimate.low, estimate.high)
    value, low, high = (None if np.isnan(end) else float(end) for end in ends)
    return {"value": value, "low": low, "high": high, "n": estimate.n}


def _around(value: float, half: float = 0.03, n: int = 1000) -> dict[str, float | int]:
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def _paired(first: str, other: str, rows: dict[str, list[dict[str, object]]]) -> dict[str, object]:
    both = [(row["id"], row["correct"], base["correct"]) for row, base in zip(rows[first], rows[other], strict=True)]
    return {
        "model": first, "baseline": other, "metric": "accuracy", "mcnemar_p": 1e-9,
        "wins": [name for name, ours, theirs in both if ours and not theirs],
        "losses": [name for name, ours, theirs in both if theirs and not ours],
        "num_both": sum(ours and theirs for _, ours, theirs in both),
        "num_neither": sum(not ours and not theirs for _, ours, theirs in both),
    }  # fmt: skip


def _curve(gain: float) -> dict[str, object]:
    cells = {}
    for n in (1, 2, 4, 8, 16):
        cells[f"best_of_{n}"] = _around(0.5 + gain * np.log2(n) / 5 - 0.01 * np.log2(n) ** 2)
        cells[f"best_of_{n}/proxy"] = _around(0.2 + 0.3 * np.log2(n))
        cells[f"best_of_{n}/oracle"] = _around(min(0.97, 0.5 + 0.12 * np.log2(n)), 0.02)
    return cells


def about(names: list[str], questions: int, text: str | None = None) -> dict[str, object]:
    """Says what was run, as a file has it."""
    models = [
        {
            "name": name, "path": text or f"outputs/{name}", "role": "baseline" if place else "model", "kind": "model",
            "base": None, "fingerprint": "0f" * 32, "dtype": "float32", "backend": "transformers", "seconds": 31.2,
            "cached_items": 0,
        }
        for place, name in enumerate(names)
    ]  # fmt: skip
    return {
        "created": "2026-11-25T15:30:00+00:00", "seconds": 74.1, "command": ["--model", text or "outputs/ours"],
        "suites": ["accuracy", "consistency", "reliance", "best_of_n"], "models": models,
        "data": {
            "path": text or "data/elements.jsonl", "split": None, "fingerprint": "ab" * 32, "questions": questions,
            "unshufflable": 3, "left_out": {}, "groups": {"common": 800, "counter": 200},
            "gold_letters": dict.fromkeys(LETTERS, 250),
        },
        "profile": {
            "temperature": 0.0, "top_p": 1.0, "num_samples": 1, "max_new_tokens": 256, "seed": 0, "num_shuffles": 3,
            "prompt_template": text or "{question}\n{options}", "system_prompt": text, "conversational": True,
            "think_tag": "think", "answer_tag": "answer",
        },
        "judge": None, "verifier": None,
        "versions": {"truealign": "0.1.0", "torch": "2.13.0+cpu", "deepspeed": None, "python": "3.11.13"},
    }  # fmt: skip


def scores_record(summaries, differences=MappingProxyType({}), scores=MappingProxyType({}), pairs=0) -> Record:
    """Makes the record of reward models: metrics by model, and differences of each to others."""
    known = {"base": None, "fingerprint": "", "dtype": "float32", "backend": "transformers", "seconds": 0.0}
    models = [
        EvaluatedModel(name=name, path=f"outputs/{name}", role="baseline" if place else "model", kind="model",
                       cached_items=0, **known)
        for place, name in enumerate(summaries)
    ]  # fmt: skip
    data = Items(path="pairs.jsonl", split=None, left_out={}, fingerprint="", questions=pairs, groups={})
    about = About(created="2026", command=[], suites=[SCORES], models=models, data=data, versions={}, seconds=0.0)
    return Record(
        kind=SCORES,
        about=about,
        suites={SCORES: {name: dict(summary) for name, summary in summaries.items()}},
        comparisons=[
            MetricComparison(model=model, baseline=other, suite=SCORES, metric=metric, difference=difference)
            for model, by_other in differences.items()
            for other, cells in by_other.items()
            for metric, difference in cells.items()
        ],
        glossary=glossary("reward_model"),
        scores=dict(scores),
    )


def write_reward_model_evaluation(folder: Path, *, names: tuple[str, ...] = ("edits", "bt"), pairs: int = 400) -> Path:
    """Writes the folder of evaluated reward models."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    margins = {name: rng.normal(1 - 0.5 * place, 1, pairs) for place, name in enumerate(names)}
    summaries, scores = {}, {}
    for place, name in enumerate(names):
        right = share((margins[name] > 0).astype(float))
        summary = {"accuracy": right, "accuracy/chat": right, "accuracy/reasoning": right}
        summary |= {f"accuracy_drop/{kind}": Estimate(0.03 + place / 10, 0.01, 0.2, 300) for kind in ("case", "typos")}
        summary["response_only_accuracy"] = Estimate(0.55, 0.5, 0.6, 400)
        summary["length_correlation"] = Estimate(0.1 + 0.5 * place, 0.45 * place, 0.7, 400)
        summary |= {f"best_of_{n}": Estimate(0.4 + 0.05 * k - 0.02 * place * k * k, 0.3, 0.8, 50) for k, n in
                    enumerate((1, 2, 4, 8))}  # fmt: skip
        summary["best_of_8/oracle"] = Estimate(0.9, 0.85, 0.95, 50)
        scored = {"model_type": "scalar", "best_of_n": None, "texts_in_template": False, "pairs_too_long": 2 * place}
        summaries[name], scores[name] = summary, OfScores(scored=ScoringProfile(**scored))
    differences = {}
    if len(names) > 1:
        ours, theirs = ((margins[name] > 0).astype(float) for name in names[:2])
        differences = {names[0]: {names[1]: {"accuracy": mean_of_differences(np.subtract(ours, theirs))}}}
    write_record(folder / "evaluation.json", scores_record(summaries, differences, scores, pairs=pairs))
    rows = [
        {"id": f"p{i}", "subset": "s", "category": "chat", "margin": {name: float(margins[name][i]) for name in names}}
        for i in range(pairs)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
