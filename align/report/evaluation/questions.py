"""Policies that were asked multiple-choice questions, on the page: verdict, verifiers, and questions side by side."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from align.evaluation.record import Record
from align.evaluation.record.record import AskingProfile
from align.report.charts.curve import Curve, draw_curves
from align.report.evaluation.items import Row as ItemRow
from align.report.evaluation.items import cut, note_items, pick_outcomes
from align.report.evaluation.measured import Cells, Numbers, best_of, curve_of, verdicts
from align.report.evaluation.view import EvaluationView, Item, Option, Section, Side
from align.report.run.finding import Finding, percent

# The headline: is it better, and for the right reason? Where a suite was not run its rows are missing.
_HEADLINE = (
    "accuracy", "set_accuracy", "worst_group", "rotation_robust_accuracy",
    "option_shuffle_consistency", "trace_answer_consistency", "cr_wa", "trace_reliance", "modality_reliance/no_images",
    "modality_reliance/other_images", "modality_reliance/shuffled_frames",
    "letter_or_answer_in_trace", "letter_bias", "answered",
)  # fmt: skip
_VERDICTS = ("accuracy", "option_shuffle_consistency", "trace_reliance", "modality_reliance/no_images")
_HALF = 0.5
_WIDE = 0.05  # half an interval around a difference
_LETTER, _LETTER_GAP = "letter_share/", 0.1  # total variation between the letters answered and those of the gold
_OTHER_TRACES = {
    "none_choice": "without a trace",
    "other_choice": "from another item's trace",
    "masked_choice": "with the answer masked",
    "corrupted_100_choice": "from a corrupted trace",
}
_OTHER_IMAGES = {
    "no_images": "without images",
    "other_images": "with another item's images",
    "blank_images": "with blank images",
    "shuffled_frames": "with shuffled frames",
}


def of_questions(path: Path, record: Record, numbers: Numbers) -> EvaluationView:
    """Arranges what the page has of its own."""
    about, picked = record.about, pick_outcomes(path, numbers.names, record.paired, question_item, needs=("correct",))
    told = {metric: numbers.words.label(metric) for metric in _VERDICTS if numbers.of_first(metric) is not None}
    measured = {metric for cells in numbers.values.values() for metric, cell in cells.items() if cell is not None}
    profile = about.profile
    return EvaluationView(
        noun="questions",
        main=[metric for metric in _HEADLINE if metric in measured],
        shares={metric for metric in measured if not metric.endswith("/proxy")},  # and differences of shares
        verdict=verdicts(numbers, told, told, record.paired),
        findings=find_problems(numbers.values),
        few=list(too_few(about.data.questions, numbers.differences)),
        facts={
            "Options that may not be moved": str(about.data.unshufflable),
            "Shuffles per question": str(profile.num_shuffles if profile else 0),
            "Suites": ", ".join(about.suites),
        },
        details={"Prompt": _prompt(profile)} if profile else {},
        sections=best_of_n_section(numbers),
        items=picked,
        items_note=note_items(
            picked,
            "item",
            record.paired,
            "those whose answers change when the options are reordered, then wrong and right ones",
        ),
    )


def too_few(questions: int, differences: Cells) -> Iterator[str]:
    """Says which intervals hold no difference and a large one, and how many questions would narrow them."""
    for pair, cells in differences.items():
        cell = cells.get("accuracy")
        half = 0.0 if cell is None or cell.verdict() else (cell.high - cell.low) / 2
        if cell is not None and half > _WIDE:
            needed = questions * (half / _WIDE) ** 2
            step = 10 if needed < 1000 else 100
            yield (
                f"{pair}: the interval holds no difference and a large one ({100 * cell.low:+.0f} to "
                f"{100 * cell.high:+.0f} points). About {math.ceil(needed / step) * step:,} questions would narrow it "
                f"to {100 * _WIDE:.0f} points on each side."
            )


def find_problems(values: Cells) -> Iterator[Finding]:
    """Says what the numbers leave open."""
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


def question_item(by_model: Mapping[str, Sequence[ItemRow]]) -> Item:
    """Shows one question with what each model answered."""
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
        facts["verifier"] = f"{row['proxy']:.2f}"
    is_split = any(choice != first for choice in seconds or [])
    return Side(model, bool(row["correct"]), facts, cut(row.get("trace")), cut(row.get("completion")), is_split)


def _letter(choice: float | None) -> str:
    """Writes a choice; a column with missing answers may hold its integers as floats."""
    return "none" if choice is None or choice != choice else chr(ord("A") + int(choice))


def best_of_n_section(numbers: Numbers) -> list[Section]:
    """Draws the true quality of what a verifier chooses from n, that of the best there is, and what it thinks."""
    quality: list[Curve] = []
    proxy: list[Curve] = []
    for colour, (name, cells) in enumerate(numbers.values.items()):
        quality += curve_of(f"{name}, chosen", best_of(cells), colour)
        quality += curve_of(f"{name}, best there is", best_of(cells, "/oracle"), colour, dashed=True)
        proxy += curve_of(name, best_of(cells, "/proxy"), colour)
    if not quality:
        return []
    note = "Where the solid line bends down while the proxy still rises, the verifier is being exploited."
    charts = [draw_curves("True quality of the best of n", note, quality, "samples chosen from", share=True)]
    if proxy:
        note = "The verifier's own score of what it chose; it can only rise."
        charts.append(draw_curves("Proxy: what the verifier thinks", note, proxy, "samples chosen from"))
    note = "From one pool of samples per question, over all subsets of n: no further sampling noise."
    return [Section("Best of n: proxy against gold", note, charts)]
