from align.checks.batch import check_rows
from align.checks.finding import Finding
from align.checks.launch import Launch
from align.methods.sft.rules import NO_DEEPSPEED, is_plain_sft
from align.recipe.recipe import Recipe


def check_batch(recipe: Recipe, launch: Launch, num_rows: int) -> list[Finding]:
    """Says what one step over demonstrations is, and refuses a launch that LfU cannot be trained under."""
    if recipe.setting("packing"):
        detail = ", each filled with several demonstrations, so that a pass takes fewer steps than said here"
        findings = check_rows(recipe, launch, num_rows, "rows", detail, 1)
    else:
        findings = check_rows(recipe, launch, num_rows, "demonstrations", "", 1)
    if launch.zero_stage and not is_plain_sft(recipe.setting):
        findings.append(Finding("error", "batch", NO_DEEPSPEED))
    return findings
