import math
from collections.abc import Iterator, Sequence

from align.checks.finding import Finding
from align.checks.launch import Launch
from align.data.loading import Item
from align.data.problems import DataReport
from align.recipe.recipe import Recipe
from align.recipe.rules import rules_of

NAMED = 5  # rows named in a sentence
_SHOWN_REASONS = 3  # that a sentence about rows left out shows a row of


def check_counts(
    recipe: Recipe, report: DataReport, num_eval_rows: int, eval_report: DataReport | None = None
) -> list[Finding]:
    """Counts the rows that were read, and those left out with their reasons, of both files."""
    dataset = recipe.dataset
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in report.counts.items())
    findings = [Finding("ok", "data", f"{report.file}: {counts}.", dict(report.counts))]
    if getattr(dataset, "streaming", False):
        text = f"{report.file} is a stream: these are its first rows, and training checks and counts all as they come."
        findings.append(Finding("ok", "data", text))
    if report.problems:
        findings.append(_left_out(report, "rows"))
    reports = [report, *([eval_report] if eval_report is not None else [])]
    told = [*_idle(recipe, report), *(text for each in reports for text in each.unread)]
    findings += [Finding("warning", "data", text) for text in told]
    if num_eval_rows:
        findings.append(Finding("ok", "data", f"{dataset.eval_path}: {num_eval_rows} for evaluation."))
    if eval_report is not None and eval_report.problems:
        findings.append(_left_out(eval_report, "rows for evaluation"))
    return findings


def _idle(recipe: Recipe, report: DataReport) -> Iterator[str]:
    """Words each key that only columns feel of which no row says anything; adapters and streams may."""
    dataset, of_columns = recipe.dataset, rules_of(recipe.method).of_columns
    if getattr(dataset, "adapter", None) or getattr(dataset, "streaming", False):
        return
    of_dataset: dict[str, tuple[str, ...]] = getattr(dataset, "selects", {})
    for place, block, keys in (("dataset.", dataset, of_dataset), ("", recipe.settings, of_columns)):
        for key, columns in keys.items():
            value = getattr(block, key)
            if value != type(block).model_fields[key].default and not report.filled & {*columns}:
                shown = str(value).lower() if isinstance(value, bool) else value
                named = " or ".join(f"`{column}`" for column in columns)
                yield f"`{place}{key}: {shown}` does nothing: no row of {report.file} says anything in {named}."


def _left_out(report: DataReport, what: str) -> Finding:
    """Counts rows left out by reason, and shows the first of the most frequent reasons with its remedy."""
    reasons = "; ".join(f"{count} x {rule}" for rule, count in report.reasons.items())
    firsts = {problem.rule: str(problem) for problem in reversed(report.problems)}
    others = [firsts[rule] for rule in report.reasons if rule != report.problems[0].rule][: _SHOWN_REASONS - 1]
    shown = " Then: ".join([str(report.problems[0]), *others])
    text = f"{len(report.problems)} {what} are left out ({reasons}), of {report.num_read}. The first: {shown}"
    return Finding("warning", "data", text, report.reasons)


def name_rows(pairs: Sequence[Item]) -> str:
    """Lists the first rows with their ids."""
    return name_first([f"row {pair.row} ({pair.id})" for pair in pairs])


def name_first(names: Sequence[str]) -> str:
    """Lists the first names, and says how many more there are."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def check_rows(recipe: Recipe, launch: Launch, num_rows: int, name: str, detail: str, sequences: int) -> list[Finding]:
    """Says what one step is, of so many rows that are called `name`; `detail` follows their number."""
    settings = recipe.settings
    per_device, accumulation = int(settings.per_device_train_batch_size), int(settings.gradient_accumulation_steps)
    processes = launch.num_processes
    together, rows = per_device * processes, per_device * processes * accumulation
    dropped = recipe.settings.dataloader_drop_last
    batches = num_rows // together if dropped else math.ceil(num_rows / together)
    if batches == 0 and not getattr(recipe.dataset, "streaming", False):
        text = f"A batch of all devices is {together} {name}, the data has {num_rows}. Use a smaller one or more data."
        return [Finding("error", "batch", text)]
    steps = math.ceil(batches / accumulation)
    text = (
        f"One step: {per_device} per device x {processes} process{'es' if processes > 1 else ''} x {accumulation} "
        f"accumulation = {rows} {name}{detail}."
    )
    if getattr(recipe.dataset, "streaming", False):
        return [Finding("ok", "batch", text, {f"{name}_per_step": rows, "sequences_per_step": sequences * rows})]
    text += f" One pass over {num_rows} {name} takes {steps} step{'s' if steps > 1 else ''}."
    numbers = {f"{name}_per_step": rows, "sequences_per_step": sequences * rows, "steps_per_pass": steps}
    return [Finding("ok", "batch", text, numbers)]
