"""The site: pages made from the code name all that there is; it is built without a warning, and works offline."""

import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import pytest
from browser import needs_chromium
from loaded_script import load_script
from started import ROOT, start

import align
import rewards
from align.auditing.row_findings import ROW_CHECKS
from align.evaluation.statistics.glossary import SHARED, Meaning
from align.evaluation.suites import SUITES
from align.methods import METHODS
from align.recipe.alarms import ALARMS
from align.recipe.keys import keys_of
from align.rehearsal.rollouts import CHECKS
from rewards.attacks import HACKS
from rewards.running.contract import FAULTS

OF_EITHER = {"acre-for-turns", "merging", "grpo", "sft"}  # of methods; a folder may have no page of one


@pytest.fixture(scope="module")
def reference():
    return load_script("docs.reference").reference_pages()


@pytest.mark.parametrize("method", METHODS)
def test_every_key_of_a_method_has_a_row(method, reference):
    page = reference[f"reference/keys/{method}.md"]
    assert [key.name for key in keys_of(method) if f'<a id="{key.name}"></a>' not in page] == []


@pytest.mark.parametrize("suite", SUITES)
def test_every_metric_of_a_suite_has_a_row(suite, reference):
    page = reference[f"reference/metrics/{suite.replace('_', '-')}.md"]
    meanings = {name: Meaning(*meaning) for name, meaning in SUITES[suite].meanings.items()}
    rows = dict(re.findall(r'^\| <a id="([^"]+)"></a>(.+)$', page, re.MULTILINE))
    assert [name for name, said in meanings.items() if said.label not in rows[name]] == []
    assert [name for name in meanings if len(rows[name].split(" | ")) != 4] == []


def test_a_metric_and_an_option_are_told_in_fifteen_words():
    told = {name: each.meaning for name, each in SHARED.items()}
    told |= {f"{suite} {name}": each[1] for suite in SUITES for name, each in SUITES[suite].meanings.items()}
    for command, made in load_script("docs.reference").commands():
        told |= {f"{command} {each.name}": getattr(each, "help", None) or "" for each in made.params}
    assert [name for name, words in told.items() if len(words.split()) > 15] == []


def test_every_alarm_has_a_row_with_its_limit_here_and_where_docs_list_them(reference):
    explained, told = (
        (ROOT / "docs" / f"{name}.md").read_text()
        for name in ("explanation/guards-and-alarms", "how-to/stop-on-an-alarm")
    )
    for alarm in ALARMS.values():
        limit = "off" if alarm.limit is None else str(alarm.limit)
        assert f"| `{alarm.name}` | {limit} |" in reference["reference/alarms.md"]
        place, _, heading = alarm.chosen.partition("#")
        assert heading.replace("-", " ") in (ROOT / place).read_text().lower()
        row = next(line for line in explained.splitlines() if re.match(rf"\|.*`{alarm.name}`.*\|.*\|", line))
        places = [name.strip("` ") for name in row.split("|")[1].split(",")]
        limits = row.split("|")[2].split(",") * len(places)
        assert limits[places.index(alarm.name)].strip() == limit, row
        if alarm.limit and alarm.name in told:
            assert re.search(rf"`{alarm.name}`.*\b{alarm.limit}\b", told), alarm.name


def test_what_is_found_has_a_row_and_is_counted_nowhere_else(monkeypatch):
    for found, field in ((FAULTS, "name"), (ROW_CHECKS, "name"), (CHECKS, "check")):
        monkeypatch.setitem(found, "own", next(iter(found.values()))._replace(**{field: f"own_{len(found)}"}))
    page = load_script("docs.reference").found_page()
    for family in {hack.family for hack in HACKS}:
        count = sum(hack.family == family for hack in HACKS)
        assert f"| `{family.name}` | {count} |" in page
    assert all(f"| `own_{len(found) - 1}` |" in page for found in (FAULTS, ROW_CHECKS, CHECKS))
    assert [name for name in list(ROW_CHECKS)[:-1] if f"| `{name}` |" not in page] == []
    assert [each.name for each in FAULTS.values() if each.remedy.partition("{")[0] not in page] == []
    told = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*/*.md"), *ROOT.glob("docs/*/*.ipynb")]
    assert [
        file.name for file in told if re.search(r"(some \d+|\d+ cheap) hacks|some \d+ cheap", file.read_text())
    ] == []


def test_every_command_has_a_page(reference):
    script = load_script("docs.reference")
    for name, command in script.commands():
        page = reference[f"reference/commands/{'-'.join(name.split()[1:])}.md"]
        shown = [param for param in command.params if not param.hidden and param.name != "help"]
        named = {each for param in shown for each in param.opts if each.startswith("--")}
        assert sorted(each for each in named if f"`{each}`" not in page) == [], name


