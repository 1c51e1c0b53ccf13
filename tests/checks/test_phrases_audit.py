from align.checks.launch import Launch
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare


def test_an_audit_that_finds_no_phrase_in_samples_is_no_warning_and_a_reward_is(tiny_recipe, tmp_path):
    (tmp_path / "phrases.txt").write_text("no response says this\n")
    (tmp_path / "flat.py").write_text("def flat(completions, **kwargs):\n    return [0.0 for _ in completions]\n")
    path = tiny_recipe(
        reward_funcs=["./flat.py:flat"], reward_weights=[1.0], audit_funcs=["phrases"],
        reward_kwargs={"phrases": {"file": "./phrases.txt"}},
    )  # fmt: skip
    found = [each for each in prepare(load_recipe(path), Launch()).findings if each.check == "rewards"]
    assert [each.numbers["reward"] for each in found if each.numbers.get("kind") == "constant"] == ["flat"]
    assert [each.level for each in found].count("ok") == 2
