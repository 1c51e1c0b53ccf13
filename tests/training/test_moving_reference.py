"""A real trainer whose reference follows its model, as TRL lets it."""

from line_trainer import Line, line_trainer
from safetensors.torch import load_file
from trl.trainer.callbacks import SyncRefModelCallback

from align.runs.checkpoints import REFERENCE, copy_model, damage
from align.training.resuming import MovingReference, WholeCheckpoints


def trained(folder, resume=None):
    trainer = line_trainer(folder, save_steps=2, max_steps=4, learning_rate=0.1)
    vars(trainer.args).update(ref_model_sync_steps=1, ref_model_mixup_alpha=0.5)
    trainer.ref_model = Line()
    trainer.add_callback(SyncRefModelCallback(trainer.ref_model, None))
    trainer.add_callback(MovingReference(trainer, folder, resume, "none", is_shared=True))
    trainer.add_callback(WholeCheckpoints(trainer, folder, 0, "none"))
    trainer.train(resume_from_checkpoint=resume and str(resume))
    return trainer.ref_model.weight


def test_a_run_that_goes_on_has_the_reference_of_its_checkpoint(tmp_path, capsys):
    whole = trained(tmp_path)
    checkpoint = tmp_path / "checkpoint-2"
    assert 0 < load_file(checkpoint / REFERENCE)["weight"] < whole
    assert trained(tmp_path, checkpoint).equal(whole)
    assert damage(checkpoint) is None
    assert "does not hold the reference" not in capsys.readouterr().err
    (checkpoint / REFERENCE).unlink()  # as of an older version
    assert not trained(tmp_path, checkpoint).equal(whole)
    assert "checkpoint-2 does not hold the reference that followed the policy" in capsys.readouterr().err


def test_it_is_no_part_of_the_model(tmp_path):
    trained(tmp_path / "run")
    copy_model(tmp_path / "run" / "checkpoint-4", tmp_path / "end")
    assert not (tmp_path / "end" / "reference").exists()
