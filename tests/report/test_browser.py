"""Pages opened from disk in a real browser: nothing runs, nothing is fetched, nothing is cut off."""

import pytest
from browser import HOSTILE, background, image_widths, needs_chromium, visit, visit_on_phone, without_policy
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
pytestmark = needs_chromium


@pytest.mark.parametrize("name", PAGES)
def test_markup_from_models_and_data_does_nothing_in_a_browser(tmp_path, name):
    page = build_any_report(PAGES[name](tmp_path / "folder"))
    without_policy(page)
    seen = visit(page, tmp_path)
    assert "<title>owned</title>" not in seen.dom
    assert "&lt;script&gt;" in seen.dom
    assert "{{ 7 * 7 }}" in seen.dom
    assert seen.console == []
    assert seen.requests == []


def test_the_browser_would_have_run_and_fetched_it(tmp_path):
    page = tmp_path / "unescaped.html"
    page.write_text(f"<!DOCTYPE html><title>page</title><pre>{HOSTILE}</pre><script>nothing()</script>")
    seen = visit(page, tmp_path)
    assert "<title>owned</title>" in seen.dom
    assert seen.requests == ["http://127.0.0.1:9/x"]
    assert any("nothing is not defined" in line for line in seen.console)


@pytest.mark.parametrize("write", [write_run, write_evaluation, write_reward_model_evaluation])
def test_a_page_fits_a_phone_and_its_own_policy_refuses_nothing_in_it(tmp_path, write):
    width, seen = visit_on_phone(build_any_report(write(tmp_path / "folder")), tmp_path)
    assert width <= 390
    assert seen.console == []


def evaluation_with_images(folder):
    names = [*write_squares(folder / "data"), "gone.png"]
    return give_images_to_evaluation(write_evaluation(folder / "evaluation", questions=40), names)


@pytest.mark.parametrize("write", [lambda folder: give_images_to_run(write_run(folder)), evaluation_with_images])
def test_images_are_loaded_from_the_page_itself_and_fit_a_phone(tmp_path, write):
    pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
    page = build_any_report(write(tmp_path / "folder"))
    widths = image_widths(page, tmp_path)
    assert len(widths) >= 120
    assert all(0 < width <= 160 for width in widths)
    width, seen = visit_on_phone(page, tmp_path)
    assert width <= 390
    assert seen.console == []
    assert [url for url in seen.requests if not url.startswith(("file:", "data:"))] == []


def test_a_page_is_light_or_dark_as_its_reader_prefers(tmp_path):
    page = build_any_report(write_evaluation(tmp_path / "folder", questions=40))
    light, dark = (background(page, tmp_path, dark=dark) for dark in (False, True))
    assert min(light) > 200
    assert max(dark) < 60
