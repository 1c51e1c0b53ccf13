"""Words that are not ours in Markdown that is: each is shown as it is."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from align.markdown import code, escape

SHOWN = MarkdownIt("commonmark").enable("table").enable("strikethrough")
ODD = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "![x](http://y/z.png)",
    "a|b", "`a|b`", "``", "`<b>", "a`<b>`<i>", "**a**", "_a_", "__init__", "a_b_c", "~~a~~", "# a", "- a", "\\`<b>`",
    "&lt;b&gt;", "a\n\n<b>\n# c", "<!-- ", "-->", "a\\", "<javascript:x>", "[a]: http://b", "`", "", "\\", "```\n<b>",
]  # fmt: skip


def text_of(shown):
    return html.unescape(re.sub(r"</?(?:code|table|thead|tbody|tr|t[hd]|h1|ul|li|p)>", "", shown)).strip()


def without_space_and_code(text):
    return re.sub(r"[\s`]+", "", text)


@pytest.mark.parametrize("name", ODD)
def test_a_name_stands_as_it_is_in_a_cell_a_line_and_a_heading(name):
    own = escape(name)
    for page in (f"| {own} | 1 |\n|---|---|\n| {own} | 2 |", f"- {own}", f"# {own}"):
        shown = SHOWN.render(page)
        assert set(re.findall(r"<[^>]*>", shown)) <= {
            f"<{close}{tag}>"
            for close in ("", "/")
            for tag in ("code", "table", "thead", "tbody", "tr", "th", "td", "h1", "ul", "li", "p")
        }
        assert shown.count("<td>") in (0, 2)
    assert without_space_and_code(text_of(SHOWN.render(f"# {own}"))) == without_space_and_code(name)
    if name.strip():
        shown = text_of(SHOWN.render(f"It is {code(name)}."))
        assert "".join(shown.split()) == "".join(f"It is {name}.".split())


@given(st.text("<>b/ `|\\[]()_*~#-\n&;!:a1", max_size=30))
def test_no_text_opens_a_tag_a_link_or_a_cell(text):
    shown = SHOWN.render(f"| {escape(text)} | {escape(text)} |\n|---|---|\n| 1 | {escape(text)} |")
    assert set(re.findall(r"<[^>]*>", shown)) <= {
        f"<{close}{tag}>" for close in ("", "/") for tag in ("code", "table", "thead", "tbody", "tr", "th", "td")
    }
    assert shown.count("<td>") == 2
    assert shown.count("<th>") == 2


def test_ordinary_names_stay_as_they_are():
    for name in ("reward_length", "1 x format_reward", "0.5", "-0.5", "data.jsonl (SHA-256 0123)", "use `a_b` here"):
        assert escape(name) == name
    assert code("a|b") == "`a|b`"
    assert code("`a``b") == "``` `a``b ```"
