import json
from collections import Counter

import pytest
import yaml
from in_one_process import run
from some_recipes import DEMONSTRATIONS, OUTCOMES, PAIRS, PROMPTS, QUESTIONS, REWARD_PAIRS

from align.checks.recipe import check_mixture
from align.errors import DataError, RecipeError
from align.methods import METHODS
from align.recipe.recipe import load_recipe

OWN = {
    OUTCOMES: {"text": "t", "outcome": "y", "confounders": ["c"], "estimator": "ols"},
    DEMONSTRATIONS: {"columns": {"completion": "chosen"}},
}


def row(number, **changes):
    """One row that every method can read as its own kind."""
    return {
        "prompt": f"{number}?", "question": f"{number}?", "options": ["1", "2"], "answer": "A",
        "chosen": f"{number} is", "rejected": f"{number} was", "t": f"text {number}", "y": (number * 7) % 11,
        "c": (number * 5) % 13,
    } | changes  # fmt: skip


def write(path, numbers, **changes):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row(number, **changes)) + "\n" for number in numbers))


@pytest.fixture
def parse(tmp_path):
    def parsed(method, mix, **dataset):
        content = {"method": method, "model_name_or_path": "./model", "dataset": {"mix": mix, **dataset}}
        content |= {"reward_funcs": ["format"]} if METHODS[method].has_rewards else {}
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(content))
        return load_recipe(path)

    return parsed


@pytest.fixture
def load(parse, tmp_path):
    write(tmp_path / "a.jsonl", range(200))
    write(tmp_path / "b.jsonl", range(200, 260))

    def loaded(method, *mix, **dataset):
        mix = mix or ({"path": "./a.jsonl", "weight": 3}, {"path": "./b.jsonl", "weight": 1})
        recipe = parse(method, list(mix), **OWN.get(method, {}), **dataset)
        return METHODS[method].part("load")(recipe)

    return loaded


def ids(data):
    return [row["id"] for row in data.rows]


@pytest.mark.by_day(PAIRS, QUESTIONS, OUTCOMES)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_mixes_its_rows_by_weight_and_in_the_same_order_again(load, method):
    data = load(method)
    assert len(data.items) == data.report.num_kept == 260  # each row once, for what looks at the data
    counts = [share.drawn for share in data.shares]
    assert sum(counts) == len(data.rows)
    assert max(Counter(ids(data)).values()) == 1
    assert counts[0] / sum(counts) == pytest.approx(0.75, abs=0.08)
    assert ids(load(method)) == ids(data)
    assert ids(load(method, mix_seed=1)) != ids(data)
    assert set(data.fingerprints) == {"a.jsonl", "b.jsonl"}


def test_a_set_that_is_smaller_than_its_share_is_repeated_and_said_to_be(load):
    sets = {"path": "./a.jsonl", "weight": 0.1}, {"path": "./b.jsonl", "weight": 0.9}
    data = load(DEMONSTRATIONS, *sets, stopping_strategy="all_exhausted")
    counts, warning = check_mixture(data)
    assert (counts.level, warning.level) == ("ok", "warning")
    assert data.shares[1].repeats > 20
    assert f"each {data.shares[1].repeats:.1f} times on average" in counts.text
    assert "Smaller than their share: b (60 rows" in warning.text
    assert len(check_mixture(load(DEMONSTRATIONS, *sets))) == 1  # stops at the end of the first


def test_a_weight_so_small_that_the_draw_would_not_end_is_refused(load):
    sets = {"path": "./a.jsonl", "weight": 1}, {"path": "./b.jsonl", "weight": 1e-5}
    with pytest.raises(DataError, match=r"about 6,000,060 rows are drawn before the 60 rows of a set of weight 1e-05"):
        load(DEMONSTRATIONS, *sets, stopping_strategy="all_exhausted")
    assert len(load(DEMONSTRATIONS, *sets, stopping_strategy="first_exhausted").rows) == 200


def test_without_weights_each_row_is_there_once_as_in_trl(load):
    data = load(PROMPTS, {"path": "./a.jsonl"}, {"path": "./b.jsonl"})
    assert ids(data) == [item.id for item in data.items]
    assert [share.drawn for share in data.shares] == [200, 60]


def test_rows_keep_which_set_they_are_from_where_they_have_a_place_for_it(load, tmp_path):
    prompts = load(PROMPTS)
    assert {row["source"] for row in prompts.rows} == {"a", "b"}
    assert {row["group"] for row in load(QUESTIONS).rows} == {"a", "b"}
    assert {row["source"] for row in load(REWARD_PAIRS).rows} == {"a", "b"}
    write(tmp_path / "b.jsonl", range(60), source="upgrade")
    assert {row["source"] for row in load(REWARD_PAIRS).rows} == {"a", "upgrade"}


