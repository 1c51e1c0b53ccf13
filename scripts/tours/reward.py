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
# # My own reward, from an idea to a run that I trust
#
# We write a reward, find out before training that it can be gamed, then that it breaks, mend it, and train with it.
# The reward goes up, and the model gets worse: the data paid for something else. We find that too, and mend it.
#
# Everything runs on two CPU cores in well under a minute, offline, on a model of 95 thousand weights that comes with
# the package. Run it as a script (`python -m scripts.tours.reward`) or open it as a notebook (`jupytext --to ipynb`).
# Files go to a temporary folder, or to the one that the variable `TOUR_OUT` names.

# %%
import json
import os
import random
import shlex
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # all that is needed comes with the package

from align.assets import asset_dir
from align.cli import run_command
from align.evaluation.statistics.metrics import Estimate

OUT = Path(os.environ.get("TOUR_OUT") or tempfile.mkdtemp(prefix="tour-reward-")).resolve()
OUT.mkdir(parents=True, exist_ok=True)
os.chdir(OUT)
LAB = asset_dir("recipes").resolve() / "acre" / "assets" / "lab"


def align(*words: str, code: int = 0) -> None:
    """Runs a command as `!align ...` would, but in this process: what is imported once serves them all."""
    print(f"\n$ align {shlex.join(words)}", flush=True)
    assert run_command(*words) == code


# %% [markdown]
# ## The task
#
# A string of digits and a place, counted from 0: which digit stands there? Four options, and a letter to answer with.
# Two in five of the answers are wrong on purpose, as in real data, and no reading of the question finds them; the
# column `group` says which (`arbitrary`). The model knows the form of an answer, and misreads some digits.


# %%
def prompts(name: str, rows: list[dict], shuffled: bool = False) -> str:
    """Writes the questions as prompts with the right letter beside them, and returns the name of the file."""
    draw = random.Random(0)
    lines = []
    for row in rows:
        options = list(row["options"])
        right = options["ABCD".index(row["answer"])]
        if shuffled:
            draw.shuffle(options)
        shown = "\n".join(f"{letter}. {option}" for letter, option in zip("ABCD", options, strict=True))
        answer = "ABCD"[options.index(right)]
        line = {"prompt": f"{row['question']}\n{shown}", "answer": answer, "group": row["group"]}
        lines.append(json.dumps(line))
    (OUT / name).write_text("\n".join(lines) + "\n")
    return name


train, held_out = ([json.loads(line) for line in (LAB / f"{name}.jsonl").open()] for name in ("train", "eval"))
prompts("train.jsonl", train)
prompts("held_out.jsonl", held_out[:500])
print(json.dumps(json.loads((OUT / "train.jsonl").open().readline()), indent=1))

# %% [markdown]
# ## The idea
#
# A reward is a function with TRL's signature: texts in, numbers out, and columns of the data by name. "The right
# letter is in the response" is a first thought.

# %%
(OUT / "right_letter.py").write_text("""\
def right_letter(completions, answer, **kwargs):
    return [float(right in text) for text, right in zip(completions, answer)]
""")
align("rewards", "check", "right_letter.py:right_letter", "--data", "train.jsonl")

# %% [markdown]
# A warning: a response that lists all letters earns as much as the right one. A policy that is trained for long enough
# finds that out. So we read what stands between the answer tags.

# %%
(OUT / "right_letter.py").write_text("""\
import re


def right_letter(completions, answer, **kwargs):
    given = [re.search(r"<answer>(.*)</answer>", text).group(1) for text in completions]
    return [float(letter == right) for letter, right in zip(given, answer)]
""")
align("rewards", "check", "right_letter.py:right_letter", "--data", "train.jsonl", code=1)

# %% [markdown]
# An error: a response without tags ends training. Policies write empty and cut-off responses from the first step on.
#
# `rewards.parse_response` reads traces and answers as the built-in rewards do: no answer, two answers, and an answer
# behind unclosed tags are all `None`. `completion_text` takes texts and messages.

# %%
(OUT / "right_letter.py").write_text('''\
from rewards import completion_text, parse_response


def right_letter(completions, answer, **kwargs):
    """Rewards a response with exactly one answer, which is the right letter."""
    given = [parse_response(completion_text(each)).answer for each in completions]
    return [float(letter == right) for letter, right in zip(given, answer, strict=True)]
''')
align("rewards", "check", "right_letter.py:right_letter", "--data", "train.jsonl")

# %% [markdown]
# ## Train, with the guard around the reward
#
# TRL's GRPO. The guard is always there: a call that fails costs a row and never the run, and is counted. `audit_funcs`
# are logged beside the reward and never trained on. `stop_on` would end training if the reward failed on and on.

