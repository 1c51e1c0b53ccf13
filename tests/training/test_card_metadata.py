import ast
import re
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from some_recipes import PAIRS, PROMPTS
from written_card import card

from align.recipe.recipe import parse_recipe
from align.training.model_card import write_model_card

ROWS = [{"prompt": "q", "chosen": "a", "rejected": "b"}]


@pytest.fixture
def fields(tmp_path):
    def of(**changes):
        content = {"method": PAIRS, "model_name_or_path": "owner/base", "dataset": {"path": "owner/data:train"}}
        card(tmp_path, content | changes, ROWS)
        return ModelCard.load(tmp_path / "README.md").data.to_dict()

    return of


def base_with(folder, front_matter):
    folder.mkdir()
    (folder / "README.md").write_text(f"---\n{front_matter}---\n# base\n")
    return {"model_name_or_path": str(folder)}


def test_a_card_names_base_data_and_library_as_the_hub_knows_them(fields):
    found = fields()
    assert found | {"tags": found["tags"][:2]} == {
        "base_model": "owner/base",
        "base_model_relation": "finetune",
        "datasets": ["owner/data"],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["trl", "truealign"],
    }


def test_a_mixture_names_each_set_of_the_hub_once(fields):
    paths = ("owner/data:a", "pairs.jsonl", "owner/data:b", "owner/more")
    assert fields(dataset={"mix": [{"path": path} for path in paths]})["datasets"] == ["owner/data", "owner/more"]


def test_an_adapter_says_so(fields):
    found = fields(use_peft=True)
    assert (found["base_model_relation"], found["library_name"]) == ("adapter", "peft")


@pytest.mark.parametrize("path", ["pairs.jsonl", "data/pairs.parquet", "./data", "/data/pairs", "~/pairs"])
def test_a_file_or_folder_is_no_data_set_of_the_hub(path, fields):
    assert "datasets" not in fields(dataset={"path": path})


def test_a_model_of_a_folder_has_the_base_and_the_license_of_the_card_there(fields, tmp_path):
    unknown = fields(**base_with(tmp_path / "a", "tags: []\n"))
    assert not {"base_model", "base_model_relation", "license"} & set(unknown)
    known = fields(**base_with(tmp_path / "b", "base_model: owner/older\nlicense: mit\n"))
    assert (known["base_model"], known["base_model_relation"], known["license"]) == ("owner/older", "finetune", "mit")
    of_peft = fields(**base_with(tmp_path / "c", f"base_model: {tmp_path}\nlicense: mit\n"))
    assert "base_model" not in of_peft


@pytest.mark.parametrize(
    "content",
    [
        b"---\nlicense: [mit\n---\n",
        b"---\nlicense: mit\n\tbase_model: owner/older\n---\n",
        b"---\nlicense: caf\xe9\n---\n",
        b"---\n- mit\n---\n",
        b"---\n1: one\nignore_metadata_errors: 3\n---\n",
        b"no front matter",
        None,
    ],
)
def test_a_base_with_a_broken_page_ends_no_finished_run(fields, tmp_path, content):
    base = tmp_path / "base"
    base.mkdir()
    if content is None:
        (base / "README.md").mkdir()
    else:
        (base / "README.md").write_bytes(content)
    found = fields(model_name_or_path=str(base))
    assert found["library_name"] == "transformers"
    assert not {"base_model", "license"} & set(found)


def test_a_base_that_was_moved_away_is_a_path_all_the_same(fields, tmp_path):
    gone = tmp_path / "gone" / "base"
    found = fields(model_name_or_path=str(gone))
    assert not {"base_model", "base_model_relation"} & set(found)
    page = (tmp_path / "README.md").read_text()
    assert "`base`" in page
    assert str(gone.parent) not in page
    assert f"huggingface.co/{gone}" not in page
    of_peft = fields(**base_with(tmp_path / "adapter", f"base_model: {gone}\nlicense: mit\n"))
    assert (of_peft.get("base_model"), of_peft["license"]) == (None, "mit")


def test_a_license_is_that_of_the_bases_card_where_it_was_downloaded(fields, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "models--owner--base"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "snapshots" / "abc" / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    assert fields()["license"] == "apache-2.0"


def test_a_page_names_no_folder_of_this_machine(tmp_path):
    content = {"method": PAIRS, "model_name_or_path": str(tmp_path), "dataset": {"path": f"{tmp_path}/pairs.jsonl"}}
    assert str(tmp_path) not in card(tmp_path, content | {"output_dir": str(tmp_path / "run")}, ROWS)


ODD = "<img src=x>[y](javascript:z)|`<b>"


def test_odd_names_of_runs_data_and_rewards_are_shown_and_not_obeyed(tmp_path):
    folder = tmp_path / "run: <b>[y](javascript:z)|'\"#"
    folder.mkdir()
    content = {"method": PROMPTS, "model_name_or_path": "./<i>|`base", "dataset": {"path": f"./{ODD}.jsonl"}}
    content["reward_funcs"] = [f"./{ODD}.py:{ODD}"]
    recipe = parse_recipe(content, Path("recipe.yaml"))
    write_model_card(folder, recipe, 20, {ODD: "0123456789abcdef"}, ROWS, [f"Column `{ODD}` and {ODD}\n# more"])
    text = (folder / "README.md").read_text()
    assert ModelCard.load(folder / "README.md").data.library_name == "transformers"
    shown = MarkdownIt("commonmark").enable("table").render(text.partition("\n---\n")[2])
    assert set(re.findall(r"<(?:img|b|i|a)\b[^>]*>", shown)) == set(re.findall(r'<a href="https://arxiv[^>]*>', shown))
    assert shown.count("<h1>") == 1
    assert all(row.count("<td>") == 2 for row in re.findall(r"<tr>.*?</tr>", shown, re.DOTALL)[1:])
    (python,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = [node.args[0].value for node in ast.walk(ast.parse(python)) if isinstance(node, ast.Call)]
    assert names == [".", "."]  # the name alone is no path from anywhere else
