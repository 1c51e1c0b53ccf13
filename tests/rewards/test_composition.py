import numpy as np
import pytest

from rewards.running.scores import Composition

NAN = float("nan")


def test_nothing_changes_without_gates_and_limits():
    values = np.array([[1.0, NAN], [-2.0, 0.5]])
    assert Composition().changed == []
    np.testing.assert_array_equal(Composition().apply(values), values)


@pytest.mark.parametrize(
    ("reward", "gate", "expected"),
    [
        (0.7, 1.0, 0.7),
        (0.7, 0.0, 0.0),
        (0.7, -1.0, 0.0),
        (-0.7, 0.0, 0.0),
        (0.7, NAN, NAN),
        (NAN, 1.0, NAN),
        (NAN, 0.0, NAN),
    ],
)
def test_a_gate_lets_a_reward_count_where_it_is_above_zero(reward, gate, expected):
    composed = Composition(gates={0: 1}).apply(np.array([[reward, gate]]))
    np.testing.assert_array_equal(composed, [[expected, gate]])


def test_limits_cut_off_and_keep_what_is_missing():
    composition = Composition(limits={0: (-1.0, 0.0), 1: (float("-inf"), 2.0)})
    composed = composition.apply(np.array([[-3.0, -9.0], [0.5, 9.0], [NAN, NAN]]))
    np.testing.assert_array_equal(composed, [[-1.0, -9.0], [0.0, 2.0], [NAN, NAN]])
    assert composition.changed == [0, 1]


def test_a_gate_looks_at_the_value_before_limits():
    composition = Composition(limits={1: (-1.0, 0.0)}, gates={0: 1})
    np.testing.assert_array_equal(composition.apply(np.array([[1.0, 0.5]])), [[1.0, 0.0]])
