"""Sets of papers: commands that exist, numbers beside the paper's, and a small form that runs to its page."""

import csv
import json
import subprocess

import pytest
import yaml
from loaded_script import load_script
from started import ROOT
from transformers import AutoTokenizer
from written_evaluation import scores_record

from align.assets import find_recipe
from align.data import load_questions
from align.data.pairs.preferences import load_preferences
from align.data.prompt_rows import load_prompts
from align.evaluation.record import write_record
from align.evaluation.statistics.metrics import Estimate, mean_over_seeds
from align.recipe.dataset import MediaSettings
from align.recipe.recipe import load_recipe
from rewards.scoring.number_accuracy import number_accuracy


@pytest.fixture(scope="module")
def paper():
    return load_script("paper")


def asked(tmp_path, paper_set, tiny=True, seeds=1):
    plan = load_script("papers.plan")
    return plan.Asked(tmp_path, range(seeds), list(paper_set.arms), tmp_path / "data", tiny, ("--model", "oracle"))


@pytest.mark.parametrize("tiny", [True, False], ids=["tiny", "whole"])
def test_every_training_of_a_set_has_a_recipe_that_parses_with_its_overrides(paper, tmp_path, tiny):
    trained = 0
    for name, paper_set in paper.SETS.items():
        for job in paper_set.jobs(asked(tmp_path / name, paper_set, tiny)):
            for stage in job.stages:
                if stage.words[0] == "train":
                    _, recipe, *overrides = stage.words
                    load_recipe(find_recipe(recipe), overrides[: overrides.index("--resume")])
                    trained += 1
    assert trained == 2 * 4 + 6 * 3 + 5 + 2


# What the papers' runs had, as appendices, authors' scripts and notes have it. ACRE's own values were not found, so
# these are those of Video-R1, whose model it starts from: 4 GPUs with a question of 8 completions each.
OF_CROME = {"batch": 256, "learning_rate": 1e-6, "num_train_epochs": 1, "warmup_steps": 0.03, "weight_decay": 0.0}
OF_RRPO = {"batch": 32, "learning_rate": 5e-6, "num_train_epochs": 1, "beta": 0.1, "kl_coef": 0.01, "weight_decay": 0}
OF_VIDEO_R1 = {"batch": 32, "learning_rate": 1e-6, "num_generations": 8, "beta": 0.04, "temperature": 1.0,
               "max_completion_length": 768, "num_iterations": 1, "max_grad_norm": 5.0}  # fmt: skip
OF_DPO = OF_RRPO | {"learning_rate": 5e-7, "kl_coef": 0, "spans": "whole"}  # RRPO's rate is ten times DPO's
FACTS = {
    "crome-gemma-2-9b": dict.fromkeys(("rm", "rrm", "crome"), OF_CROME),
    "crome-qwen2.5-7b-bt": dict.fromkeys(("rm", "rrm", "crome"), OF_CROME | {"model_type": "scalar"}),
    "rrpo-qwen2.5-vl-7b": {
        "dpo": OF_DPO,
        "tdpo": OF_DPO | {"kl_coef": 0.5, "kl_placement": "margin"},
        "rrpo without KL": OF_RRPO | {"kl_coef": 0, "spans": "differing"},
        "rrpo without spans": OF_RRPO | {"spans": "whole"},
        "rrpo": OF_RRPO | {"spans": "differing", "kl_placement": "loss"},
    },
    "acre-qwen2.5-vl-7b": {"grpo": OF_VIDEO_R1 | {"second_pass": "off"}, "acre": OF_VIDEO_R1 | {"num_shuffles": 1}},
}


def recipes_of(paper_set, asked):
    """Parses the recipe of each training with its overrides, by arm."""
    for job in paper_set.jobs(asked):
        for stage in job.stages:
            if stage.words[0] == "train":
                words = stage.words[1 : stage.words.index("--resume")]
                arm = job.name.removesuffix("-0") if stage.name == "train" else stage.name
                yield arm, load_recipe(find_recipe(words[0]), words[1:]), stage


