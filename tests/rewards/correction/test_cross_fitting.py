import numpy as np
import pytest
from correction_tables import draw
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge

from rewards.correction.columns import read_sample
from rewards.correction.cross_fitting import assign_folds, cross_fit, fold_keys, text_features, words


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 30), min_size=40, max_size=120), st.integers(2, 5), st.integers(0, 9))
def test_a_group_never_crosses_folds_and_the_order_of_rows_does_not_matter(groups, num_folds, seed):
    groups = np.array([*groups, *range(num_folds)])
    folds = assign_folds(groups, num_folds, seed)
    assert set(folds) == set(range(num_folds))
    for group in set(groups.tolist()):
        assert len(set(folds[groups == group])) == 1
    order = np.random.default_rng(seed).permutation(len(groups))
    np.testing.assert_array_equal(assign_folds(groups[order], num_folds, seed), folds[order])


def test_another_seed_draws_other_folds():
    keys = np.arange(100)
    assert (assign_folds(keys, 5, 0) != assign_folds(keys, 5, 1)).any()


@pytest.mark.parametrize("part", ["groups", "text", "features", "sparse features"])
def test_what_is_the_same_item_has_the_same_key(part):
    rows = [0, 1, 2, 1, 0]
    values = {
        "groups": np.array(["a", "b", "c"])[rows],
        "text": np.array(["one text", "another", "third"])[rows],
        "features": np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 2.0]])[rows],
    }
    passed = {part: values[part]} if part in values else {"features": sparse.csr_matrix(values["features"])}
    keys = fold_keys(read_sample(np.zeros(5), np.zeros(5), **passed))
    assert [keys[0] == keys[row] for row in range(5)] == [True, False, False, False, True]
    assert keys[1] == keys[3] != keys[2]


def test_predictions_are_those_of_models_that_did_not_see_the_fold():
    rng = np.random.default_rng(0)
    features, folds = rng.normal(size=(90, 4)), np.arange(90) % 3
    targets = features @ rng.normal(size=(4, 2)) + rng.normal(size=(90, 2)) + 5
    found = cross_fit(features, targets, folds, [2.0])
    for fold in range(3):
        out = folds == fold
        expected = Ridge(alpha=2.0).fit(features[~out], targets[~out]).predict(features[out])
        np.testing.assert_allclose(found.predictions[out], expected, rtol=1e-8)
    left = ((targets - found.predictions) ** 2).mean(axis=0)
    np.testing.assert_allclose(found.r2, 1 - left / targets.var(axis=0))


def test_each_target_gets_the_penalty_with_the_least_error_out_of_fold():
    rng = np.random.default_rng(0)
    features, folds = rng.normal(size=(120, 30)), np.arange(120) % 3
    targets = np.column_stack([features[:, 0] * 5 + 0.1 * rng.normal(size=120), rng.normal(size=120)])
    found = cross_fit(features, targets, folds, [0.1, 1e4])
    assert found.ridge.tolist() == [0.1, 1e4]
    np.testing.assert_array_equal(
        found.predictions[:, 1], cross_fit(features, targets, folds, [1e4]).predictions[:, 1]
    )


def test_sparse_and_dense_features_give_the_same_predictions():
    drawn = draw(300)
    sample = read_sample(drawn.outcome, drawn.confounder, text=drawn.text)
    features, folds = text_features(sample, max_words=50), np.arange(300) % 3
    targets = np.column_stack([drawn.outcome, drawn.confounder])
    here, there = (cross_fit(each, targets, folds, [1.0]) for each in (features, features.toarray()))
    np.testing.assert_allclose(here.predictions, there.predictions, rtol=1e-5)


def test_words_are_those_of_scikit_learn_in_scripts_with_spaces():
    texts = ["A cat's 2nd life, in_word Straße", "don't é 1 22 x_ Ärger", "ПРИВЕТ мир 안녕하세요 세계"]
    assert [words(text) for text in texts] == [*map(TfidfVectorizer().build_analyzer(), texts)]


def test_texts_without_a_word_are_refused():
    with pytest.raises(ValueError, match=r"No text has a word of two letters\. Pass"):
        text_features(read_sample(np.zeros(5), np.zeros(5), text=["a b"] * 5), 100)