@pytest.mark.parametrize("package", [align, rewards], ids=lambda package: package.__name__)
def test_every_public_name_has_a_place_and_a_docstring(package, reference):
    page = reference[f"reference/python-{package.__name__}.md"]
    entries = dict(re.findall(rf"^## `{package.__name__}\.(\w+)`\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert sorted(entries) == sorted(package.__all__)
    bare = [name for name, text in entries.items() if not re.sub(r"```.*?```", "", text, flags=re.DOTALL).strip()]
    assert bare == []


def test_every_page_of_a_group_is_there():
    hook = pytest.importorskip("mkdocs", reason="needs the extra `docs`") and load_script("docs.hook")
    missing = [
        f"{folder}/{stem}.md"
        for folder in ("explanation", "evidence")
        for group in hook.GROUPS[folder].values()
        for stem in group
        if not (ROOT / "docs" / folder / f"{stem}.md").exists() and stem not in OF_EITHER
    ]
    assert missing == []


def test_a_notebook_becomes_a_page_with_its_outputs():
    hook = pytest.importorskip("mkdocs", reason="needs the extra `docs`") and load_script("docs.hook")
    printed = {"output_type": "stream", "name": "stdout", "text": "\x1b[31mred\x1b[0m\n"}
    drawn = {"output_type": "display_data", "data": {"image/png": "aGVsbG8="}, "metadata": {}}
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# First run\n\nIt trains."},
        {"cell_type": "code", "id": "b", "metadata": {}, "execution_count": 1, "source": "1 + 1",
         "outputs": [printed, drawn]},
    ]  # fmt: skip
    text = json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    made = hook.notebook_page(SimpleNamespace(src_uri="tutorials/1-first.ipynb", content_string=text))
    page = made.pop("tutorials/1-first.md")
    assert page.startswith('# First run\n\n<a href="1-first.ipynb" download>')
    assert "    red\n" in page
    ((place, content),) = made.items()
    assert content == b"hello"
    assert f"]({place.removeprefix('tutorials/')})" in page


def test_a_link_to_a_file_that_is_no_page_names_it():
    hook = pytest.importorskip("mkdocs", reason="needs the extra `docs`") and load_script("docs.hook")
    page = SimpleNamespace(file=SimpleNamespace(src_uri="how-to/a.md"), meta={})
    text = "[code](../../recipes/README.md) [`README.md`](../../README.md) [page](../index.md) [gone](../../gone.md)"
    told = hook.on_page_markdown(text, page=page, files=None)
    assert told == "code (`recipes/README.md`) `README.md` [page](../index.md) [gone](../../gone.md)"


NAMED = re.compile(r"\b((?:align|docs|recipes|rewards|scripts|tests)/[\w/.-]+\.md)(?:#([\w-]+))?")


def anchors(page: str) -> set[str]:
    """Lists the anchors that headings of a page get."""
    heads = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", head).strip().lower().replace(" ", "-") for head in heads}


def test_pages_that_code_recipes_and_messages_name_are_there():
    found, wrong = 0, []
    for place in ("align", "ds_configs", "recipes", "rewards", "scripts", ".github"):
        for path in (
            each for each in (ROOT / place).rglob("*") if each.suffix in (".py", ".sh", ".yaml", ".yml", ".j2")
        ):
            for name, anchor in NAMED.findall(path.read_text(encoding="utf-8")):
                found += 1
                page = ROOT / name
                if not page.exists() or (anchor and anchor not in anchors(page.read_text(encoding="utf-8"))):
                    wrong.append(f"{path.relative_to(ROOT)}: {name}{'#' if anchor else ''}{anchor}")
    assert found
    assert wrong == []


class Page(HTMLParser):
    """What a built page names: its anchors, its links, and what a browser loads for it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.anchors |= {found[each] for each in ("id", "name") if found.get(each)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if found.get("src"):
            self.loaded.append(found["src"])
        if tag == "link" and found.get("rel") not in ("canonical", "prev", "next") and found.get("href"):
            self.loaded.append(found["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material", reason="needs the extra `docs`")
    out = tmp_path_factory.mktemp("site")
    done = start("-m", "mkdocs", "build", "--strict", "--site-dir", str(out), NO_MKDOCS_2_WARNING="1")
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return out


@pytest.fixture(scope="module")
def built(site):
    return {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


@pytest.mark.slow
def test_every_page_of_the_docs_is_built_and_in_the_navigation(site, built):
    sources = [path for path in (ROOT / "docs").rglob("*") if path.suffix in (".md", ".ipynb")]
    wanted = {(site / path.relative_to(ROOT / "docs")).with_suffix(".html") for path in sources}
    assert wanted <= set(built)
    reached, left = set(), [site / "index.html"]
    while left:
        page = left.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = ((page.parent / unquote(urlsplit(link).path)).resolve() for link in built[page].links)
        left += [target for target in targets if target in built]
    assert sorted(set(built) - reached - {site / "404.html"}) == []


@pytest.mark.slow
def test_every_link_of_the_site_leads_somewhere(site, built):
    wrong = []
    for page, found in built.items():
        for link in (*found.links, *found.loaded):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or page.name == "404.html":
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            named = unquote(parts.fragment)
            if not target.exists() or (named and target in built and named not in built[target].anchors | {"__top"}):
                wrong.append(f"{page.relative_to(site)}: {link}")
    assert wrong == []


@pytest.mark.slow
def test_a_page_loads_nothing_from_elsewhere(built):
    assert [each for found in built.values() for each in found.loaded if urlsplit(each).netloc] == []


@pytest.mark.slow
@needs_chromium
def test_a_page_of_each_kind_fits_a_phone_in_both_colours_and_asks_for_nothing(browser, site):
    kinds = ["index.html", "reference/keys/acre.html", "reference/commands/audit.html", "reference/python-align.html"]
    for name in kinds:
        for dark in (False, True):
            browser.look(390, dark=dark)
            browser.open(site / name)
            colour = browser.value("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
            assert max(colour) < 60 if dark else min(colour) > 200
            assert browser.width() <= 390, name
            assert browser.console == []
            assert browser.from_outside() == []


@pytest.mark.slow
@needs_chromium
def test_search_finds_a_key_on_a_site_that_lies_in_a_folder(browser, site):
    browser.look(1280)
    browser.open(f"{(site / 'index.html').as_uri()}?q=num_shuffles")
    found = """new Promise(done => { const look = () => {
        const links = [...document.querySelectorAll('.md-search-result__link')].map(link => link.href);
        links.length ? done(links) : setTimeout(look, 50) }; look() })"""
    assert any("reference/keys/acre.html" in link for link in browser.value(found))
    assert browser.from_outside() == []
