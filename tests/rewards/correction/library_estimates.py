"""The same estimates by statsmodels and linearmodels, to compare with."""

import numpy as np
import pandas
from linearmodels.iv import IV2SLS, IVGMM
from linearmodels.panel import PanelOLS
from statsmodels.api import OLS, add_constant

from rewards.correction.least_squares import Estimates


def library_least_squares(outcome, columns, clusters=None):
    settings = {"cov_type": "HC1"} if clusters is None else {"cov_type": "cluster", "cov_kwds": {"groups": clusters}}
    result = OLS(outcome, add_constant(columns)).fit(**settings, use_t=True)
    degrees = degrees_of_freedom(len(outcome), 1 + columns.shape[1], clusters)
    return Estimates(np.asarray(result.params)[1:], np.asarray(result.cov_params())[1:, 1:], degrees)


def library_two_stage(outcome, endogenous, instruments, exogenous, clusters=None):
    """Returns the estimates, and the over-identification test."""
    data = (outcome, add_constant(exogenous), endogenous, instruments)
    settings = {"cov_type": "robust"} if clusters is None else {"cov_type": "clustered", "clusters": clusters}
    result = IV2SLS(*data).fit(**settings, debiased=True)
    degrees = degrees_of_freedom(len(outcome), 1 + exogenous.shape[1] + endogenous.shape[1], clusters)
    estimates = Estimates(result.params.to_numpy()[1:], result.cov.to_numpy()[1:, 1:], degrees)
    if clusters is None:
        return estimates, result.wooldridge_overid
    return estimates, IVGMM(*data, weight_type="clustered", clusters=clusters).fit(**settings).j_stat


def library_within(outcome, columns, codes):
    index = pandas.MultiIndex.from_arrays([codes, np.arange(len(codes))])
    model = PanelOLS(pandas.Series(outcome, index=index), pandas.DataFrame(columns, index=index), entity_effects=True)
    result = model.fit(cov_type="clustered", cluster_entity=True, debiased=True, group_debias=True)
    degrees = degrees_of_freedom(len(outcome), columns.shape[1], codes)
    return Estimates(result.params.to_numpy(), result.cov.to_numpy(), degrees)


def degrees_of_freedom(num_rows, num_parameters, clusters):
    return float(num_rows - num_parameters if clusters is None else len(np.unique(clusters)) - 1)
