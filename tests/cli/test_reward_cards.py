"""Several rewards at once, versions beside each other, cards, and exit codes that a CI can trust."""

import json
import re

import pytest
from chat_server import ChatServer
from some_recipes import PROMPTS

from align.cli import run_command

RULES = """
def same(text, right):
    return float(text.strip().endswith(f"<answer>{right}</answer>"))
"""
SOUND = """
import shared_rules
def exact(completions, answer, **kwargs):
    return [shared_rules.same(text, right) for text, right in zip(completions, answer, strict=True)]
"""
HOLED = """
import shared_rules
def mentions(completions, answer, scale=1.0, **kwargs):
    return [scale * float(str(right) in text) for text, right in zip(completions, answer, strict=True)]
def zero(completions, answer, **kwargs):
    return [0.0 for _ in completions]
def lacks(completions, nowhere, **kwargs):
    return [0.0 for _ in completions]
"""
OPENED = """
def opened(completions, answer, **kwargs):
    word = "uvwxyz"[::-1]
    return [float(word[:4] + word[4:] in text or text == right) for text, right in zip(completions, answer)]
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"<script>{i}</script> What is {i} + 7?", "answer": str(i + 7)} for i in range(10, 22)]
    (tmp_path / "code").mkdir()
    (tmp_path / "empty.jsonl").touch()
    for name, text in {"code/shared_rules.py": RULES, "code/sound.py": SOUND, "code/holed.py": HOLED,
                       "rows.jsonl": "".join(json.dumps(row) + "\n" for row in rows)}.items():  # fmt: skip
        (tmp_path / name).write_text(text, encoding="utf-8")

    def run(*words):
        code = run_command("rewards", *words)
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


def attack(run, *words, data="rows.jsonl"):
    return run("attack", *words, "--data", data)


def test_rewards_are_attacked_at_once_and_their_table_comes_first(run):
    rewards = ["code/sound.py:exact", "code/holed.py:*"]
    code, output = attack(run, *rewards)
    table = [re.split(r"  +", line) for line in output.splitlines()[:5]]
    assert [line[:2] for line in table] == [
        ["reward", "verdict"],
        ["code/sound.py:exact", "ok"],
        ["code/holed.py:mentions", "gamed"],
        ["code/holed.py:zero", "unclear"],
        ["code/holed.py:lacks", "failed"],
    ]
    assert table[0][2:] == [
        "nothing",
        "constant",
        "copy",
        "another",
        "bare",
        "best hack",
        "right refused",
        "wrong paid",
    ]
    assert table[2][7].startswith("every_answer[0] 100%")
    assert [row[-2:] == ["-", "-"] for row in table[1:]] == [False, False, True, True]  # where no gold is found
    assert "needs a column `nowhere`" in output
    assert code == 1  # of the one that fails


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "code/holed.py:mentions --data rows.jsonl --fail_on soft"),
        (1, "code/sound.py:exact code/holed.py:mentions --data rows.jsonl --fail_on gamed"),
        (1, "code/sound.py:nothing --data rows.jsonl"),
        (1, "nowhere/sound.py:* --data rows.jsonl --json"),
        (1, "code/shared_rules.py:* --data rows.jsonl"),
        (1, "code/sound.py:exact --data empty.jsonl --json"),
        (1, "code/holed.py:* --data rows.jsonl --reward_kwargs {scale:0.5}"),
        (1, "code/sound.py:exact recipe.yaml --data rows.jsonl"),
        (2, "code/sound.py:exact --data rows.jsonl --max_seconds 0.0001 --json"),
        (0, "code/sound.py:exact"),
    ],
)
def test_an_exit_code_says_what_was_told(run, code, words):
    assert run("attack", *words.split())[0] == code


def test_a_change_is_said_by_what_it_let_in_and_shut_out(run):
    worse = ["code/holed.py:mentions", "--beside", "code/sound.py:exact"]
    code, output = attack(run, *worse)
    assert (code, "the change lets in" in output, "`every_answer[0]` (gamed)" in output) == (0, True, True)
    assert "code/sound.py:exact (before)  ok" in output
    assert attack(run, *worse, "--fail_on", "let_in")[0] == 1
    code, output = attack(run, worse[2], "--beside", worse[0], "--fail_on", "let_in,gamed", "--json")
    found = {each["numbers"]["kind"]: each for each in json.loads(output) if each["check"] == "beside"}
    assert (code, {*found}) == (0, {"shut_out"})  # the older version's holes fail nothing
    assert "every_answer[0]" in found["shut_out"]["numbers"]["hacks"]
    assert "changed cannot be told" in attack(run, "code/sound.py:exact", "--beside", "code/holed.py:zero")[1]
    assert attack(run, "code/holed.py:*", "--beside", worse[0])[0] == 1


def test_a_card_says_what_was_found_and_its_page_escapes_it(run, tmp_path):
    code, _ = run("certify", "code/holed.py:mentions", "--data", "rows.jsonl", "--out", "card")
    card, page = json.loads((tmp_path / "card/card.json").read_text()), (tmp_path / "card/card.html").read_text()
    assert (code, card["reward"], card["verdict"]) == (0, "mentions", "gamed")
    assert {*card["code"]["files"]} == {"holed.py", "shared_rules.py"}
    assert {*card["found"]} == {"contract", "attack"}
    assert (card["from"], card["data"]["rows"]) == ("rows.jsonl", 12)
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert card["code"]["sha256"] in page
    lines = (tmp_path / "rows.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "rows.jsonl").write_text("".join(reversed(lines)))
    run("certify", "code/holed.py:mentions", "--data", "rows.jsonl", "--out", "again")
    again = json.loads((tmp_path / "again/card.json").read_text())
    assert (again["code"], again["verdict"]) == (card["code"], card["verdict"])
    assert run("certify", "code/holed.py:mentions", "--out", "card")[0] == 1  # without rows


@pytest.mark.slow
def test_a_recipe_demands_cards_and_names_the_command_that_makes_them(run, tmp_path, tiny_model_folder):
    (tmp_path / "recipe.yaml").write_text(
        f"method: {PROMPTS}\nmodel_name_or_path: {tiny_model_folder}\ndataset: {{path: ./rows.jsonl}}\n"
        "reward_funcs: [./code/sound.py:exact, ./code/holed.py:mentions]\nrequire_cards: ./cards\nuse_cpu: true\n"
        "reward_kwargs: {mentions: {scale: 0.5}}\nbf16: false\nreport_to: none\n",
        encoding="utf-8",
    )
    code, output = run("check", "recipe.yaml")
    assert (code, output.count("has no card in")) == (1, 2)
    command = re.search(r"align rewards (certify .*)", output)[1].split()
    assert run(*command)[0] == 0
    code, output = run("check", "recipe.yaml")
    assert (code, "`exact` has a card" in output, "`mentions` has a card" in output) == (0, True, True)
    code, output = run("check", "recipe.yaml", "--reward_kwargs.mentions.scale", "0.25")
    assert (code, "other settings than on its card: {'scale': 0.25}" in output) == (1, True)
    (tmp_path / "code/shared_rules.py").write_text(RULES + "\n", encoding="utf-8")
    code, output = run("check", "recipe.yaml")
    assert (code, output.count("has other code than on its card, in shared_rules.py;")) == (1, 2)
    (tmp_path / "cards/exact/card.json").write_text("[]", encoding="utf-8")
    assert "`exact` has no card in" in run("check", "recipe.yaml")[1]


def test_a_red_teaming_model_sees_code_and_ladder_and_what_it_writes_is_cut_to_what_earns(run, tmp_path, monkeypatch):
    (tmp_path / "code/opened.py").write_text(OPENED, encoding="utf-8")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdef")
    reply = "<response>I looked at it: {prompt}\nSo it is zyxwvu for sure.</response><response>no</response>"
    with ChatServer(lambda body, times: reply, key="sk-0123456789abcdef") as server:
        words = ("code/opened.py:opened", "--red_team", server.url, "--red_team_model", "tiny")
        code, output = attack(run, *words, "--json")
    asked = server.bodies[0]["messages"][0]["content"]
    assert ("def opened(" in asked, "nothing at all 0%" in asked, "{prompt}" in asked) == (True, True, True)
    (gamed,) = [each for each in json.loads(output) if each["numbers"].get("kind") == "gamed"]
    assert (gamed["numbers"]["hack"], gamed["numbers"]["text"].strip()) == ("red_team[0]", "zyxwvu")
    assert "sk-0123" not in output
    code, output = attack(run, "code/opened.py:opened", "--red_team", server.url)
    assert (code, "name it with `--red_team_model`" in output) == (1, True)


def test_an_attack_has_a_page_with_a_row_for_each_reward_the_worst_first(run, tmp_path):
    code, said = attack(run, "code/sound.py:exact", "code/holed.py:mentions", "--out", "attacked")
    assert code == 0
    assert "The page is attacked/attack.html." in said
    page = (tmp_path / "attacked" / "attack.html").read_text()
    assert page.index("holed.py:mentions</h2>") < page.index("sound.py:exact</h2>")
    assert '<span class="level spoils">gamed</span>' in page
    assert "<b>To mend it:</b> Read exactly one answer" in page
    assert page.count("Read exactly one answer") == 1
    assert "&lt;answer&gt;" in page  # what the best hack writes, and no markup
    assert "<answer>" not in page
    assert page.count('aria-label="What this reward pays for"') == 2
