"""Rows of which one becomes several: in each wording, and perturbed, next to each other."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from align.data.row_templates import OPTIONS, RowTemplate
from align.data.training_data import Rows
from align.errors import DataError
from rewards.scoring.families import asked_text, changed_text
from rewards.scoring.perturbations import ORIGINAL, perturbed_rows

ORIGIN = "origin"  # names the row that a row was made of
FAMILY = "family"  # `original`, or what it was perturbed by
WRITTEN = (ORIGIN, FAMILY, "permutation")


def word_in_turn(rows: Rows, template: RowTemplate) -> Rows:
    """Asks each row in every wording of a template; `origin` names the row, whose id the first of them keeps."""
    _check_free(rows, (ORIGIN,), "prompt_template")
    return [
        row
        | {"id": row["id"] if number == 0 else f"{row['id']}/wording_{number + 1}", ORIGIN: row["id"]}
        | {"prompt": template.render(row, number)}
        for row in rows
        for number in range(len(template.wordings))
    ]


def perturb_rows(
    rows: Rows, families: Sequence[str], template: RowTemplate | None, *, seed: int = 0
) -> tuple[Rows, Counter[str]]:
    """Puts versions of each row behind it, by `rewards.perturbed_rows`; counts the rows that a family cannot change.

    What a template words as {question} and {options} is perturbed; of other rows the prompt is, or its last message of
    the user. A row that some family cannot change is left out, so that all become as many. Rows get the columns
    `origin`, `family` and `permutation`; without families each is only named as an original.
    """
    _check_free(rows, WRITTEN, "perturb")
    if not families:
        return [row | {ORIGIN: row["id"], FAMILY: ORIGINAL, "permutation": None} for row in rows], Counter()
    made: list[dict[str, Any]] = []
    unchanged: Counter[str] = Counter()
    for row in rows:
        versions, left_out = _perturb(row, families, template, seed)
        made += versions
        unchanged.update(left_out)
    if not made:
        family = unchanged.most_common(1)[0][0]
        raise DataError(
            f"`dataset.perturb`: `{family}` changes {len(rows) - unchanged[family]} of {len(rows)} rows, and no row "
            "is left that all of its families change. `option_order` and `misleading_hint` need rows with `question` "
            "and `options`, and a `prompt_template` with {question} and {options}; `whitespace` needs a text of one "
            "paragraph. Name other families."
        )
    return made, +unchanged


def _perturb(
    row: dict[str, Any], families: Sequence[str], template: RowTemplate | None, seed: int
) -> tuple[Rows, Mapping[str, int]]:
    changed: tuple[str, ...] = ("id", "prompt", *WRITTEN)
    text: str | None
    if template is not None and "question" in template.columns:
        changed += ("question",)
        text, options = str(row["question"]), row[OPTIONS] if OPTIONS in template.columns else None
    else:
        text, options = asked_text(row["prompt"]), None
    if text is None:
        return [], dict.fromkeys(families, 1)
    if options is not None:
        changed += (OPTIONS, "answer")

    def render(question: str, shown: Any) -> Any:
        if template is None or "question" not in changed:
            return changed_text(row["prompt"], question)
        return template.render(row | {"question": question, OPTIONS: shown})

    asked = {"id": row["id"], "question": text, OPTIONS: options, "answer": row.get("answer")}
    versions, left_out = perturbed_rows([asked], render, families, seed=seed)
    whole = row | {"permutation": None}
    return [whole | {name: each[name] for name in changed if name in each} for each in versions], left_out


def _check_free(rows: Rows, names: Sequence[str], key: str) -> None:
    taken = next((name for name in names if rows and name in rows[0]), None)
    if taken is not None:
        raise DataError(
            f"`dataset.{key}` makes the column `{taken}`, and the rows already have one. Rename it there, or leave "
            "the key out if the rows are versions already."
        )
