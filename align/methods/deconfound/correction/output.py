"""The folder of a correction, written whole, file by file; and preference pairs from corrected rewards."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align.data.tables.observations import ObservationReader, Observations, Values
from align.errors import DataError, RunFolderError, UserError
from align.markdown import render
from align.methods.deconfound.correction.fitting import apply
from align.runs.disk_space import check_writable
from align.secrets import mask
from align.whole_files import object_in, whole_file, write_whole
from rewards.correction import Correction

if TYPE_CHECKING:
    import pyarrow as pa


TABLE_FILE, CORRECTION_FILE, DIAGNOSTICS_FILE = "corrected.parquet", "correction.json", "diagnostics.json"
CARD_FILE, PAGE_FILE = "README.md", "report.html"
UNFINISHED = "unfinished.json"  # the command that writes the folder, until it is whole
REWARD = "reward"


def goes_on(folder: Path, command: Mapping[str, Any]) -> bool:
    """Tells whether a folder holds what the same command left when it was ended; refuses one that holds anything else.

    Raises `RunFolderError` if the folder cannot be made, too.
    """
    known = object_in(folder / UNFINISHED)
    if known and known == json.loads(json.dumps(mask(command))):
        return True
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "holds what another command left unfinished" if known else "holds something"
        what = what if folder.is_dir() else "is a file"
        raise RunFolderError(f"{folder} {what}. Choose a new folder with `--out`. Nothing was written.")
    check_writable(folder, "--out")
    return False


def begin(folder: Path, command: Mapping[str, Any]) -> None:
    """Says which command writes into a folder, so that a repeat goes on, and removes drafts of one that was killed."""
    write_json(folder / UNFINISHED, command)
    for name in (TABLE_FILE, CORRECTION_FILE, DIAGNOSTICS_FILE, CARD_FILE, PAGE_FILE):
        for draft in folder.glob(f".{name}.*"):
            draft.unlink()


def finish(folder: Path) -> None:
    """Says that the folder is whole."""
    (folder / UNFINISHED).unlink(missing_ok=True)


def write_corrected(folder: Path, reader: ObservationReader, correction: Correction) -> int:
    """Writes every complete row with its `reward`, texts that stand for numbers as numbers; returns how many."""
    import pyarrow.parquet as parquet

    if REWARD in reader.table.names:
        raise DataError(f"{reader.table.path} has a column {REWARD!r} already, which is to be written. Rename it.")
    writer, num_rows = None, 0
    with whole_file(folder / TABLE_FILE) as draft:
        try:
            for batch, rows in reader.read_with_batches():
                whole = _with_reward(batch, rows, reader.roles.outcome, correction)
                writer = writer or parquet.ParquetWriter(draft, whole.schema)
                writer.write_batch(whole)
                num_rows += len(whole)
        finally:
            if writer is not None:
                writer.close()
    return num_rows


def write_json(file: Path, content: Any) -> None:
    """Writes a JSON file."""
    text = json.dumps(mask(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(file, text, errors="replace")


def write_card(folder: Path, correction: Correction, facts: Mapping[str, str], notes: Sequence[str]) -> None:
    """Writes README.md: what the table is, in Markdown that the hub shows."""
    values = {
        "name": folder.resolve().name,
        "correction": correction,
        "facts": mask(facts),
        "warnings": mask([*correction.warnings, *notes]),
    }
    package = "align.methods.deconfound.correction"
    page = render(package, "card.md.j2", values, trim_blocks=True, lstrip_blocks=True)
    write_whole(folder / CARD_FILE, page + "\n", errors="replace")


def _with_reward(
    batch: "pa.RecordBatch", rows: Observations, outcome: str, correction: Correction
) -> "pa.RecordBatch":
    import pyarrow as pa

    numbers = {outcome: rows.outcome} | rows.confounders | rows.instruments
    columns = {name: batch.column(name) for name in batch.schema.names}
    for name, column in columns.items():
        if pa.types.is_string(column.type) and name in numbers and name not in rows.units:
            columns[name] = pa.array(numbers[name])
    return pa.RecordBatch.from_pydict(columns | {REWARD: pa.array(apply(correction, rows))})


PER_PROMPT = 4
MOST_TEXTS = 200  # of a prompt, that pairs are drawn from


@dataclass(frozen=True)
class DrawnPairs:
    """Pairs, and what happened to the prompts."""

    pairs: list[dict[str, Any]]
    num_prompts: int
    num_alone: int  # prompts with one text only
    num_close: int  # prompts whose texts do not differ by the margin


PAIRS_NEED = "`--pairs` needs the texts and what they answer: name `--text`, and `--prompt` or `--groups`."


def sample_pairs(
    rows: Observations, reward: Values, margin: float, *, per_prompt: int = PER_PROMPT, seed: int = 0
) -> DrawnPairs:
    """Draws pairs of texts whose rewards `(N,)` differ by a margin, within prompts or, without prompts, groups.

    The draw of a prompt depends on the seed and the prompt alone. A text that was observed several times counts once,
    with its mean reward. The margin is in units of the outcome; the label of a group becomes the prompt where there is
    none.
    """
    labels = rows.groups if rows.prompt is None else rows.prompt
    if rows.text is None or labels is None:
        raise UserError(PAIRS_NEED)
    if not margin >= 0:
        raise UserError(f"`margin` must be 0 or more, got {margin}.")
    worth: dict[str, dict[str, list[float]]] = {}
    for label, text, value in zip(labels.tolist(), rows.text.tolist(), reward.tolist(), strict=True):
        worth.setdefault(label, {}).setdefault(text, []).append(value)
    pairs: list[dict[str, Any]] = []
    num_alone = num_close = 0
    for label, texts in worth.items():
        means = {text: sum(values) / len(values) for text, values in texts.items()}
        found = _pairs_of(label, means, margin, per_prompt, random.Random(f"{seed}/{label}"))
        pairs += [{"id": f"pair-{len(pairs) + number}"} | pair for number, pair in enumerate(found)]
        num_alone += len(means) == 1
        num_close += len(means) > 1 and not found
    return DrawnPairs(pairs, len(worth), num_alone, num_close)


def _pairs_of(
    prompt: str, means: dict[str, float], margin: float, limit: int, rng: random.Random
) -> list[dict[str, Any]]:
    texts = sorted(means)
    order = sorted(rng.sample(texts, min(MOST_TEXTS, len(texts))), key=lambda text: (-means[text], text))
    different = [
        (chosen, rejected)
        for place, chosen in enumerate(order)
        for rejected in order[place + 1 :]
        if means[chosen] - means[rejected] >= margin and means[chosen] > means[rejected]
        and chosen.strip() != rejected.strip()
    ]  # fmt: skip
    return [
        {
            "prompt": prompt,
            "chosen": chosen,
            "rejected": rejected,
            "chosen_reward": means[chosen],
            "rejected_reward": means[rejected],
            "reward_gap": means[chosen] - means[rejected],
        }
        for chosen, rejected in rng.sample(different, min(limit, len(different)))
    ]
