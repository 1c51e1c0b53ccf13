"""What a release needs to know stands in one place each, and nobody is told to install what is not there."""

import re
import subprocess
import sys
import tomllib
from types import SimpleNamespace

import pytest
import yaml
from loaded_script import load_script
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from started import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
INSTALL = re.compile(r"pip install [\"']?truealign")
CONTAINER = (ROOT / "Containerfile").read_text()


def test_a_page_that_installs_from_the_index_says_how_until_there_is_a_release():
    pages = [ROOT / name for name in TRACKED if name.endswith(".md") and name != "CHANGELOG.md"]
    telling = [page for page in pages if INSTALL.search(page.read_text())]
    assert len(telling) > 15
    assert [
        page for page in telling if not re.search(r"release\.md#until-then|^## Until then", page.read_text(), re.M)
    ] == []


def test_code_and_recipes_install_from_the_index_only_extras_of_what_is_there():
    files = [ROOT / name for name in TRACKED if name.startswith(("align/", "rewards/", "recipes/", "scripts/"))]
    bare = re.compile(r"pip install [\"']?truealign(?![\w\[-])")
    assert [
        file for file in files if file.suffix in (".py", ".yaml", ".sh", ".j2") and bare.search(file.read_text())
    ] == []


def test_the_version_is_the_package_s():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == PROJECT["version"]


def test_addresses_stand_in_the_package_alone_and_the_site_takes_them_from_there(monkeypatch):
    pytest.importorskip("mkdocs", reason="needs the extra `docs`")
    assert {"site_url", "repo_url"}.isdisjoint(yaml.load((ROOT / "mkdocs.yml").read_text(), yaml.BaseLoader))
    assert {"url", "repository", "repository-code"}.isdisjoint(yaml.safe_load((ROOT / "CITATION.cff").read_text()))
    hook = load_script("docs.hook")
    assert hook.on_config({}) == {"site_url": "", "repo_url": None}
    urls = {"Documentation": "https://site.example/", "Repository": "https://code.example/it"}
    monkeypatch.setattr(hook, "tomllib", SimpleNamespace(loads=lambda text: {"project": {"urls": urls}}))
    assert hook.on_config({}) == {"site_url": urls["Documentation"], "repo_url": urls["Repository"]}
    told = [each for name, each in PROJECT["urls"].items() if name in ("Documentation", "Repository", "Issues")]
    files = [name for name in TRACKED if name.endswith((".md", ".toml", ".yml", ".yaml", ".py", ".cff"))]
    assert [name for name in files for each in told if each in (ROOT / name).read_text()] == ["pyproject.toml"] * len(
        told
    )


def test_the_container_installs_what_the_package_asks_for():
    lines = re.sub(r"\\\n", " ", CONTAINER).splitlines()
    known = ("#", "FROM", "RUN", "ENV", "WORKDIR", "COPY", "USER", "CMD")
    assert [line for line in lines if line and line.split()[0] not in known] == []
    assert re.search(r"python(3\.\d+) -m venv", CONTAINER)[1] + ".1" in SpecifierSet(PROJECT["requires-python"])
    (extras,) = re.findall(r'pip install "\.\[([\w,-]+)\]"', CONTAINER)
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
    (code,) = re.findall(r'python -c "(.+?)" > ', CONTAINER, re.DOTALL)
    said = subprocess.run(
        [sys.executable, "-c", code.replace("\\\n", "")], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert {Requirement(line).name for line in said} >= {"numpy", "torch", "trl", "vllm", "torchvision"}