@pytest.mark.parametrize("gpus", [1, 8, 32])
@pytest.mark.parametrize("name", FACTS)
def test_a_set_trains_as_the_paper_did_on_any_number_of_gpus(paper, tmp_path, name, gpus):
    found = {}
    for arm, recipe, stage in recipes_of(
        paper.SETS[name], asked(tmp_path, paper.SETS[name], False)._replace(gpus=gpus)
    ):
        own = recipe.settings
        batch = gpus * own.per_device_train_batch_size * own.gradient_accumulation_steps
        found[arm] = {key: batch if key == "batch" else getattr(own, key) for key in FACTS[name][arm]}
        assert own.lr_scheduler_type == "cosine"
        assert stage.launch == stage.launch[:4] + (("--num_processes", str(gpus)) if gpus > 1 else ())
        if name.startswith("rrpo"):
            assert (recipe.model.lora_r, recipe.model.lora_alpha, recipe.dataset.num_frames) == (128, 256, 16)
    assert found == FACTS[name]


@pytest.mark.parametrize("tiny", [True, False], ids=["tiny", "whole"])
def test_questions_are_asked_as_in_training_before_it_and_behind_it_on_all_gpus(paper, tmp_path, tiny):
    paper_set = paper.SETS["acre-qwen2.5-vl-7b"]
    which = asked(tmp_path, paper_set, tiny)._replace(gpus=1 if tiny else 4)
    trained = {recipe.dataset.prompt_template for _, recipe, _ in recipes_of(paper_set, which)}
    stages = [stage for job in paper_set.jobs(which) for stage in job.stages if stage.words[0] == "eval"]
    assert {stage.words[stage.words.index("--prompt_template") + 1] for stage in stages} == trained
    assert len(trained) == 1
    assert ("<think>" in next(iter(trained))) is not tiny
    launched = ("accelerate", "launch", "--multi_gpu", "--num_processes", "4")
    assert {stage.launch for stage in stages} == {() if tiny else launched}


def test_the_row_beside_rrpo_is_that_of_the_model_whose_values_it_has(paper):
    published = paper.SETS["rrpo-qwen2.5-vl-7b"].published
    assert published.source.startswith("LLaVA-Video-7B-Qwen2")
    assert published.numbers["before"] == {
        "TVBench": 51.0, "TempCompass": 66.0, "VideoHallucer": 50.0, "VidHalluc": 76.6, "MVBench": 61.1,
        "VideoMME": 64.0, "MLVU": 68.6, "LongVideoBench": 60.1,
    }  # fmt: skip


def test_what_a_set_costs_is_told_before_it_starts(paper, tmp_path, capsys):
    words = ["crome-gemma-2-9b", "--data", str(tmp_path), "--dry_run", "--gpus"]
    assert paper.main([*words, "8"]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("# ")]
    assert told[0] == "# 9 trainings, 4 evaluations; arms rm, rrm, crome; seeds 0, 1, 2."
    assert "GPUs x rows x accumulated 8 x 4 x 8, learning rate 1e-06, epochs 1." in told[2]
    assert told[3] == "# 1,560,000 calls of the oracle: 26 for each of 60,000 rows (the paper's)."
    assert "10 to 16 hours on 8 A100" in told[4]
    (tmp_path / "preferences.jsonl").write_text("{}\n" * 10)
    assert paper.main([*words, "4"]) == 0
    assert "# 260 calls of the oracle: 26 for each of 10 rows (lines of " in capsys.readouterr().out
    for wrong, why in (("3", "3 GPUs cannot share the 256 rows of a step of crome"), ("0", "0 GPUs are none")):
        with pytest.raises(SystemExit):
            paper.main([*words, wrong])
        assert why in capsys.readouterr().err


def test_seeds_and_arms_are_jobs_of_their_own_folders(paper, tmp_path):
    paper_set = paper.SETS["deconfound-upworthy"]
    data, *jobs = paper_set.jobs(asked(tmp_path, paper_set, seeds=2)._replace(arms=["dml", "none"]))
    assert [job.name for job in jobs] == ["dml-0", "none-0", "dml-1", "none-1"]
    assert [stage.name for stage in data.stages] == ["winners"]
    assert all(str(tmp_path / job.name) in stage.words for job in jobs for stage in job.stages)


