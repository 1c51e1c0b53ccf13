"""SimPO (arXiv 2405.14734), as an outsider would add it: this folder, and an entry point."""

from align.methods.method import BASE_CHAIN, Method

SIMPO = Method(
    name="simpo",
    config_chain=(("simpo", "config.py", "SimPOConfig"), ("trl", "trainer/dpo_config.py", "DPOConfig"), *BASE_CHAIN),
    dataset="align.recipe.dataset:PreferenceDatasetConfig",
    rules="simpo.rules:RULES",
    load="simpo.data:load",
    check="simpo.data:check",
    check_batch="align.methods.pairs.checks:check_batch",
    footprint="simpo.data:footprint",
    build="simpo.trainer:build",
    card="simpo.report:card",
    report="simpo.report:REPORT",
    console={"simpo/margin": "margin"},
)
