"""What runs that sample completions put on their page."""

from collections.abc import Sequence

from align.methods.rollouts.findings import find_completion_problems, find_rollout_problems
from align.methods.rollouts.panels import (
    COMPARED,
    OUTCOME_PANELS,
    ROLLOUT_PANELS,
    STEP_TIME,
    call_charts,
    letter_chart,
    reward_chart,
)
from align.methods.rollouts.reward_findings import find_audit_falls, find_noise, find_reward_signals
from align.report.charts.drawing import Chart
from align.report.charts.panel import Metrics, draw_panel
from align.report.run.completions import reward_weights
from align.report.run.finding import Finding
from align.report.run.folder import RunFolder
from align.report.run.parts import LENGTH, ReportParts, step_time_chart

FACTS = {
    "reward_funcs": "Rewards",
    "reward_gates": "Gates: reward and what opens it",
    "reward_clip": "Limits of rewards",
    "audit_funcs": "Audited, not trained on",
    "reward_repeats": "Share of completions scored again",
    **LENGTH,
    "num_generations": "Completions per prompt",
    "per_device_train_batch_size": "Completions per device and pass",
    "gradient_accumulation_steps": "Passes per step",
    "learning_rate": "Learning rate",
    "beta": "KL weight (beta)",
    "temperature": "Temperature",
    "max_completion_length": "Longest completion, tokens",
    "use_vllm": "vLLM rollouts",
}


def _charts(metrics: Metrics) -> Sequence[Chart | None]:
    return [
        reward_chart(metrics),
        *(draw_panel(panel, metrics) for panel in OUTCOME_PANELS),
        letter_chart(metrics),
        step_time_chart(metrics, STEP_TIME),
        *call_charts(metrics),
        *(draw_panel(panel, metrics) for panel in ROLLOUT_PANELS),
    ]


def _findings(run: RunFolder) -> Sequence[Finding]:
    is_audited = any(key.startswith("audit/total/") for key in run.metrics)  # then every step says what these rows do
    weights = reward_weights(run.recipe, run.metrics)
    return [
        *find_rollout_problems(run.metrics, run.completions, weights),
        *([] if is_audited else find_completion_problems(run.completions, weights)),
        *find_reward_signals(run.metrics, run.recipe),
        *find_noise(run.metrics, run.recipe),
        *find_audit_falls(run.metrics),
    ]


REPORT = ReportParts(FACTS, _charts, _findings, COMPARED)
