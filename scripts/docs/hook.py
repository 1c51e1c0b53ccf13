"""What `mkdocs build` does beside pages that stand in `docs`: navigation by folder, and pages made from the code.

Named under `hooks` in `mkdocs.yml`. A page is in the navigation because it lies in a folder; an index lists the pages
of its folder where none is written.
"""

import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import nbformat  # noqa: E402
from mkdocs.structure.files import File, Files  # noqa: E402
from nbconvert import MarkdownExporter  # noqa: E402

from scripts.docs.reference import cell, reference_pages  # noqa: E402

KINDS = {
    "tutorials": ("Learn", "Learn it by doing: each is a notebook that runs on a CPU in minutes."),
    "how-to": ("Do one thing", "One task each: the command, and what you see."),
    "explanation": ("Understand", "How it works, when to use it, and what it costs."),
    "reference": (
        "Look up",
        "Every key, command, metric and file. Made from the code, so it cannot be out of date.",
    ),
    "reference/keys": ("Keys of recipes", "Every key that a recipe may hold, by method."),
    "reference/commands": ("Commands", "Every command, with its options and defaults."),
    "reference/metrics": ("Metrics", "What `align eval` measures, by suite, in a sentence each."),
    "evidence": (
        "What was measured",
        "What was measured: every lab, table and run, with machine, versions, seeds and interval.",
    ),
}
METHODS = ("acre", "acre-for-turns", "rrpo", "crome", "deconfound", "grpo", "sft", "merging")
GROUPS: dict[str, dict[str, tuple[str, ...]]] = {  # of a folder with many pages; a page that none names comes last
    "tutorials": {"": ("first-run", "own-reward", "is-it-better")},
    "how-to": {
        "Begin": (
            "base-install", "from-trl", "from-verl-or-openrlhf", "guard-elsewhere", "find-a-key", "what-a-run-costs",
        ),
        "Rewards": (
            "own-reward", "attack-a-reward", "rewards-in-ci", "does-it-pay-for-length", "judge",
            "train-a-reward-model", "code-rewards", "rehearse", "watch-my-trainer",
        ),
        "Data": (
            "own-columns", "mix-data-sets", "audit-data", "filter-by-pass-rate", "augment-pairs", "deconfound-a-log",
            "videos",
        ),
        "Runs": (
            "launch-on-4-gpus", "several-hosts", "resume-a-run", "qlora", "vllm-rollouts", "tools", "environments",
            "watch-a-run", "stop-on-an-alarm",
        ),
        "Evaluate": (
            "evaluate-questions", "evaluate-prompts", "evaluate-pairs", "evaluate-reward-models",
            "evaluate-with-tools", "compare-logs", "merge-checkpoints",
        ),
    },
    "explanation": {
        "Methods": METHODS,
        "Rewards": (
            "rewards", "reward-checks", "attacks", "rehearsals", "guards-and-alarms", "without-labels", "judges",
            "programs",
        ),
        "Runs": (
            "recipes", "data", "made-data", "images-and-video", "tools", "runs-that-go-on", "processes", "vllm",
            "saved-work",
        ),
        "Evaluations and audits": (
            "evaluation", "evaluation-suites", "reward-model-shortcuts", "intervals", "compared-logs", "audits",
        ),
        "The code": ("code", "tests", "trl", "release"),
    },
    "evidence": {
        "Overview": ("numbers", "real-model", "papers", "left-out"),
        "Methods": (*METHODS, "images"),
        "Rewards, data and evaluations": (
            "atlas", "attacks", "reward-errors", "alarms", "rehearsals", "without-labels", "audits", "evaluation",
        ),
        "Cost and machines": ("growth", "gpu", "vllm"),
    },
}  # fmt: skip


BOOST = {"how-to": 2.0, "tutorials": 1.5, "evidence": 0.5, "python": 0.5}  # what search shows first
HEAD = "| page | what it says |\n|---|---|"


