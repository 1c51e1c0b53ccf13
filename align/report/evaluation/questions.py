"""Policies that were asked multiple-choice questions, on the page: verdict, verifiers, and questions side by side."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from align.evaluation.record import Record
from align.evaluation.record.details import AttemptsRule, BestOfN, ModelAudit, OfDifficulty, Optimum, ThresholdRule
from align.evaluation.record.record import AskingProfile, PairedAnswers, among_all
from align.evaluation.statistics.metrics import Estimate
from align.report.charts.axis import format_number
from align.report.charts.curve import Curve, draw_curves
from align.report.charts.drawing import NUM_COLOURS, Chart
from align.report.evaluation.items import Row as ItemRow
from align.report.evaluation.items import count, cut, note_items, pick_outcomes
from align.report.evaluation.measured import Cells, Numbers, curve_of, known, verdicts
from align.report.evaluation.view import SUITES, EvaluationView, Grid, Item, Option, Section, Side
from align.report.run.finding import Finding, percent
from align.report.run.tables import MetricTable, Row

# The headline: is it better, and for the right reason? Where a suite was not run its rows are missing.
_HEADLINE = (
    "accuracy", "set_accuracy", "worst_group", "counter_drop", "rotation_robust_accuracy",
    "option_shuffle_consistency", "trace_answer_consistency", "cr_wa", "trace_reliance", "modality_reliance/no_images",
    "modality_reliance/other_images", "modality_reliance/shuffled_frames",
    "letter_or_answer_in_trace", "letter_bias", "answered",
)  # fmt: skip
_VERDICTS = ("accuracy", "option_shuffle_consistency", "trace_reliance", "modality_reliance/no_images")
_SHARES_OF_OTHERS = ("acc", "acc_norm", "exact_match")
_HALF = 0.5
_WIDE = 0.05  # half an interval around a difference
_LETTER, _LETTER_GAP = "letter_share/", 0.1  # total variation between the letters answered and those of the gold
_OTHER_TRACES = {
    "none_choice": "without a trace",
    "other_choice": "from another item's trace",
    "masked_choice": "with the answer masked",
    "corrupted_100_choice": "from a corrupted trace",
    "corrupted_numbers_choice": "with other numbers",
    "corrupted_steps_choice": "with others' steps",
    "corrupted_order_choice": "with steps in another order",
}
_OTHER_IMAGES = {
    "no_images": "without images",
    "other_images": "with another item's images",
    "blank_images": "with blank images",
    "shuffled_frames": "with shuffled frames",
}


def of_questions(path: Path, record: Record, numbers: Numbers) -> EvaluationView:
    """Arranges what the page has of its own."""
    about, picked = record.about, pick_items(path, numbers.names, record)
    told = {metric: numbers.words.label(metric) for metric in _VERDICTS if numbers.of_first(metric) is not None}
    profile = about.profile
    return EvaluationView(
        noun="questions",
        main=_present(record, numbers.values),
        shares=_shares(record),
        verdict=verdicts(numbers, told, told, record.paired, _changes),
        findings=find_problems(about.data.questions, numbers.values, numbers.differences),
        facts={
            "Options that may not be moved": str(about.data.unshufflable),
            "Shuffles per question": str(profile.num_shuffles if profile else 0),
            "Suites": ", ".join(about.suites),
        },
        details={"Prompt": _prompt(profile)} if profile else {},
        sections=[*best_of_n_section(record.curves), *audit_sections(record.audits)],
        items=picked,
        items_note=note_items(
            picked,
            "item",
            record.paired,
            "those whose answers change when the options are reordered, then wrong and right ones",
        ),
    )


def pick_items(path: Path, models: Sequence[str], record: Record) -> list[Item]:
    """Picks questions: won, lost, with answers that change with the order of the options, wrong, right."""
    return pick_outcomes(path, models, record.paired, _item, needs=("correct",))


def _present(record: Record, values: Cells) -> list[str]:
    """Lists the headline's metrics that were measured; of other suites the first metric stands for all."""
    measured = {metric for cells in values.values() for metric, cell in cells.items() if cell is not None}
    firsts = [
        next((among_all(name, metric) for cells in suite.values() for metric in cells), "")
        for name, suite in record.suites.items()
        if name not in SUITES
    ]
    return [metric for metric in (*_HEADLINE, *firsts) if metric in measured]


