"""Pages opened from disk in a real browser: nothing of a model runs, nothing is fetched, nothing is cut off."""

import pytest
from browser import HOSTILE, needs_chromium, without_policy
from scenes import write_squares
from written_evaluation import write_evaluation, write_reward_model_evaluation
from written_images import give_images_to_evaluation, give_images_to_run
from written_run import write_run

from align.report import build_any_report

PAGES = {
    "run": lambda folder: write_run(folder, trace=HOSTILE),
    "policies": lambda folder: write_evaluation(folder, questions=40, models=("ours",), text=HOSTILE),
    "reward-models": lambda folder: write_reward_model_evaluation(folder, names=(HOSTILE, "bt")),
}
pytestmark = [needs_chromium, pytest.mark.slow]


@pytest.mark.parametrize("name", PAGES)
def test_markup_from_models_and_data_does_nothing_in_a_browser(browser, tmp_path, name):
    page = build_any_report(PAGES[name](tmp_path / "folder"))
    without_policy(page)
    browser.open(page)
    assert browser.value("document.title") != "owned"
    assert "</pre></span><script>document.title = 'owned'" in browser.text()
    assert "{{ 7 * 7 }}" in browser.text()
    assert browser.console == []
    assert browser.from_outside() == []


def test_the_browser_would_have_run_and_fetched_it(browser, tmp_path):
    page = tmp_path / "unescaped.html"
    page.write_text(f"<!DOCTYPE html><title>page</title><pre>{HOSTILE}</pre><script>nothing()</script>")
    browser.open(page)
    assert browser.value("document.title") == "owned"
    assert browser.from_outside() == ["http://127.0.0.1:9/x"]
    assert any("nothing is not defined" in line for line in browser.console)


@pytest.mark.parametrize("write", [write_run, write_evaluation, write_reward_model_evaluation])
def test_a_page_fits_a_phone_in_both_colours_and_its_own_policy_refuses_nothing_in_it(browser, tmp_path, write):
    page = build_any_report(write(tmp_path / "folder"))
    for dark in (False, True):
        browser.look(390, dark=dark)
        browser.open(page)
        colour = browser.value("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert max(colour) < 60 if dark else min(colour) > 200
        assert browser.width() <= 390
        of_words = "document.querySelectorAll('.scroll:not(:has(.estimates))')"
        cut = f"Array.from({of_words}, (each) => each.scrollWidth - each.clientWidth)"
        assert max(browser.value(cut), default=0) <= 0, "no table of words is cut"
        assert browser.console == []


def evaluation_with_images(folder):
    names = [*write_squares(folder / "data"), "gone.png"]
    return give_images_to_evaluation(write_evaluation(folder / "evaluation", questions=40), names)


@pytest.mark.parametrize("write", [lambda folder: give_images_to_run(write_run(folder)), evaluation_with_images])
def test_images_are_loaded_from_the_page_itself_and_fit_a_phone(browser, tmp_path, write):
    pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
    browser.look(390)
    browser.open(build_any_report(write(tmp_path / "folder")))
    widths = browser.value("Array.from(document.images, (image) => image.naturalWidth)")
    assert len(widths) >= 120
    assert all(0 < width <= 160 for width in widths)
    assert browser.width() <= 390
    assert browser.console == []
    assert browser.from_outside() == []
