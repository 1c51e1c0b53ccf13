import re

import pytest
from written_evaluation import scores_record

from align.evaluation.record import EVALUATION_FILE, read_record, write_record
from align.evaluation.record.details import (
    GainOfPhrase,
    GainsOfPhrases,
    MinedPhrase,
    MinedPhrases,
    OfScores,
    SliceOfPairs,
    SlicesOfPairs,
)
from align.evaluation.statistics.metrics import Estimate
from align.report.evaluation import build_evaluation_report

HOSTILE = "<script>alert(1)</script> [bold]`x`"
CELL = Estimate(0.5, 0.25, 0.75, 40)


def gain(phrase, *, moves, p_value=0.001):
    return GainOfPhrase(
        phrase=phrase, gain=CELL, chosen=CELL, rejected=CELL, both=CELL,
        p_value=p_value, adjusted_p_value=p_value, moves=moves,
    )  # fmt: skip


def measured(*, found=(), phrases=(), mined=()):
    slices = [
        SliceOfPairs(
            feature=feature, favour=CELL, only_chosen=CELL, only_rejected=CELL,
            adjusted_p_value=0.01, also=['"other"'],
        )
        for feature in found
    ]  # fmt: skip
    return OfScores(
        slices=SlicesOfPairs(found=slices, num_tested=90, num_by_length=3, num_pairs=200),
        phrases=GainsOfPhrases(position="end", phrases=list(phrases)),
        mined=MinedPhrases(position="front", phrases=list(mined), num_slices=len(found), num_pairs=[100, 100]),
    )


@pytest.fixture
def page(tmp_path):
    def write(**models):
        path = tmp_path / EVALUATION_FILE
        record = scores_record({name: {"accuracy": Estimate(0.7, 0.6, 0.8, 200)} for name in models}, {}, models)
        write_record(path, record)
        assert repr(read_record(path)) == repr(record)  # nan is not nan
        return build_evaluation_report(tmp_path).read_text()

    return write


def warnings(text):
    return re.findall(r'<div class="finding \w+" role="note">.*?<b>(.*?)\.</b>', text)


def test_a_model_that_pays_for_words_has_tables_and_warnings(page):
    kept = MinedPhrase(feature='"sure"', is_kept=True, first=gain("to be sure", moves=True))
    kept.second = gain("to be sure", moves=True)
    lost = MinedPhrase(feature='"sure"', is_kept=False, first=gain("sure", moves=False, p_value=float("nan")))
    text = page(
        rm=measured(
            found=['"sure"', HOSTILE], phrases=[gain("of course", moves=False), gain(HOSTILE, moves=True)],
            mined=[lost, kept],
        )
    )  # fmt: skip
    for title in ("Slices", "Phrases of a file, at the end", "Mined phrases, in front"):
        assert f"<h2>{title}</h2>" in text
    assert warnings(text)[:1] == [
        "rm: features of responses that go with its margin: 2, first of all &#34;sure&#34; (+0.50 mean margins)"
    ]
    assert len(warnings(text)) == 3
    assert ">no data</td>" in text
    assert ">nan</td>" not in text
    assert "mined phrases that move its score whatever the response says: &#34;to be sure&#34;" in text
    assert "90 features were tested on 200 pairs" in text
    assert not re.search(r"<script>alert", text)
    assert text.index("&lt;script&gt;") < text.index("of course")  # what moves scores comes first


def test_a_clean_model_says_nothing(page):
    text = page(rm=measured(phrases=[gain("of course", moves=False)]))
    assert warnings(text) == []
    assert "Found, those of the same pairs as one: 0." in text
    assert "gave no phrase to put in (0 slices)" in text


def test_several_models_are_told_apart(page):
    text = page(new=measured(found=['"sure"']), old=measured())
    assert "<h2>Slices, new</h2>" in text
    assert "<h2>Slices, old</h2>" in text


def test_a_model_without_such_measurements_has_no_section(page):
    text = page(rm=OfScores())
    assert "Slices" not in text
    assert "phrases" not in text
