import re

import pytest
from browser import HOSTILE, needs_chromium, without_policy
from planted import clean_pairs, with_cue, write_rows

from align.auditing.reading import Source
from align.auditing.row_findings import ROW_CHECKS, RowCheck
from align.auditing.run import audit
from align.cli import run_command
from align.report.audit import build_audit_page


@pytest.fixture
def hostile_page(tmp_path):
    rows = with_cue(clean_pairs(200, 0), 0.6, 0.1, 0, phrase="<script>document.title='owned'</script> {{ 7 * 7 }}")
    rows = [row | {"id": f"{HOSTILE} {i}"} for i, row in enumerate(rows)]
    rows += [row | {"id": f"again {row['id']}"} for row in rows[:5]]
    rows[7] |= {"chosen": ""}
    record = audit([Source(str(write_rows(tmp_path / "rows.jsonl", rows)))]).record
    return build_audit_page(record, tmp_path / "audit.html")


def test_the_page_says_what_was_found(hostile_page):
    text = hostile_page.read_text()
    assert "4 of 204 rows that repeat an earlier one" in text or "5 of 204 rows that repeat an earlier one" in text
    assert "cannot be used and are in no count below" in text
    assert "goes with <b>chosen</b>" in text
    assert "spurious" not in text
    assert not re.search(r"<script|<svg onload|<img src=.http", text)


def test_what_is_looked_for_from_outside_is_on_the_console_the_page_and_in_fail_on(tmp_path, monkeypatch, capsys):
    own = RowCheck(
        "odd", "rows of an odd number", "Count on.", lambda my, rows: my.found(len(rows.train) % 2, 1, ["all"], {})
    )
    monkeypatch.setitem(ROW_CHECKS, "odd", own)
    file, out = write_rows(tmp_path / "rows.jsonl", clean_pairs(201, 1)), tmp_path / "out"
    assert run_command("audit", str(file), "--out", str(out), "--fail_on", "odd") == 1
    page = (out / "audit.html").read_text()
    assert "rows of an odd number" in page
    assert "Count on." in page
    assert "rows of an odd number" in capsys.readouterr().out


@needs_chromium
@pytest.mark.slow
def test_a_browser_runs_nothing_of_the_data_and_a_phone_does_not_scroll_sideways(browser, hostile_page):
    without_policy(hostile_page)
    browser.look(400)
    browser.open(hostile_page)
    assert browser.value("document.title") == "Audit of rows.jsonl"
    assert "{{ 7 * 7 }}" in browser.text()
    assert browser.console == []
    assert browser.from_outside() == []
    assert browser.width() <= 400
