"""What runs that sample completions and reward them put on their page, and its charts."""

import re
from collections.abc import Sequence

from align.methods.rollouts.findings import SIGNS
from align.recipe.alarms import ALARMS, Drawn
from align.report.charts.drawing import NUM_COLOURS, Chart, Line, draw_chart
from align.report.charts.panel import Metrics, Panel, draw_panel
from align.report.run.completions import REWARD_METRIC
from align.report.run.method_parts import LENGTH, ReportParts, step_time_chart

OUTCOME_PANELS = (
    Panel(
        "Outcome of the two passes",
        "Completions with a second pass, by whether the first answer and the one after the change are right.",
        {
            "acre/outcome_both": "both right",
            "acre/outcome_first_only": "only the first",
            "acre/outcome_second_only": "only the second",
            "acre/outcome_neither": "neither",
        },
        share=True,
        stacked=True,
        colours=(0, 1, 4, 5),
    ),
    Panel(
        "Answer and trace",
        "How often the answer survives a shuffle, another prompt or another result behind the same trace, and what "
        "that gives away.",
        {
            "acre/has_version": "can be changed",
            "acre/asked_again": "with a second pass",
            "acre/consistency_rate": "of these, answers agree",
            "acre/trace_names_letter": "trace names a letter",
            "acre/trace_quotes_answer": "trace quotes the answer",
        },
        share=True,
    ),
)

ROLLOUT_PANELS = (
    Panel(
        "Completion length, tokens",
        "Mean over the batch.",
        {"completions/mean_length": "all", "completions/mean_terminated_length": "those that ended by themselves"},
    ),
    Panel(
        "Completions with a non-zero advantage",
        "Of which alone the update is computed.",
        {"rollouts/trained_share": "share"},
        share=True,
    ),
    Panel(
        "Groups with zero advantage",
        "Whose completions all earn the same: their gradient is 0.",
        {"frac_reward_zero_std": "share"},
        share=True,
    ),
    Panel(
        "Second pass, share of the step", "What ACRE adds to GRPO.", {"acre/second_pass_share": "share"}, share=True
    ),
    Panel(
        "Loss",
        "The policy-gradient loss hovers around 0 by construction; watch the reward.",
        {"loss": "loss"},
        beside="reward",
    ),
    Panel("Distance from the reference, nats", "KL per token; logged when `beta` is above 0.", {"kl": "KL"}),
    Panel(
        "Entropy, nats",
        "Per token. Near 0 the policy no longer explores.",
        {"entropy": "completions that were computed"},
        beside="reward",
    ),
)

STEP_TIME = Panel(
    "Time of a step, seconds",
    "The second pass, where there is one, is part of the step.",
    {"step_time": "step", "acre/second_pass_seconds": "second pass"},
    beside="reward",
)

COMPARED = (
    Panel(
        "Right answers",
        "First answers in training, each run on its own questions.",
        {"acre/first_right": ""},
        share=True,
    ),
    Panel(
        "Answers that survive a change",
        "Same trace, other order or prompt.",
        {"acre/consistency_rate": ""},
        share=True,
    ),
    Panel("Answers that are A", "In training.", {"acre/answer_share_A": ""}, share=True),
    Panel("Completion length, tokens", "Mean over the batch.", {"completions/mean_length": ""}),
    Panel("Groups without spread", "Groups that give no gradient.", {"frac_reward_zero_std": ""}, share=True),
)


def reward_chart(metrics: Metrics) -> Chart | None:
    """Draws the total reward and that of each function; DPO's `rewards/chosen` and the like are none."""
    parts = {found[1]: key for key in metrics if (found := REWARD_METRIC.fullmatch(key))}
    named = {"total": "reward"} | parts if len(parts) != 1 else {next(iter(parts)): "reward"}
    panel = Panel(
        "Reward",
        "Mean over the batch: the weighted total and each function.",
        {key: label for label, key in named.items()},
    )
    return draw_panel(panel, metrics)


