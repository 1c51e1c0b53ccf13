import pytest
from saved_checkpoint import FILES, save_checkpoint

from align.runs.checkpoints import MANIFEST, copy_model, damage, list_checkpoints, read_manifest


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_what_was_written_is_whole(tmp_path):
    checkpoint = save_checkpoint(tmp_path, 3, epoch=0.25)
    assert damage(checkpoint) is None
    manifest = read_manifest(checkpoint / MANIFEST)
    assert (manifest.step, manifest.epoch, set(manifest.files)) == (3, 0.25, set(FILES))


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_every_file_is_missed_by_name(tmp_path, name):
    checkpoint = save_checkpoint(tmp_path, 3)
    (checkpoint / name).unlink()
    assert name in damage(checkpoint)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
@pytest.mark.parametrize("cut", [0, 0.5])
def test_every_file_that_is_cut_is_named(tmp_path, name, cut):
    checkpoint = save_checkpoint(tmp_path, 3)
    content = (checkpoint / name).read_bytes()
    (checkpoint / name).write_bytes(content[: int(len(content) * cut)])
    assert name in damage(checkpoint)


@pytest.mark.parametrize("name", FILES)
def test_one_other_bit_is_named(tmp_path, name):
    checkpoint = save_checkpoint(tmp_path, 3)
    flip(checkpoint / name, 1)
    assert damage(checkpoint) == f"{name} is not what was written (another SHA-256)"
    assert damage(checkpoint, hashed=False) is None


def test_a_bit_of_the_manifest_changes_nothing_in_silence(tmp_path):
    """A flip may meet a line break; what is read must then be what was written."""
    checkpoint = save_checkpoint(tmp_path, 3)
    note = checkpoint / MANIFEST
    whole, written = note.read_bytes(), read_manifest(note)
    for position in range(len(whole)):
        flip(note, position)
        assert damage(checkpoint) is not None or read_manifest(note) == written, position
        note.write_bytes(whole)


@pytest.mark.parametrize("content", ["{}", "[]", "null", "3", '{"sha256": "x"}'])
def test_another_json_is_no_manifest(tmp_path, content):
    checkpoint = save_checkpoint(tmp_path, 3)
    (checkpoint / MANIFEST).write_text(content)
    assert damage(checkpoint) == f"{MANIFEST} is damaged"


def test_checkpoints_are_listed_newest_first_and_nothing_else(tmp_path):
    for name in ("checkpoint-5", "checkpoint-10", "checkpoint-best", "passed-over-checkpoint-20", "checkpoint-²"):
        (tmp_path / name).mkdir()
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-10", "checkpoint-5"]


def test_the_model_is_what_a_trainer_does_not_go_on_from(tmp_path):
    checkpoint = save_checkpoint(tmp_path, 3)
    (checkpoint / "global_step3").mkdir()
    (checkpoint / "global_step3" / "bf16_zero_pp_rank_0.pt").write_bytes(b"shard")
    for name in ("rng_state_1.pth", "zero_to_fp32.py", "zero_to_torch.py"):
        (checkpoint / name).write_bytes(b"dice")
    (tmp_path / "run").mkdir()
    copy_model(checkpoint, tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"model.safetensors", "config.json"}


def test_shards_are_the_model_where_no_whole_weights_were_saved(tmp_path):
    checkpoint = save_checkpoint(tmp_path, 3)
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "global_step3").mkdir()
    (checkpoint / "global_step3" / "shard.pt").write_bytes(b"shard")
    (checkpoint / "latest").write_text("global_step3")
    (tmp_path / "run").mkdir()
    copy_model(checkpoint, tmp_path / "run")
    assert (tmp_path / "run" / "global_step3" / "shard.pt").is_file()
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"config.json", "global_step3", "latest"}