def _shares(record: Record) -> set[str]:
    """Lists the metrics that are shares, or differences of shares; of another harness's those that count rows."""
    return {
        name
        for suite, by_model in record.suites.items()
        for cells in by_model.values()
        for metric in cells
        if (metric.partition("/")[0] in _SHARES_OF_OTHERS if suite not in SUITES else not metric.endswith("/proxy"))
        for name in (metric, among_all(suite, metric))
    }


def _changes(pair: PairedAnswers) -> str:
    p = pair.mcnemar_p
    test = "" if p is None else f" (McNemar p {'below 0.001' if p < 0.001 else f'= {p:.3f}'})"
    return f", {count(len(pair.wins), 'item')} won and {len(pair.losses):,} lost{test}"


def find_problems(questions: int, values: Cells, differences: Cells) -> Iterator[Finding]:
    """Says what the numbers leave open."""
    for pair, cells in differences.items():
        cell = cells.get("accuracy")
        half = 0.0 if cell is None or cell.verdict() else (cell.high - cell.low) / 2
        if cell is not None and half > _WIDE:
            needed = questions * (half / _WIDE) ** 2
            step = 10 if needed < 1000 else 100
            yield Finding(
                f"{pair}: the interval is too wide to say anything ({100 * cell.low:+.0f} to {100 * cell.high:+.0f} "
                "points)",
                f"It contains both no difference and a large one. About {math.ceil(needed / step) * step:,} questions "
                f"would narrow it to {100 * _WIDE:.0f} points on each side.",
            )
    for name, measured in values.items():
        leak, gap = (measured.get(metric) for metric in ("letter_or_answer_in_trace", "letter_bias"))
        if leak is not None and leak.low > _HALF:
            yield Finding(
                f"{name}: {percent(leak)} of traces give the answer away",
                "They name its letter or quote it. A second answer from such a trace reads it off, so consistency "
                "says little about reasoning; read the answers from masked and corrupted traces.",
            )
        shares = {metric[-1]: cell for metric, cell in measured.items() if cell and metric.startswith(_LETTER)}
        favoured = {letter: cell for letter, cell in shares.items() if cell.low > 1 / len(shares)}
        if gap is not None and gap.low > _LETTER_GAP and favoured:
            letter = max(favoured, key=lambda each: favoured[each])
            yield Finding(
                f"{name}: {percent(gap)} of answers would have to move for their letters to match the gold's",
                f"The policy prefers a place among the options: {percent(favoured[letter])} of its answers are "
                f"{letter}. Read the accuracy in every rotation, not the plain one.",
            )


def _prompt(profile: AskingProfile) -> str:
    parts = [f"System: {profile.system_prompt}"] if profile.system_prompt else []
    tags = f"Tags: <{profile.think_tag}> and <{profile.answer_tag}>."
    template = "With the model's chat template." if profile.conversational else "Without a chat template."
    parts += [profile.prompt_template or "(the default prompt)", f"{tags} {template}"]
    return "\n\n".join(parts)


def _item(by_model: Mapping[str, Sequence[ItemRow]]) -> Item:
    firsts = {model: rows[0] for model, rows in by_model.items()}
    row = next(iter(firsts.values()))
    options = [Option(_letter(place), cut(text), place == row["gold"]) for place, text in enumerate(row["options"])]
    return Item(cut(row["question"]), [_side(model, each) for model, each in firsts.items()], options)


