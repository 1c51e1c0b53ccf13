"""Configs as Python makes and copies them: numbers come as strings, as floats in place of ints, or are none."""

import copy
import pickle

import numpy as np
import pytest

from align import ACREConfig, CromeConfig, DeconfoundConfig, RRPOConfig

QUIET = {"bf16": False, "use_cpu": True, "report_to": "none"}


def made(kind, folder, name, value):
    return getattr(kind(**QUIET | {"output_dir": str(folder), name: value}), name)


@pytest.mark.parametrize(("kind", "name"), [(ACREConfig, "num_shuffles"), (DeconfoundConfig, "max_length")])
def test_whole_floats_are_ints_and_others_are_refused(tmp_path, kind, name):
    found = [made(kind, tmp_path, name, value) for value in (2, 2.0, np.int64(2))]
    assert found == [2] * 3
    assert {type(each) for each in found} == {int}
    with pytest.raises(ValueError, match=f"`{name}` must be a whole number, got 1.5"):
        made(kind, tmp_path, name, 1.5)


@pytest.mark.parametrize(("kind", "name"), [(CromeConfig, "tie_coef"), (RRPOConfig, "beta"), (RRPOConfig, "kl_coef")])
def test_strings_and_what_is_no_number_are_refused(tmp_path, kind, name):
    with pytest.raises(TypeError, match=f"`{name}` must be a number, got '0.5'. Write it without quotes."):
        made(kind, tmp_path, name, "0.5")
    with pytest.raises(ValueError, match=f"`{name}` must be a finite number, got nan"):
        made(kind, tmp_path, name, float("nan"))


def test_a_copied_config_keeps_its_secrets_and_a_saved_one_has_none(tmp_path):
    token = "hf_" + "abcdefghij" * 3
    config = CromeConfig(str(tmp_path), hub_token=token, model_init_kwargs={"token": token}, **QUIET)
    for copied in (copy.copy(config), copy.deepcopy(config)):
        assert copied.hub_token == copied.model_init_kwargs["token"] == token
    copied.model_init_kwargs["token"] = "other"
    assert config.model_init_kwargs["token"] == token
    assert token not in str(vars(pickle.loads(pickle.dumps(config))))
