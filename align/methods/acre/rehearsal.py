"""ACRE rehearsed: second answers by its own trainer, how often they can be asked, differ and are paid."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np

from align.data.conversations import write_response
from align.data.questions.rows import show_anew
from align.errors import UserError
from align.evaluation.statistics.item_means import clustered_share
from align.evaluation.statistics.metrics import Values
from align.methods.acre.build import build
from align.methods.rollouts.foretold import foretell
from align.methods.rollouts.rehearsal import Sampled, judge, sample
from align.methods.rollouts.tool_checks import uses_tools
from align.recipe.dataset import MultipleChoiceDatasetConfig
from align.rehearsal.plan import Plan
from align.rehearsal.record import Check, Rehearsed, Table, by_number
from align.training.as_in_trl import hide_old_names
from align.training.build import as_dataset
from rewards.reading.options import LETTERS
from rewards.scoring.consistency import OUTCOMES

_ENOUGH = 20  # second answers, below which 95 % intervals are wider than the limit
CHECKS = by_number(
    Check("second pass", "asked_again", "completions whose second answer can be asked",
          "A second answer can be asked of {share:.0%} of the completions: others have no trace with one answer "
          "behind it, or options that cannot move.", "Teach the tags first with `method: sft`.", below=0.2),
    Check("second pass", "second_differs", "second answers that differ from the first",
          "The second answer differs in {share:.0%} of {num:,}: this run would learn what GRPO learns.",
          "Without second pass it is faster.", below=0.15),
)  # fmt: skip


def rehearse(plan: Plan) -> Rehearsed:
    """Samples, asks again as its trainer does, rewards both answers and measures."""
    if plan.sampler is not None:
        raise UserError(
            "A second answer goes on from the model's own trace, letter by letter, which an endpoint cannot do. "
            "Leave `--endpoint` out, or rehearse first answers alone with `method: grpo`."
        )
    if uses_tools(plan.recipe):
        raise UserError(
            "Second answers behind results of tools are not rehearsed. Rehearse the first answers with `method: grpo` "
            "and without `families`, and measure with `align eval tool-reliance`."
        )
    sampled = sample(plan)
    started = time.perf_counter()
    twice = _answer_twice(plan, sampled)
    seconds = time.perf_counter() - started
    right = twice.metrics.get("acre/first_right")  # none without labels
    rights = None if right is None else np.array(right).reshape(len(sampled.rows), -1)
    found, rollouts = judge(plan, sampled, twice.columns, rights)
    found.seconds["second pass"] = seconds
    asks = plan.recipe.settings.second_pass != "off"
    if asks and right is not None:
        _say_second(found, twice, rollouts.totals)
    data = cast(MultipleChoiceDatasetConfig, plan.recipe.dataset)
    anew = None if plan.recipe.settings.families else partial(show_anew, plan.data.extra.render, data.seed)
    foretell(plan, found, sample, anew, (lambda *of: _answer_twice(*of).columns) if asks else None)
    return found


def _answer_twice(plan: Plan, sampled: Sampled) -> Any:
    """Builds the trainer in a temporary folder, where nothing is trained, and has it ask again."""
    with tempfile.TemporaryDirectory(prefix="align-rehearsal-") as folder:
        own = {"output_dir": folder, "report_to": "none", "use_vllm": False, "eval_strategy": "no"}
        own |= {"second_pass": "forward"} if plan.recipe.settings.second_pass == "vllm" else {}
        recipe = replace(plan.recipe, settings=plan.recipe.settings.model_copy(update=own))
        hide_old_names()
        trainer = build(recipe, plan.data._replace(eval_rows=[]), list(plan.rewards))
        rows = as_dataset([plan.data.rows[each.row] for each in sampled.rows])  # images are opened as for training
        inputs = [row for row in rows for _ in range(sampled.decoding.num_samples)]
        ids = [list(each.ids or ()) for each in sampled.flat]
        texts = [write_response(each.text, row["prompt"]) for each, row in zip(sampled.flat, inputs, strict=True)]
        trainer.model.train()
        return trainer._answer_twice(inputs, texts, ids)


def _say_second(found: Rehearsed, twice: Any, totals: Values) -> None:
    cases = [str(row["outcome"] or "").split() for row in twice.table]
    changes = [*map(_changed, twice.table, twice.columns, cases)]
    num, sizes = sum(map(len, cases)), [*map(len, cases)]
    by_prompt = [
        np.array(each, dtype=float).reshape(totals.shape).sum(axis=1)
        for each in ([size > 0 for size in sizes], [1] * len(sizes), [each for each, _ in changes], sizes)
    ]
    asked, changed = clustered_share(*by_prompt[:2]), clustered_share(*by_prompt[2:])
    none = asked.value == 0
    few = found.take(CHECKS["asked_again"], asked, sick=none or None, level="error" * none)
    sick = False if few or num < _ENOUGH else None
    found.take(CHECKS["second_differs"], changed, "--second_pass off", sick=sick, num=num)
    paid = {name: [t for row, t in zip(cases, totals.ravel(), strict=True) if name in row] for name in OUTCOMES}
    shares = [sum(row.count(name) for row in cases) / max(num, 1) for name in OUTCOMES]
    means = [float(np.mean(paid[name])) if paid[name] else float("nan") for name in OUTCOMES]
    rows = [(name, f"{part:.0%}", f"{mean:.3g}") for name, part, mean in zip(OUTCOMES, shares, means, strict=True)]
    note = f"Of {num:,} second answers behind the same trace: which answers are right, and what such a row is paid."
    found.tables.append(Table("Both answers", note, ("right", "share", "mean reward"), rows))
    kept, of = sum(each for _, each in changes), sum(each for each, _ in changes)
    if of >= _ENOUGH and "permutation" in twice.table[0]:
        text = f"Of {of:,} second answers that changed, {kept / of:.0%} kept the letter and not the option: "
        text += "shuffling options in the data alone (`--dataset.shuffle_options true`) would "
        found.find("ok", "second pass", f"{text}{'take that away' if kept > of / 2 else 'miss most of that'}.")


def _changed(table: Mapping[str, Any], given: Mapping[str, Any], cases: Sequence[str]) -> tuple[int, int]:
    """Counts second answers of a row that changed, and those of them that stand where the first answer stood."""
    orders, first = str(table.get("permutation") or "").split(), given.get("first_choice")
    if not orders:  # of texts, the verdicts are compared
        return sum(case in ("first_only", "second_only") for case in cases), 0
    changed = [(order, each) for order, each in zip(orders, given["second_choices"], strict=True) if each != first]
    return len(changed), sum(order.index(LETTERS[each]) == first for order, each in changed)