def test_rows_of_two_files_of_one_name_are_told_apart(load, tmp_path):
    write(tmp_path / "x" / "train.jsonl", range(3), id="same")
    for folder, first in (("x", 0), ("y", 3)):
        write(tmp_path / folder / "train.jsonl", range(first, first + 3))
    data = load(PROMPTS, {"path": "./x/train.jsonl"}, {"path": "./y/train.jsonl"})
    assert ids(data)[::3] == ["train-1", "y/train/train-1"]
    assert len(data.fingerprints) == 2


def test_each_set_has_its_own_names_of_columns_and_its_own_schema(load, tmp_path):
    (tmp_path / "c.jsonl").write_text(json.dumps({"Q": "7?", "A": "yes", "B": "no", "gold": "A"}) + "\n")
    arc = {"id": "1", "question": "8?", "choices": {"text": ["yes", "no"], "label": ["A", "B"]}, "answerKey": "B"}
    (tmp_path / "d.jsonl").write_text(json.dumps(arc) + "\n")
    named = {"path": "./c.jsonl", "columns": {"question": "Q", "options": ["A", "B"], "answer": "gold"}}
    data = load(QUESTIONS, named, {"path": "./d.jsonl", "adapter": "arc"}, {"path": "./a.jsonl", "max_rows": 1})
    assert [row["question"] for row in data.rows] == ["7?", "8?", "0?"]
    assert [row["answer"] for row in data.rows] == [0, 1, 0]


def test_forms_that_do_not_fit_are_named_with_their_sets(load, tmp_path):
    write(tmp_path / "b.jsonl", range(9), prompt=[{"role": "user", "content": "?"}])
    with pytest.raises(DataError, match="Column `prompt` holds texts in a and lists of messages in b"):
        load(PROMPTS)
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "yes"}]
    (tmp_path / "b.jsonl").write_text(json.dumps({"messages": messages}) + "\n")
    with pytest.raises(DataError, match=r"a has the columns `prompt`, `completion` and b has `messages`"):
        load(DEMONSTRATIONS, {"path": "./a.jsonl"}, {"path": "./b.jsonl", "columns": {}})


REFUSED = {
    "no weight": ([{"path": "a", "weight": 0}], "`dataset.mix.0.weight`: input should be greater than 0; got 0"),
    "half the weights": ([{"path": "a", "weight": 1}, {"path": "b"}], "`dataset.mix.1.weight` is missing"),
    "a word of TRL's": ([{"path": "a", "fraction": 1}], "`dataset.mix.0.fraction`. It is `weight` here"),
    "unknown key": ([{"path": "a", "colums": {}}], "`dataset.mix.0.colums`. Did you mean 'columns'?"),
    "no path": ([{"weight": 1}], "`dataset.mix.0.path` is missing"),
    "none": ([], "`dataset.mix` must list data sets"),
    "unknown adapter": ([{"path": "a", "adapter": "arcc"}], "`dataset.mix.0.adapter`: must be 'sciq' or 'arc'"),
}


@pytest.mark.parametrize(("mix", "words"), REFUSED.values(), ids=list(REFUSED))
def test_a_wrong_mixture_is_refused_by_the_name_of_the_key(parse, mix, words):
    with pytest.raises(RecipeError) as error:
        parse(QUESTIONS, mix)
    assert words in str(error.value)


def test_keys_of_mixtures_need_one_and_a_path_stands_beside_none(parse):
    with pytest.raises(RecipeError, match=r"`dataset.path` and `dataset.mix` exclude each other"):
        parse(QUESTIONS, [{"path": "a"}], path="b")
    with pytest.raises(RecipeError, match=r"`stopping_strategy` is about the sets"):
        parse(QUESTIONS, [{"path": "a"}], stopping_strategy="all_exhausted")
    with pytest.raises(RecipeError, match=r"data of this method has no `media_dir`"):
        parse(REWARD_PAIRS, [{"path": "a", "media_dir": "b"}])


def test_the_audit_reads_every_set_and_finds_what_leaks_from_one_of_them(load, tmp_path):
    write(tmp_path / "eval.jsonl", range(205, 225))  # of which the recipe evaluates on ten
    load(QUESTIONS, eval_path="./eval.jsonl", max_rows=200, max_eval_rows=10)
    done = run(["audit", "--recipe", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "out")])
    found = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert [file["read"] for file in found["files"]] == [200, 60, 10], done["output"]
    assert next(each for each in found["rows"] if each["name"] == "leaks")["count"] == 10
