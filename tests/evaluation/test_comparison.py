import numpy as np
import pytest

from align.errors import UserError
from align.evaluation.results import pair_answers
from align.logs.naming import names_apart


def compared(ids, model, baseline):
    (found,) = pair_answers({"ours": {"accuracy": model}, "theirs": {"accuracy": baseline}}, ids)
    return found


def test_wins_and_losses_are_named_and_tested():
    model, baseline = np.array([1.0] * 9 + [0.0, 1.0, 0.0]), np.array([0.0] * 9 + [1.0, 1.0, 0.0])
    ids = [f"q{i}" for i in range(12)]
    paired = compared(ids, model, baseline)
    assert paired.wins == ids[:9]
    assert paired.losses == ["q9"]
    assert (paired.num_both, paired.num_neither) == (1, 1)
    # Binomial by hand: of ten discordant pairs one or fewer on one side, twice.
    assert paired.mcnemar_p == pytest.approx(2 * (1 + 10) / 2**10)


def test_without_discordant_pairs_nothing_speaks_against_equality():
    assert compared(["q"], np.array([1.0]), np.array([1.0])).wins == []


def test_shares_of_samples_have_wins_but_no_exact_test():
    paired = compared(["a", "b"], np.array([0.5, 0.25]), np.array([0.25, 0.5]))
    assert (paired.wins, paired.losses, paired.mcnemar_p) == (["a"], ["b"], None)


def test_the_exact_test_rejects_equal_policies_at_most_as_often_as_it_says():
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(300):
        right = rng.random((2, 60)) < 0.6
        rejected += compared([""] * 60, *right.astype(float)).mcnemar_p < 0.05
    assert rejected <= 0.05 * 300 + 3 * np.sqrt(300 * 0.05 * 0.95)


def test_a_folder_by_two_names_is_no_baseline_of_itself(tmp_path):
    (tmp_path / "tuned").mkdir()
    (tmp_path / "last").symlink_to(tmp_path / "tuned")
    for other in (tmp_path / "last", tmp_path / "tuned" / ".." / "tuned"):
        with pytest.raises(UserError, match="The same model is given twice"):
            names_apart("model", [str(tmp_path / "tuned"), str(other)])
    assert names_apart("model", ["owner/base", str(tmp_path / "tuned")]) == ["base", "tuned"]
