"""Prompts whose answers are texts: read, and tried on the families and the answer reward of the recipe."""

from collections.abc import Sequence
from functools import partial

from align.checks.finding import Finding
from align.checks.lengths import load_tokenizer
from align.checks.rewards import spread, try_families
from align.data.prompt_rows import PromptRow
from align.data.training_data import TrainingData
from align.errors import DataError
from align.methods.rollouts import prompt_data
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward, short_name
from rewards.running.contract.samples import GOLD_COLUMNS, gold_text
from rewards.running.contract.signature import read_parameters
from rewards.scoring.families import change_prompt, find_families


def load(recipe: Recipe) -> TrainingData[PromptRow]:
    """Reads the prompts of a recipe; `extra` is its families. ValueError if there is no such family."""
    families = find_families(recipe.settings.families, base_dir=recipe.path.parent)
    try:
        data = prompt_data.load(recipe)
    except DataError as error:
        if "`prompt`" not in str(error) or "question" not in str(error):
            raise
        raise DataError(
            f"{error} With `families` the rows are prompts; questions with options are read without the key."
        ) from error
    return data._replace(extra=families)


def check(recipe: Recipe, data: TrainingData[PromptRow], rewards: Sequence[Reward]) -> list[Finding]:
    """Checks prompts as for GRPO, and then what the second answers need."""
    findings = prompt_data.check(recipe, data, rewards)
    if any(row.get("images") for row in (*data.rows, *data.eval_rows)):
        text = "Second answers that are texts read text only, and rows have images. Use questions with options."
        findings.append(Finding("error", "families", text))
    findings += check_answer_reward(recipe, rewards)
    findings += check_golds(recipe, data)
    if any(finding.level == "error" for finding in findings):
        return findings
    return findings + check_families(recipe, data)


def check_families(recipe: Recipe, data: TrainingData[PromptRow]) -> list[Finding]:
    """Tries the families on rows from all over the data."""
    gold = recipe.settings.gold_column
    return try_families(
        data.extra,
        data.rows,
        partial(change_prompt, gold_column=gold),
        "they are rewarded as by GRPO",
        lambda row, version: version.gold != row.get(gold),
    )


def check_answer_reward(recipe: Recipe, rewards: Sequence[Reward]) -> list[Finding]:
    """Finds an answer reward that is not among the recipe's, and one that does not read the gold column."""
    names = [short_name(spec) for spec in recipe.reward_specs]
    name, gold = recipe.settings.answer_reward, recipe.settings.gold_column
    if name not in names:
        text = (
            f"`answer_reward` must name one of `reward_funcs` or `audit_funcs` ({', '.join(names)}); got {name!r}. "
            f"Add it to `audit_funcs` to have it called and not trained on."
        )
        return [Finding("error", "families", text)]
    if not rewards:  # it was said why there are none
        return []
    reward = rewards[names.index(name)]
    if isinstance(reward, str):
        text = f"`answer_reward: {name}` is a reward model, which knows no right answer. Name a reward function."
        return [Finding("error", "families", text)]
    if hasattr(reward, "needs_second_answer"):
        text = f"`answer_reward: {name}` itself waits for second answers. Name what compares one answer with the gold."
        return [Finding("error", "families", text)]
    parameters = read_parameters(reward)
    others = [column for column in parameters.columns if column in GOLD_COLUMNS]
    if gold not in parameters.columns and (others or not parameters.takes_more):
        text = (
            f"`answer_reward: {name}` reads {' and '.join(others) or 'none'}, and `gold_column` is {gold!r}: "
            "it would not see the right answer to a changed prompt. Make them one."
        )
        return [Finding("error", "families", text)]
    return [] if any(map(_waits, rewards)) or recipe.settings.second_pass_rows == "all" else [_nothing_waits()]


def _waits(reward: Reward) -> bool:
    if isinstance(reward, str):
        return False
    if hasattr(reward, "needs_second_answer"):
        return bool(reward.needs_second_answer(True) or reward.needs_second_answer(False))
    return "second_right" in read_parameters(reward).columns


def _nothing_waits() -> Finding:
    text = (
        "No reward depends on second answers, so none are asked for and this is GRPO. Add `answer_consistency`, or "
        "`second_pass_rows: all` to log them."
    )
    return Finding("warning", "families", text)


def check_golds(recipe: Recipe, data: TrainingData[PromptRow]) -> list[Finding]:
    """Finds rows without a right answer, and answers that are longer than a second one may be."""
    column, limit = recipe.settings.gold_column, int(recipe.settings.second_answer_tokens)
    rows = [*data.rows, *data.eval_rows]
    without = [row for row in rows if row.get(column) is None]
    if without:
        named = ", ".join(str(row["id"]) for row in without[:5])
        text = (
            f"{len(without):,} of {len(rows):,} rows have no `{column}`, the right answer that second answers are "
            f"held against ({named}{' and more' if len(without) > 5 else ''}). Name the column: `gold_column`."
        )
        return [Finding("error", "families", text, {"without": len(without), "of": len(rows)})]
    tokenizer = load_tokenizer(recipe)
    golds = [known for row in spread(rows) if (known := gold_text(row, column)) is not None]
    if tokenizer is None or not golds:
        return []
    closed = [f"{gold}</{recipe.settings.answer_tag}>" for gold in golds]
    lengths = [len(each.ids) for each in tokenizer.encode(closed, add_special_tokens=False)]
    over = sum(length > limit for length in lengths)
    if not over:
        return []
    text = (
        f"{over} of {len(golds)} right answers take more than `second_answer_tokens: {limit}` tokens with their "
        f"closing tag, up to {max(lengths)}; a second answer that is cut off is wrong. Raise it."
    )
    return [Finding("warning", "families", text, {"over": over, "of": len(golds), "max": max(lengths)})]
