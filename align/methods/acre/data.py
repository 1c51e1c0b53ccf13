"""Questions with options, and prompts whose answers are texts: read, and tried on rewards and families."""

import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

from align.checks.counts import check_counts
from align.checks.finding import Finding
from align.checks.images import check_images, check_letters
from align.checks.lengths import check_lengths, leave_out_long
from align.checks.rewards import check_rewards, spread
from align.checks.vllm_server import logprobs_mode, uses_server
from align.data.prompt_rows import PromptRow
from align.data.questions.multiple_choice import Question, QuestionReport, load_questions
from align.data.questions.rows import question_rows
from align.data.questions.templates import PromptTemplate
from align.data.stored_items import MadeRows
from align.data.training_data import Rows, TrainingData, load_training_data
from align.errors import DataError, MissingColumnsError
from align.methods.acre.rules import NEEDS_ANSWER_REWARD
from align.methods.rollouts import environment_checks, prompt_data
from align.methods.rollouts.tool_checks import uses_tools
from align.methods.rollouts.without_labels import check_labels
from align.models.model_files import ModelFiles
from align.models.vllm_server import ask_server, server_url
from align.recipe.dataset import MultipleChoiceDatasetConfig, PromptDatasetConfig
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward, short_name
from rewards.places import GOLD_COLUMNS, places
from rewards.running.contract.signature import read_parameters
from rewards.scoring.families import ON_PROMPTS, ON_RESULTS, Family, FamilyError, change_prompt, find_families
from rewards.scoring.tool_results import change_result


def load_prompts(recipe: Recipe) -> TrainingData[PromptRow]:
    """Reads the prompts of a recipe; `extra` is its families. ValueError if there is no such family."""
    known = ON_RESULTS if uses_tools(recipe) else ON_PROMPTS
    families = find_families(recipe.settings.families, known=known, base_dir=recipe.path.parent)
    try:
        data = prompt_data.load(recipe)
    except MissingColumnsError as error:
        if "prompt" not in error.missing or "question" not in error.names:
            raise
        raise DataError(
            f"{error} With `families` the rows are prompts; questions with options are read without the key."
        ) from error
    return data._replace(extra=families)


def check_prompts(recipe: Recipe, data: TrainingData[PromptRow], rewards: Sequence[Reward]) -> list[Finding]:
    """Checks prompts, and tools, as for GRPO, and then what the second answers need."""
    findings = (environment_checks if uses_tools(recipe) else prompt_data).check(recipe, data, rewards)
    if any(row.get("images") for row in (*data.rows, *data.eval_rows)):
        text = "Second answers that are texts read text only, and rows have images. Use questions with options."
        findings.append(Finding("error", "families", text))
    findings += check_answer_reward(recipe, rewards)
    findings += check_golds(recipe, data)
    if any(finding.level == "error" for finding in findings):
        return findings
    return findings + check_families(recipe, data)


MANY = 0.5  # share of rows that nothing changes, above which most are trained without what a recipe asks for


def check_families(recipe: Recipe, data: TrainingData[PromptRow]) -> list[Finding]:
    """Tries each family by itself, twice, on rows from all over the data.

    Those that change results are tried on one that is the right answer itself.
    """
    tried, gold, on_results = spread(data.rows), recipe.settings.gold_column, uses_tools(recipe)
    change = partial(change_trial_result if on_results else change_prompt, gold_column=gold)
    if on_results:
        change = partial(change, others=[known for row in tried if isinstance(known := row[gold], str)])
    findings: list[Finding] = []
    changed_by_any: set[int] = set()
    for family in data.extra:
        try:
            first, again = ([change([family], row, random.Random(i)) for i, row in enumerate(tried)] for _ in range(2))
        except FamilyError as error:
            findings.append(Finding("error", "families", str(error), {"family": family.name}))
            continue
        changed = {i: version for i, version in enumerate(first) if version is not None}
        changed_by_any |= changed.keys()
        moved = sum(version.gold != tried[i].get(gold) for i, version in changed.items())
        findings.append(_describe(family.name, len(changed), moved, len(tried), first == again))
        if on_results and not changed and first == again:
            told = " Tried were results that are the right answer and nothing else: what your tools return may differ."
            findings[-1] = findings[-1]._replace(level="warning", text=findings[-1].text + told)
    rest = len(tried) - len(changed_by_any)
    if rest > MANY * len(tried) and all(finding.level == "ok" for finding in findings):
        text = (
            f"No family changes {rest} of {len(tried)} rows that were tried, and they are rewarded as by GRPO. Name a "
            "family that changes more of them."
        )
        findings.append(Finding("warning", "families", text, {"unchanged": rest, "of": len(tried)}))
    return findings


