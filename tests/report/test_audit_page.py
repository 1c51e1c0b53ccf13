import re

import pytest
from browser import HOSTILE, needs_chromium, visit, visit_on_phone, without_policy
from planted import clean_pairs, with_cue, write_rows

from align.audit.reading import Source
from align.audit.run import audit
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
    assert "DCI" in text
    assert "spurious" not in text
    assert not re.search(r"<script|<svg onload|<img src=.http", text)


@needs_chromium
@pytest.mark.slow
def test_a_browser_runs_nothing_of_the_data_and_a_phone_does_not_scroll_sideways(hostile_page, tmp_path):
    without_policy(hostile_page)
    seen = visit(hostile_page, tmp_path)
    assert "<title>Audit of rows.jsonl</title>" in seen.dom
    assert "{{ 7 * 7 }}" in seen.dom
    assert [line for line in seen.console if "favicon" not in line] == []
    assert seen.requests == []
    width, _ = visit_on_phone(hostile_page, tmp_path)
    assert width <= 390
