import pytest
from saved_checkpoint import save_checkpoint

from align.errors import RunFolderError
from align.runs.checkpoints import find_start
from align.runs.owner import owned


def snapshot(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def test_a_new_or_empty_folder_starts_at_the_beginning(tmp_path):
    assert find_start(tmp_path / "new", None).checkpoint is None
    assert not (tmp_path / "new").exists()
    assert find_start(tmp_path, None).checkpoint is None


def test_a_folder_in_which_only_locks_lie_is_empty(tmp_path):
    with owned(tmp_path / "run"), owned(tmp_path / "run" / "inner"):
        assert find_start(tmp_path / "run", None).checkpoint is None
        (tmp_path / "run" / "inner" / "x").write_text("")
        with pytest.raises(RunFolderError, match="already holds files, and no checkpoint to continue from"):
            find_start(tmp_path / "run", None)


def test_a_used_folder_is_refused_and_left_alone(tmp_path):
    save_checkpoint(tmp_path / "run", 10)
    before = snapshot(tmp_path)
    with pytest.raises(RunFolderError, match=r"already holds a run, up to checkpoint-10.*--resume auto.*--output_dir"):
        find_start(tmp_path / "run", None)
    assert snapshot(tmp_path) == before


def test_a_model_that_no_run_has_left_is_not_written_over(tmp_path):
    (tmp_path / "slurm-1.out").write_text("")
    assert find_start(tmp_path, "auto").checkpoint is None  # what a scheduler writes there first is in nobody's way
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    checkpoint = save_checkpoint(tmp_path / "elsewhere" / "run", 5)
    for resume in ("auto", str(checkpoint)):
        with pytest.raises(
            RunFolderError, match=r"holds a model, model\.safetensors, and no run of it; training would"
        ):
            find_start(tmp_path, resume)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(RunFolderError, match="is a file"), owned(tmp_path / "run"):
        pass
    assert (tmp_path / "run").read_text() == "mine"


def test_resume_auto_takes_the_newest_whole_checkpoint_and_says_what_it_passes_over(tmp_path):
    save_checkpoint(tmp_path, 5)
    whole = save_checkpoint(tmp_path, 10)
    (save_checkpoint(tmp_path, 15) / "optimizer.pt").write_bytes(b"")
    (save_checkpoint(tmp_path, 20) / "manifest.json").unlink()
    start = find_start(tmp_path, "auto")
    assert start.checkpoint == whole
    assert [(path.name, wrong) for path, wrong in start.passed_over] == [
        ("checkpoint-20", "it has no manifest.json, so it was not written to its end"),
        ("checkpoint-15", "optimizer.pt has 0 bytes, 630 were written"),
    ]


def test_resume_auto_without_a_checkpoint_starts_at_the_beginning(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("{}")
    (save_checkpoint(tmp_path, 5) / "manifest.json").unlink()  # killed while it was written
    assert find_start(tmp_path, "auto").checkpoint is None
    assert find_start(tmp_path / "new", "auto").checkpoint is None


def test_a_run_all_of_whose_checkpoints_are_damaged_does_not_start_over_in_silence(tmp_path):
    (save_checkpoint(tmp_path, 5) / "model.safetensors").unlink()
    with pytest.raises(RunFolderError, match=r"checkpoint-5: model.safetensors is missing.*--output_dir"):
        find_start(tmp_path, "auto")


def test_checkpoints_without_an_optimizer_are_not_gone_on_from(tmp_path):
    only_model = save_checkpoint(tmp_path, 5, resumable=False)
    for resume in ("auto", str(only_model)):
        with pytest.raises(RunFolderError, match="`save_only_model: true`"):
            find_start(tmp_path, resume)


def test_a_named_checkpoint_must_be_whole(tmp_path):
    named = save_checkpoint(tmp_path, 5)
    save_checkpoint(tmp_path, 10)
    half = save_checkpoint(tmp_path, 15)
    (half / "manifest.json").unlink()
    assert find_start(tmp_path, str(named)).checkpoint == named
    for path, words in ((half, "no manifest.json"), (tmp_path / "checkpoint-7", "it is not there")):
        with pytest.raises(RunFolderError, match=rf"{words}.*checkpoint-5, checkpoint-10"):
            find_start(tmp_path, str(path))


def test_what_is_newer_than_the_named_checkpoint_is_passed_over(tmp_path):
    first, second, third = (save_checkpoint(tmp_path / "run", step) for step in (5, 10, 15))
    why = "it is newer than checkpoint-5, from which the run goes on"
    assert find_start(tmp_path / "run", str(first))[:2] == (first, ((third, why), (second, why)))
    assert find_start(tmp_path / "run", str(third))[:2] == (third, ())
    assert find_start(tmp_path / "other", str(first))[:2] == (first, ())
