"""Training rows without right answers: which rewards can be asked, and what they need beside."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from align.auditing.repeats import digest
from align.checks.finding import Finding
from align.data.conversations import conversation_text
from align.data.prompt_rows import LABEL
from align.data.texts import as_seen
from align.data.training_data import TrainingData
from align.recipe.dataset import PromptDatasetConfig
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from align.tools.named import specs_of
from rewards.running.contract.signature import read_parameters
from rewards.running.protocol import reward_name

FEWEST, MOST = 50, 200  # rows of a probe


def check_labels(recipe: Recipe, data: TrainingData[Any], rewards: Sequence[Reward]) -> list[Finding]:
    """Finds rewards that read right answers where there are none, votes in one order, agreement without a KL."""
    functions: list[Any] = [reward for reward in rewards if not isinstance(reward, str)]
    findings = [found for reward in functions for found in _check_order(recipe, reward)]
    findings += _check_probe(recipe, data)
    if cast(PromptDatasetConfig, recipe.dataset).labels == "given":
        return findings
    for reward in functions:
        if LABEL in read_parameters(reward).columns and not hasattr(reward, "without_labels"):
            text = (
                f"`{reward_name(reward)}` reads the column `answer`, and with `dataset.labels: none` rows have none. "
                "Name rewards that compare answers, such as `answer_agreement` or `follows_trace`."
            )
            findings.append(Finding("error", "labels", text))
    comparing = [reward_name(each) for each in functions if getattr(each, "without_labels", False)]
    if comparing and not float(recipe.settings.beta):
        text = (
            f"`beta` is 0: `{comparing[0]}` is paid in full where all answers agree, also on wrong ones, and without "
            "a KL nothing holds traces. Set `beta`, such as 0.18 in `recipes/acre`."
        )
        findings.append(Finding("warning", "labels", text))
    return findings


def _check_order(recipe: Recipe, reward: Any) -> list[Finding]:
    """A vote over answers to one order of the options pays for a letter that a policy likes."""
    votes, settings = getattr(reward, "votes", None), recipe.settings
    block = cast(PromptDatasetConfig, recipe.dataset)
    if votes is None or getattr(reward, "fixed_order", False) or block.kind != "questions":
        return []
    of_second = getattr(settings, "permutation_scope", "row") == "row"
    if of_second if votes == "second" else block.shuffle_options == "within_group":
        return []
    remedy = "permutation_scope: row" if votes == "second" else "dataset.shuffle_options: within_group"
    text = (
        f"`{reward_name(reward)}` is a vote of a group that sees its options in one order. Where a policy likes a "
        f"letter, the letter wins each vote, and is all that is learnt. Set `{remedy}`, or by name `reward_kwargs: "
        f"{{{reward_name(reward)}: {{fixed_order: true}}}}`."
    )
    return [Finding("error", "labels", text)]


def _check_probe(recipe: Recipe, data: TrainingData[Any]) -> Iterator[Finding]:
    """Looks at the labelled rows of a run: whether there are some, as many as tell something, and none trained on."""
    block, rows = cast(PromptDatasetConfig, recipe.dataset), data.probe_rows
    path = block.probe_path
    if path is None:
        if block.labels == "none":
            text = f"Nothing tells whether this run helps. Name {FEWEST} to {MOST} labelled rows as "
            yield Finding("warning", "probe", f"{text}`dataset.probe_path`; with 500, train on them.")
        return
    count, size = len(rows), int(recipe.settings.num_generations) + 1
    ends = f"the share that is right to about {0.98 / max(count, 1) ** 0.5:.2f} either way"
    if count < FEWEST:
        text = f"{path} has {count} rows, which tell {ends}, and 100 to 0.10. Label {FEWEST} or more, or remove "
        yield Finding("error", "probe", f"{text}`dataset.probe_path`.")
    if count > MOST:
        text = f"{path} has {count} rows, each asked {size} times at every look: they tell {ends}, and {MOST} to 0.07."
        yield Finding("warning", "probe", f"{text} Name fewer; with 500, train on them.")
    gold = getattr(recipe.settings, "gold_column", LABEL)
    if unlabelled := sum(row.get(gold) is None for row in rows):
        text = f"{unlabelled} rows of {path} have no right answer in `{gold}`. Label them, or leave them out."
        yield Finding("error", "probe", text)
    if any(row.get("images") for row in rows) or any(specs_of(recipe.settings)) or recipe.settings.environment:
        text = "The probe is asked as texts without tools. Remove `dataset.probe_path`, or images and tools."
        yield Finding("error", "probe", text)
    asked = {_content(item): item.id for item in data.probe_items}
    if trained := [asked[each] for each in map(_content, data.items) if each in asked]:
        text = (
            f"{len({*trained})} questions of {path} are trained on, the first `{trained[0]}`, in one order of options "
            f"or another: they tell nothing of others. Take them out of {data.report.file} or of the probe."
        )
        yield Finding("error", "probe", text)
    if recipe.settings.eval_strategy == "no":
        text = "The probe is asked at the start and the end. For more, set `eval_strategy: steps` and `eval_steps`."
        yield Finding("warning", "probe", text)


def _content(item: Any) -> int:
    """Names what is asked, in whatever order options stand."""
    columns = getattr(item, "columns", {})
    options = getattr(item, "options", columns.get("options")) or ()
    question = getattr(item, "question", columns.get("question")) if options else None
    parts = [question or conversation_text(item.prompt), *sorted(map(str, options))]
    return digest(*(" ".join(as_seen(str(part)).split()) for part in parts))
