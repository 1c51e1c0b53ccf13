"""Data files that are damaged in odd ways: read, or refused with the row; what is left out is accounted for."""

import json
import re

import pytest
from campaign import check_refusal, is_whole_campaign, require, run_cases
from file_mutations import draw_file
from good_rows import KINDS, read

from align.errors import UserError

pytestmark = pytest.mark.slow
CASES = 1_000


def test_fuzz_rows(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def case(rng):
        kind = KINDS[rng.choice(sorted(KINDS))]
        loader = rng.choice(kind.loaders)
        suffix, content = draw_file(rng, kind.rows)
        path = tmp_path / f"rows.{suffix}"
        path.write_bytes(content)
        try:
            items, report = read(loader, path, "skip")
        except UserError:
            require(not accepts(loader, path), "refused with `skip` and accepted with `raise`")
            raise
        check_account(items, report)
        if not report.problems:
            require(repr(read(loader, path, "raise")[0]) == repr(items), "`raise` reads other rows than `skip`")
            return "read"
        require(not accepts(loader, path), "rows are left out with `skip` and accepted with `raise`")
        if suffix == "jsonl":
            blank_lines(path, {problem.row for problem in report.problems})
            require(repr(read(loader, path, "raise")[0]) == repr(items), "without the bad rows, the good ones differ")
        return "read in part"

    ends = run_cases("rows", CASES, case)
    assert not is_whole_campaign() or all(ends[end] > CASES / 20 for end in ("read", "read in part", "refused"))


def accepts(loader, path) -> bool:
    """Tells whether a file is read where bad rows are not allowed; a refusal can be shown."""
    try:
        read(loader, path, "raise")
    except UserError as error:
        check_refusal(str(error))
        return False
    return True


def check_account(items, report) -> None:
    """Every row that was read is kept or left out, and each that is left out says why."""
    left_out = {problem.row for problem in report.problems}
    require(len(items) == report.num_kept, f"{len(items)} rows for {report.num_kept} kept")
    if hasattr(report, "missing"):  # by column: a row that lacks two is counted twice
        most = len(left_out) + sum(report.missing.values())
        require(report.num_kept + len(left_out) <= report.num_read <= report.num_kept + most, report.counts)
    else:
        require(report.num_kept + len(left_out) == report.num_read, f"{report.counts}: kept and left out are not read")
        require(len(left_out) == len(report.problems), f"a row is left out twice: {report.problems}")
    for problem in report.problems:
        check_refusal(str(problem))
        json.dumps(problem).encode()


def blank_lines(path, rows) -> None:
    """Blanks lines of a file, so that the others keep their numbers."""
    lines = re.split(rb"(\r\n|\r|\n)", path.read_bytes())  # every second one is an end
    path.write_bytes(b"".join(b" " if i % 2 == 0 and i // 2 + 1 in rows else part for i, part in enumerate(lines)))
