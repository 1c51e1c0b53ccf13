import json

import pytest
import yaml
from calling import SHOP, TOOLS

from align.checks.launch import Launch
from align.errors import RecipeError
from align.methods import METHODS
from align.methods.rollouts.tool_checks import check_tools
from align.recipe.keys import keys_of
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare

ROWS = [{"id": f"r{i}", "prompt": [{"role": "user", "content": f"What does the pear cost {i}?"}]} for i in range(3)]
ODD = '''
def bare(item):
    """Looks up.

    Args:
        item: What.
    """


def silent(item: str) -> int:
    return 1


def open_ended(**words) -> str:
    """Looks up."""


def ends(number: int) -> int:
    """Ends.

    Args:
        number: Any.
    """
    os._exit(number)


def vague(item: str) -> object:
    """Looks up.

    Args:
        item: What.
    """
    return object()


class Fixed(Shelf):
    def reset(self):
        self.taken = []


class Endless(Shelf):
    reset = None


class Odd(Shelf):
    def get_reward(self):
        return "a lot"


class Mute:
    def reset(self, **row):
        pass

    def go(self, where: str) -> str:
        return where
'''


@pytest.fixture
def found(tmp_path):
    """Checks a recipe with some keys; returns its findings as level and text."""

    def check(rows=ROWS, **keys):
        (tmp_path / "own.py").write_text(TOOLS + ODD)
        (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        content = {
            "method": "grpo", "model_name_or_path": str(SHOP / "model"), "dataset": {"path": "./train.jsonl"},
            "reward_funcs": ["number_accuracy"], "tool_timeout": 1, "max_completion_length": 40,
            "output_dir": str(tmp_path / "run"),
        }  # fmt: skip
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(content | keys))
        return [(finding.level, finding.text) for finding in check_tools(load_recipe(path), rows)]

    return check


def test_tools_and_environments_are_tried_once_and_what_came_of_it_is_said(found):
    texts = found(tools=["own.py:price", "own.py:draw"], environment_factory="own.py:Shelf")
    assert {level for level, _ in texts} == {"ok"}
    raised, drawn, reset, took, number, told = (text for _, text in texts)
    assert "price(item='example'): KeyError: 'example'" in raised
    assert "The model is shown such errors" in raised
    assert "own.py:draw answers the trial call draw(most=1, kind='example') with '[1, 1, 1]'" in drawn
    assert "`reset` with the first row gives None" in reset
    assert "own.py:Shelf.take answers the trial call take(item='example') with 'example'" in took
    assert "8 completions in a process, each with a process of the environment of at most" in number
    assert told.startswith("Being told of its tools takes ")


