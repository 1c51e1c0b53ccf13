"""What runs with tools put on their page: that of all methods that sample, and the calls of tools."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from align.methods.rollouts.report import REPORT as OF_ROLLOUTS
from align.recipe.fields import own_fields
from align.report.charts.drawing import NUM_COLOURS
from align.report.charts.panel import Metrics, Panel, draw_panel
from align.report.run.completions import calls_of
from align.report.run.finding import Sign, below, ends, first, percent
from align.report.run.folder import RunFolder

_TOOL_FIELDS = (("align", "methods/rollouts/config.py", "ToolConfig"),)
FACTS = {
    "tools": "Tools",
    "environment_factory": "Environment",
    "environment": "Third-party environment",
    "tool_timeout": "Longest call of a tool, seconds",
    "max_tool_calling_iterations": "Most turns with calls",
}


def _panels(metrics: Metrics) -> list[Panel]:
    names = [key.split("/")[1] for key in metrics if key.startswith("tools/") and key.endswith("/calls")][:NUM_COLOURS]
    return [
        Panel(
            "Calls of a tool, per completion",
            "`unknown` stands for names that no tool has.",
            {f"tools/{name}/calls": name for name in names},
        ),
        Panel(
            "Completions with calls, and calls that fail",
            "A completion is lost, and has no reward, if a call took too long or ended its process.",
            {
                "tools/used_share": "completions with a call",
                "tools/failure_frequency": "calls that fail",
                "tools/lost_share": "lost completions",
            },
            share=True,
        ),
        Panel(
            "Answers behind a changed result",
            "Of one result in a transcript another is made: whether the answer follows, stays, or stands nowhere.",
            {
                "acre/tool_reliance": "follows another value",
                "acre/tool_invariance": "stays under what does not matter",
                "acre/tool_withheld": "says or asks anew what an error withholds",
                "acre/invented": "has a value from nowhere",
            },
            share=True,
        ),
        Panel("Time of a call, seconds", "95 % take less.", {f"tools/{name}/seconds_p95": name for name in names}),
    ]


def _unused(recipe: Mapping[str, Any]) -> Sequence[str]:
    has_tools = any(map(recipe.get, ("tools", "environment_factory", "environment")))
    return () if has_tools else tuple({*FACTS, *own_fields(_TOOL_FIELDS)})


_OFTEN = 0.25  # of the calls
_FEWEST_STEPS = 5
_SHOWN = 160  # characters of an error


def _never(run: RunFolder) -> list[Mapping[str, Any]]:
    used = run.metrics.get("tools/used_share")
    return [{}] * bool(used and len(used.values) >= _FEWEST_STEPS and not used.values.max() > 0)


def _given_up(run: RunFolder) -> Iterator[Mapping[str, Any]]:
    before, now = first(run.metrics, "tools/used_share"), below(run.metrics, "tools/used_share", 0.01)
    if now and before.low > _OFTEN:
        yield {"before": percent(before), "now": percent(now)}


def _often(key: str, limit: float, kinds: Sequence[str]) -> Callable[[RunFolder], list[Mapping[str, Any]]]:
    return lambda run: [seen | {"why": _reasons(run.completions, kinds)} for seen in ends(key, above=limit)(run)]


def _reasons(rows: Sequence[Mapping[str, Any]], kinds: Sequence[str]) -> str:
    """Counts failures in the later half of the saved completions, and quotes the most frequent."""
    failed = [call for row in rows[len(rows) // 2 :] for call in calls_of(row) if call.get("failure") in kinds]
    if not failed:
        return ""
    counts = Counter(f"{call['tool']}: {call['failure']}" for call in failed)
    listed = ", ".join(f"{count} x {what}" for what, count in counts.most_common(3))
    example = Counter(str(call["result"])[:_SHOWN] for call in failed).most_common(1)[0][0]
    return f"Among those saved: {listed}; such as {example}. "


SIGNS = (
    Sign("No completion called a tool",
         "A policy that never calls is never paid for calling. Read some completions below: it may not know how a "
         "call is written, for which a warm start with `method: sft` on conversations with calls helps, or when to "
         "call, which the prompt can say. Calls that are cut off at `max_completion_length` are none either.", _never),
    Sign("The policy gave its tools up: {before} of completions called one, and now {now}",
         "What is paid for can be had without them, or calls fail or are cut off. Compare the rewards of completions "
         "with and without calls in the completions table.", _given_up),
    Sign("{share} of the calls of tools fail",
         "{why}The model is shown the error. Where it gets names or arguments wrong, say in the tool's docstring what "
         "they may be; where the tool itself fails, mend it.",
         _often("tools/failure_frequency", _OFTEN, ("error", "unknown", "timeout", "died"))),
    Sign("{share} of completions lost their tool or environment, and their reward",
         "{why}A call took longer than `tool_timeout`, or ended its process, or the environment could not be reset or "
         "scored. What `on_invalid` says holds for their rewards: nothing is learnt from them by default.",
         _often("tools/lost_share", 0.02, ("timeout", "died"))),
)  # fmt: skip
REPORT = OF_ROLLOUTS._replace(
    facts={**OF_ROLLOUTS.facts, **FACTS},
    charts=lambda metrics: [*OF_ROLLOUTS.charts(metrics), *(draw_panel(each, metrics) for each in _panels(metrics))],
    signs=(*OF_ROLLOUTS.signs, *SIGNS),
    unused=_unused,
)
