"""Multiple-choice questions: read, tried on the rewards, and looked at for a planted answer position."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from align.checks.counts import check_counts
from align.checks.finding import Finding
from align.checks.images import check_images, check_letters
from align.checks.lengths import check_lengths, leave_out_long
from align.checks.rewards import check_rewards
from align.checks.vllm_server import logprobs_mode, uses_server
from align.data.questions.multiple_choice import Question, QuestionReport, letter_balance, load_questions
from align.data.questions.rows import question_rows
from align.data.questions.templates import PromptTemplate
from align.data.stored_items import MadeRows
from align.data.training_data import Rows, TrainingData, load_training_data
from align.errors import DataError
from align.methods.acre import text_data
from align.models.vllm_server import ask_server, server_url
from align.recipe.dataset import MultipleChoiceDatasetConfig
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from rewards.reading.options import LETTERS


def load(recipe: Recipe) -> TrainingData[Any]:
    """Reads the questions of a recipe and renders their prompts, `extra` is the template; or its prompts."""
    if recipe.settings.families:
        return text_data.load(recipe)
    data = cast(MultipleChoiceDatasetConfig, recipe.dataset)
    template = PromptTemplate(data.prompt_template, data.system_prompt, data.conversational)

    def read(source: MultipleChoiceDatasetConfig) -> tuple[Sequence[Question], QuestionReport]:
        found = load_questions(
            source.path,
            adapter=source.adapter,
            split=source.split,
            on_bad_rows=source.on_bad_rows,
            max_rows=source.max_rows,
            media=source,
            columns=source.columns,
        )
        return leave_out_long(recipe, source, found, to_rows)

    def to_rows(questions: Sequence[Question]) -> Rows:
        once = data.shuffle_options is True  # with `every_visit` the trainer draws the order
        return question_rows(questions, template, shuffle_options=once, seed=data.seed)

    def to_eval_rows(questions: Sequence[Question]) -> Rows:
        return question_rows(questions, template)

    try:
        return load_training_data(data, read, to_rows, to_eval_rows=to_eval_rows, extra=template)
    except DataError as error:
        if "`question`" in str(error) and "prompt" in str(error) and "for `options`" not in str(error):
            raise DataError(f"{error} Prompts without options need `families` and `answer_reward`.") from error
        raise


def check(recipe: Recipe, data: TrainingData[Any], rewards: Sequence[Reward]) -> list[Finding]:
    """Counts rows, tries every reward on some of them, and measures lengths."""
    if recipe.settings.families:
        return text_data.check(recipe, data, rewards)
    findings = check_questions(recipe, data)
    if rewards:
        findings += check_rewards(recipe, rewards, data.rows)
    images = check_images(recipe, data.rows)
    findings += (
        images.findings
        + check_letters([] if isinstance(data.rows, MadeRows) else data.items)
        + check_second_server(recipe, data.rows)
    )
    return findings + check_lengths(recipe, data.rows, images.tokens)


def check_questions(recipe: Recipe, data: TrainingData[Question]) -> list[Finding]:
    """Counts rows and rows left out; warns about unbalanced answer letters."""
    findings = check_counts(recipe.dataset, data.report, len(data.eval_rows), data.eval_report)
    if cast(MultipleChoiceDatasetConfig, recipe.dataset).shuffle_options:
        return findings
    for balance in letter_balance(data.items):
        if balance.unbalanced:
            shares = ", ".join(f"{LETTERS[i]} {count}" for i, count in enumerate(balance.counts))
            text = (
                f"The right answers are not balanced over the letters ({shares}; chi-square "
                f"p {_p_text(balance.p_value)}). A policy can learn the place. "
                f"`dataset.shuffle_options: true` removes this at no cost."
            )
            findings.append(Finding("warning", "data", text, {"counts": balance.counts, "p_value": balance.p_value}))
    return findings


def _p_text(p_value: float | None) -> str:
    return f"= {p_value:.1g}" if p_value else "< 1e-300"


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
