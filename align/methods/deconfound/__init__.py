"""DeconfoundLM: the effect of known confounders leaves an outcome before it becomes a reward (arXiv 2506.00152)."""

from align.methods.method import Method

DECONFOUND = Method(
    name="deconfound",
    config_chain=(
        ("align", "methods/deconfound/config.py", "DeconfoundConfig"),
        ("transformers", "training_args.py", "TrainingArguments"),
    ),
    dataset="align.methods.deconfound.dataset:ObservationDatasetConfig",
    rules="align.methods.deconfound.dataset:RULES",
    load="align.methods.deconfound.data:load",
    check="align.methods.deconfound.data:check",
    check_batch="align.methods.deconfound.data:check_batch",
    footprint="align.methods.deconfound.data:footprint",
    build="align.methods.deconfound.trainer:build",
    card="align.methods.deconfound.trainer:card",
    report="align.methods.deconfound.report:REPORT",
    extras="align.methods.deconfound.dataset:extras",
    makes_reward_model=True,
    arguments="align.methods.deconfound.arguments",
    console={"deconfound/mse": "error", "deconfound/correlation_corrected": "correlation"},
)
