from align.checks.counts import check_counts
from align.checks.memory import Footprint
from align.data.pairs.preferences import load_preferences, pairs_to_rows
from align.data.training_data import load_training_data
from align.methods.pairs.checks import check_form, pair_activations


def load(recipe):
    def read(source):
        return load_preferences(source.path, **source.reading)

    return load_training_data(recipe.dataset, read, pairs_to_rows)


def check(recipe, data, rewards):
    return check_counts(recipe, data.report, len(data.eval_rows)) + check_form(data.items)


def footprint(recipe):
    return Footprint(pair_activations(recipe))  # no reference: that is what SimPO saves
