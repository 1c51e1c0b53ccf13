"""What runs that learn from preference pairs put on their page."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from align.evaluation.statistics.metrics import SURE, Estimate, less, mean_over_logs, told
from align.report.charts.drawing import Chart
from align.report.charts.panel import Metrics, Panel, draw_panel
from align.report.run.finding import Sign, ends, last, percent, stays_at_log_two
from align.report.run.folder import RunFolder, Series
from align.report.run.method_parts import LENGTH, ReportParts, step_time_chart

_MARGIN, _CHOSEN, _REJECTED, _SHARED = 0, 2, 1, 5  # the colours of chosen and rejected text on the page

PANELS = (
    Panel(
        "Preference accuracy",
        "Pairs whose chosen side gained more than the rejected one on the marked tokens. Not the share of right "
        "answers: the policy need not write what it prefers.",
        {"rewards/accuracies": "accuracy"},
        share=True,
    ),
    Panel(
        "Margin on marked tokens",
        "`beta` times the change in log-probability; the margin is chosen minus rejected. DPO marks all tokens.",
        {"rewards/margins": "margin", "rewards/chosen": "chosen", "rewards/rejected": "rejected"},
        colours=(_MARGIN, _CHOSEN, _REJECTED),
    ),
    Panel(
        "Change in log-probability, nats",
        "Against the reference, summed per pair. Chosen should rise; shared tokens should stay near 0.",
        {
            "rrpo/logp_change_chosen": "chosen, marked",
            "rrpo/logp_change_rejected": "rejected, marked",
            "rrpo/logp_change_shared": "chosen, shared",
        },
        colours=(_CHOSEN, _REJECTED, _SHARED),
    ),
    Panel(
        "Distance from the reference, nats",
        "KL summed over a chosen response; this is what `kl_coef` weighs.",
        {"rrpo/kl_chosen": "KL of a response"},
    ),
    Panel(
        "Distance from the reference, nats per token",
        "The same KL per token, to compare responses of different lengths.",
        {"rrpo/kl_chosen_per_token": "KL of a token"},
    ),
    Panel(
        "Marked tokens",
        "Share of the response tokens that the preference rewards.",
        {"rrpo/marked_share": "marked"},
        share=True,
    ),
    Panel(
        "Loss",
        "Preference loss plus `kl_coef` times the KL. It starts at 0.69, where both responses are equally preferred.",
        {"loss": "loss"},
        beside="rewards/margins",
    ),
)

COMPARED = (
    Panel(
        "Preference accuracy",
        "Each run on its own marks. A higher one need not write better answers.",
        {"rewards/accuracies": ""},
        share=True,
    ),
    Panel("Margin", "Times each run's own `beta`; whole responses in DPO.", {"rewards/margins": ""}),
    Panel(
        "KL of a chosen response, nats",
        "Summed over its tokens. Compare runs where they answer equally well.",
        {"rrpo/kl_chosen": ""},
    ),
    Panel("KL of a token, nats", "Of chosen responses.", {"rrpo/kl_chosen_per_token": ""}),
    Panel(
        "Chosen, marked: change in log-probability, nats",
        "Below 0 the chosen text became less likely.",
        {"rrpo/logp_change_chosen": ""},
    ),
    Panel("Rejected, marked: change in log-probability, nats", "Should fall.", {"rrpo/logp_change_rejected": ""}),
    Panel(
        "Chosen, shared: change in log-probability, nats",
        "What training did to text that no preference is about.",
        {"rrpo/logp_change_shared": ""},
    ),
    Panel("Marked tokens", "Share of the response tokens.", {"rrpo/marked_share": ""}, share=True),
)


FACTS = {
    **LENGTH,
    "per_device_train_batch_size": "Pairs per device and pass",
    "beta": "Reward scale (beta)",
    "kl_coef": "KL weight (kl_coef)",
    "kl_placement": "Place of the KL",
    "spans": "Rewarded text (spans)",
    "diff_unit": "Unit of the diff",
    "on_missing_spans": "Pairs without spans",
    "max_length": "Longest prompt and response, tokens",
}


def _charts(metrics: Metrics) -> Sequence[Chart | None]:
    return [*(draw_panel(panel, metrics) for panel in PANELS), step_time_chart(metrics)]


def _describe_marks(recipe: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    if recipe.get("spans") == "whole":
        return "This run rewards whole responses (`spans: whole`), as DPO does."
    if recipe.get("diff_unit") == "token" and any(row.get("marked_share") is None for row in rows):
        return (
            "Only marked text is rewarded. Marks from a diff are words here, while this run compared tokens "
            "(`diff_unit: token`)."
        )
    return "Only marked text is rewarded."


_SATURATED = 0.98  # of pairs; too few are left in the wrong order to explain a growing margin
_STILL_GROWING = 1.5  # times the margin at the middle of the run


def _over_trained(run: RunFolder) -> Iterator[Mapping[str, Any]]:
    if {"rewards/accuracies", "rewards/margins"} <= run.metrics.keys():
        accuracy, margin = (_middle(run.metrics[key]) for key in ("rewards/accuracies", "rewards/margins"))
        latest = last(run.metrics, "rewards/margins")
        if accuracy.low > _SATURATED and latest.low > 0 and less(latest, margin, _STILL_GROWING).low > 0:
            yield {"share": percent(accuracy), "margin": margin.value, "latest": told(latest)}


def _middle(series: Series) -> Estimate:
    """Estimates the mean of the quarter that ends at the middle of a run, at least five logs; of a short one none."""
    end = len(series.values) // 2
    return mean_over_logs(series.values[max(0, end - max(SURE, len(series.values) // 4)) : end])


def _unless_whole(look: Callable[[RunFolder], Any]) -> Callable[[RunFolder], Any]:
    return lambda run: () if run.recipe.get("spans") == "whole" else look(run)


SIGNS = (
    Sign("The loss stays at log 2: the policy prefers chosen to rejected responses no more than the reference does",
         "Raise `learning_rate` (adapters take ten times that of all weights), look whether the pairs below differ in "
         "what the policy reads, and whether `max_length` cuts off where they differ.",
         lambda run: [{}] * stays_at_log_two(run.metrics)),
    Sign("The chosen text became less likely: {value} nats over its marked tokens",
         "The preference holds as long as the rejected text falls faster, but the probability goes to text that is in "
         "neither response (likelihood displacement). Raise `kl_coef`, lower `learning_rate`, or raise `beta`: a "
         "larger one is content with a smaller change.",
         ends("rrpo/logp_change_chosen", below=-1.0)),  # e times less likely, beyond the noise of a batch
    Sign("{share} of pairs were told apart by the middle of the run, and the margin kept growing",
         "From {margin:.2g} there to {latest}: later steps moved the policy, but no further pair. This accuracy can "
         "be near 1 in a policy that does not write the chosen answers, so compare checkpoints by what they generate. "
         "Then stop earlier with `max_steps`, or lower `learning_rate`.", _over_trained),
    Sign("Chosen responses are {value} nats per token away from the reference",
         "At this distance a policy forgets what the pairs are not about. Raise `kl_coef`, or lower `learning_rate` "
         "or the number of steps, and look at answers to unrelated prompts.",
         ends("rrpo/kl_chosen_per_token", above=0.5)),  # 50 nats over a response of 100 tokens
    Sign("{share} of response tokens are marked",
         "The two responses of a pair share little, so this is close to DPO with a KL term. Reword the rejected "
         "responses to follow the chosen ones, or give spans in the data; with `on_missing_spans: whole`, pairs "
         "without spans count as marked throughout.",
         _unless_whole(ends("rrpo/marked_share", above=0.7))),  # the rest is too little to be kept in place
    Sign("Only {share} of response tokens are marked",
         "The preference rests on a handful of tokens. See in the pairs below whether they are the ones meant; "
         "`diff_unit: word` marks whole words.",
         _unless_whole(ends("rrpo/marked_share", below=0.005))),  # one token of a response of 200
)  # fmt: skip
REPORT = ReportParts(FACTS, _charts, SIGNS, COMPARED, describe_marks=_describe_marks)
