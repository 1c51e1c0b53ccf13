from align.data.pairs.reward_pairs import RewardPair, check_reward_pair
from align.methods.crome.augmentation.command import rrm_families
from align.methods.crome.augmentation.family import NO_OTHER, Family, add_irrelevant_queries
from align.methods.crome.augmentation.oracle import Attribute, Profile


def family(i, prompt=None, edits=3):
    """An original pair, with some upgrades."""
    original = RewardPair(f"r{i}", prompt or f"Question {i}?", f"A{i}", f"B{i}", i, False, "preference", None)
    made = Family(original)
    made.add("upgrade", Profile(Attribute(name="original", weight=1)), (f"A{i}", f"B{i}"), None, None)
    for k in range(edits):
        made.add("upgrade", Profile(Attribute(name=f"a{k}", weight=1)), (f"A{i} better {k}", f"B{i}"), None, None)
    return made


def ties(families, seed=0, **settings):
    add_irrelevant_queries(families, seed, **settings)
    return [row for each in families for row in each.rows if row["tie"]]


def test_each_family_gets_one_tie_with_answers_of_its_own_and_the_prompt_of_another():
    rows = ties([family(i) for i in range(40)])
    assert [row["origin"] for row in rows] == [f"r{i}" for i in range(40)]
    assert all(row["answers_of"].startswith(f"{row['origin']}/") for row in rows)
    assert all(row["prompt_of"] != row["origin"] for row in rows)
    assert len({row["prompt_of"] for row in rows}) > 15
    assert len({row["attribute"] for row in rows}) == 4


def test_a_draw_depends_on_the_seed_and_not_on_what_became_of_other_families():
    rows = ties([family(i) for i in range(40)])
    assert rows == ties([family(i) for i in range(40)])
    assert rows[1:] == ties([family(i, edits=0 if i == 0 else 3) for i in range(40)])[1:]
    assert rows != ties([family(i) for i in range(40)], seed=1)


def test_ties_of_the_original_take_no_edited_answers():
    rows = ties([family(i) for i in range(40)], ties_of="original")
    assert {(row["chosen"], row["rejected"]) for row in rows} == {(f"A{i}", f"B{i}") for i in range(40)}
    assert len({row["prompt_of"] for row in rows}) > 15


def test_an_equal_question_or_another_form_is_no_other_question():
    chat = [{"role": "user", "content": "Who?"}]
    families = [family(0, "Who?"), family(1, " Who?\n"), family(2, chat)]
    assert ties(families) == []
    assert [each.left_out[0].reason for each in families] == [NO_OTHER] * 3


def test_rrm_prefers_own_answers_to_those_of_two_other_prompts_and_ties_these():
    originals = [family(i).original for i in range(40)]
    made = rrm_families(originals, seed=0, kept=1.0)
    for each in made:
        own = {each.original.chosen, each.original.rejected}
        first, *rows = each.rows
        assert (first["id"], first["tie"], first["source"]) == (each.original.id, False, "preference")
        ordered = [row for row in rows if not row["tie"]]
        ties = [row for row in rows if row["tie"]]
        foreign = {row["rejected"] for row in ordered}
        assert (len(ordered), len(ties)) in ((8, 6), (4, 1))  # the same other prompt may be drawn twice
        assert {row["chosen"] for row in ordered} == own
        assert not foreign & own
        assert all({row["chosen"], row["rejected"]} <= foreign for row in ties)
        assert {row["prompt"] for row in rows} == {each.original.prompt}
        assert [check_reward_pair(row).tie for row in rows] == [row["tie"] for row in rows]
    assert sum(len(each.rows) == 15 for each in made) > 30


def test_rrm_keeps_half_by_the_seed_and_says_where_no_other_prompt_is():
    originals = [family(i).original for i in range(40)]
    made = [row["id"] for each in rrm_families(originals, seed=0) for row in each.rows]
    assert made == [row["id"] for each in rrm_families(originals, seed=0) for row in each.rows]
    assert made != [row["id"] for each in rrm_families(originals, seed=1) for row in each.rows]
    assert 0.4 < (len(made) - 40) / (14 * 40) < 0.6
    (alone,) = rrm_families(originals[:1], seed=0)
    assert [each.reason for each in alone.left_out] == [NO_OTHER]
