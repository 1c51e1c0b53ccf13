from pathlib import Path

from some_recipes import PROMPTS
from unruly_rewards import batch_rank, unruly

from align.recipe.recipe import parse_recipe
from align.training.guarded_rewards import guard


def test_what_cannot_be_scored_again_is_named_once(capsys):
    recipe = {"method": PROMPTS, "model_name_or_path": "m", "dataset": {"path": "d.jsonl"}}
    recipe |= {"reward_funcs": ["u.unruly", "org/model-1b"], "audit_funcs": ["u.batch_rank"]}
    for share, said in ((0.0, False), (0.05, True)):
        parsed = parse_recipe(recipe | {"reward_repeats": share}, Path("recipe.yaml"))
        _, rules = guard(parsed, [unruly, "org/model-1b", batch_rank])
        assert rules.repeats == share
        assert ("`reward_repeats` leaves out model-1b, batch_rank: " in capsys.readouterr().err) == said
