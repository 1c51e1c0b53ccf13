import pytest
from started import ROOT, start

pytestmark = pytest.mark.slow


def test_every_public_name_has_a_docstring_and_a_place_on_the_pages(tmp_path):
    done = start(str(ROOT / "scripts" / "api_pages.py"), "--out", str(tmp_path), PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    assert 'id="ACRETrainer"' in (tmp_path / "align.html").read_text()
    assert 'id="parse_response"' in (tmp_path / "rewards.html").read_text()
