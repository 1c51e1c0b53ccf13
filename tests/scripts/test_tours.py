"""The tours run to their end, and their own assertions about what they show hold."""

import pytest
from started import ROOT, start

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("tour", "leaves"),
    [
        pytest.param(
            "reward",
            {"first", "second", "audit", "after-first", "after-second"},
            marks=pytest.mark.nightly,  # the longer one
            id="reward",
        ),
        pytest.param(
            "checkpoint",
            {"after", "compared", "merged", "confirmed"},
            marks=pytest.mark.nightly,  # tests of its commands train, evaluate and merge in CI
            id="checkpoint",
        ),
    ],
)
def test_a_tour_ends_as_its_text_says_and_leaves_nothing_outside_its_folder(tour, leaves, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    script = ROOT / "scripts" / "tours" / f"{tour}.py"
    # torch makes this folder when it is imported, among the temporary ones unless it is named.
    folders = {"TOUR_OUT": str(tmp_path / "out"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor")}
    done = start(str(script), cwd=here, TMPDIR=str(here), PYTHONPATH=str(ROOT), **folders)
    assert done.returncode == 0, done.stderr[-2000:]
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} >= leaves
    assert not list(here.iterdir())