def on_config(config: Any) -> Any:
    """Takes the addresses of the site and of the repository from the package's, where it has them."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    config["site_url"], config["repo_url"] = urls.get("Documentation", ""), urls.get("Repository")
    return config


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages of the reference and of indexes, and puts every page into the navigation."""
    for place, text in reference_pages().items():
        files.append(File.generated(config, place, content=text))
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            for place, content in notebook_page(file).items():
                files.append(File.generated(config, place, content=content))
    pages = {file.src_uri: file for file in files.documentation_pages()}
    for folder in {uri.rpartition("/")[0] for uri in pages} - {""}:
        if f"{folder}/index.md" not in pages:
            made = File.generated(config, f"{folder}/index.md", content=index_of(folder, pages))
            files.append(made)
            pages[made.src_uri] = made
    config["nav"] = [{"Home": "index.md"}]
    for folder, (title, _) in KINDS.items():
        if "/" not in folder and (inside := section(folder, pages)):
            config["nav"].append({title: inside})
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Leads links to a notebook to its page, where it can be saved; ranks pages for search."""
    kind = page.file.src_uri.partition("/")[0]
    page.meta["search"] = {"boost": BOOST.get("python" if "python" in page.file.src_uri else kind, 1.0)}
    if page.file.src_uri == "index.md":
        page.meta["hide"] = ["navigation", "toc"]
    markdown = re.sub(r"\[([^\]]+)\]\((\.\.[^)#:\s]*)\)", lambda link: in_words(page.file, link), markdown)
    return re.sub(r"\]\(([^):]+)\.ipynb\b", r"](\1.md", markdown)


def in_words(file: File, link: re.Match[str]) -> str:
    """Names a file of the repository where a page links to one: the site has pages only."""
    place = (ROOT / "docs" / file.src_uri).parent.joinpath(link[2]).resolve()
    if not place.exists() or not place.is_relative_to(ROOT) or place.is_relative_to(ROOT / "docs"):
        return link[0]
    name = place.relative_to(ROOT).as_posix()
    return f"`{name}`" if link[1].strip("`") in (name, place.name) else f"{link[1]} (`{name}`)"


def notebook_page(file: File) -> dict[str, str | bytes]:
    """Turns a notebook with its outputs into Markdown and the pictures that it shows, by their places."""
    exporter = MarkdownExporter()
    exporter.mimetype = "text/markdown"
    stem, folder = Path(file.src_uri).stem, file.src_uri.rpartition("/")[0]
    text, resources = exporter.from_notebook_node(
        nbformat.reads(file.content_string, as_version=4),
        resources={"unique_key": stem, "output_files_dir": stem},
    )
    text = re.sub(r"^(# .+)$", rf'\1\n\n<a href="{stem}.ipynb" download>Save it as a notebook</a>', text, count=1,
                  flags=re.MULTILINE)  # fmt: skip
    text = re.sub(r"\x1b\[[\d;]*m", "", text)  # colours of a terminal
    pictures = {f"{folder}/{name}": content for name, content in resources.get("outputs", {}).items()}
    return {file.src_uri.removesuffix(".ipynb") + ".md": text, **pictures}


def section(folder: str, pages: Mapping[str, File]) -> list[Any]:
    """Lists a folder for the navigation: its index, its pages in groups, and then the folders in it."""
    index = f"{folder}/index.md"
    found: list[Any] = [index] if index in pages else []
    for group, inside in in_groups(folder, pages).items():
        found += [{group: inside}] if group else inside
    return found + [{title_of_folder(each): section(each, pages)} for each in below(folder, pages)]


def below(folder: str, pages: Mapping[str, File]) -> list[str]:
    """Lists the folders in a folder that have pages."""
    depth = folder.count("/") + 2
    inside = (uri.split("/") for uri in pages if uri.startswith(f"{folder}/"))
    return sorted({"/".join(parts[:depth]) for parts in inside if len(parts) > depth})


def in_groups(folder: str, pages: Mapping[str, File]) -> dict[str, list[str]]:
    """Puts the pages of a folder into its groups; those that no group names stand under ""."""
    here = in_order(folder, pages)
    named = {stem: group for group, stems in GROUPS.get(folder, {}).items() for stem in stems}
    found: dict[str, list[str]] = {group: [] for group in (*GROUPS.get(folder, {}), "")}
    for uri in here:
        found[named.get(Path(uri).stem, "")].append(uri)
    return {group: inside for group, inside in found.items() if inside}


def in_order(folder: str, pages: Mapping[str, File]) -> list[str]:
    """Sorts the pages of a folder but its index: as groups name them, else by title."""
    stems = [stem for group in GROUPS.get(folder, {}).values() for stem in group]
    here = [uri for uri in pages if uri.rpartition("/")[0] == folder and Path(uri).stem != "index"]

    def rank(uri: str) -> tuple[int, str]:
        stem = Path(uri).stem
        return (stems.index(stem), "") if stem in stems else (len(stems), title_of(pages[uri]).lower())

    return sorted(here, key=rank)


def title_of_folder(folder: str) -> str:
    """Returns what a folder is called."""
    return KINDS[folder][0] if folder in KINDS else Path(folder).name.capitalize()


def title_of(file: File) -> str:
    """Reads the title of a page, the first line that begins with `# `."""
    found = re.search(r"^# (.+)$", file.content_string, re.MULTILINE)
    return found[1] if found else Path(file.src_uri).stem


def first_words(text: str) -> str:
    """Returns the first sentence behind the title, without its links."""
    body = re.split(r"^# .+\n", text, maxsplit=1, flags=re.MULTILINE)[-1]
    body = re.sub(r"^```.*?^```", "", body, flags=re.DOTALL | re.MULTILINE)
    paragraph = next((part for part in body.split("\n\n") if re.match(r"\s*[A-Z`*\[]", part)), "")
    sentence = re.split(r"(?<=[.:])\s+(?=[A-Z`*\[])", " ".join(paragraph.split()), maxsplit=1)[0]
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", sentence).rstrip(":")


def index_of(folder: str, pages: Mapping[str, File]) -> str:
    """Writes the page that lists a folder."""
    parts = [f"# {title_of_folder(folder)}", KINDS.get(folder, ("", ""))[1]]
    for group, inside in in_groups(folder, pages).items():
        rows = [
            f"| [{cell(title_of(pages[uri]))}](<{Path(uri).name}>) | {cell(first_words(pages[uri].content_string))} |"
            for uri in inside
        ]
        parts += [f"## {group}"] if group else []
        parts.append("\n".join([HEAD, *rows]))
    folders = [
        f"| [{title_of_folder(each)}]({Path(each).name}/index.md) | {KINDS.get(each, ('', ''))[1]} |"
        for each in below(folder, pages)
    ]
    return "\n\n".join([*parts, *(["\n".join([HEAD, *folders])] if folders else [])]) + "\n"
