"""GRPO: TRL's, on plain prompts, with guarded rewards."""

from align.methods.method import BASE_CHAIN, Method

GRPO = Method(
    name="grpo",
    config_chain=(
        ("align", "methods/grpo/config.py", "GRPOConfig"),
        ("align", "methods/rollouts/config.py", "SkipConfig"),
        ("align", "methods/rollouts/config.py", "ToolConfig"),
        ("trl", "trainer/grpo_config.py", "GRPOConfig"),
        *BASE_CHAIN,
    ),
    dataset="align.recipe.dataset:PromptDatasetConfig",
    rules="align.methods.grpo.rules:RULES",
    load="align.methods.rollouts.prompt_data:load",
    check="align.methods.rollouts.environment_checks:check",
    check_batch="align.methods.rollouts.prompt_data:check_batch",
    check_reads="align.methods.rollouts.saved_tokens:check_reads",
    footprint="align.methods.rollouts.prompt_data:footprint",
    build="align.methods.grpo.trainer:build",
    card="align.methods.grpo.trainer:card",
    report="align.methods.rollouts.tool_report:REPORT",
    rehearse="align.methods.rollouts.rehearsal:rehearse",
    has_rewards=True,
    rewarded_by=("environment_factory", "environment"),
)
