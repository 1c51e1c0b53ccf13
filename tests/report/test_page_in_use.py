"""A page of a run in a real browser as its reader uses it: screens, colours, paper, pointer and keys."""

import json

import pytest
from browser import HOSTILE, needs_chromium
from written_run import write_run

from align.report import build_report

pytestmark = [needs_chromium, pytest.mark.slow]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    run = write_run(tmp_path_factory.mktemp("runs") / "run", steps=300)
    calls = {"reward": "a_reward_with_a_long_name", "step": 1, "mode": "train", "rows": 8, "none": 0, "invalid": {}}
    calls |= {"seconds": {"p50": 1.0, "p95": 2.0, "max": 3.0}, "slowest": [], "failed": []}
    (run / "rewards.jsonl").write_text(json.dumps(calls) + "\n")
    return build_report(run)


SCREENS = [  # any two of width, colours and medium
    (400, False, "screen"), (400, True, "print"), (1400, True, "screen"), (1400, False, "print")
]  # fmt: skip


@pytest.mark.parametrize(("width", "dark", "media"), SCREENS)
def test_nothing_sticks_out_of_a_page(browser, page, width, dark, media):
    browser.look(width, dark=dark, media=media)
    browser.open(page)
    browser.value("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert browser.width() <= width
    assert browser.console == []
    light = browser.value("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert max(light) < 60 if dark and media == "screen" else min(light) > 200
    shown = browser.value("getComputedStyle(document.querySelector('.tools')).display")
    assert shown == ("none" if media == "print" else "flex")


def values(browser, chart=0):
    return browser.value(f"document.querySelectorAll('.tip')[{chart}].innerText").split("\n")


def test_the_pointer_and_the_arrow_keys_show_the_values_of_a_step(browser, page):
    browser.look(1400)
    browser.open(page)
    svg = "document.querySelector('svg.plot')"
    browser.value(f"{svg}.scrollIntoView()")
    box = browser.value(f"{svg}.getBoundingClientRect().toJSON()")
    browser.point(box["left"] + box["width"] / 2, box["top"] + box["height"] / 2)
    under = values(browser)
    assert 130 < int(under[0].rpartition(" ")[2]) < 150
    assert under[1].startswith("total 0.")
    browser.point(1, 1)
    assert browser.value("document.querySelector('.tip').hidden")
    browser.value(f"{svg}.focus()")
    browser.press("End")
    assert values(browser)[0] in ("step 300", "about step 300")
    browser.press("ArrowLeft", 3)
    assert 290 < int(values(browser)[0].rpartition(" ")[2]) < 297
    browser.press("Escape")
    assert browser.value("document.querySelector('.tip').hidden")


def test_curves_are_smoothed_and_drawn_on_a_logarithmic_scale(browser, page):
    browser.look(1400)
    browser.open(page)
    drawn = "[...document.querySelectorAll('svg.plot')].map((svg) => svg.querySelector('g:nth-of-type(2)').innerHTML)"
    before = browser.value(drawn)
    browser.value("document.getElementById('smoothing').focus()")
    browser.press("ArrowRight", 5)
    smoothed = browser.value(drawn)
    assert browser.value("document.querySelector('.tools output').innerText") == "0.25"
    assert all(one != other for one, other in zip(before, smoothed, strict=True))
    assert "NaN" not in "".join(smoothed)
    browser.press("Home")
    assert browser.value(drawn) == before
    browser.press("Tab")
    browser.press(" ")
    logarithmic = browser.value(drawn)
    assert browser.value("document.activeElement.checked")
    linear = [one == other for one, other in zip(before, logarithmic, strict=True)]
    assert [linear[0], linear[1]] == [False, True], "parts that add up stay as they are"
    captions = "[...document.querySelectorAll('figure[data-chart] figcaption span:last-child')]"
    notes = browser.value(f"{captions}.map((each) => !each.hidden)")
    assert notes == linear


def test_every_control_is_reached_by_the_tab_key_and_has_a_name(browser, page):
    browser.look(1400)
    browser.open(page)
    browser.value("addEventListener('focusin', (event) => (event.target.dataset.reached = 1))")
    controls = "document.querySelectorAll('summary, input, select, button, svg.plot')"
    count = browser.value(f"[...{controls}].filter((at) => at.checkVisibility()).length")
    assert count > 60
    browser.press("Tab", count)
    name = "at.ariaLabel || (at.labels?.[0] || at).textContent.trim()"
    wrong = f"[...{controls}].filter((at) => at.checkVisibility() && !(at.dataset.reached && ({name})))"
    assert browser.value(f"{wrong}.map((at) => at.outerHTML)") == []


def test_markup_in_names_of_metrics_and_completions_does_nothing_when_the_script_shows_it(browser, tmp_path):
    run = write_run(tmp_path / "run", trace=HOSTILE, **{f"rewards/{HOSTILE.replace('/', '|')}/mean": 0.5})
    browser.look(1400)
    browser.open(build_report(run))
    browser.value("document.querySelector('svg.plot').focus()")
    browser.press("End")
    assert "<script>" in "".join(values(browser))
    browser.value("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert browser.value("document.title") != "owned"
    assert browser.value("document.querySelectorAll('img, script').length") == 1
    assert browser.console == []
    assert browser.from_outside() == []


def closed_lines(browser):
    return browser.value(
        "[...document.querySelectorAll('.samples > details')].filter((each) => !each.hidden)"
        ".map((each) => [each.dataset.reward, each.dataset.step, each.dataset.outcome, each.open])"
    )


def change(browser, label, value):
    """Sets the control with this label."""
    browser.value(
        f"""(() => {{
          const named = (at) => [at.ariaLabel, at.textContent.trim()].some((words) => words?.startsWith({label!r}));
          const found = [...document.querySelectorAll(".tools label, .tools input")].find(named);
          const control = found.control || found;
          control.value = {value!r};
          control.dispatchEvent(new Event("input", {{ bubbles: true }}));
        }})()"""
    )


def test_completions_are_searched_sorted_filtered_and_opened_at_once(browser, page):
    browser.look(1400)
    browser.open(page)
    listed = closed_lines(browser)
    change(browser, "Order", "reward -1")
    rewards = [float(reward) for reward, *_ in closed_lines(browser)]
    assert rewards == sorted(rewards, reverse=True)
    assert len(set(rewards)) > 1
    change(browser, "Order", "")
    assert closed_lines(browser) == listed
    change(browser, "Outcome", "second only")
    change(browser, "Step from", "2")
    found = closed_lines(browser)
    assert {outcome for _, _, outcome, _ in found} == {"second only"}
    assert {step for _, step, _, _ in found} == {"150", "300"}
    browser.value("[...document.querySelectorAll('button')].find((at) => at.textContent === 'Expand all').click()")
    assert all(is_open for *_, is_open in closed_lines(browser))
    assert browser.value("document.querySelectorAll('.samples > details[open]').length") == len(found)
    change(browser, "Search", "tungsten is w. so the ELEMENT")
    assert 0 < len(closed_lines(browser)) < len(found)
    change(browser, "Search", "no such words")
    assert closed_lines(browser) == []
    assert "0 of " in browser.value("[...document.querySelectorAll('.tools output')].at(-1).innerText")


def test_without_its_script_a_page_reads_the_same_and_shows_no_control(browser, page):
    browser.look(1400)
    browser.tell("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(page)
    browser.tell("Emulation.setScriptExecutionDisabled", value=False)
    assert browser.value("document.querySelectorAll('.tools, button, input, .tip').length") == 0
    assert browser.value("document.querySelectorAll('svg.plot path.curve').length") > 10
    assert browser.value("document.querySelectorAll('.samples > details summary').length") > 40