# %%
(OUT / "recipe.yaml").write_text(f"""\
method: grpo
model_name_or_path: {LAB / "misreader"}
dataset: {{path: ./train.jsonl}}
reward_funcs: [./right_letter.py:right_letter]
audit_funcs: [format]
stop_on: [invalid_share]
max_steps: 25
per_device_train_batch_size: 64
num_generations: 8
max_completion_length: 12
learning_rate: 1.0e-3
lr_scheduler_type: constant
beta: 0.08
scale_rewards: none
bf16: false
use_cpu: true
logging_steps: 5
save_strategy: "no"
report_to: none
seed: 0
""")
align("train", "recipe.yaml", "--output_dir", "first")


# %%
def curve(run: str, key: str) -> list[float]:
    """Reads a metric of a run, from its first logged step to its last."""
    lines = [json.loads(line) for line in (OUT / run / "metrics.jsonl").open()]
    return [round(line[key], 3) for line in lines if key in line]


rewarded = curve("first", "reward")
failed = curve("first", "rewards/right_letter/invalid_share")
print("reward", rewarded)
print("failed calls", failed)
assert rewarded[-1] > rewarded[0] + 0.1
assert max(failed) == 0

# %% [markdown]
# The reward went up, and no call failed. `first/report.html` (it opens offline) has the curves, the alarms, the best
# and worst completions and every setting. So far everything looks well.
#
# ## Is it what I meant?
#
# A reward that rises says that the policy found out what is paid. What was meant shows on questions it was not trained
# on, compared with where it started: the same questions for both, and an interval around the difference.

# %%
ASKED = ("--data", "held_out.jsonl", "--rewards", "./right_letter.py:right_letter", "--max_new_tokens", "12")
align(
    "eval",
    "--model",
    "first",
    "--baseline",
    str(LAB / "misreader"),
    *ASKED,
    "--batch_size",
    "250",
    "--out",
    "after-first",
)


# %%
def difference(evaluation: str, baseline: str, metric: str) -> Estimate:
    """Reads the paired difference of a metric to a baseline's."""
    record = json.loads((OUT / evaluation / "evaluation.json").read_text())
    found = (each for each in record["comparisons"] if (each["baseline"], each["metric"]) == (baseline, metric))
    return Estimate(**next(found)["difference"])


lost = difference("after-first", "misreader", "reward/right_letter")
print(f"after training minus before: {lost}")
assert lost.high < 0

# %% [markdown]
# Worse, and the whole interval lies below 0. The reward is sound, so it is the data that pays for something else.
# `align audit` looks for what goes with the right answer that nobody meant.

# %%
(OUT / "questions.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in train))
align("audit", "questions.jsonl", "--out", "audit")

# %% [markdown]
# The right option stands at A three times out of four. "A" is an easier way to the reward than reading, above all
# for the questions that cannot be read. (The lab's authors put it there; real sets have cues like it.)
#
# ## Mend the data, train again
#
# Options in a random order: A is right as often as any other letter.

# %%
prompts("train.jsonl", train, shuffled=True)
align("train", "recipe.yaml", "--output_dir", "second")
align(
    "eval", "--model", "second", "--baseline", str(LAB / "misreader"), "first", *ASKED, "--batch_size", "250",
    "--out", "after-second", "--card",
)  # fmt: skip

# %%
gained = difference("after-second", "misreader", "reward/right_letter")
readable = difference("after-second", "misreader", "reward/right_letter/readable")
arbitrary = difference("after-second", "misreader", "reward/right_letter/arbitrary")
print(f"all {gained}, readable {readable}, arbitrary {arbitrary}")
assert gained.low > 0
assert arbitrary.low < 0 < arbitrary.high

# %% [markdown]
# Better than where it started, and where it should be: on the questions that can be read. On the others no difference
# is shown, which is right: nothing could be learnt there.
#
# `--card` put these numbers, with their intervals and counts, on the model card of the run. With `push_to_hub: true`
# the card, the model and its tokenizer go to the hub.

# %%
print((OUT / "second" / "README.md").read_text())

# %% [markdown]
# ## What to take along
#
# 1. `align rewards check` before training: seconds, and it names what a policy would find in hours.
# 2. A rising reward is no evidence. A paired difference on held-out questions is.
# 3. When reward and evaluation disagree, look at the data (`align audit`) before you touch the reward.
#
# One run of each is one draw: for a claim about a method, take several seeds
# (`python -m scripts.labs.acre.lab --seeds 5`).
# The next tour is `scripts/tours/checkpoint.py`: is this checkpoint better?
