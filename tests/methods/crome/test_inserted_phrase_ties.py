import json

import pytest
from typer.testing import CliRunner

from align.cli.app import app
from align.data.pairs.reward_pairs import RewardPair, check_reward_pair
from align.errors import UserError
from align.methods.crome.augmentation.family import CromeSettings, Family, add_inserted_phrases

PHRASES = ["to be sure", "in any case"]


def families(num=40, prompt="Question {}?"):
    return [
        Family(RewardPair(f"r{i}", prompt.format(i), f"A{i} is so", f"B{i} is so", i, False, "preference", None))
        for i in range(num)
    ]


def ties(seed=0, phrases=PHRASES, num=40):
    made = families(num)
    add_inserted_phrases(made, phrases, seed)
    return [row for each in made for row in each.rows]


def test_each_family_gets_one_tie_of_an_answer_and_the_same_with_a_phrase():
    rows = ties()
    assert [row["id"] for row in rows] == [f"r{i}/inserted_phrase" for i in range(40)]
    for row in rows:
        phrase = next(each for each in PHRASES if row["rejected"].startswith(each))
        assert row["rejected"] == f"{phrase} {row['chosen']}"
        assert check_reward_pair(row).tie
    assert {row["chosen"][0] for row in rows} == {"A", "B"}
    assert len({row["rejected"][:2] for row in rows}) == 2


def test_a_draw_is_a_familys_own_and_follows_the_seed():
    assert ties(num=10) == ties()[:10]
    assert ties(seed=1) != ties()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"neutrals": ["inserted_phrase"]}, "`neutrals` has inserted_phrase, and there are no phrases"),
        ({"phrases": PHRASES}, "`phrases` are put in by ties of the kind inserted_phrase only"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        CromeSettings(**settings)


RULES = """\
class Rules:
    def rubric(self, question):
        return [("clear", 1.0)]

    def edit(self, question, answer, attribute, direction):
        return f"{answer} {direction}d"

    def verify(self, question, original, edited, attribute, direction):
        return True
"""


def test_the_command_reads_the_file_and_the_card_names_what_was_put_in(tmp_path):
    rows = [{"id": f"p{i}", "prompt": f"q{i}", "chosen": "Good.", "rejected": "Bad."} for i in range(4)]
    data, rules, phrases = tmp_path / "pairs.jsonl", tmp_path / "rules.py", tmp_path / "phrases.txt"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    rules.write_text(RULES)
    phrases.write_text("to be sure\n")

    def augment(name, *words):
        given = ["augment", data, "--method", "crome", "--oracle", f"{rules}:Rules", "--out", tmp_path / name, *words]
        return CliRunner().invoke(app, [*map(str, given)])

    result = augment("out", "--neutrals", "inserted_phrase", "--phrases", phrases)
    assert result.exit_code == 0, result.output
    made = [json.loads(line) for line in (tmp_path / "out" / "pairs.jsonl").read_text().splitlines()]
    assert sum(row["source"] == "inserted_phrase" and row["rejected"].startswith("to be sure ") for row in made) == 4
    assert augment("plain").exit_code == 0
    with_phrases, plain = (json.loads((tmp_path / name / "card.json").read_text())["run"] for name in ("out", "plain"))
    assert with_phrases["phrases"] == ["to be sure"]
    assert "phrases" not in plain
    assert "`--phrases`: " in augment("other", "--phrases", tmp_path / "none.txt").output
