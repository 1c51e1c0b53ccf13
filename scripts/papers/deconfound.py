"""DeconfoundLM's tables: the simulation, Upworthy's archive of experiments, and posts of StackExchange.

The paper's full text was not found. Its abstract, its reviews and a blog say what is here marked as the paper's.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sklearn.metrics import roc_auc_score

from scripts.labs.deconfound.world import REGIMES
from scripts.papers.archives import make_posts, make_upworthy
from scripts.papers.plan import Asked, Column, Job, Numbers, PaperSet, Published, summary_of, trained
from scripts.stages import Stage

PAPER = "DeconfoundLM, arXiv 2506.00152."
NO_TEXT = "The paper's full text was not found. Estimator, models, optimiser and tables are as its reviews tell them."
LAB_ARMS = ("none", "ols (naive residual)", "odin, two heads", "confounder as input", "dml", "iv", "oracle")
TINY_REGIMES = ("separable", "entangled")
ARMS = {
    "none": ("--dataset.estimator", "none"),
    "ols": ("--dataset.estimator", "ols"),
    "dml": ("--dataset.estimator", "dml"),
    "input": ("--dataset.estimator", "input"),
}
TINY = {
    "dtype": "float32",
    "bf16": "false",
    "gradient_checkpointing": "false",
    "use_cpu": "true",
    "max_steps": "300",
    "per_device_train_batch_size": "32",
    "gradient_accumulation_steps": "1",
    "learning_rate": "2e-3",
    "save_strategy": "no",
}
ACCURACY = "accuracy"
AUC = "AUC"
BATCH = 32  # the recipes' own; the paper's was not found
BATCH_OF = "ours, as the paper's was not found"


def simulated(asked: Asked) -> Iterator[Job]:
    """Yields the lab of each seed, in which all arms of all regimes are run."""
    regimes = TINY_REGIMES if asked.tiny else tuple(REGIMES)
    for seed in asked.seeds:
        file = asked.out / f"lab-{seed}.json"
        words = ("--replications", "1", "--first_seed", str(seed), "--regimes", *regimes, "--json", str(file))
        words += ("--rows", "2000") if asked.tiny else ()

        def read(file: Path = file) -> Numbers:
            runs = json.loads(file.read_text(encoding="utf-8"))["runs"]
            return {
                arm: {regime: arms[arm][0]["best_of"] for regime, arms in runs.items() if arm in arms}
                for arm in asked.arms
            }

        yield Job(f"seed-{seed}", [Stage("lab", words, "scripts.labs.deconfound.lab")], read)


def said_of_simulation(means: Numbers) -> list[str]:
    """Puts the claim about entangled confounding beside what was measured."""
    if not {"iv", "odin, two heads"} <= means.keys():
        return []
    found = {arm: cells["entangled"] for arm, cells in means.items() if arm != "iv"}
    more = ", ".join(
        f"{100 * (means['iv']['entangled'] / value - 1):+.0f} % against `{arm}`" for arm, value in found.items()
    )
    return [
        "The paper says that its corrected objective is more than 16 % above ODIN and other baselines under entangled "
        f"confounding. Here `iv` has {more}."
    ]


class OnRows(NamedTuple):
    """A recipe on a log, measured on pairs that `scripts/papers/winners.py` finds in held-out rows."""

    recipe: str
    train: str
    held_out: str
    winners: str

    def jobs(self, asked: Asked) -> Iterator[Job]:
        """Yields the pairs, and then the job of each seed and arm."""
        pairs = asked.out / "winners.jsonl"
        small = TINY | {"model_name_or_path": str(asked.data / "model")} if asked.tiny else {}
        overrides = small | {"dataset.path": str(asked.data / self.train)}
        found = Stage(
            "winners", (self.winners, str(asked.data / self.held_out), "--out", str(pairs)), "scripts.papers.winners"
        )
        yield Job("data", [found], dict)

        def measured(folder: Path) -> list[Stage]:
            where = ("--reward_model", str(folder), "--data", str(pairs), "--out", str(folder / "winners"))
            return [Stage("winners", ("eval", "reward-model", *where), launch=asked.launch("--multi_gpu"))]

        yield from trained(self.recipe, ARMS, asked, overrides, measured, _read, BATCH)


def _read(folder: Path) -> dict[str, float]:
    lines = (folder / "winners" / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    margins = [next(iter(json.loads(line)["margin"].values())) for line in lines]
    both = [*margins, *(-margin for margin in margins)]  # every pair once in each order
    truth = [1] * len(margins) + [0] * len(margins)
    return {ACCURACY: summary_of(folder / "winners")[ACCURACY], AUC: float(roc_auc_score(truth, both))}


WINNERS = (
    Column(ACCURACY, "share of held-out pairs whose winner has the higher reward"),
    Column(AUC, "area under the curve of the margin, every pair taken once in each order"),
)
SETS = {
    "deconfound-simulation": PaperSet(
        title="what a reward learnt from confounded outcomes picks, where the truth is known",
        paper=f"{PAPER} Its simulation on news headlines.",
        arms=dict.fromkeys(LAB_ARMS, ()),
        columns=tuple(
            Column(name, f"true worth of the best of 16 new texts where {regime.title}; 0 the mean text, 1 the best")
            for name, regime in sorted(REGIMES.items(), key=lambda each: each[0] != "entangled")
        ),
        seeds=20,
        jobs=simulated,
        said=said_of_simulation,
        unlike=(
            NO_TEXT,
            "The paper's data set is built on MIND's headlines; here headlines, worths and clicks are drawn "
            "(`scripts/labs/deconfound/world.py`), 20,000 a seed, and the reward model is a ridge regression on "
            "words.",
            "The columns W, C and E of its tables were not found in words; the columns here are regimes of ours.",
        ),
    ),
    "deconfound-upworthy": PaperSet(
        title="rewards from an archive of headline experiments, read as if it were a log",
        paper=f"{PAPER} Its first real data set; the area under the curve is from a blog about it.",
        arms=ARMS,
        columns=WINNERS,
        seeds=3,
        jobs=OnRows("paper/deconfound-upworthy", "upworthy-train.csv", "upworthy-test.csv", "experiments").jobs,
        published=Published("ROC AUC of pairs that differ at 5 %, Pythia up to 12B", {"dml": {AUC: 0.82}}),
        unlike=(
            NO_TEXT,
            "Confounders are the day and the hour of a test; which ones the paper corrects for here was not found.",
            "The archive is not in the repository: it is at osf.io/jd64p. Its maintainers ask not to use tests from "
            "2013-06-25 to 2014-01-10 for confirmation, and mark others in `randomization_imbalance_risk`.",
        ),
        files={
            "upworthy-train.csv": "The exploratory packages of the Upworthy Research Archive (osf.io/jd64p).",
            "upworthy-test.csv": "The confirmatory packages of the same archive.",
        },
        make_tiny=make_upworthy,
        batch=BATCH,
        batch_of=BATCH_OF,
    ),
    "deconfound-stackexchange": PaperSet(
        title="rewards from votes that views and time move",
        paper=f"{PAPER} Its second real data set.",
        arms=ARMS,
        columns=WINNERS,
        seeds=3,
        jobs=OnRows("paper/deconfound-stackexchange", "posts-train.jsonl", "posts-test.jsonl", "matched").jobs,
        unlike=(
            NO_TEXT,
            "There is no experiment in votes. Winners are held-out posts with more votes than another one with the "
            "same tags, nearly the same views and nearly the same day, which is a comparison of ours.",
            "Views are earned by a text, too; a correction for them keeps what a text is worth to those who saw it.",
        ),
        files={
            "posts-train.jsonl": "Questions of one site of StackExchange, in the columns of its dump, a row a line.",
            "posts-test.jsonl": "Later questions of the same site.",
        },
        make_tiny=make_posts,
        batch=BATCH,
        batch_of=BATCH_OF,
    ),
}