def _describe(name: str, changed: int, moved: int, tried: int, is_repeatable: bool) -> Finding:
    numbers = {"family": name, "changed": changed, "moved": moved, "of": tried}
    if not is_repeatable:
        text = (
            f"Family `{name}` gives another version when it is called again with the same random.Random. Draw from "
            "nothing else, so that processes and resumed runs agree."
        )
        return Finding("error", "families", text, numbers)
    if not changed:
        text = f"Family `{name}` changes none of {tried} rows that were tried. Remove it, or mend it."
        return Finding("error", "families", text, numbers)
    text = f"Family `{name}` changes {changed} of {tried} rows that were tried"
    text += f", and the right answer to {moved} of them." if moved else "."
    return Finding("ok", "families", text, numbers)


def change_trial_result(families: Sequence[Family], row: Mapping[str, Any], rng: random.Random, **given: Any) -> Any:
    """Changes a result that is the right answer of a row."""
    known = row[given["gold_column"]]
    text = str(next(iter(known), "")) if isinstance(known, list | tuple) else str(known)
    talk = [{"role": "assistant"}, {"role": "tool", "name": "trial", "content": text}, {"role": "assistant"}]
    return change_result(families, row, talk, rng, **given)


def check_answer_reward(recipe: Recipe, rewards: Sequence[Reward]) -> list[Finding]:
    """Finds an answer reward that is not among the recipe's, and one that does not read the gold column."""
    names = [short_name(spec) for spec in recipe.reward_specs]
    name, gold = recipe.settings.answer_reward, recipe.settings.gold_column
    is_labelled = cast(PromptDatasetConfig, recipe.dataset).labels == "given"
    if not is_labelled and uses_tools(recipe):
        text = "Behind a changed result the right answer is another one, so that two answers that agree say nothing."
        return [Finding("error", "families", f"{text} Without labels, leave `tools` or `families` out.")]
    if not is_labelled and name is None:
        return []
    if name is None:
        return [Finding("error", "families", NEEDS_ANSWER_REWARD)]
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
    if any(map(_waits, rewards)) or recipe.settings.second_pass_rows == "all":
        return []
    text = (
        "No reward depends on second answers, so none are asked for and this is GRPO. Add `answer_consistency`, or "
        "`second_pass_rows: all` to log them."
    )
    return [Finding("warning", "families", text)]


def _waits(reward: Reward) -> bool:
    if isinstance(reward, str):
        return False
    if hasattr(reward, "needs_second_answer"):
        return bool(reward.needs_second_answer(True) or reward.needs_second_answer(False))
    return not {"second_right", "second_texts"}.isdisjoint(read_parameters(reward).columns)


def check_golds(recipe: Recipe, data: TrainingData[PromptRow]) -> list[Finding]:
    """Finds rows without a right answer, and answers that are longer than a second one may be."""
    column, limit = recipe.settings.gold_column, int(recipe.settings.second_answer_tokens)
    is_labelled = cast(PromptDatasetConfig, recipe.dataset).labels == "given"
    rows = [*(data.rows if is_labelled else ()), *data.eval_rows]
    without = [row for row in rows if row.get(column) is None]
    if without:
        named = ", ".join(str(row["id"]) for row in without[:5])
        text = (
            f"{len(without):,} of {len(rows):,} rows have no `{column}`, the right answer that second answers are "
            f"held against ({named}{' and more' if len(without) > 5 else ''}). Name the column: `gold_column`."
        )
        return [Finding("error", "families", text, {"without": len(without), "of": len(rows)})]
    tokenizer = ModelFiles.of(recipe).tokenizer
    golds = [known for row in spread(rows) for each in places([row], gold=column)[:1] if (known := each.text(row))]
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


