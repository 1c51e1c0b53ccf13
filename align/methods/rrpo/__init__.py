"""RRPO: preference on the spans that differ, token-wise KL on the chosen response (arXiv 2504.12083)."""

from align.methods.method import BASE_CHAIN, Method

RRPO = Method(
    name="rrpo",
    config_chain=(
        ("align", "methods/rrpo/config.py", "RRPOConfig"),
        ("align", "methods/pairs/config.py", "ShareConfig"),
        ("trl", "trainer/dpo_config.py", "DPOConfig"),
        *BASE_CHAIN,
    ),
    dataset="align.recipe.dataset:PreferenceDatasetConfig",
    rules="align.methods.rrpo.rules:RULES",
    load="align.methods.rrpo.data:load",
    check="align.methods.rrpo.data:check",
    check_batch="align.methods.pairs.checks:check_batch",
    footprint="align.methods.rrpo.data:footprint",
    build="align.methods.rrpo.trainer:build",
    card="align.methods.rrpo.trainer:card",
    report="align.methods.rrpo.report:REPORT",
    sample_pairs="align.methods.rrpo.data:sample_pairs",
    rehearse="align.methods.pairs.rehearsal:rehearse_policy",
    augment="align.methods.rrpo.augmentation.command:AUGMENT",
    augment_options="align.methods.rrpo.augmentation.options:PairOptions",
    console={
        "rewards/accuracies": "accuracy",
        "rewards/margins": "margin",
        "rrpo/kl_chosen_per_token": "kl per token",
    },
)
