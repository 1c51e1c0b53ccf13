from dataclasses import dataclass

import numpy as np

from rewards.correction._moments import Array, Layout, collect, in_chunks
from rewards.correction.columns import Observations
from rewards.correction.correction import as_label
from rewards.correction.corrector import Corrector, Found
from rewards.correction.cross_fitting import NEEDED_BY, text_features
from rewards.correction.curves import undetermined
from rewards.correction.least_squares import Estimates, estimate
from rewards.correction.refusals import ROWS_PER_COEFFICIENT, refuse_degenerate, refuse_too_few_rows, text_warnings
from rewards.correction.table import DesignTable, standardise, without_bends
from rewards.extras import library

CONSTANT_WITHIN = 1e-9  # share of a column's variance that must be left within groups
BEYOND_GROUPS = "rows beyond one per group"
NO_TEXT = (
    "{}, so the effect of a group contains what its texts are worth, and the correction takes that away too: it "
    "demeans the outcome alone."
)


@dataclass(eq=False)
class FixedEffects(Corrector):
    """Removes one effect per group (author, article, week), estimated jointly with the text and the confounders.

    Least squares of the outcome on confounders, text features and group effects (within-estimation). The effect of a
    group is the mean of what confounders and text leave of its outcomes, so text that is worth more in some groups
    keeps its worth. There may be no confounder but the group. A second grouping of few levels goes into `confounders`
    as columns of 0 and 1.

    Features with more columns than `num_components` are reduced to as many by truncated SVD; to fewer in small tables,
    which must have ten rows beyond one per group for each. `details["text_columns"]` says how many it were.
    """

    name = "fixed_effects"
    num_components: int = 200
    max_words: int = 2000  # that TF-IDF keeps; not used with `features`
    seed: int = 0  # of the SVD
    curved: bool = True  # whether numbers are removed by a curve; False is a line each

    def _check(self, table: DesignTable) -> None:
        refuse_degenerate(("outcome",), "outcome", table.moments, [0])
        refuse_degenerate(table.confounders, "confounder", table.moments, range(1, 1 + len(table.confounders)))

    def _find(self, table: DesignTable) -> Found:
        sample, units = standardise(table.sample, table.moments)
        if sample.groups is None:
            raise ValueError("`fixed_effects` needs `groups`, got none. Pass one label per row, such as the author.")
        labels, codes = np.unique(sample.groups, return_inverse=True)
        width, base = len(sample.confounders.names), len(without_bends(sample.confounders.names))
        refuse_too_few_rows(sample.num_rows - len(labels), base + 1, BEYOND_GROUPS)
        self._refuse_degenerate_within(sample, codes, base)
        inner = deviations(sample.confounders.values, codes)
        kept = np.flatnonzero(undetermined(inner.T @ inner, base))
        confounders = sample.confounders.values[:, kept]
        text = self._text_columns(sample, confounders, codes)
        columns = np.hstack([confounders, text])
        refuse_too_few_rows(sample.num_rows - len(labels), columns.shape[1] + 1, BEYOND_GROUPS)
        warned = text_warnings(sample)
        if not text.shape[1]:
            warned.append(
                NO_TEXT.format("The text is the same within groups" if sample.has_text else "No text was given")
            )
        if not columns.shape[1]:
            estimates, slopes = Estimates(np.empty(0), np.empty((0, 0)), float(len(labels) - 1)), np.empty(0)
        else:
            joint = within_least_squares(sample.outcome, columns, codes)
            slopes = joint.coefficients
            estimates = joint.picked(np.arange(len(kept))).among(kept, width).scaled(units[0] / units[1 : 1 + width])
        left = sample.outcome - columns @ slopes
        effects = group_means(left[:, None], codes)[:, 0]
        left = (left - effects[codes]) * units[0]
        effects = (effects - effects[codes].mean()) * units[0]
        details = _describe(codes, effects, text.shape[1])
        named = tuple(zip(map(as_label, labels.tolist()), effects.tolist(), strict=True))
        return Found(estimates, self.name, warned, details, len(labels), named, left=left)

    def _refuse_degenerate_within(self, sample: Observations, codes: Array, base: int) -> None:
        names, values = sample.confounders.names[:base], sample.confounders.values[:, :base]
        inner = deviations(values, codes)
        for name, left, whole in zip(names, inner.var(axis=0), values.var(axis=0), strict=True):
            if left <= CONSTANT_WITHIN * whole:
                raise ValueError(
                    f"The confounder {name!r} must vary within groups, but is constant in each. Leave it out: the "
                    "effect of the group already contains it."
                )
        refuse_degenerate(names, "within-group confounder", collect(in_chunks(inner)), range(len(names)))

    def _text_columns(self, sample: Observations, confounders: Array, codes: Array) -> Array:
        """Returns the features as `(N, D)` columns that vary within groups and do not determine each other."""
        if not sample.has_text:
            return np.empty((sample.num_rows, 0))
        features = text_features(sample, self.max_words)
        width = confounders.shape[1]
        room = (sample.num_rows - int(codes.max()) - 1) // ROWS_PER_COEFFICIENT - width - 1
        refuse_too_few_rows(sample.num_rows - int(codes.max()) - 1, width + 2, BEYOND_GROUPS)
        count = min(self.num_components, room, features.shape[1])
        if features.shape[1] > count or hasattr(features, "tocsr"):
            reduce = library("sklearn.decomposition", NEEDED_BY).TruncatedSVD(count, random_state=self.seed)
            features = reduce.fit_transform(features)
        return independent_within(features, confounders, codes)


def independent_within(features: Array, confounders: Array, codes: Array) -> Array:
    """Standardises the features `(N, D)` that, within groups, neither confounders nor earlier features determine."""
    both = np.hstack([confounders, features])
    inner = deviations(both, codes)
    spread = both.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    triangle = np.abs(np.diag(np.linalg.qr(inner / spread, mode="r"))) / np.sqrt(len(inner))
    width = confounders.shape[1]
    kept = triangle[width:] > np.sqrt(CONSTANT_WITHIN)
    standard = (features - features.mean(axis=0)) / spread[width:]
    return np.asarray(standard[:, kept])


def _describe(codes: Array, effects: Array, num_text_columns: int) -> dict[str, object]:
    counts = np.bincount(codes)
    return {
        "num_groups": len(counts),
        "num_single_row_groups": int((counts == 1).sum()),
        "text_columns": num_text_columns,
        "group_effect_deviation": float(effects[codes].std()),
    }


def within_least_squares(outcome: Array, columns: Array, codes: Array) -> Estimates:
    """Fits outcome ~ `(N, K)` columns + one effect per group, by deviations from means; errors are clustered."""
    values = deviations(np.column_stack([outcome, columns]), codes)
    return estimate(in_chunks(values, codes), Layout(columns.shape[1]), absorbed=0).estimates


def group_means(values: Array, codes: Array) -> Array:
    """Averages `(N, K)` values within groups; returns `(G, K)`."""
    counts = np.bincount(codes)
    sums = [np.bincount(codes, weights=column, minlength=len(counts)) for column in values.T]
    return np.stack(sums, axis=1) / counts[:, None] if sums else np.empty((len(counts), 0))


def deviations(values: Array, codes: Array) -> Array:
    """Subtracts the group means from `(N, K)` values."""
    return values - group_means(values, codes)[codes]
