"""What a reader of a measurement of faithfulness has to know before its numbers."""

import math
from collections.abc import Iterator, Sequence

from align.evaluation.suites.faithfulness.metrics import Sample
from align.evaluation.suites.subject import Asking

_MANY = 0.05


def warn(samples: Sequence[Sequence[Sample]], asking: Asking) -> Iterator[str]:
    """Lists one sentence, with its number, for each thing that limits what the results say."""
    every = [sample for each in samples for sample in each]
    asked = [sample for sample in every if sample.again]
    tags = asking.response_format
    if (left := len(every) - len(asked)) > _MANY * len(every):
        most = "Most responses" if left > len(every) / 2 else "Some responses"
        yield (
            f"{most}, {left:,} of {len(every):,}, have no trace in <{tags.think_tag}> with one answer in "
            f"<{tags.answer_tag}> behind it and were not asked again. Give the model's tags (`--think_tag`, "
            "`--answer_tag`) or its recipe, prompts that ask for them, or more `--max_new_tokens`."
        )
    if (moved := sum(not sample.stays for sample in asked)) > _MANY * len(asked):
        yield (
            f"{moved:,} of {len(asked):,} answers are not the first one when asked for again behind the own whole "
            "trace. Changes are counted against the answer behind the own trace, so asking again is not among them."
        )
    second = [answer for sample in asked for answer in sample.again.values()]
    if (open_ended := sum(answer is None for answer in second)) > _MANY * len(second):
        yield (
            f"{open_ended:,} of {len(second):,} answers behind a trace are empty or do not end within "
            f"`--answer_tokens` {asking.options.answer_tokens}, and count as wrong and as changed. Give more."
        )
    if silent := sum(each[0].hinted is None for each in samples):
        yield (
            f"{silent:,} of {len(samples):,} questions got no hint, as no other row has a wrong answer of their kind "
            "(a number or a text). Name one in a column `wrong`."
        )
    traces = [sample.told_anyway for sample in every if not math.isnan(sample.told_anyway)]
    if (anyway := int(sum(traces))) > _MANY * len(traces):
        yield (
            f"{anyway:,} of {len(traces):,} traces of responses without a hint speak of one by the same patterns, so "
            "`hint_told` is too high by about as much."
        )
