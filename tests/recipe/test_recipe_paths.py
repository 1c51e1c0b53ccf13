def test_home_is_found_for_models_as_for_data(parse, tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    recipe = parse("output_dir: ~/run", "--model_name_or_path", "~/model", "--dataset.path", "~/rows.jsonl")
    found = recipe.model.model_name_or_path, recipe.dataset.path, recipe.settings.output_dir
    assert found == (str(home / "model"), str(home / "rows.jsonl"), str(home / "run"))


def test_the_run_folder_may_be_named_from_home(parse, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse("", "--output_dir", "~/run").training["output_dir"] == str(tmp_path / "run")


def test_relative_paths_belong_to_the_file_or_to_the_current_folder(parse, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    recipe = parse("output_dir: ../run", "--dataset.eval_path", "./eval.jsonl")
    assert recipe.model.model_name_or_path == str(tmp_path / "model")
    assert recipe.dataset.path == str(tmp_path / "train.jsonl")
    assert recipe.settings.output_dir == str(tmp_path.parent / "run")
    assert recipe.dataset.eval_path == str(elsewhere / "eval.jsonl")


def test_hub_ids_stay_as_they_are(parse):
    recipe = parse("", "--model_name_or_path", "Qwen/Qwen2.5-7B-Instruct", "--dataset.path", "allenai/sciq")
    assert recipe.model.model_name_or_path == "Qwen/Qwen2.5-7B-Instruct"
    assert recipe.dataset.path == "allenai/sciq"
