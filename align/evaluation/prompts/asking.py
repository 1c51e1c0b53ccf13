"""Asks a policy the prompts of a data set."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from align.data.prompt_rows import PromptRow
from align.errors import UserError
from align.evaluation.kept_answers import KeptAnswers
from align.models.policies.answer_keys import image_names
from align.models.policies.asking import Completes, Completion, Decoding, Prompt


def complete_prompts(
    policy: Completes, prompts: Sequence[Prompt], decoding: Decoding, kept: KeptAnswers, *, stage: str = "answering"
) -> list[list[Completion]]:
    """Returns S responses to each prompt; those that are kept are not asked for again."""

    def ask(part: list[int]) -> list[Any]:
        return policy.complete([prompts[i] for i in part], decoding)

    profile = asdict(decoding)
    contents = [[policy.fingerprint, "completions", [*_seen(prompt), profile]] for prompt in prompts]
    lengths = [len(str(prompt.content)) + len(prompt.prefix) for prompt in prompts]
    found = kept.ask(stage, ask, contents, lengths, policy.chunk_size)
    return [[Completion(text, None if ids is None else tuple(ids)) for text, ids in each] for each in found]


def as_prompts(rows: Sequence[PromptRow]) -> list[Prompt]:
    """Takes what a policy sees out of rows."""
    return [Prompt(row.id, row.prompt, row.images) for row in rows]


def check_ks(ks: Sequence[int], num_samples: int) -> tuple[int, ...]:
    """Returns each k once, in order; by default 1 and the number of samples.

    Raises:
        UserError: If there are fewer samples than k.
    """
    for k in ks:
        if k < 1 or k > num_samples:
            raise UserError(
                f"`pass_at_k` must lie between 1 and `num_samples`, got {k} with {num_samples} sample(s) of each "
                f"prompt. Give `--num_samples {max(k, 2)} --temperature 1`, or a smaller k."
            )
    return tuple(sorted({*ks} or {1, num_samples}))


def _seen(prompt: Prompt) -> list[Any]:
    seen: list[Any] = [prompt.id, prompt.content]
    if prompt.images:
        seen.append(image_names(prompt.images))
    if prompt.template:
        seen.append({"template": dict(prompt.template)})
    return [*seen, {"prefix": prompt.prefix, "stop": prompt.stop}] if prompt.prefix or prompt.stop else seen
