"""What an audit found, in words, for the page and for the terminal."""

from align.auditing.attributes import COMMON, COUNTER, AttributeFinding
from align.auditing.cues import Cue, Cues
from align.auditing.masks import PERMUTATIONS, MaskFinding
from align.auditing.record import AuditRecord
from align.auditing.row_findings import SHOWN
from align.auditing.trace_scores import QUANTILES, GroupScore, TraceFinding

TRACE_COLUMNS = ("traces", "n", "mean NLL", *(f"{each} %" for each in QUANTILES), "least likely step, 50 %")


def headline(record: AuditRecord) -> list[str]:
    """Says what to take away, one sentence each."""
    found = [f"{each.count:,} of {each.of:,} {each.text}." for each in record.rows if each.count]
    if not found:
        looked = ", ".join(each.name.replace("_", " ") for each in record.rows)
        found = [f"None of what was looked for among {record.num_rows:,} rows was found: {looked}."]
    if record.cues is None:
        return found
    if not record.cues.found:
        return [*found, f"Of {record.cues.num_tested:,} features none goes with the label beyond 10 points."]
    first = record.cues.found[0]
    more = f", and {len(record.cues.found) - 1} more" if len(record.cues.found) > 1 else ""
    return [*found, f"{first.name} in the {first.where} goes with {first.goes_with}: {share_of(first)}{more}."]


def share_of(cue: Cue) -> str:
    """Words how often a cue is with its label."""
    if cue.information is None:
        return f"rank correlation {cue.share:+.2f} [{cue.low:+.2f}, {cue.high:+.2f}] over {cue.n:,} texts with it"
    return (
        f"{cue.hits:,.0f} of {cue.n:,}, {cue.share:.0%} [{cue.low:.0%}, {cue.high:.0%}], where {cue.expected:.0%} "
        "would be no cue"
    )


def effect_of(cue: Cue) -> str:
    """Words the effect of a cue."""
    return f"{cue.effect:+.2f}" if cue.information is None else in_points(cue.effect)


def in_points(effect: float) -> str:
    """Writes a difference of shares, or a correlation, in hundredths.

    Example:
        >>> in_points(0.3721)
        '+37'
    """
    return f"{100 * effect:+.0f}"


def by_length(cues: Cues) -> str:
    """Says how many features were tested, and how many go with length."""
    tested = "feature was" if cues.num_tested == 1 else "features were"
    text = f"{cues.num_tested:,} {tested} tested, in {cues.unit}; the false discovery rate is 5 %."
    if cues.num_by_length:
        text += (
            f" {cues.num_by_length:,} more pass alone, and not where texts of similar length are compared: they go "
            "with length."
        )
    return text


def mask_sentence(mask: MaskFinding) -> str:
    """Says how well the gold can be told from a text that should not give it away."""
    text = (
        f"A linear model of the words and word pairs of `{mask.column}` tells {mask.accuracy:.1%} "
        f"[{mask.low:.1%}, {mask.high:.1%}] of {mask.n:,} golds right, of {mask.classes} different ones; with golds "
        f"permuted it tells {mask.permuted:.1%} in the mean, {mask.permuted_most:.1%} at most of {PERMUTATIONS} times."
    )
    if not mask.leaks:
        return f"{text} So it does not give the gold away, to such a model."
    return f"{text} So it gives the gold away: {'; '.join(mask.phrases)}."


def pairs_sentence(found: AttributeFinding) -> str:
    """Says which values are rarely seen together, and what the groups are."""
    columns = " and ".join(f"`{name}`" for name in found.columns)
    text = f"Of {found.num_frequent:,} pairs of frequent values of {columns}, over {found.n:,} different rows, "
    if not found.num_rare:
        return f"{text}none is seen together half as often as chance has it or less."
    unseen = f" ({found.num_unseen:,} of them never)" if found.num_unseen else ""
    text += f"{found.num_rare:,} are seen together half as often as chance has it or less{unseen}: "
    text += "; ".join(
        f"{each.first} with {each.second} in {each.n:,} rows where {each.expected:.1f} would be chance"
        for each in found.rare[:SHOWN]
    )
    text += (
        f". Rows with such a pair are the group `{COUNTER}` ({found.counter:,}), and as many are drawn whose pairs "
        f"are no rarer than chance for `{COMMON}` ({found.common:,})."
    )
    if found.num_unseen:
        text += " For pairs that no row has, write rows and their answers: a label of another row would be a guess."
    return text


def traces_sentence(found: TraceFinding) -> str:
    """Says what was scored."""
    return (
        f"`{found.model}` read {found.n:,} traces of {found.num_tokens:,} tokens. NLL is the negative log-likelihood "
        "of a token in nats, in the mean over a trace: the lower, the more it is what the model would write itself. "
        "Nothing is left out for it."
    )


def trace_cells(group: GroupScore) -> tuple[str, ...]:
    """Writes a row of the table of traces."""
    interval = "" if group.low is None else f" [{group.low:.2f}, {group.high:.2f}]"
    middle = group.worst_step[QUANTILES.index(50)]
    quantiles = (f"{each:.2f}" for each in group.quantiles)
    return group.group, f"{group.n:,}", f"{group.mean:.2f}{interval}", *quantiles, f"{middle:.2f}"
