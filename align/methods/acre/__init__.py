"""ACRE: options, a prompt or a tool's result are changed, and the model answers again (arXiv 2510.10104)."""

from align.methods.method import BASE_CHAIN, Method

ACRE = Method(
    name="acre",
    config_chain=(
        ("align", "methods/acre/config.py", "ACREConfig"),
        ("align", "methods/rollouts/config.py", "SkipConfig"),
        ("align", "methods/rollouts/config.py", "ToolConfig"),
        ("trl", "trainer/grpo_config.py", "GRPOConfig"),
        *BASE_CHAIN,
    ),
    dataset="align.recipe.dataset:MultipleChoiceDatasetConfig",
    dataset_of="align.methods.acre.rules:dataset_class",
    rules="align.methods.acre.rules:RULES",
    load="align.methods.acre.data:load",
    check="align.methods.acre.data:check",
    check_batch="align.methods.rollouts.prompt_data:check_batch",
    check_reads="align.methods.rollouts.saved_tokens:check_reads",
    footprint="align.methods.rollouts.prompt_data:footprint",
    build="align.methods.acre.build:build",
    card="align.methods.acre.build:card",
    report="align.methods.rollouts.tool_report:REPORT",
    rehearse="align.methods.acre.rehearsal:rehearse",
    has_rewards=True,
    check_rewards="align.methods.acre.data:check_second_pass",
    reward_columns="rewards.running.contract.samples:second_pass_columns",
    console={"acre/consistency_rate": "consistent"},
)