def test_files_that_are_missing_are_a_sentence_before_anything_runs(paper, tmp_path, capsys):
    out = tmp_path / "out"
    assert paper.main(["deconfound-upworthy", "--data", str(tmp_path), "--out", str(out)]) == 1
    assert f"error: {tmp_path / 'upworthy-train.csv'} is missing. The exploratory" in capsys.readouterr().err
    assert not out.exists()
    with pytest.raises(SystemExit):
        paper.main(["deconfound-upworthy", "--arms", "iv"])
    assert "'iv' is no arm of deconfound-upworthy. There are none, ols, dml, input." in capsys.readouterr().err


def test_a_dry_run_prints_commands_and_writes_nothing(paper, tmp_path, capsys):
    assert paper.main(["crome-gemma-2-9b", "--out", str(tmp_path / "o"), "--oracle", "--model m", "--dry_run"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("# ")]
    assert len(lines) == 4 + 3 * 6
    assert lines[1].startswith("align augment data/preferences.jsonl --method crome --model m --out ")
    assert not (tmp_path / "o").exists()


def test_differences_are_of_the_same_seeds_and_stand_beside_the_paper(paper):
    page = load_script("papers.page")
    paper_set = paper.SETS["crome-gemma-2-9b"]
    scores = {"rm": [50.0, 60.0, 70.0], "crome": [52.0, 63.0, 71.0]}
    values = page.gathered([{arm: {"RewardBench": of[seed]} for arm, of in scores.items()} for seed in range(3)])
    assert {arm: cells["RewardBench"] for arm, cells in values.items()} == scores
    (found,) = page.compare(paper_set, values)
    assert (found.arm, found.column.name, found.here) == ("crome", "RewardBench", mean_over_seeds([2.0, 3.0, 1.0]))
    assert found.there == pytest.approx(87.84 - 81.22)
    assert str(found) == "not told apart: 2.00 [-0.48, 4.48]; the paper has +6.62"


def test_rows_of_gsm8k_become_prompts_whose_number_is_the_one_behind_the_mark(tmp_path, capsys):
    gsm8k = load_script("papers.gsm8k")
    rows = [{"question": "How {many}?", "answer": "So 2 <<1+1=2>> it is.\n#### 1,002"}]
    (tmp_path / "rows.jsonl").write_text(json.dumps(rows[0]) + "\n")
    assert gsm8k.main([str(tmp_path / "rows.jsonl"), "--out", str(tmp_path / "prompts.jsonl")]) == 0
    (prompt,), _ = load_prompts(tmp_path / "prompts.jsonl")
    assert prompt.prompt[0]["content"].startswith("How {many}?\nThink step by step.")
    assert number_accuracy(
        ["Two. <answer>1002</answer>"], **{name: [value] for name, value in prompt.columns.items()}
    ) == [1]
    for wrong in ({"question": "q", "answer": "42"}, {"question": None, "answer": "#### 2"}, {"answer": "#### two"}):
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, wrong]))
        assert gsm8k.main([str(tmp_path / "rows.jsonl"), "--out", str(tmp_path / "p.jsonl")]) == 1
        assert "rows.jsonl: row 2 is none of GSM8K's" in capsys.readouterr().err
    assert not (tmp_path / "p.jsonl").exists()


