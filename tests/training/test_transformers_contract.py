"""The private names of transformers that this project leans on: a run that goes on as if never stopped, and models."""

import ast
import inspect
import re

import pytest
import transformers
from transformers import Trainer
from tree import ALIGN

SOURCE = inspect.getsource(Trainer)
# How each begins; what follows has defaults, or is handed on.
METHODS = {
    "_determine_best_metric": ["self", "metrics", "trial"],
    "_evaluate": ["self", "trial", "ignore_keys_for_eval"],
    "_get_grad_norm": ["self", "model", "grad_norm"],
    "_get_eval_sampler": ["self", "eval_dataset"],
    "_get_train_sampler": ["self", "train_dataset"],
    "_load_best_model": ["self"],
    "_load_from_checkpoint": ["self", "resume_from_checkpoint", "model"],
    "_load_rng_state": ["self", "checkpoint"],
    "_maybe_log_save_evaluate": ["self", "tr_loss", "grad_norm", "model", "trial", "epoch", "ignore_keys_for_eval",
                                 "start_time"],
    "_prepare_inputs": ["self", "inputs"],
    "_run_epoch": ["self"],  # put away at the end of a run, whatever it is given
    "_save": ["self", "output_dir", "state_dict"],
    "train": ["self", "resume_from_checkpoint"],
}  # fmt: skip
ATTRIBUTES = ("_globalstep_last_logged", "_signature_columns", "_total_loss_scalar", "_tr_loss")
NEW = "_initial_global_step"  # from 5.19 on; setting it does nothing before
LOOP = inspect.getsource(Trainer._run_epoch)
CHANGED = f"transformers {transformers.__version__} does otherwise; read align/training/resuming.py again."


@pytest.mark.parametrize("name", METHODS)
def test_method_begins_as_what_calls_or_overrides_it_expects(name):
    found = inspect.signature(getattr(Trainer, name)).parameters.values()
    first = METHODS[name]
    assert [each.name for each in found][: len(first)] == first, CHANGED
    rest = [each.name for each in found][len(first) :]
    needed = [each.name for each in found if each.name in rest and each.default is inspect.Parameter.empty]
    assert name == "_run_epoch" or needed == [], CHANGED


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_trainer_still_keeps_what_is_read(name):
    assert re.search(rf"self\.{name}(:[^=\n]+)? = ", SOURCE), CHANGED


def test_every_private_name_of_the_trainer_that_is_used_is_here():
    private = {name for name in dir(Trainer) if re.match("_[a-z]", name)} | set(
        re.findall(r"self\.(_[a-z]\w*)", SOURCE)
    )
    used = set()
    for module in (each for each in ALIGN if each.name.startswith(("align.training", "align.methods"))):
        nodes = list(ast.walk(module.tree))
        used |= {node.attr for node in nodes if isinstance(node, ast.Attribute)} & private
        used |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)} & private
    assert used - {*METHODS, *ATTRIBUTES, NEW} == set()
    assert {"_tr_loss", "_run_epoch"} <= used


def test_losses_are_counted_from_nothing_before_callbacks_begin_and_passes_are_run_after():
    """Else what a checkpoint holds would be overwritten, and the last pass could not be left out."""
    loop = inspect.getsource(Trainer._inner_training_loop)
    order = [
        "self._tr_loss = ", "self._total_loss_scalar = 0.0", "self._globalstep_last_logged = self.state.global_step",
        "callback_handler.on_train_begin(", "self._run_epoch(", "if self.control.should_training_stop:",
    ]  # fmt: skip
    places = [loop.find(text) for text in order]
    assert min(places) >= 0, CHANGED
    assert places == sorted(places), CHANGED


def test_a_log_empties_the_losses_since_the_last_one_in_place():
    source = inspect.getsource(Trainer._maybe_log_save_evaluate)
    for text in ("tr_loss -= tr_loss", "self._total_loss_scalar += ", "self._globalstep_last_logged = "):
        assert text in source, CHANGED
    assert "self._total_loss_scalar += self._tr_loss.item()" in inspect.getsource(Trainer._finalize_training), CHANGED


def test_random_numbers_of_a_checkpoint_are_loaded_once_a_pass_has_begun():
    """What an evaluation that is made up for has drawn would be undone otherwise, and is kept by leaving that out."""
    assert "self._load_rng_state(resume_from_checkpoint)" in inspect.getsource(Trainer._run_epoch), CHANGED
    loaded = re.findall(r"self\._load_rng_state\(", SOURCE)
    assert len(loaded) == inspect.getsource(Trainer._run_epoch).count("self._load_rng_state("), CHANGED


def test_the_norm_of_gradients_is_known_and_the_losses_summed_before_the_update():
    calls = ("_get_grad_norm", "on_pre_optimizer_step", "optimizer.step", "on_step_end", "_maybe_log_save_evaluate")
    places = [LOOP.index(f"{each}(") for each in calls]
    assert [LOOP.index("_tr_loss += tr_loss_step"), *sorted(places)] == sorted(
        [*places, LOOP.index("_tr_loss += tr_")]
    )
    assert "self.args.logging_nan_inf_filter" in LOOP, CHANGED
