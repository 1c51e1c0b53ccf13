import json
import shutil

import pytest
from graded_answers import graded_record
from huggingface_hub import ModelCard
from some_recipes import PAIRS
from written_card import card
from written_evaluation import write_evaluation

from align.errors import UserError
from align.evaluation.on_card import find_card, pushed_to, put_on_card
from align.evaluation.record import read_record

RECIPE = {"method": PAIRS, "model_name_or_path": "owner/base", "dataset": {"path": "owner/data"}}
ROWS = [{"prompt": "q", "chosen": "a", "rejected": "b"}]


@pytest.fixture
def folder(tmp_path, tiny_model_folder, monkeypatch):
    (tmp_path / "outputs" / "theirs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("trl", reason="needs the size `train`, which writes cards")
    run = shutil.copytree(tiny_model_folder, tmp_path / "run")
    card(run, RECIPE, ROWS)
    return run


def record(folder, **changes):
    return read_record(write_evaluation(folder, **changes) / "evaluation.json")


def test_values_differences_intervals_and_counts_are_in_the_fields_of_the_hub(folder, tmp_path):
    before = (folder / "README.md").read_text()
    put_on_card(folder / "README.md", record(tmp_path / "evaluated"))
    found = ModelCard.load(folder / "README.md")
    assert found.data.to_dict()["metrics"] == ["accuracy"]
    assert found.data.model_name == "run"
    results = {each.metric_type: each for each in found.data.eval_results}
    own, difference = results["accuracy"], results["accuracy_difference"]
    assert (own.task_type, own.metric_name) == ("text-generation", "Accuracy")
    assert own.metric_args.keys() == {"suite", "temperature", "low", "high", "level", "n"}
    assert own.metric_args["low"] < own.metric_value < own.metric_args["high"]
    assert difference.metric_name == "Accuracy, minus that of theirs"
    args = difference.metric_args
    assert difference.metric_value == pytest.approx(own.metric_value - args["baseline_value"], abs=1e-5)
    assert sum(args[f"{each}_right"] for each in ("only_model", "only_baseline", "both", "neither")) == 1000
    assert not any("letter_share" in each or each == "accuracy/common" for each in results)
    assert found.text.strip().startswith(before.split("---\n")[2].strip())
    assert "Right with this model alone: " in found.text
    assert "does not show that there is none" in found.text
    assert str(tmp_path) not in str(found)


def test_values_of_which_none_is_right_are_only_higher_or_lower(folder, tmp_path):
    graded = {"run": [2.5, 1.0, 0.0, -1.0], "theirs": [1.5, 2.0, 0.0, -2.0]}
    put_on_card(folder / "README.md", graded_record(graded))
    text = (folder / "README.md").read_text()
    assert "Higher with this model: 2; with theirs: 1; equal: 1." in text
    assert "Right with" not in text
    put_on_card(folder / "README.md", graded_record({"run": [1.0, 1.0, 0.0, 0.0], "theirs": [0.0, 1.0, 0.0, 0.0]}))
    text = (folder / "README.md").read_text()
    assert "Right with this model alone: 1; with theirs alone: 0; with both: 1; with neither: 2." in text
    several = record(tmp_path / "evaluated")
    several.paired[0].mcnemar_p = None  # of several samples
    put_on_card(folder / "README.md", several)
    assert "Higher with this model: " in (folder / "README.md").read_text()


def test_another_evaluation_of_the_same_items_replaces_the_first(folder, tmp_path):
    path = folder / "README.md"
    put_on_card(path, record(tmp_path / "first"))
    once = path.read_text()
    put_on_card(path, record(tmp_path / "again"))
    assert path.read_text() == once
    other = record(tmp_path / "other", models=("ours",))
    other.about.data.path = "owner/exam:hard"
    put_on_card(path, other)
    results = ModelCard.load(path).data.eval_results
    assert {(each.dataset_type, each.dataset_config) for each in results} > {("owner/exam", "hard")}
    assert path.read_text().count("## Evaluation") == 1
    assert path.read_text().count("with 95 % intervals") == 4  # accuracy and consistency of both


def test_two_files_of_one_name_both_stay_on_the_card(folder, tmp_path):
    path = folder / "README.md"
    for number, (place, content) in enumerate((("a", "ab"), ("b", "cd"), ("b", "cd"))):
        found = record(tmp_path / f"evaluated-{number}", models=("ours",))
        found.about.data.path, found.about.data.fingerprint = f"{place}/test.jsonl", content * 32
        put_on_card(path, found)
    text = path.read_text()
    for content in ("abababababab", "cdcdcdcdcdcd"):
        assert text.count(f"On test.jsonl of content `{content}`") == 2, "of both suites, once each"
    (entry,) = ModelCard.load(path).data.to_dict()["model-index"]
    assert [each["dataset"]["revision"] for each in entry["results"]] == ["abababababab", "cdcdcdcdcdcd"]


def test_pairs_of_one_name_are_told_apart_by_what_is_in_them(folder, tmp_path):
    scored = {"model_type": "scalar", "best_of_n": None, "seed": 0, "texts_in_template": False, "pairs_too_long": 0}
    for place in "ab":
        (tmp_path / place).mkdir()
        (tmp_path / place / "pairs.jsonl").write_text(place)
        scored |= {"path": "run", "data": f"{place}/pairs.jsonl"}
        content = {"run": {"summary": {"accuracy": [0.8, 0.7, 0.9, 100, "items"]}, "scored": scored}}
        (tmp_path / "evaluation.json").write_text(json.dumps(content))
        put_on_card(folder / "README.md", read_record(tmp_path / "evaluation.json"))
    results = ModelCard.load(folder / "README.md").data.eval_results
    assert [each.dataset_name for each in results] == ["pairs.jsonl"] * 2
    assert len({each.dataset_revision for each in results}) == 2
    assert str(tmp_path) not in (folder / "README.md").read_text()


def test_reward_models_stand_on_a_card_as_well(folder, tmp_path):
    row = [0.8, 0.7, 0.9, 100, "items"]
    content = {"run": {"summary": {"accuracy": row, "accuracy/chat": row, "length_correlation": row}}}
    content["run"]["difference_to"] = {"old": {"accuracy": [0.1, -0.1, 0.3, 100, "items"]}}
    content["old"] = {"summary": {"accuracy": [0.7, 0.6, 0.8, 100, "items"]}}
    (tmp_path / "evaluation.json").write_text(json.dumps(content))
    put_on_card(folder / "README.md", read_record(tmp_path / "evaluation.json"))
    text = (folder / "README.md").read_text()
    assert "| Accuracy | 0.80 [0.70, 0.90] | old | 0.70 [0.60, 0.80] | 0.10 [-0.10, 0.30] | 100 |" in text
    assert [each.metric_type for each in ModelCard(text).data.eval_results] == ["accuracy", "accuracy_difference"]


def test_a_card_has_what_a_reward_model_chooses_and_the_one_subset_it_was_asked(folder, tmp_path):
    row = [0.8, 0.7, 0.9, 100, "items"]
    scored = {"path": "run", "model_type": "scalar", "seed": 0, "texts_in_template": False, "pairs_too_long": 0}
    scored |= {"data": None, "best_of_n": "candidates.jsonl"}
    best = {"best_of_1": row, "best_of_4": row, "best_of_4/oracle": row}
    content = {"run": {"summary": best, "scored": scored, "difference_to": {"old": {"best_of_4": row}}}}
    content["old"] = {"summary": best}
    (tmp_path / "evaluation.json").write_text(json.dumps(content))
    put_on_card(folder / "README.md", read_record(tmp_path / "evaluation.json"))
    results = ModelCard.load(folder / "README.md").data.eval_results
    assert [each.metric_name for each in results] == ["Best of 1", "Best of 4", "Best of 4, minus that of old"]
    content["run"]["summary"] = {"reward_bench_2/Factuality": row} | best
    scored["data"] = "questions.jsonl"
    (tmp_path / "evaluation.json").write_text(json.dumps(content))
    put_on_card(folder / "README.md", read_record(tmp_path / "evaluation.json"))
    results = {each.metric_name: each.dataset_name for each in ModelCard.load(folder / "README.md").data.eval_results}
    assert results["RewardBench 2, Factuality"] == "questions.jsonl"
    assert results["Best of 4"] == "candidates.jsonl"


def test_a_card_is_that_of_the_run_and_of_its_last_checkpoint(folder):
    assert find_card(str(folder)) == folder / "README.md"
    last = shutil.copytree(folder, folder / "checkpoint-4", ignore=shutil.ignore_patterns("README.md"))
    assert find_card(str(last)) == folder / "README.md"
    (last / "model.safetensors").write_bytes(b"another")
    with pytest.raises(UserError, match=r"`--card`: the card in .*run is about the model there.*Evaluate .*run, or"):
        find_card(str(last))


def test_folders_without_a_card_of_ours_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"owner/name is none\. Download it first"):
        find_card("owner/name")
    for draft in (b"---\ntags:\n- trl\n---\n# a draft\n", b"---\ntags: [trl\n---\n", b"---\ntags: caf\xe9\n---\n"):
        (tmp_path / "README.md").write_bytes(draft)
        with pytest.raises(
            UserError, match=r"no README\.md that `align train` wrote\. Name the folder of a finished run"
        ):
            find_card(str(tmp_path))


def test_a_card_that_was_broken_since_is_named(folder, tmp_path):
    (folder / "README.md").write_text("---\ntags: [truealign\n---\n")
    with pytest.raises(UserError, match=r"The card .*README\.md cannot be read: .*Mend it"):
        put_on_card(folder / "README.md", record(tmp_path / "evaluated"))


def test_a_card_knows_where_its_run_was_pushed_to(folder):
    assert pushed_to(folder / "README.md") is None
    (folder / "finished.json").write_text('{"steps": 4, "pushed_to": "https://huggingface.co/me/run"}')
    assert pushed_to(folder / "README.md") == "me/run"