def test_the_curve_of_best_of_n_has_an_interval_over_questions_or_over_seeds(tmp_path):
    crome = load_script("papers.crome")
    for seed, values in enumerate([(0.5, 0.7), (0.6, 0.9)]):
        folder = tmp_path / f"seed-{seed}" / "reward-bench"
        folder.mkdir(parents=True)
        cells = {
            f"best_of_{n}": Estimate(value, value - 0.1, value + 0.1, 50)
            for n, value in zip((1, 2), values, strict=True)
        }
        record = scores_record({"rm": cells | {"best_of_2/oracle": Estimate(1.0, 1.0, 1.0, 50)}})
        write_record(folder / "evaluation.json", record)
    (one,), (two,) = crome.best_of_n(tmp_path, [1]), crome.best_of_n(tmp_path, range(2))
    assert "over questions" in one.note
    assert "over seeds" in two.note
    assert [one.legend[0].label, one.legend[0].latest, two.legend[0].latest] == ["rm", "90 %", "80 %"]
    columns = crome._columns(
        {
            name: Estimate(value, value, value, 9)
            for name, value in {
                "accuracy": 0.5,
                "accuracy_drop/quoted": 0.1,
                "best_of_1": 0.25,
                "best_of_16": 0.5,
            }.items()
        }
    )
    assert columns == {"GSM8K, best of 1": 25, "GSM8K, best of 16": 50, "same pairs, other form": 40}


def test_made_rows_of_a_benchmark_are_read_by_its_adapter(tmp_path):
    pytest.importorskip("av", reason="needs the extra `vision`")
    videos = load_script("papers.videos")
    adapters = [*videos.ON_VIDEOS.values(), *videos.ON_REASONING.values()]
    videos.make_tiny(tmp_path, 0, adapters, "self-alignment.jsonl")
    media = MediaSettings(frames_dir=str(tmp_path / "frames"), num_frames=2)
    pairs, _ = load_questions(tmp_path / "videohallucer.jsonl", adapter="videohallucer", media=media)
    assert [pair.options[pair.answer] for pair in pairs[:2]] == ["yes", "no"]
    truths = set()
    for adapter in set(adapters) - {"videohallucer"}:
        questions, _ = load_questions(tmp_path / f"{adapter}.jsonl", adapter=adapter, media=media)
        assert all(1 <= len(question.images) <= 2 for question in questions)
        truths.add(tuple(question.options[question.answer] for question in questions))
    assert len(truths) == 1  # the same questions in every schema
    pairs, _ = load_preferences(tmp_path / "self-alignment.jsonl", adapter="rrpo", media=media)
    assert len(pairs) == 32


def test_packages_of_a_test_are_a_pair_where_their_rates_differ_by_more_than_chance():
    winners = load_script("papers.winners")

    def package(test, headline, clicks, shown=3000, lede="L"):
        row = {"clickability_test_id": test, "headline": headline, "clicks": clicks, "impressions": shown}
        return row | {"created_at": "2014-11-20 06:43:16", "lede": lede}

    rows = [
        package("a", "good", 60), package("a", "bad", 30), package("a", "third", 90),
        package("b", "good", 60), package("b", "as good", 57),
        package("c", "same", 60), package("c", "same", 30),
        package("d", "good", 60), package("d", "another story", 30, lede="M"),
        package("e", "nobody saw it", 0, shown=0), package("e", "seen", 60),
    ]  # fmt: skip
    assert list(winners.experiments(rows, 0)) == [("L", "good", "bad")]


def test_posts_are_a_pair_where_only_votes_differ():
    winners = load_script("papers.winners")

    def post(title, score, views, day, tags="<a>"):
        return {"Title": title, "Body": "", "Score": score, "ViewCount": views, "CreationDate": day * 86400} | {
            "Tags": tags
        }

    rows = [post("good", 9, 1000, 1), post("bad", 2, 1010, 5), post("many saw it", 30, 9000, 1)]
    rows += [post("late", 9, 1000, 99), post("of another kind", 0, 1000, 1, "<b>"), post("alike", 3, 1020, 6)]
    assert list(winners.matched(rows, 2.0)) == [("<a>", "good", "bad")]


@pytest.mark.parametrize("model", ["gemma-2-2b", "qwen2.5-7b"])
def test_a_made_reward_model_reads_words(tmp_path, model, monkeypatch):
    crome = load_script("papers.crome")
    monkeypatch.setattr(crome, "make_policy", lambda *_: None)  # which takes a while, and is no reward model
    crome.make_tiny(tmp_path, 0, model, "scalar")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    text = "Describe a lamp: mainly light. <answer> 25 </answer>"
    words = ["Describe", "a", "lamp", ":", "mainly", "light", ".", "<answer>", "25", "</answer>"]
    assert tokenizer.tokenize(text) == words


