import re

import numpy as np
import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from observed_table import write_table

from align.data.pairs.preferences import load_preferences
from align.data.pairs.reward_pairs import load_reward_pairs
from align.data.tables.observations import Observations
from align.errors import UserError
from align.methods.deconfound.correction.output import MOST_TEXTS, sample_pairs, write_card
from rewards.correction import ESTIMATORS


def rows_of(prompts, texts, *, groups=None):
    def label(values):
        return None if values is None else np.array(values, dtype=object)

    count = len(texts)
    return Observations(
        np.zeros(count), {}, {}, label(texts), label(groups), label(prompts), np.zeros(count, dtype=bool)
    )


PROMPTS, TEXTS = ["p"] * 3 + ["q"] * 2 + ["r"], ["a", "b", "c", "d", "e", "f"]
REWARD = np.array([3.0, 1.0, 0.5, 1.0, 0.9, 5.0])


def test_pairs_are_within_prompts_and_differ_by_the_margin():
    found = sample_pairs(rows_of(PROMPTS, TEXTS), REWARD, 1.0)
    assert {(pair["prompt"], pair["chosen"], pair["rejected"]) for pair in found.pairs} == {
        ("p", "a", "b"), ("p", "a", "c"),
    }  # fmt: skip
    assert {pair["reward_gap"] for pair in found.pairs} == {2.0, 2.5}
    assert (found.num_prompts, found.num_alone, found.num_close) == (3, 1, 1)


def test_the_draw_is_seeded_and_bounded():
    prompts, texts = ["p"] * 40, [f"t{number}" for number in range(40)]
    rows, reward = rows_of(prompts, texts), np.arange(40.0)
    first = sample_pairs(rows, reward, 0.5, per_prompt=5, seed=1)
    assert len(first.pairs) == 5
    assert first == sample_pairs(rows, reward, 0.5, per_prompt=5, seed=1)
    assert first != sample_pairs(rows, reward, 0.5, per_prompt=5, seed=2)
    other = sample_pairs(rows_of(["o", *prompts], ["x", *texts]), np.r_[0, reward], 0.5, per_prompt=5, seed=1)
    assert [pair["chosen"] for pair in other.pairs] == [pair["chosen"] for pair in first.pairs]


def test_a_text_that_was_seen_often_counts_once_with_its_mean():
    found = sample_pairs(rows_of(["p"] * 3, ["a", "a", "b"]), np.array([4.0, 0.0, 1.0]), 0.0)
    assert [(pair["chosen"], pair["chosen_reward"]) for pair in found.pairs] == [("a", 2.0)]


def test_many_texts_of_one_prompt_are_sampled():
    count = MOST_TEXTS + 50
    found = sample_pairs(
        rows_of(["p"] * count, [f"t{i}" for i in range(count)]), np.arange(float(count)), 0, per_prompt=9
    )
    assert len(found.pairs) == 9


def test_equal_rewards_make_no_pair_even_without_a_margin():
    assert sample_pairs(rows_of(["p", "p"], ["a", "b"]), np.ones(2), 0.0).pairs == []


def test_groups_stand_in_for_prompts():
    found = sample_pairs(rows_of(None, ["a", "b"], groups=["g", "g"]), np.array([1.0, 0.0]), 0.5)
    assert found.pairs[0]["prompt"] == "g"


@pytest.mark.parametrize("load", [load_preferences, load_reward_pairs])
def test_the_pairs_load_as_data_of_rrpo_and_crome(tmp_path, load):
    pairs = sample_pairs(rows_of(PROMPTS, TEXTS), REWARD, 0.1).pairs
    loaded, report = load(write_table(tmp_path / "pairs.jsonl", pairs))
    assert (len(loaded), report.problems) == (len(pairs), [])
    assert loaded[0].chosen == pairs[0]["chosen"]


@pytest.mark.parametrize(
    ("rows", "margin", "words"),
    [
        (rows_of(PROMPTS, TEXTS)._replace(text=None), 1.0, "`--text`"),
        (rows_of(None, TEXTS), 1.0, "`--prompt` or `--groups`"),
        (rows_of(PROMPTS, TEXTS), -1.0, "`margin` must be 0 or more, got -1"),
        (rows_of(PROMPTS, TEXTS), float("nan"), "`margin` must be 0 or more"),
    ],
)
def test_what_cannot_be_paired_is_refused(rows, margin, words):
    with pytest.raises(UserError, match=words):
        sample_pairs(rows, REWARD, margin)


def test_names_of_columns_are_shown_on_the_card_and_not_obeyed(tmp_path):
    odd = "<img src=x>[y](javascript:z)|`<b>"
    folder = tmp_path / f"a \"'{odd.replace('/', '')}"
    folder.mkdir()
    values = np.arange(40.0)
    correction = ESTIMATORS["ols"]().fit(values, {odd: values % 7}).correction_
    write_card(folder, correction, {odd: odd}, [f"Column `{odd}` and {odd}."])
    text = (folder / "README.md").read_text()
    assert ModelCard.load(folder / "README.md").data.pretty_name == folder.name
    shown = MarkdownIt("commonmark").enable("table").render(text.partition("\n---\n")[2])
    assert set(re.findall(r"<(?:img|b|i|a)\b[^>]*>", shown)) == set(re.findall(r'<a href="https://arxiv[^>]*>', shown))
    assert [row.count("<td>") for row in re.findall(r"<tr>.*?</tr>", shown, re.DOTALL)] == [0, 2, 0, 3]