@pytest.mark.parametrize(
    ("keys", "level", "text"),
    [
        ({"tools": ["own.py:pric"]}, "error", "has no 'pric'. Did you mean 'price'?"),
        ({"tools": ["no.py:price"]}, "error", "there is no such file"),
        ({"tools": ["shop.nothing:price"]}, "error", "Tool 'shop.nothing:price': importing 'shop.nothing' failed"),
        ({"tools": ["json:price"]}, "error", "Tool 'json:price': "),
        ({"tools": ["/path/own:price"]}, "error", "Tool '/path/own:price': '/path/own' is no module. A file is named"),
        ({"environment_factory": "shop.nothing:Shelf"}, "error", "'shop.nothing:Shelf': importing 'shop.nothing'"),
        ({"tools": ["own.py:Shelf"]}, "error", "is a class, and TRL takes functions"),
        ({"tools": ["own.py:price"] * 2}, "error", "Two tools are called `price`"),
        ({"environment_factory": "own.py:Fixed"}, "error", "write `def reset(self, **row)`"),
        ({"environment_factory": "own.py:Endless"}, "error", "class Endless has no method `reset`"),
        ({"environment_factory": "own.py:Odd"}, "error", "`get_reward` returned 'a lot'. It must be a number"),
        ({"environment_factory": "own.py:Store", "tool_memory_gb": 1}, "error", "its completion the reward"),
        ({"environment_factory": "own.py:Mute"}, "error", "`go` cannot be described to the model"),
        ({"tools": ["own.py:price"], "max_completion_length": 256}, "error", "of the window of 256. Write shorter"),
        ({"environment_factory": "own.py:Shelf", "generation_batch_size": 304}, "error", "and 300 are possible"),
        ({"environment_factory": "own.py:Shelf", "reward_funcs": []}, "error", "the environment has no `get_reward`"),
        ({"environment_factory": {"a": "own.py:Shelf"}}, "error", "with several environments each row names one: a"),
    ],
    ids=lambda value: str(next(iter(value.values()))) if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_cannot_be_used_is_refused_with_a_remedy(found, keys, level, text):
    texts = found(**keys)
    assert [each for each in texts if each[0] == level and text in each[1]], texts


def test_each_tool_that_cannot_be_described_or_called_is_named(found):
    words = {
        "bare": ("error", "`bare` cannot be described to the model: Argument item"),
        "silent": ("error", "because it has no docstring. Write a line on what it does"),
        "open_ended": ("error", "takes `*words`, for which there is no schema"),
        "ends": ("error", "ends(number=1) failed: its process ended with exit code 1"),
        "vague": ("warning", "and that is what the model would read"),
    }
    said = found(tools=[f"own.py:{name}" for name in words])
    for (level, text), (wanted, part) in zip(said, words.values(), strict=True):
        assert (level, part in text) == (wanted, True), said


def test_a_file_that_never_loads_is_stopped(found, tmp_path):
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(60)\n")
    ((level, text),) = found(tools=["slow.py:f"])
    assert level == "error"
    assert "'slow.py:f' cannot be loaded: no result after 1 s" in text


def test_a_model_whose_template_knows_no_tools_is_refused_before_it_is_loaded(found, tiny_model_folder):
    *_, (level, text) = found(tools=["own.py:price"], model_name_or_path=str(tiny_model_folder))
    assert level == "error"
    assert "knows no tools" in text or "is missing" in text
    assert "Use a model that was trained to call tools" in text


def test_prompts_that_are_texts_are_refused_with_what_makes_messages_of_them(found, tmp_path):
    rows, made = [{"id": "a", "prompt": "?"}], {"prompt_template": "{text}"}
    text = found(rows=rows, tools=["own.py:price"])[0][1]
    assert "Tools need prompts of messages" in text
    entry = f"{{columns: {{text: prompt}}, {yaml.safe_dump(made, default_flow_style=True).strip()[1:-1]}, "
    assert f"`dataset: {entry}conversational: true}}`" in text
    data = {"path": "./train.jsonl", "columns": {"text": "prompt"}} | made
    found(rows=rows, tools=["own.py:price"], dataset=data)
    loaded = METHODS["grpo"].part("load")(load_recipe(tmp_path / "recipe.yaml"))
    assert loaded.rows[0]["prompt"] == [{"role": "user", "content": "?"}]
    plain = data | {"conversational": False}
    assert "Set `dataset.conversational: true`" in found(rows=rows, tools=["own.py:price"], dataset=plain)[0][1]


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"tools": "own.py:price"}, "`tools`: must be a list, as in `[own.py:price]`"),
        ({"tools": ["price"]}, "`tools` must be written path/to/file.py:name"),
        ({"tool_timeout": 0}, "`tool_timeout` must be above 0"),
        ({"environment_factory": {"a": "Shelf"}}, "`environment_factory.a` must be written"),
        ({"tool": []}, "Did you mean 'tools'?"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_keys_that_say_nothing_are_refused_when_the_recipe_is_read(found, keys, text):
    with pytest.raises(RecipeError) as caught:
        found(**keys)
    assert text in str(caught.value)


def test_the_keys_of_tools_are_listed_and_no_reward_is_needed_beside_an_environment():
    keys = {key.name: key for key in keys_of("grpo")}
    assert keys["tools"].place == keys["environment_factory"].place == "Of grpo"
    assert not keys["reward_funcs"].is_needed


def test_a_reward_that_reads_environments_is_tried_with_one(tmp_path):
    (tmp_path / "own.py").write_text(
        TOOLS + "\n\ndef taken(completions, environments, **kwargs):\n"
        "    texts = [text if isinstance(text, str) else text[-1]['content'] for text in completions]\n"
        "    return [len(each.taken) + len(text) / 99 for each, text in zip(environments, texts, strict=True)]\n"
        "\n\ndef done(environments, answer, **kwargs):\n"
        "    return [float(each.taken == [gold]) for each, gold in zip(environments, answer, strict=True)]\n"
    )
    rows = [row | {"answer": ["iron", "gold"][i % 2]} for i, row in enumerate(ROWS)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    content = {
        "method": "grpo", "model_name_or_path": str(SHOP / "model"), "dataset": {"path": "./train.jsonl"},
        "reward_funcs": ["own.py:taken", "own.py:done"], "environment": "own.py:Shelf", "max_completion_length": 20,
        "use_cpu": True, "bf16": False, "output_dir": str(tmp_path / "run"),
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    found = prepare(load_recipe(tmp_path / "recipe.yaml"), Launch()).findings
    texts = [f.text for f in found if f.check == "rewards"]
    assert [text for text in texts if "own.py:taken answers" in text], texts
    assert [text for text in texts if "own.py:done answers" in text], texts  # though a trial makes no calls
