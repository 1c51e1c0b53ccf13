from fake_distribution import install
from packaging.specifiers import SpecifierSet

from align.checks.packages import check_packages, check_python


def problems():
    return [finding for finding in check_packages() if finding.level != "ok"]


def test_this_environment_has_no_package_outside_its_bounds():
    assert [finding for finding in check_packages() if finding.level == "error"] == []


def test_the_versions_are_listed_with_their_windows():
    python, listed, *_ = check_packages()
    assert python.level == listed.level == "ok"
    assert listed.numbers["trl"]["supported"] == ">=1.16,<1.17"
    assert f"trl {listed.numbers['trl']['installed']} (>=1.16,<1.17)" in listed.text


def test_a_needed_package_outside_its_window_is_broken_and_gets_the_line_that_mends_it(tmp_path, monkeypatch):
    install(tmp_path, "trl", "1.15.0")
    monkeypatch.syspath_prepend(tmp_path)
    (found,) = problems()
    assert found.level == "error"
    assert "trl 1.15.0 is outside >=1.16,<1.17" in found.text
    assert found.fix == 'pip install "trl>=1.16,<1.17"'


def test_an_optional_package_outside_its_window_is_a_warning(tmp_path, monkeypatch):
    install(tmp_path, "vllm", "0.10.0")
    monkeypatch.syspath_prepend(tmp_path)
    (found,) = problems()
    assert found.level == "warning"
    assert found.fix == 'pip install "vllm>=0.22,<0.33"'


def test_main_packages_that_ask_for_another_version_are_named(tmp_path, monkeypatch):
    install(tmp_path, "vllm", "0.31.0", "torch==2.9.0", "nowhere-to-be-found>=3")
    monkeypatch.syspath_prepend(tmp_path)
    (found,) = problems()
    assert found.level == "warning"
    assert "vllm 0.31.0 asks for torch==2.9.0, found " in found.text
    assert found.fix == 'pip install "torch==2.9.0"'


def test_a_missing_needed_package_is_broken(tmp_path, monkeypatch):
    install(tmp_path, "truealign", "0.1.0", "nowhere-to-be-found>=3", "also-missing; extra == 'vision'")
    monkeypatch.syspath_prepend(tmp_path)
    (found,) = problems()
    assert (found.level, found.fix) == ("error", 'pip install "nowhere-to-be-found>=3"')


def test_a_missing_package_that_a_needed_one_needs_is_broken_and_said_once(tmp_path, monkeypatch):
    for name, version in (("trl", "1.16.0"), ("accelerate", "1.15.0")):
        install(tmp_path, name, version, "nowhere_to.be-found>=3", "also-missing; extra == 'test'")
    monkeypatch.syspath_prepend(tmp_path)
    (found,) = problems()
    assert (found.level, found.text) == ("error", "trl needs nowhere_to.be-found, which is not installed.")


def test_another_python_is_broken():
    assert check_python(SpecifierSet(">=3.11,<3.99")).level == "ok"
    found = check_python(SpecifierSet("<3.14,>=3.13.99"))
    assert found.level == "error"
    assert "outside >=3.13.99,<3.14" in found.text
