import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_an_installed_wheel_finds_its_recipes_and_ships_no_tests(tmp_path):
    pytest.importorskip("hatchling", reason="needs the extra `test`")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    tops = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert tops == {"align", "rewards"}
    templates = {path.name for path in (site / "align").glob("**/*.j2")}
    assert templates >= {"report.html.j2", "model_card.md.j2", "card.md.j2"}
    assert (site / "align" / "report" / "js" / "charts.js").is_file()
    assert (site / "align" / "evaluation" / "suites" / "drift" / "prompts.jsonl").is_file()
    environment = os.environ | {"PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "align", "recipes"]
    listed = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout
    for recipe in (ROOT / "recipes").glob("*/*.yaml"):
        assert f"{recipe.parent.name}/{recipe.stem}" in listed
    assert str(site / "align" / "_assets") in listed.replace("\n", "")