def load(recipe: Recipe) -> TrainingData[Any]:
    """Reads the questions of a recipe and renders their prompts, `extra` is the template; or its prompts."""
    if recipe.settings.families:
        return load_prompts(recipe)
    data = cast(MultipleChoiceDatasetConfig, recipe.dataset)
    template = PromptTemplate(data.prompt_template, data.system_prompt, data.conversational)

    def read(source: MultipleChoiceDatasetConfig) -> tuple[Sequence[Question], QuestionReport]:
        found = load_questions(source.path, media=source, has_labels=source.labels == "given", **source.reading)
        return leave_out_long(recipe, source, found, to_rows)

    def to_rows(questions: Sequence[Question]) -> Rows:
        once = data.shuffle_options is True  # other orders are drawn by the trainer
        return question_rows(questions, template, shuffle_options=once, seed=data.seed)

    def to_eval_rows(questions: Sequence[Question], once: bool = False) -> Rows:
        return question_rows(questions, template, shuffle_options=once, seed=data.seed)

    try:
        how: Any = {"to_eval_rows": to_eval_rows, "to_probe_rows": partial(to_eval_rows, once=True)}
        return load_training_data(data, read, to_rows, extra=template, **how)
    except MissingColumnsError as error:
        if {"question", "options"} <= {*error.missing} and "prompt" in error.names:
            raise DataError(f"{error} Prompts without options need `families` and `answer_reward`.") from error
        raise


def check(recipe: Recipe, data: TrainingData[Any], rewards: Sequence[Reward]) -> list[Finding]:
    """Counts rows, tries every reward on some of them, and measures lengths."""
    if recipe.settings.families:
        return check_prompts(recipe, data, rewards)
    findings = check_counts(recipe, data.report, len(data.eval_rows), data.eval_report)
    findings += check_labels(recipe, data, rewards)
    if any(finding.level == "error" for finding in findings):
        return findings
    if rewards:
        findings += check_rewards(recipe, rewards, data.rows)
    images = check_images(recipe, data.rows)
    findings += (
        images.findings
        + check_letters([] if isinstance(data.rows, MadeRows) else data.items)
        + check_second_server(recipe, data.rows)
    )
    return findings + check_lengths(recipe, data.rows, images.tokens)


def check_second_pass(recipe: Recipe, rewards: Sequence[Reward]) -> list[Finding]:
    """A reward that waits for second answers while none are asked would pay every right answer as `first_only`."""
    waiting = [reward for reward in rewards if getattr(reward, "needs_second_answer", lambda correct: False)(True)]
    if recipe.settings.second_pass != "off" or not waiting:
        return []
    text = (
        "`second_pass: off`, but `answer_consistency` rewards second answers. Turn the second pass on, or use "
        "`accuracy` (or the neutral setting both: 1, first_only: 1, second_only: 0)."
    )
    return [Finding("error", "rewards", text)]


def check_second_server(recipe: Recipe, rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Finds a server whose log-probs do not know of the restriction to the letters, which ends the first step."""
    asks_server = uses_server(recipe) and recipe.settings.second_pass in ("auto", "vllm")
    if not asks_server or any(row.get("images") for row in rows):
        return []
    try:
        mode = logprobs_mode(ask_server(server_url(recipe.settings)))
    except (OSError, ValueError):
        return []  # said by the check of the server
    if mode in (None, "processed_logprobs"):
        return []
    text = (
        f"The second pass reads log-probs after the restriction to the letters, and the vLLM server reports `{mode}`. "
        f"Restart it with --logprobs-mode processed_logprobs, or set `second_pass: forward`."
    )
    return [Finding("error", "second pass", text)]
