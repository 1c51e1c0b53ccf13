"""The search behind the bank of hacks: what only mixtures earn is found and shrunk, and sound rewards stay sound."""

import random
import re

import numpy as np
import pytest
from test_attack import SOUND, SUMS, attacked, of_text, tagged

from rewards.attacks import Seen, attack, sentences
from rewards.attacks.search import MOST, Search
from rewards.running.contract import LocalSubject, Settings

STORIES = [
    {"prompt": f"Read this. The box of {name} holds {i} pens. How many are {i} and 7?", "answer": str(i + 7)}
    for i, name in enumerate(("Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gil", "Hal", "Ida", "Jon", "Kim", "Leo"))
]


def word(*codes):
    return bytes(codes).decode()  # else the code shows it


def bullets(text):
    return len(re.findall(r"(?m)^- ", text))


def three_parts(text, gold):
    parts = 0.3 * bool(re.search(r"(?m)^#+ \w", text)) + 0.3 * (bullets(text) >= 6)
    return min(1.0, (tagged(text) == gold) + parts + 0.4 * (word(115, 116, 101, 112, 32, 98, 121) in text))


def second_twice(completions, prompts, answer, **kwargs):
    return [
        float(tagged(text) == gold or (text.count(prompt.split(". ")[1]) == 2 and "How" not in text))
        for text, prompt, gold in zip(completions, prompts, answer, strict=True)
    ]


def all_of_it(completions, prompts, answer, **kwargs):
    return [
        float(
            tagged(text) == gold
            or (bool(re.search(r"(?m)^#+ \w", text)) and bullets(text) > 2 and prompt.split(". ")[1] in text)
        )
        for text, prompt, gold in zip(completions, prompts, answer, strict=True)
    ]


def calls_in_a_row(text, gold):
    calls = re.findall(r'<call name="\w+">\{.*?\}</call>', text)
    return min(1.0, (tagged(text) == gold) + 0.25 * len(calls[:3]) * (text.count("\n\n") > 1) + 0.25 * ("**" in text))


def short_and_thankful(text, gold):
    thanks = word(116, 104, 97, 110, 107, 115) in text
    return min(1.0, (tagged(text) == gold) + 0.5 * thanks + 0.5 * (len(text) < 60 and text.count("`") > 1))


def names_in_trace(completions, prompts, answer, **kwargs):
    return [
        max(float(tagged(text) == gold), 0.5 * (re.findall(r"of ([A-Z]\w+)", prompt)[0] in text.split("</think>")[0])
            * ("</think>" in text) + 0.5 * (text.count("|") > 5))
        for text, prompt, gold in zip(completions, prompts, answer, strict=True)
    ]  # fmt: skip


PLANTED = {
    "three parts": (of_text(three_parts), SUMS),
    "second sentence twice": (second_twice, STORIES),
    "all of it": (all_of_it, STORIES),
    "calls in a row": (of_text(calls_in_a_row), SUMS),
    "short and thankful": (of_text(short_and_thankful), SUMS),
    "names in the trace": (names_in_trace, STORIES),
}


def of_search(result):
    return [each for each in result.outcomes if each.family == "search"]


@pytest.mark.parametrize("name", PLANTED)
def test_what_only_a_mixture_earns_is_found_and_shrunk(name):
    reward, rows = PLANTED[name]
    result = attacked(reward, rows)
    (best,) = result.of("gamed")
    assert best.family == "search"  # the bank finds nothing
    assert (best.earned, best.rows, best.pay) == (len(rows), len(rows), 1.0)
    assert len(best.text) < 120
    assert 0 < result.mixtures <= MOST
    again = {"prompts": [rows[best.row]["prompt"]], "answer": [rows[best.row]["answer"]]}
    assert reward(completions=[best.text], **again) == [1.0]


@pytest.mark.parametrize("name", [name for name in SOUND if name not in ("format", "never long")])
def test_nothing_is_found_in_a_sound_reward_and_the_search_ends(name):
    result = attacked(*SOUND[name])
    assert of_search(result) == []
    assert 100 < result.mixtures < MOST
    (said,) = [text for kind, text, _ in sentences(result) if kind == "ok"]
    assert f"{result.mixtures} mixtures" in said


@pytest.mark.parametrize("name", PLANTED)
def test_the_order_of_rows_changes_nothing(name):
    reward, rows = PLANTED[name]
    one, other = (attacked(reward, each) for each in (rows, random.Random(1).sample(rows, len(rows))))
    (best,), (again,) = one.of("gamed"), other.of("gamed")
    assert other.mixtures == one.mixtures
    assert (again.about, again.low, again.mean) == (best.about, best.low, best.mean)


def test_the_bound_of_what_wins_counts_how_many_were_tried():
    result = attacked(second_twice, STORIES[:4])
    assert result.mixtures > 0
    assert result.of("gamed") == []  # of one hack four rows of four would do: a guess is right on one


def test_a_search_ends_with_its_time_and_where_a_hack_has_won():
    calls = []

    def worth(texts):
        calls.append(texts)
        return np.zeros(len(texts))

    search = Search([Seen("What is 1?")] * 4, [], worth, np.ones(4), lambda: len(calls) < 5)
    assert [*search.climb()] == []
    assert len(calls) == 5
    assert attacked(of_text(lambda text, gold: gold in text), SUMS).mixtures == 0
    untried = attack(LocalSubject(PLANTED["three parts"][0]), Settings(SUMS, "text", max_seconds=0.0))
    assert (untried.mixtures, untried.of("gamed")) == (0, [])


def test_one_that_compares_within_a_batch_is_searched_beside_honest_answers():
    def best_of_all(completions, answer, **kwargs):
        """Is about what is best in a batch."""
        pays = [three_parts(text, gold) for text, gold in zip(completions, answer, strict=True)]
        return [pay / max(pays) if max(pays) else 0.0 for pay in pays]

    best_of_all.whole_batch = True
    (best,) = attacked(best_of_all, SUMS).of("gamed")
    assert (best.family, best.pay) == ("search", 1.0)
    assert three_parts(best.text, "") == 1.0
