import hashlib

import datasets
import pytest
import yaml
from some_recipes import PROMPTS

from align.data.training_data import fingerprints
from align.recipe.recipe import load_recipe

ROW = b'{"prompt": "a"}\n'


@pytest.fixture
def found(tmp_path):
    def of(**dataset):
        content = {"method": PROMPTS, "model_name_or_path": "./model", "reward_funcs": ["format"], "dataset": dataset}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
        return fingerprints(load_recipe(tmp_path / "recipe.yaml").dataset)

    return of


def write(path, content=ROW):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_files_are_named_and_by_path_where_two_have_one_name(found, tmp_path):
    write(tmp_path / "rows.jsonl")
    write(tmp_path / "held" / "rows.jsonl")
    assert found(path="./rows.jsonl") == {"rows.jsonl": hashlib.sha256(ROW).hexdigest()}
    assert set(found(path="./rows.jsonl", eval_path="./held/rows.jsonl")) == {
        str(tmp_path / "rows.jsonl"),
        str(tmp_path / "held" / "rows.jsonl"),
    }


def test_of_a_folder_with_a_file_for_each_split_that_of_the_split_counts(found, tmp_path):
    for split in ("train", "test"):
        write(tmp_path / "rows" / f"{split}.jsonl", ROW + split.encode())
    assert set(found(path="./rows", split="train")) == {"train.jsonl"}
    assert set(found(path="./rows", split="train", eval_path="./rows", eval_split="test")) == {
        "train.jsonl",
        "test.jsonl",
    }


def test_of_other_folders_all_files_with_rows_count_wherever_the_folder_is(found, tmp_path):
    datasets.Dataset.from_list([{"prompt": "a"}]).save_to_disk(tmp_path / "saved")
    before = found(path="./saved")
    assert set(before) >= {"saved/data-00000-of-00001.arrow"}
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "saved").rename(tmp_path / "elsewhere" / "saved")
    assert found(path="./elsewhere/saved") == before
    datasets.Dataset.from_list([{"prompt": "b"}]).save_to_disk(tmp_path / "saved")
    assert found(path="./saved") != before
