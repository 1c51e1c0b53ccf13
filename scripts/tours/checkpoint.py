# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Is this checkpoint better?
#
# We train a checkpoint, compare it with where it started, look at groups, see what "no difference shown" does and does
# not say, give some of the training back by merging, and check the winner on questions that did not choose it.
#
# Everything runs on two CPU cores in half a minute, offline, on a model of 95 thousand weights that comes with the
# package. Run it as a script (`python -m scripts.tours.checkpoint`) or open it as a notebook (`jupytext --to ipynb`).
# Files go to a temporary folder, or to the one that the variable `TOUR_OUT` names.

# %%
import json
import os
import shlex
import tempfile
from pathlib import Path

import pandas as pd

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # all that is needed comes with the package

from align.assets import asset_dir
from align.cli import run_command
from align.evaluation.statistics.metrics import Estimate, paired_difference, share

OUT = Path(os.environ.get("TOUR_OUT") or tempfile.mkdtemp(prefix="tour-checkpoint-")).resolve()
OUT.mkdir(parents=True, exist_ok=True)
os.chdir(OUT)
LAB = asset_dir("recipes").resolve() / "acre" / "assets" / "lab"
BEFORE = str(LAB / "misreader")


def align(*words: str) -> None:
    """Runs a command as `!align ...` would, but in this process: what is imported once serves them all."""
    print(f"\n$ align {shlex.join(words)}", flush=True)
    assert run_command(*words) == 0


# %% [markdown]
# ## A checkpoint
#
# Any folder with a model will do, and a LoRA too. Ours comes from 25 steps of TRL's GRPO on multiple-choice questions,
# whose right option stands at A too often. The reward in training goes up.

# %%
PLAIN_GRPO = ("--reward_funcs", "[accuracy]", "--reward_kwargs", "{}", "--second_pass", "off")
FASTER = ("--max_steps", "25", "--per_device_train_batch_size", "64", "--learning_rate", "1e-3", "--beta", "0.08")
align("train", "acre/quickstart", *PLAIN_GRPO, *FASTER, "--output_dir", "after")

# %% [markdown]
# ## Before and after, on the same questions
#
# Two files of held-out questions: one to look at as often as we like, and one that we open once, at the end.

# %%
questions = (LAB / "eval.jsonl").read_text().splitlines()
(OUT / "look.jsonl").write_text("\n".join(questions[:300]) + "\n")
(OUT / "once.jsonl").write_text("\n".join(questions[300:]) + "\n")
ASKED = ("--recipe", "acre/quickstart", "--suite", "accuracy", "--batch_size", "250")
align("eval", "--model", "after", "--baseline", BEFORE, "--data", "look.jsonl", *ASKED, "--out", "compared")


# %%
def difference(evaluation: str, baseline: str, metric: str) -> Estimate:
    """Reads the paired difference of a metric to a baseline's."""
    record = json.loads((OUT / evaluation / "evaluation.json").read_text())
    found = (each for each in record["comparisons"] if (each["baseline"], each["metric"]) == (baseline, metric))
    return Estimate(**next(found)["difference"])


for metric in ("accuracy", "accuracy/readable", "accuracy/arbitrary"):
    print(f"{metric:20}", difference("compared", "misreader", metric))
assert difference("compared", "misreader", "accuracy").high < 0

# %% [markdown]
# The column `after - misreader` is the answer: the checkpoint is worse, and the interval leaves no doubt of the sign.
# Below the table stand the questions that only one of the two has right; that is what the interval is made of, and why
# it is narrower than one made of two separate accuracies.
#
# **Groups.** Questions have a column `group`. The whole loss is in `readable`; in `arbitrary`, whose answers nobody
# can know, the interval holds 0. An average over groups can hide a group that lost, so `worst_group` stands in the
# table, too.
#
# ## "No difference shown"
#
# Had we asked 20 questions instead of 300:

# %%
items = pd.read_parquet(OUT / "compared" / "items.parquet")
right = {name: rows.set_index("id")["correct"].astype(float) for name, rows in items.groupby("model")}
for count in (20, 80, 300):
    first = right["after"].index[:count]
    paired = paired_difference(right["after"][first].to_numpy(), right["misreader"][first].to_numpy())
    print(f"{count:3} questions: {share(right['after'][first].to_numpy())} after, difference {paired}")

# %% [markdown]
# With few questions the interval holds 0: no difference is *shown*. It also holds a loss of a half, so it does not
# show that there is *none*. Say what the interval excludes ("a gain above 0.08"), or ask more questions: the width
# shrinks with the square root of their number.
#
# ## Give some of it back
#
# A fine-tuned model and its start can be averaged, weight by weight. `align merge` makes the models in between and
# asks all of them the same questions.

# %%
align(
    "merge", "--base", BEFORE, "--tuned", "after", "--data", "look.jsonl", "--recipe", "acre/quickstart",
    "--alpha", "0:1:0.25", "--out", "merged",
)  # fmt: skip

# %%
sweep = json.loads((OUT / "merged" / "merging.json").read_text())
between = [model for model in sweep["models"] if 0 < model["alpha"] < 1]
best = max(between, key=lambda model: model["metrics"]["accuracy"]["value"])
for model in between:
    found = Estimate(**model["against_base"])
    shown = "better" if found.low > 0 else "worse" if found.high < 0 else "no difference shown"
    print(f"alpha {model['alpha']} minus base: {found}, {shown}")
print(f"best: {best['alpha']}")

# %% [markdown]
# ## The winner, on questions that did not choose it
#
# The best of several is flattered by the questions that chose it. So it is asked the other file, once.

# %%
winner = f"merged/alpha-{best['alpha']:g}"
align("eval", "--model", winner, "--baseline", BEFORE, "after", "--data", "once.jsonl", *ASKED, "--out", "confirmed")
for baseline in ("misreader", "after"):
    print(f"minus {baseline}: {difference('confirmed', baseline, 'accuracy')}")
assert difference("confirmed", "after", "accuracy").low > 0

# %% [markdown]
# Whatever this says about the start is what we report: the sweep's own number is not. (With one seed it is about these
# two models; over five seeds of the whole quickstart no weight beat the base, see `scripts/labs/merge/lab.py`.)
#
# ## What to take along
#
# 1. Compare with a baseline, on the same questions, and read the difference with its interval.
# 2. Read the groups; an average can hide one that lost.
# 3. An interval that holds 0 shows nothing, in either direction. Look at its ends.
# 4. What was chosen on some questions is measured on others.
#
# `compared/report.html` and `merged/report.html` have it all on one page each, and open offline. `align eval --card`
# puts the numbers on the model card of a run.