def letter_chart(metrics: Metrics) -> Chart | None:
    """Draws the share of each letter among the answers, beside its share in the gold."""
    lines: list[Line] = []
    for colour, key in enumerate(sorted(key for key in metrics if key.startswith("acre/answer_share_"))[:NUM_COLOURS]):
        letter = key.removeprefix("acre/answer_share_")
        lines.append(Line(letter, metrics[key], colour))
        gold = metrics.get(f"acre/gold_share_{letter}")
        if gold:
            lines.append(Line(f"{letter} in the gold", gold, colour, dashed=True))
    note = "Solid: share of the answers. Dashed: share of the gold. Lines of one colour should lie together."
    return draw_chart("Letters answered", note, lines, share=True) if lines else None


def right_charts(metrics: Metrics) -> list[Chart | None]:
    """Draws the share of right answers by each reward whose error rates are known, with its interval."""
    note = "What the reward passes, and what is right then by its error rates, with the interval of a step (95 %)."
    lines = {"passed": "passed", "right": "right", "right_low": "at least", "right_high": "at most"}
    names = [found[1] for key in metrics if (found := re.fullmatch("rewards/(.+)/right", key))]
    return [
        draw_panel(
            Panel(f"Right answers by {name}", note, {f"rewards/{name}/{of}": words for of, words in lines.items()},
                  share=True), metrics
        )
        for name in names
    ]  # fmt: skip


def read_chart(metrics: Metrics) -> Chart | None:
    """Draws the tokens that an update reads beside the least that it could, with their ratio over the run."""
    lines = {"rollouts/read_tokens": "read", "rollouts/floor_tokens": "the floor"}
    if not lines.keys() <= metrics.keys() or not (floor := metrics["rollouts/floor_tokens"].values.sum()):
        return None
    ratio = metrics["rollouts/read_tokens"].values.sum() / floor
    note = f"Read forward and backward: {ratio:.2f} of the floor, which reads each distinct token once."
    return draw_panel(Panel("Tokens of an update", note, lines), metrics)


def call_charts(metrics: Metrics) -> list[Chart | None]:
    """Draws time and failures of each reward, and what alarms look at; failures only if there were some."""
    time = Panel(
        "Time of a reward, seconds",
        "For one completion; 95 % take less. Rewards called for a whole batch at once: its mean.",
        _by_reward(metrics, "rewards/{}/seconds_p95"),
    )
    drawn: dict[Drawn, dict[str, str]] = {}
    for alarm in ALARMS.values():
        own = dict.fromkeys(alarm.keys("", metrics), alarm.line) if alarm.line else _by_reward(metrics, alarm.key)
        lines = drawn.setdefault(alarm.chart, {})
        lines |= {key: own[key] for key in own if not alarm.chart.unless_zero or metrics[key].values.max() > 0}
    right = {f"probe/{name}": name for name in ("greedy", "sampled", "vote") if f"probe/{name}" in metrics}
    probe = Panel(
        "Answers to the probe that are right", "Of labelled rows that are never trained on.", right, share=True
    )
    panels = [probe, *(Panel(chart.title, chart.note, keys, share=chart.share) for chart, keys in drawn.items())]
    return [draw_panel(panel, metrics) for panel in (time, *panels)]


def _by_reward(metrics: Metrics, key: str) -> dict[str, str]:
    before, _, after = key.partition("{}")
    keys = [each for each in metrics if each.startswith(before) and each.endswith(after)]
    return {each: each.split("/")[1] for each in keys[:NUM_COLOURS]}


FACTS = {
    "reward_funcs": "Rewards",
    "reward_gates": "Gates: reward and what opens it",
    "reward_clip": "Limits of rewards",
    "audit_funcs": "Audited, not trained on",
    "error_rates": "Error rates: false positives, false negatives",
    "reward_repeats": "Share of completions scored again",
    **LENGTH,
    "num_generations": "Completions per prompt",
    "per_device_train_batch_size": "Completions per device and pass",
    "beta": "KL weight (beta)",
    "temperature": "Temperature",
    "max_completion_length": "Longest completion, tokens",
    "use_vllm": "vLLM rollouts",
}


def _charts(metrics: Metrics) -> Sequence[Chart | None]:
    return [
        reward_chart(metrics),
        *right_charts(metrics),
        *(draw_panel(panel, metrics) for panel in OUTCOME_PANELS),
        letter_chart(metrics),
        step_time_chart(metrics, STEP_TIME),
        *call_charts(metrics),
        *(draw_panel(panel, metrics) for panel in ROLLOUT_PANELS),
        read_chart(metrics),
    ]


REPORT = ReportParts(FACTS, _charts, SIGNS, COMPARED)
