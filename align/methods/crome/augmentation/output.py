"""What a run leaves: the pairs, what could not be made with its reasons, the rubrics, and a card."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from align.data.problems import DataReport
from align.methods.crome.augmentation.family import Family
from align.methods.crome.augmentation.run import Tokens
from align.methods.crome.augmentation.settings import CromeSettings
from align.methods.pairs.augmentation.folder import LEFT_OUT_FILE, describe_data, describe_file, write_folder

RUBRICS_FILE = "rubrics.jsonl"


def describe_run(
    settings: CromeSettings, generator: str, report: DataReport, rules: Path | None = None
) -> dict[str, Any]:
    """Lists what decides the pairs of a run; rules are told apart by their content."""
    described = {"method": "crome", "generator": generator, "data": describe_data(report.file), **asdict(settings)}
    if not settings.phrases:
        described = {name: value for name, value in described.items() if name not in ("phrases", "position")}
    if rules is None:
        return described
    of_a_model = ("temperature", "top_p", "max_new_tokens")
    return {k: v for k, v in described.items() if k not in of_a_model} | {"rules": describe_file(rules)}


def build_card(
    families: Sequence[Family], tokens: Tokens, report: DataReport, run: Mapping[str, Any]
) -> dict[str, Any]:
    """Counts what came out and records what it was made from."""
    made, missing = Counter[str](), defaultdict[str, Counter[str]](Counter)
    for family in families:
        made.update(row["source"] for row in family.rows)
        for each in family.left_out:
            missing[each.source][each.reason] += 1
    new = [row for family in families for row in family.rows if row["id"] != row["origin"]]
    return {
        "truealign": version("truealign"),
        "run": dict(run),
        "counts": {
            "rows_read": report.num_read,
            "bad_rows": len(report.problems),
            "originals": len(families),
            "new_pairs": len(new),
            "edited_pairs": made["upgrade"] + made["degrade"],
            "ties": sum(row["tie"] for row in new),
            "originals_without_edits": sum(not any(row["check"] for row in family.rows) for family in families),
            "left_out": sum(len(family.left_out) for family in families),
        },
        "sources": dict(made),
        "left_out": {source: dict(reasons.most_common()) for source, reasons in missing.items()},
        "bad_rows": report.reasons,
        "tokens": asdict(tokens),
    }


def write_output(folder: Path, families: Sequence[Family], card: Mapping[str, Any]) -> None:
    """Writes the files of a finished run, the pairs last."""
    others = {
        LEFT_OUT_FILE: [each._asdict() for family in families for each in family.left_out],
        RUBRICS_FILE: [_rubric_row(family) for family in families],
    }
    rows = [row for family in families for row in family.rows]
    write_folder(folder, rows, others, card, "crome/augmentation/card.md.j2")


def _rubric_row(family: Family) -> dict[str, Any]:
    attributes = [
        each.attribute.model_dump() | {"elements": [element.model_dump() for element in each.elements]}
        for each in family.profiles
    ]
    return {"origin": family.original.id, "attributes": attributes}
