"""The charts of runs that learn from pairs: DPO and RRPO."""

from align.report.charts.panel import Panel

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
STEP_TIME = Panel(
    "Time of a step, seconds", "Of all passes over the batch.", {"step_time": "step"}, beside="rewards/margins"
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
    Panel(
        "Rejected, marked: change in log-probability, nats",
        "Should fall.",
        {"rrpo/logp_change_rejected": ""},
    ),
    Panel(
        "Chosen, shared: change in log-probability, nats",
        "What training did to text that no preference is about.",
        {"rrpo/logp_change_shared": ""},
    ),
    Panel("Marked tokens", "Share of the response tokens.", {"rrpo/marked_share": ""}, share=True),
)
