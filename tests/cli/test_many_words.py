"""Lists on the command line are split at commas, which paths may have too."""

import pytest

from align.cli.application import words


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("runs/lr=1e-5,beta=0.1", ["runs/lr=1e-5,beta=0.1"]),
        ("runs/lr=1e-5,beta=0.1, other", ["runs/lr=1e-5,beta=0.1", "other"]),
        ("other,runs/lr=1e-5,beta=0.1,owner/base", ["other", "runs/lr=1e-5,beta=0.1", "owner/base"]),
        ("mine,own.py:brevity,length", ["mine,own.py:brevity", "length"]),
        ("runs/lr=1e-5,beta=0.2", ["runs/lr=1e-5", "beta=0.2"]),  # which is not there
        ("other," * 500 + "x" * 5000, ["other"] * 500 + ["x" * 5000]),
    ],
)
def test_the_path_of_what_is_there_is_not_split(tmp_path, monkeypatch, given, found):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "lr=1e-5,beta=0.1").mkdir(parents=True)
    (tmp_path / "mine,own.py").write_text("")
    assert list(words([given])) == found
