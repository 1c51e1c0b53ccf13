"""Logs of every tool with drawn scores, whole, and with a share of the scores spoiled or taken out."""

import json
import math

import numpy as np
import pandas as pd

JUNK = (None, math.nan, math.inf, -math.inf, "error", "N/A")
KINDS = ("right", "half", "several", "number", "equal", "rare")
NUM_ANSWERS = {"several": 3}


def draw_scores(rng, kind, n):
    """Draws two logs' scores by document and answer, both `(N, answers)`."""
    shape = 2, n, NUM_ANSWERS.get(kind, 1)
    if kind in ("right", "several"):
        return (rng.random(shape) < rng.uniform(0.1, 0.9, (2, 1, 1))).astype(float)
    if kind == "half":
        return rng.choice([0.0, 0.5, 1.0], shape)
    if kind == "rare":
        return (rng.random(shape) < np.array([0.02, 0.1]).reshape(2, 1, 1)).astype(float)
    if kind == "equal":
        first = rng.normal(3, 1, shape[1:])
        return np.stack([first, first + 1.5])
    return rng.normal(rng.uniform(-0.5, 0.5, (2, 1, 1)), rng.choice([0.5, 3.0]), shape)


def spoil(rng, scores, share):
    """Puts what is no number in place of a share of scores; lists by document."""
    return [
        [JUNK[rng.integers(len(JUNK))] if rng.random() < share else float(score) for score in answers]
        for answers in scores
    ]


def take_out(rng, whole, spoiled):
    """Takes documents or answers out of the logs: at random, where the log is wrong, or a tail.

    What both lacked, nobody could know; the first document stays, so that both are seen to be asked as often.
    """
    n, share = len(whole[0]), rng.choice([0.05, 0.3, 0.8])
    loser, of_answers = (
        rng.integers(0, 2, n) if rng.random() < 0.3 else np.full(n, rng.integers(2)),
        rng.random() < 0.5,
    )
    how, left = rng.choice(["random", "wrong", "tail"]), []
    for side, scores in enumerate(whole):
        gone = {"random": rng.random(scores.shape) < share, "wrong": scores <= np.quantile(scores, share),
                "tail": np.indices(scores.shape)[0] >= n * (1 - share)}[how]  # fmt: skip
        gone &= (loser == side)[:, None] & (np.arange(n) > 0)[:, None]
        gone = gone if of_answers else np.broadcast_to(gone.any(axis=1, keepdims=True), gone.shape)
        left.append(
            [[s for s, out in zip(*each, strict=True) if not out] for each in zip(spoiled[side], gone, strict=True)]
        )
    return left


def _lines(file, rows):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file.parent


def _each(scores):
    return [(n, k, score) for n, answers in enumerate(scores) for k, score in enumerate(answers)]


def lm_eval(folder, scores):
    rows = [{"doc_id": n, "doc": {"q": f"{n}?"}, "filter": "none", "metrics": ["acc"], "acc": score}
            for n, _, score in _each(scores)]  # fmt: skip
    return _lines(folder / "samples_task_2026-11-30T10-00-00.0.jsonl", rows)


def inspect(folder, scores):
    samples = [{"id": n, "epoch": k + 1, "input": f"{n}?", "target": "1", "scores": {"acc": {"value": score}}}
               for n, k, score in _each(scores)]  # fmt: skip
    about = {"task": "task", "model": "m", "created": "1"}
    folder.mkdir(parents=True)
    (folder / "log.json").write_text(
        json.dumps({"version": 2, "status": "success", "eval": about, "samples": samples})
    )
    return folder


def _numbers(scores):
    """Puts nan in place of a text, which columns of numbers cannot hold."""
    return [(n, k, math.nan if isinstance(score, str) else score) for n, k, score in _each(scores)]


def lighteval(folder, scores):
    rows = [{"doc": {"query": f"{n}?", "id": str(n)}, "metric": {"acc": score}} for n, _, score in _numbers(scores)]
    folder.mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(folder / "details_task|0_2026-11-30T10-00-00.0.parquet")
    return folder


def trl(folder, scores):
    rows = [{"step": 1, "prompt": f"{n}?", "completion": "x", "acc": score} for n, _, score in _numbers(scores)]
    folder.mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(folder / "completions_00001.parquet")
    return folder


def verl(folder, scores):
    rows = [{"input": f"{n}?", "output": "x", "gts": "1", "score": 0.0, "step": 1, "acc": score}
            for n, _, score in _each(scores)]  # fmt: skip
    return _lines(folder / "1.jsonl", rows)


def verifiers(folder, scores):
    rows = [
        {
            "env": {"id": "task"},
            "task": {"data": {"idx": n, "prompt": f"{n}?"}},
            "traces": [{"rewards": {"acc": {"score": score, "weight": 1.0}}}],
        }
        for n, _, score in _each(scores)
    ]
    return _lines(folder / "traces.jsonl", rows)


def ours(folder, scores):
    rows = [{"id": f"q{n}", "model": "m", "prompt": f"{n}?", "acc": score} for n, _, score in _numbers(scores)]
    folder.mkdir(parents=True)
    (folder / "evaluation.json").write_text("{}")
    pd.DataFrame(rows).to_parquet(folder / "items.parquet")
    return folder


def table(folder, scores):
    _lines(folder / "table.jsonl", [{"id": n, "acc": score} for n, _, score in _each(scores)])
    return folder / "table.jsonl"


def csv(folder, scores):
    folder.mkdir(parents=True)
    rows = [f"{n},{'' if score is None else score}\n" for n, _, score in _each(scores)]
    (folder / "table.csv").write_text("id,acc\n" + "".join(rows))
    return folder / "table.csv"


WRITERS = {each.__name__: each for each in
           (lm_eval, inspect, lighteval, trl, verl, verifiers, ours, table, csv)}  # fmt: skip
