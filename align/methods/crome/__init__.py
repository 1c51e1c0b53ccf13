"""Crome: reward models from causal edits and neutral ties (arXiv 2506.16507)."""

from align.methods.method import BASE_CHAIN, Method

CROME = Method(
    name="crome",
    config_chain=(
        ("align", "methods/crome/config.py", "CromeConfig"),
        ("align", "methods/pairs/config.py", "ShareConfig"),
        ("trl", "trainer/reward_config.py", "RewardConfig"),
        *BASE_CHAIN,
    ),
    dataset="align.recipe.dataset:RewardPairDatasetConfig",
    rules="align.methods.crome.rules:RULES",
    load="align.methods.crome.data:load",
    check="align.methods.crome.data:check",
    check_batch="align.methods.pairs.checks:check_batch",
    footprint="align.methods.crome.data:footprint",
    build="align.methods.crome.trainer:build",
    card="align.methods.crome.trainer:card",
    report="align.methods.crome.report:REPORT",
    sample_pairs="align.methods.crome.data:sample_pairs",
    rehearse="align.methods.pairs.rehearsal:rehearse_reward_model",
    augment="align.methods.crome.augmentation.command:AUGMENT",
    augment_options="align.methods.crome.augmentation.options:EditOptions",
    makes_reward_model=True,
    console={"crome/tie_margin": "tie margin"},
)
