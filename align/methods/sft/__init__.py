"""SFT: TRL's supervised fine-tuning on demonstrations that were checked."""

from align.methods.method import BASE_CHAIN, Method

SFT = Method(
    name="sft",
    config_chain=(
        ("align", "methods/sft/config.py", "SFTConfig"),
        ("trl", "trainer/sft_config.py", "SFTConfig"),
        *BASE_CHAIN,
    ),
    dataset="align.methods.sft.rules:DemonstrationDatasetConfig",
    rules="align.methods.sft.rules:RULES",
    load="align.methods.sft.data:load",
    check="align.methods.sft.data:check",
    check_batch="align.methods.sft.data:check_batch",
    footprint="align.methods.sft.data:footprint",
    build="align.methods.sft.trainer:build",
    card="align.methods.sft.trainer:card",
    report="align.methods.sft.report:REPORT",
    console={"mean_token_accuracy": "token accuracy"},
)
