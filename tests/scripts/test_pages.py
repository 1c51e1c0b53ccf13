"""Pages of `docs/how-to` and the README: what they name is there, and their commands run."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import HOW_TO, align_words, blocks, write_files
from started import ROOT
from typer.main import get_command

from align.assets import find_recipe
from align.cli.app import app
from align.recipe.recipe import load_recipe

README = ROOT / "README.md"
PAGES = [*HOW_TO, README]
SCREEN = 75  # lines
OF_RECIPES = ("train", "check", "rehearse")
RUN = re.compile(
    r"(align|python) (?!.*--watch)"
)  # nothing else is ever started: `pip install` would change what tests run in


class Worker:
    """A process that runs commands, each in a copy of itself."""

    def __init__(self) -> None:
        path = os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "scripts")))
        environment = os.environ | {"COLUMNS": "100", "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        environment |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "scripts" / "run_pages.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def ask(self, line: str, folder: Path) -> dict:
        assert RUN.match(line), f"`{line}` is not `align ...` or `python ...`: mark its block as not run"
        self.process.stdin.write(json.dumps({"line": line, "folder": str(folder)}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def make_stand_ins(folder: Path) -> None:
    """Saves tiny models in place of those that pages name: of the hub, and trained before."""
    from tiny import tiny_model, tiny_reward_model, tiny_tokenizer, tiny_vl_model_and_processor

    tokenizer = tiny_tokenizer()
    for name, make, seed in (
        ("HuggingFaceTB/SmolLM2-135M-Instruct", tiny_model, 0),
        ("models/smollm2-135m", tiny_model, 0),
        ("outputs/old", tiny_model, 0),
        ("outputs/new", tiny_model, 1),
        ("outputs/rm", tiny_reward_model, 1),
        ("outputs/rm-old", tiny_reward_model, 2),
    ):
        size = {
            "hidden_size": 128,
            "vocabulary": len(tokenizer),
            "max_position_embeddings": 2048,
        }  # vLLM has heads of 32
        make(seed=seed, **size).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    (folder / "Qwen").mkdir()
    (folder / "Qwen" / "Qwen3-0.6B").symlink_to(ROOT / "recipes" / "grpo" / "assets" / "shop" / "model")  # knows tools
    for part in tiny_vl_model_and_processor()[:2]:
        part.save_pretrained(folder / "Qwen/Qwen2.5-VL-3B-Instruct")


def place(stand_ins: Path, page: Path, folder: Path) -> None:
    """Puts the stand-ins, and the logs and films that a page speaks of, into its folder."""
    from clips import write_clip

    kept = ROOT / "tests" / "logs" / "kept" / "lm-eval"
    if page.stem == "videos":
        for name in ("drop", "roll"):
            write_clip(folder / "clips" / f"{name}.mp4")
    logs = {"old": kept / "before", "new": kept / "after"}
    more = {
        "compare-logs": {f"logs/{side}": log for side, log in logs.items()},
        "README": {
            "recipes": ROOT / "recipes",
            **{f"runs/{side}": log for side, log in logs.items()},
        },
    }
    if page == README:
        facts = (ROOT / "recipes" / "acre" / "assets" / "facts" / "eval.jsonl").read_text(encoding="utf-8")
        for name in ("questions", "rows"):
            (folder / f"{name}.jsonl").write_text("".join(facts.splitlines(keepends=True)[:8]), encoding="utf-8")
    places = {str(each.relative_to(stand_ins)): each for each in stand_ins.glob("*/*")} | more.get(page.stem, {})
    for name, target in places.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(target)


def parsed(words: list[str], folder: Path) -> None:
    """Fails where an option, or a key of a recipe, does not exist."""
    command, rest = get_command(app), words
    while hasattr(command, "get_command"):
        context = command.make_context(command.name, [], resilient_parsing=True)
        if found := command.get_command(context, rest[0]):
            command, rest = found, rest[1:]
        else:
            command = command.get_command(context, "any")  # `align eval` without a suite takes options of all
    if words[0] not in OF_RECIPES:
        command.make_context(command.name, rest)
        return
    own = {name: option for option in command.params for name in option.opts}
    name, overrides, rest = rest[0], [], rest[1:]
    while rest:
        word, *rest = rest
        value, rest = ([], rest) if getattr(own.get(word), "is_flag", False) else (rest[:1], rest[1:])
        if word not in own:
            overrides += [word, *value]
    recipe = folder / name if (folder / name).is_file() else ROOT / name
    load_recipe(recipe if recipe.is_file() else find_recipe(name), overrides)


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    make_stand_ins(folder)
    return folder


@pytest.fixture(scope="module")
def worker():
    process = Worker()
    yield process
    process.process.stdin.close()
    process.process.wait()


def name_of(page: Path) -> str:
    return page.stem


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_options_and_keys_that_a_page_names_exist(page, tmp_path):
    write_files(page, tmp_path)
    for block in blocks(page):
        for line in block.lines:
            if words := align_words(line.partition(" > ")[0].partition(" | ")[0]):
                parsed(words, tmp_path)


@pytest.mark.parametrize("page", HOW_TO, ids=name_of)
def test_a_page_is_one_screen_with_a_title_and_links_that_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert text.startswith("# ")
    assert len(text.splitlines()) <= SCREEN
    assert [line for line in prose.splitlines() if len(line) > 100 and not line.startswith("|")] == []
    links = re.findall(r"\]\((?!https?:)([^)#]+)", prose)
    lost = [link for link in links if not (page.parent / link).exists()]
    assert [link for link in lost if not link.startswith("../reference/")] == []  # made as the site is built


@pytest.mark.parametrize("page", HOW_TO, ids=name_of)
def test_a_reason_is_given_for_what_is_not_run(page):
    marked = page.read_text(encoding="utf-8").count("<!-- not run")
    assert sum(block.reason is not None for block in blocks(page)) == marked


@pytest.mark.parametrize("page", HOW_TO, ids=name_of)
def test_a_recipe_that_cannot_run_here_is_checked_or_shipped(page):
    """`align check` runs on every recipe that a page shows and trains elsewhere only."""
    shown = {block.title for block in blocks(page) if block.language == "yaml"}
    words = [(block, align_words(line)) for block in blocks(page) for line in block.lines]
    elsewhere = {each[1] for block, each in words if block.reason and each and each[0] == "train"} & shown
    here = {each[1] for block, each in words if not block.reason and each and each[0] in ("check", "train")}
    assert elsewhere <= here


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_commands_of_a_page_run_and_print_what_it_shows(page, tmp_path, worker, stand_ins):
    write_files(page, tmp_path)
    place(stand_ins, page, tmp_path)
    said = ""
    for block in blocks(page):
        if block.reason:
            continue
        for line in block.lines:
            if page == README and (not RUN.match(line) or "align rehearse" in line):
                continue  # it has no room for marks, and a rehearsal of an untrained model ends with 1
            answer = worker.ask(line, tmp_path)
            assert answer["code"] == 0, f"{line}\n{answer['output']}"
            said += answer["output"]
        if block.language == "text" and page != README:
            missing = [
                line for line in block.text.splitlines() if " ".join(line.split()) not in " ".join(said.split())
            ]
            assert missing == []