def _side(model: str, row: ItemRow) -> Side:
    first, seconds = row.get("first_choice"), row.get("second_choices")
    facts = {"first answer": _letter(first)}
    for order, choice in zip(row.get("permutations") or [], seconds or [], strict=False):
        kept = "no answer" if choice is None else "the same" if choice == first else _letter(choice)
        facts[f"shown as {' '.join(map(_letter, order))}"] = kept
    if seconds is None and row.get("permutations"):
        facts["after shuffles"] = "not asked: no trace or no answer"
    if row.get("trace_choice") is not None:
        facts["trace states"] = _letter(row["trace_choice"])
    facts |= {label: _letter(row[key]) for key, label in _OTHER_TRACES.items() if row.get(key) is not None}
    asked_with = row.get("asked_with") or ()
    facts |= {label: _letter(row.get(f"{key}_choice")) for key, label in _OTHER_IMAGES.items() if key in asked_with}
    if row.get("rotation_choices") is not None:
        facts["right in rotations"] = (
            f"{sum(c == row['gold'] for c in row['rotation_choices'])} of {len(row['rotation_choices'])}"
        )
    if row.get("proxy") is not None:
        facts["verifier"] = f"{row['proxy']:.2f}" + (
            "" if row.get("accepted") is None else ", accepted" if row["accepted"] else ", refused"
        )
    is_split = any(choice != first for choice in seconds or [])
    return Side(model, bool(row["correct"]), facts, cut(row.get("trace")), cut(row.get("completion")), is_split)


def _letter(choice: float | None) -> str:
    """Writes a choice; a column with missing answers may hold its integers as floats."""
    return "none" if choice is None or choice != choice else chr(ord("A") + int(choice))


def best_of_n_section(curves: Sequence[BestOfN]) -> list[Section]:
    """Draws the true quality of what a verifier chooses from n, that of the best there is, and what it thinks."""
    if not curves:
        return []
    quality: list[Curve] = []
    proxy: list[Curve] = []
    for number, row in enumerate(curves):
        colour = number % NUM_COLOURS
        quality += curve_of(f"{row.model}, chosen", [(each.n, each.gold) for each in row.points], colour)
        best = [(each.n, each.oracle) for each in row.points]
        quality += curve_of(f"{row.model}, best there is", best, colour, dashed=True)
        proxy += curve_of(row.model, [(each.n, each.proxy) for each in row.points], colour)
    charts = []
    if quality:
        note = "Where the solid line bends down while the proxy still rises, the verifier is being exploited."
        charts.append(draw_curves("True quality of the best of n", note, quality, "samples chosen from", share=True))
    if proxy:
        note = "The verifier's own score of what it chose; it can only rise."
        charts.append(draw_curves("Proxy: what the verifier thinks", note, proxy, "samples chosen from", share=False))
    note = "From one pool of samples per question, over all subsets of n: no further sampling noise."
    return [Section("Best of n: proxy against gold", note, charts)]


Part = tuple[str, str, Estimate, str]  # label, meaning, estimate, which side is better
Word = tuple[str, str]  # label and text


def _of_audits(
    title: str,
    note: str,
    audits: Sequence[ModelAudit],
    parts: Callable[[ModelAudit], Sequence[Part]],
    counted: str,
    words: Callable[[ModelAudit], Sequence[Word]],
    charts: Sequence[Chart] = (),
) -> list[Section]:
    """Arranges parts of audits by label as a table, and words as a grid; nothing where no audit has a part."""
    columns = [f"{row.model}: {row.verifier}" for row in audits]
    found = [{(label, meaning, better): cell for label, meaning, cell, better in parts(row)} for row in audits]
    rows = [
        Row(*key[:2], [known(each[key]) if key in each else None for each in found], key[2])
        for key in dict.fromkeys(key for each in found for key in each)
    ]
    if not rows:
        return []
    said = [dict(words(row)) for row in audits]
    lines = [
        [label, *(each.get(label, "") for each in said)] for label in dict.fromkeys(k for each in said for k in each)
    ]
    grids = [Grid([counted, *columns], lines)] if lines else []
    return [Section(title, note, charts, MetricTable(columns, rows, len(columns)), grids)]


def audit_sections(audits: Sequence[ModelAudit]) -> list[Section]:
    """Tabulates how far a verifier can be trusted, by difficulty of the questions too, and when to answer at all."""
    return [*_trust(audits), *_by_difficulty(audits), *_when_to_answer(audits)]


