import pytest
from loaded_script import load_script
from started import ROOT, start


def test_every_public_name_has_a_docstring():
    script = load_script("api_pages")
    for package in script.PACKAGES:
        script.resolve(package)
        assert script.without_docstring(package) == []


@pytest.mark.slow
@pytest.mark.nightly  # pdoc reads everything, and finds what the test above does not: links that lead nowhere
def test_every_public_name_has_a_place_on_the_pages(tmp_path):
    done = start(str(ROOT / "scripts" / "api_pages.py"), "--out", str(tmp_path), PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    assert 'id="ACRETrainer"' in (tmp_path / "align.html").read_text()
    assert 'id="parse_response"' in (tmp_path / "rewards.html").read_text()