def test_each_night_runs_one_set_and_all_have_their_turn(paper):
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    job = workflow["jobs"]["paper"]
    assert job["if"] == workflow["jobs"]["nightly"]["if"]
    (script,) = (step["run"] for step in job["steps"] if "paper.py" in step.get("run", ""))
    listed = script[script.index("(") + 1 : script.index(")")].split()
    assert listed == list(paper.SETS)
    chosen = (
        script.partition(".venv")[0] + 'echo "${sets[$((10#011 % ${#sets[@]}))]} ${sets[$((10#365 % ${#sets[@]}))]}"'
    )
    said = subprocess.run(["bash", "-c", chosen], capture_output=True, text=True, check=True).stdout.split()
    assert said == [listed[0], listed[365 % len(listed)]]


@pytest.mark.slow
def test_every_training_of_every_set_is_ready_for_8_gpus(paper, tmp_path, capsys):
    assert paper.main(["--check", "8", "--data", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    listed = [line.partition(":")[0] for line in printed.splitlines() if " yes " in line]
    assert listed == [name for name, paper_set in paper.SETS.items() if paper_set.make_tiny]
    assert "error" not in printed


def test_a_training_that_would_not_start_is_a_sentence(paper, tmp_path, capsys):
    (tmp_path / "upworthy-train.csv").write_text("headline,lede\na,b\n")
    (tmp_path / "upworthy-test.csv").write_text("")
    assert paper.main(["deconfound-upworthy", "--check", "2", "--data", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "deconfound-upworthy: none, ols, dml, input" in printed
    (told,) = (line for line in printed.splitlines() if line.startswith("error: deconfound-upworthy, dml: "))
    assert str(tmp_path / "upworthy-train.csv") in told
    with pytest.raises(SystemExit):
        paper.main(["--check", "0"])


def test_hours_are_the_operations_of_full_rows():
    ready = load_script("papers.cost")
    recipe = load_recipe(find_recipe("crome/gemma-2-9b"), [])
    each = 8 * 9e9 * 2 * 2048  # forward, backward and once more forward, of both answers
    assert ready.hours_of(recipe, 9 * 10**9, 8) == pytest.approx(each * 1e5 / (0.4 * 312e12) / 8 / 3600)
    acre = load_recipe(find_recipe("acre/qwen2.5-vl-7b"), [])
    assert ready.hours_of(acre, 7 * 10**9, 8) is None
    generations = 100_000 * 8 / (8 * 8)  # on each GPU, of 8 completions
    assert ready.hours_to_generate(acre, 7 * 10**9, 8) == pytest.approx(generations * 768 * 14e9 / 2.039e12 / 3600)


@pytest.mark.nightly  # nine commands, each of which loads its libraries
def test_the_small_form_of_a_set_runs_from_nothing_to_its_page(paper, tmp_path):
    words = ["deconfound-upworthy", "--tiny", "--seeds", "1", "--arms", "none", "dml", "--out", str(tmp_path)]
    assert paper.main(words) == 0
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert set(numbers["values"]) == {"none", "dml"}
    assert numbers["published"]["numbers"] == {"dml": {"AUC": 0.82}}
    page = (tmp_path / "report.html").read_text()
    assert "align train paper/deconfound-upworthy" in page
    rows = list(csv.DictReader((tmp_path / "data" / "upworthy-train.csv").open()))
    assert len(rows) == 1800


@pytest.mark.slow
def test_the_small_simulation_goes_on_where_it_was_stopped(paper, tmp_path, capsys):
    words = ["deconfound-simulation", "--tiny", "--out", str(tmp_path)]
    assert paper.main([*words, "--seeds", "1"]) == 0
    assert paper.main([*words, "--seeds", "2"]) == 0
    assert capsys.readouterr().out.count("lab is finished.") == 1
    values = json.loads((tmp_path / "numbers.json").read_text())["values"]
    assert len(values["iv"]["entangled"]) == 2
    assert values["iv"]["separable"] > values["none"]["separable"]
