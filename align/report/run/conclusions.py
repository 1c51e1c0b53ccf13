"""What an evaluation of several runs says, in sentences that stand above everything else."""

from align.evaluation.record.models import ModelsRecord
from align.evaluation.statistics.glossary import explain
from align.report.run.tables import first_metric


def conclusions(evaluation: ModelsRecord) -> list[str]:
    """Says of each paired difference in the first metric on which side of 0 its 95 % interval lies, if on one.

    Example:
        >>> from align.evaluation.statistics.metrics import Estimate
        >>> less = {"accuracy": Estimate(-0.18, -0.22, -0.14, 1000)}
        >>> models = {"before": {"summary": {}}, "after": {"summary": {}, "difference_to": {"before": less}}}
        >>> conclusions(ModelsRecord.model_validate({"models": models}))
        ['`after` is below `before` in accuracy: -0.18 [-0.22, -0.14] on 1,000 items.']
    """
    found = []
    for name, model in evaluation.models.items():
        for other, differences in model.difference_to.items():
            metric = first_metric(differences)
            if metric is None:
                continue
            difference = differences[metric]
            entry = explain(metric)
            label = entry.label.lower() if entry else metric
            if difference.low > 0:
                side = f"is above `{other}`"
            elif difference.high < 0:
                side = f"is below `{other}`"
            else:
                side = f"is not told apart from `{other}`"
            found.append(f"`{name}` {side} in {label}: {difference} on {difference.n:,} {difference.unit}.")
    return found