def _trust(audits: Sequence[ModelAudit]) -> list[Section]:
    charts = [
        draw_curves(
            f"Utility of repeated attempts, {row.model}: {row.verifier}",
            "Expected worth of answering: 1 for a right answer that is accepted, minus the cost for a wrong one.",
            lines,
            "attempts at most",
            share=False,
        )
        for row in audits
        if (lines := _utilities(row))
    ]
    note = "Repeated attempts until the verifier accepts one. Its false positives cap what sampling can reach."
    return _of_audits(
        "Audit of the verifier",
        note,
        audits,
        lambda audit: [
            ("Attempts that are right", "before the verifier looks at them", audit.prior, ""),
            ("Attempts accepted", "the part that the verifier lets through", audit.accepted, ""),
            ("Right attempts accepted", "true-positive rate", audit.true_positive_rate, ""),
            ("Wrong attempts accepted", "false-positive rate", audit.false_positive_rate, ""),
            ("Ceiling", "accuracy of accepted answers however many attempts are made", audit.ceiling, ""),
        ],
        "Cost of a false positive",
        lambda audit: [(f"{best.cost:g}", _optimum(best)) for best in audit.optimal_attempts],
        charts,
    )


def _utilities(row: ModelAudit) -> list[Curve]:
    lines: list[Curve] = []
    for colour, line in enumerate(row.utility[:NUM_COLOURS]):
        worth = zip(line.attempts, line.utility, strict=True)
        lines += curve_of(
            f"cost {line.cost:g}", [(n, Estimate(each, math.nan, math.nan, 0)) for n, each in worth], colour
        )
    return lines


def _optimum(best: Optimum) -> str:
    if best.attempts == 0:
        return "do not answer"
    worth = "" if best.utility is None else f", worth {format_number(best.utility)}"
    return f"as many as can be paid{worth}" if best.attempts is None else f"{best.attempts} attempts{worth}"


def _by_difficulty(audits: Sequence[ModelAudit]) -> list[Section]:
    note = (
        "Questions by how many of their samples are right; intervals are over questions. Where a verifier accepts "
        "much of what is wrong on hard questions, more attempts there bring wrong answers."
    )
    return _of_audits(
        "The verifier by difficulty",
        note,
        audits,
        lambda audit: [
            *((name_difficulty(each), "wrong attempts accepted", each.false_positive_rate, "")
              for each in audit.by_difficulty),
            *((name_difficulty(each), "right attempts accepted", each.true_positive_rate, "")
              for each in audit.by_difficulty),
        ],
        "Questions",
        lambda audit: [(name_difficulty(each), f"{each.questions:,}") for each in audit.by_difficulty],
    )  # fmt: skip


def _when_to_answer(audits: Sequence[ModelAudit]) -> list[Section]:
    note = (
        "Answer only what the verifier accepts, else abstain. A threshold is set on one random half of the questions, "
        "as the lowest with the precision asked for, and measured on the other half."
    )

    def rules(audit: ModelAudit) -> Iterator[Part]:
        found: list[tuple[str, AttemptsRule | ThresholdRule]] = [*_precise(audit)]
        found[:0] = [(f"first accepted of {each.attempts:,}", each) for each in audit.if_accepted]
        for label, rule in found:
            yield label, "questions answered", rule.coverage, ""
            yield label, "of these, right", rule.accuracy, "higher"

    return _of_audits(
        "When to answer",
        note,
        audits,
        lambda audit: list(rules(audit)),
        "Threshold",
        lambda audit: [(label, say_threshold(each.threshold)) for label, each in _precise(audit)],
    )


def _precise(audit: ModelAudit) -> list[tuple[str, ThresholdRule]]:
    return [(f"best score, for precision {each.precision:g}", each) for each in audit.above_threshold]


def name_difficulty(part: OfDifficulty) -> str:
    """Names a bin of questions.

    Example:
        >>> rates = {"true_positive_rate": [0.5, 0.1, 0.9, 3], "false_positive_rate": [0.2, 0.1, 0.9, 3]}
        >>> name_difficulty(OfDifficulty(above=0.25, up_to=0.5, questions=3, **rates))
        'over 25 to 50 % right'
    """
    if part.above == part.up_to:
        return "all right" if part.up_to == 1 else "none right"
    upper = "under 100" if part.up_to == 1 else f"{100 * part.up_to:g}"
    return f"over {100 * part.above:g} to {upper} % right"


def say_threshold(threshold: float | None) -> str:
    """Writes a threshold."""
    return "no score reaches it" if threshold is None else f"from {format_number(threshold)}"
