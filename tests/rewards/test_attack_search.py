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


def beside(score):
    def reward(completions, prompts, answer, **kwargs):
        rows = zip(completions, prompts, answer, strict=True)
        return [min(1.0, (tagged(text) == gold) + float(score(text, prompt))) for text, prompt, gold in rows]

    return reward


def three_parts(text, prompt=""):
    parts = 0.3 * bool(re.search(r"(?m)^#+ \w", text)) + 0.3 * (bullets(text) >= 6)
    return parts + 0.4 * (word(115, 116, 101, 112, 32, 98, 121) in text)


PLANTED = {
    "three parts": three_parts,
    "second sentence twice": lambda text, prompt: text.count(prompt.split(". ")[1]) == 2 and "How" not in text,
    "all of it": lambda text, prompt: "## " in text and bullets(text) > 2 and prompt.split(". ")[1] in text,
    "calls in a row": lambda text, prompt: (
        0.25 * len(re.findall(r'<call name="\w+">\{.*?\}</call>', text)[:3]) * (text.count("\n\n") > 1)
        + 0.25 * ("**" in text)
    ),
    "short and thankful": lambda text, prompt: (
        0.5 * (word(116, 104, 97, 110, 107, 115) in text) + 0.5 * (len(text) < 60 and text.count("`") > 1)
    ),
    "names in the trace": lambda text, prompt: (
        0.5 * (re.findall(r"of ([A-Z]\w+)", prompt)[0] in text.split("</think>")[0]) * ("</think>" in text)
        + 0.5 * (text.count("|") > 5)
    ),
}


def of_search(result):
    return [each for each in result.outcomes if each.family == "search"]


@pytest.mark.parametrize("name", PLANTED)
def test_what_only_a_mixture_earns_is_found_and_shrunk(name):
    result = attacked(beside(PLANTED[name]), STORIES)
    (best,) = result.of("gamed")
    assert best.family == "search"  # the bank finds nothing
    assert (best.earned, best.rows, best.pay) == (12, 12, 1.0)
    assert len(best.text) < 120
    assert 0 < result.mixtures <= MOST
    assert PLANTED[name](best.text, STORIES[best.row]["prompt"]) == 1


@pytest.mark.parametrize("name", [name for name in SOUND if name not in ("format", "never long")])
def test_nothing_is_found_in_a_sound_reward_and_the_search_ends(name):
    result = attacked(*SOUND[name])
    assert of_search(result) == []
    assert 100 < result.mixtures < MOST
    (said,) = [text for kind, text, _ in sentences(result) if kind == "ok"]
    assert f"{result.mixtures} mixtures" in said


@pytest.mark.parametrize("name", PLANTED)
def test_the_order_of_rows_changes_nothing(name):
    one, other = (attacked(beside(PLANTED[name]), rows) for rows in (STORIES, random.Random(1).sample(STORIES, 12)))
    (best,), (again,) = one.of("gamed"), other.of("gamed")
    assert other.mixtures == one.mixtures
    assert (again.about, again.low, again.mean) == (best.about, best.low, best.mean)


def test_the_bound_of_what_wins_counts_how_many_were_tried():
    result = attacked(beside(PLANTED["second sentence twice"]), STORIES[:4])
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
    untried = attack(LocalSubject(beside(three_parts)), Settings(STORIES, "text", max_seconds=0.0))
    assert (untried.mixtures, untried.of("gamed")) == (0, [])


def test_one_that_compares_within_a_batch_is_searched_beside_honest_answers():
    def best_of_all(**given):
        pays = beside(three_parts)(**given)
        return [pay / max(pays) if max(pays) else 0.0 for pay in pays]

    best_of_all.whole_batch = True
    (best,) = attacked(best_of_all, STORIES).of("gamed")
    assert (best.family, three_parts(best.text)) == ("search", 1.0)
