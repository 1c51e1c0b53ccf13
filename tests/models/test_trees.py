import random

import torch

from align.models.second_pass.tree_pass import common_head, grow, grow_all, lay_out, put_together


def words(seed=0, count=12):
    """Sequences of three letters, many of which begin alike, one of them twice."""
    rng = random.Random(seed)
    found = [[rng.randrange(3) for _ in range(rng.randint(1, 6))] for _ in range(count)]
    return [*found, found[0]]


def read_back(tree):
    """Each sequence as its last token sees it: what it sees, in the order of depths."""
    found = {}
    for number, place in tree.ends.items():
        seen = sorted(tree.sees[place].nonzero()[0].tolist(), key=tree.depths.__getitem__)
        assert [tree.depths[i] for i in seen] == list(range(len(seen)))
        found[number] = [tree.ids[i] for i in seen]
    return found


def test_a_tree_holds_every_sequence_and_each_beginning_once():
    for seed in range(20):
        sequences = words(seed)
        tree = grow(list(enumerate(sequences)))
        assert read_back(tree) == dict(enumerate(sequences))
        assert len(tree.ids) == len({tuple(each[:i]) for each in sequences for i in range(1, len(each) + 1)})


def test_a_sequence_that_another_goes_on_from_keeps_its_end():
    tree = grow([(0, [4]), (1, [4, 5]), (2, [4, 5, 6])])
    assert tree.ids == [4, 5, 6]
    assert tree.ends == {0: 0, 1: 1, 2: 2}
    assert tree.sees.tolist() == [[True, False, False], [True, True, False], [True, True, True]]


def test_a_token_sees_no_branch_beside_its_own():
    """7 with 8 and 9 behind it: neither of these sees the other."""
    tree = grow([(0, [7, 8]), (1, [7, 9])])
    assert tree.sees.tolist() == [[True, False, False], [True, True, False], [True, False, True]]


def test_owners_have_trees_of_their_own_and_large_ones_several():
    sequences = [[9, 1], [9, 2], [9, 1], [9, 3]]
    trees = grow_all(sequences, ["a", "b", "a", "b"], head=1)
    assert [sorted(tree.ends) for tree in trees] == [[0, 2], [1, 3]]
    long = [[i, *range(2_000)] for i in range(4)]  # nothing in common: two fit into twice the longest
    trees = grow_all(long, ["a"] * 4, head=0)
    assert [len(tree.ends) for tree in trees] == [2, 2]
    assert [len(tree.ids) for tree in trees] == [4_002, 4_002]
    alike = [[*range(1_500), i] for i in range(4)]  # what they have in common is read once
    assert [len(tree.ids) for tree in grow_all(alike, ["a"] * 4, head=0)] == [1_504]


def batched(*sizes, **limits):
    trees = [grow([(0, list(range(size)))]) for size in sizes]
    return [[len(tree.ids) for tree in part] for part in put_together(trees, **limits)]


def test_batches_weigh_padding_against_passes_by_hand():
    """10 10 4: 6 tokens of padding together, and one more pass apart."""
    cost = {"most_rows": 8, "most_tokens": 100}
    assert batched(10, 4, 10, **cost, pass_tokens=5) == [[10, 10], [4]]
    assert batched(10, 4, 10, **cost, pass_tokens=6) == [[10, 10, 4]]
    assert batched(10, 9, 8, 7, **cost, pass_tokens=3) == [[10, 9, 8], [7]]
    assert batched(10, 4, 10, most_rows=2, most_tokens=100, pass_tokens=99) == [[10, 10], [4]]
    assert batched(10, 4, 10, most_rows=8, most_tokens=15, pass_tokens=99) == [[10], [10], [4]]
    assert batched(**cost, pass_tokens=5) == []


def test_padding_stands_on_the_right_and_sees_itself_only():
    rows = lay_out([grow([(0, [7, 8]), (1, [7, 9])]), grow([(2, [5])])])
    assert rows.ids.tolist() == [[7, 8, 9], [5, 0, 0]]
    assert rows.positions.tolist() == [[0, 1, 1], [0, 0, 0]]
    assert torch.equal(rows.sees[1], torch.eye(3, dtype=torch.bool))
    assert rows.places.tolist() == [[1], [2], [3]]


def test_the_head_leaves_every_sequence_a_token():
    assert common_head([[1, 2, 3], [1, 2, 4]]) == 2
    assert common_head([[1, 2], [1, 2, 4]]) == 1
    assert common_head([[1]]) == 0
