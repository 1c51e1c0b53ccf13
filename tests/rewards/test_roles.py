"""What a column is to a reward: found by exchanges, whatever it is called and wherever rows stand."""

import json
import random
import re
import time

import pytest

from align.services.rewards import chosen_rows
from rewards.attacks import HACKS, attack, sentences
from rewards.error_rates import measure
from rewards.places import index_of, options_of
from rewards.running.contract import LocalSubject, Settings, try_reward

WORDS = ("iron", "gold", "tin", "lead", "zinc", "salt", "sand", "coal", "clay", "wool", "silk", "tea")
TOPICS = ["sport", "music", "food"]


def graded(read):
    """Makes a reward that pays a text that equals what it reads of a column."""

    def reward(completions, own, **kwargs):
        return [float(text.strip() == read(value)) for text, value in zip(completions, own, strict=True)]

    return reward


PLACES = {  # what a column holds, how a reward reads it, and where the right answer is found
    "a text under a name of its own": (lambda i: WORDS[i % 12], str, "own"),
    "a number": (lambda i: i * 7, str, "own"),
    "a list of answers": (lambda i: [WORDS[i % 12], "or so"], lambda value: value[0], "own.0"),
    "a list": (lambda i: [WORDS[i % 12], WORDS[(i + 5) % 12]], lambda value: " > ".join(value), "own"),
    "a mapping": (lambda i: {"style": "rule", "gold": str(i * 3)}, lambda value: value["gold"], "own.gold"),
    "JSON": (lambda i: {"name": WORDS[i % 12], "age": i}, lambda value: json.dumps(value), "own"),
    "messages": (lambda i: [{"role": "assistant", "content": f"{i}!"}], lambda v: v[0]["content"], "own.-1.content"),
    "a number with its unit": (lambda i: {"value": i + 3, "unit": "km"}, lambda v: f"{v['value']} {v['unit']}", "own"),
    "behind a mark": (lambda i: f"So it is.\n#### {i}", lambda value: value.split("#### ")[1], "own"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_right_answers_are_found_by_exchange_in_shuffled_rows_beside_other_columns(name):
    hold, read, place = PLACES[name]
    rows = [{"prompt": f"Question {i}?", "answer": f"note {i}", "zeta": i % 5, "own": hold(i)} for i in range(36)]
    random.Random(0).shuffle(rows)
    found = attack(LocalSubject(graded(read)), Settings(rows, "text"), hacks=[]).honest
    assert str(found.role.place) == place
    assert found.role.columns == ("own",)
    assert found.tells
    assert found.moved.all()
    assert float(found.pays.min()) == 1


def by_index(completions, choices, key, **kwargs):
    return [float(text.strip() == own[place]) for text, own, place in zip(completions, choices, key, strict=True)]


def by_label(completions, label, **kwargs):
    return [float(text.strip() == TOPICS[number]) for text, number in zip(completions, label, strict=True)]


def test_numbers_are_read_as_places_of_options_or_of_words_in_the_code():
    rows = [{"prompt": f"Which {i}?", "choices": [f"{w}{i}" for w in WORDS[:4]], "key": i % 4} for i in range(24)]
    found = attack(LocalSubject(by_index), Settings(rows, "text"), hacks=[]).honest
    assert (str(found.role.place), found.role.place.options) == ("key", "choices")
    rows = [{"prompt": f"Line {i}.", "label": i // 8} for i in range(24)]  # sorted by label
    found = attack(LocalSubject(by_label), Settings(rows, "text"), hacks=[]).honest
    assert found.role.place.labels == ("sport", "music", "food")
    assert found.tells


def test_options_come_in_the_shapes_of_public_data():
    arc = {"text": ["iron", "tin"], "label": ["1", "2"]}
    assert options_of(arc) == ["iron", "tin"]
    assert [index_of(each, arc) for each in ("2", "tin", 0, "3", None, True)] == [1, 1, 0, None, None, None]
    assert index_of("B", {"A": "iron", "B": "tin"}) == 1


def exact(completions, own, **kwargs):
    return [float(text.strip() == gold) for text, gold in zip(completions, own, strict=True)]


def contains(completions, own, **kwargs):
    return [float(gold in text) for text, gold in zip(completions, own, strict=True)]


def takes_all(completions, own, **kwargs):
    return [1.0 for _ in completions]


def overlaps(completions, own, **kwargs):
    pairs = [({*text.split()}, {*gold.split()}) for text, gold in zip(completions, own, strict=True)]
    return [len(said & right) / max(1, len(said | right)) for said, right in pairs]


def in_fields(completions, own, **kwargs):
    return [float(_object(text).get("name") == gold) for text, gold in zip(completions, own, strict=True)]


def _object(text):
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def test_a_reward_that_reads_a_field_of_json_is_no_constant():
    rows = [{"prompt": f"Name {word}.", "own": word} for word in WORDS]
    found = attack(LocalSubject(in_fields), Settings(rows, "text"), hacks=[]).honest
    assert found.role.form == "in JSON, under names of its code"
    problems = try_reward(LocalSubject(in_fields), Settings(rows, "text")).problems
    assert "error" not in [each.level for each in problems], problems
    assert "`text_accuracy` compares" not in str(problems)


ARTICLES = [" ".join(WORDS[(i * step + 3) % 12] + str(i % 3) for step in (1, 2, 5, 7)) for i in range(36)]
LADDERS = {  # a reward, its data, its verdict and the first cause
    "exact": (exact, [str(i * 7) for i in range(40)], "", ""),
    "takes all": (takes_all, [str(i * 7) for i in range(40)], "gamed", "nothing"),
    "copied": (overlaps, ARTICLES, "soft", "copy"),
    "contains": (contains, ARTICLES, "gamed", "copy"),
}  # fmt: skip


@pytest.mark.parametrize("name", LADDERS)
def test_the_ladder_tells_the_first_cause_in_any_order_of_rows_and_under_any_name(name):
    reward, golds, verdict, cause = LADDERS[name]
    rows = [{"prompt": f"Again: {gold}" if cause == "copy" else f"{i}?", "own": gold} for i, gold in enumerate(golds)]
    seen = set()
    for seed, column in enumerate(("own", "answer", "metadata")):

        def renamed(completions, reward=reward, column=column, **columns):
            return reward(completions, columns[column])

        renamed.__name__ = ("format_reward", "accuracy", "f")[seed]
        random.Random(seed).shuffle(rows)
        named = [{"prompt": row["prompt"], column: row["own"]} for row in rows]
        result = attack(LocalSubject(renamed), Settings(named, "text"), hacks=[])
        told = [(step.verdict, step.rung.name) for step in result.ladder if step.verdict]
        seen.add((told[0] if told else ("", ""), round(result.ladder[0].share, 3)))
    assert len(seen) == 1
    assert seen.pop()[0] == (verdict, cause)


def test_a_verifier_that_takes_everything_is_one_line_and_first():
    rows = [{"prompt": f"{i}?", "own": str(i * 7)} for i in range(40)]
    said = sentences(attack(LocalSubject(takes_all), Settings(rows, "text")))
    assert [kind for kind, _, _ in said] == ["ladder", "gamed"]
    assert "nothing at all earns 100%" in said[1][1]


def test_a_shown_place_is_taken_for_the_right_answer():
    rows = [{"prompt": f"{i}?", "own": str(i * 7), "meta": {"b": str(i)}} for i in range(20)]
    found = attack(LocalSubject(exact), Settings(rows, "text", gold="meta.b"), hacks=[]).honest
    assert str(found.role.place) == "meta.b"
    assert not found.tells


def test_a_column_of_honest_samples_is_no_copy():
    rows = [
        {"prompt": f"List {i}.", "own": f"- {WORDS[i % 12]}{i}", "shown": f"- {WORDS[i % 12]}{i}"} for i in range(30)
    ]
    samples = [[row["shown"]] for row in rows]
    result = attack(LocalSubject(exact), Settings(rows, "text"), hacks=[], samples=samples)
    assert [step.verdict for step in result.ladder] == [""] * len(result.ladder)


def judged(reward, column, rows):
    """What all judges say of a reward, without names."""
    subject, settings = LocalSubject(reward), Settings(chosen_rows(rows, 24), "text", max_seconds=600.0)
    result, tried = attack(subject, settings, hacks=HACKS[::40]), try_reward(subject, settings)
    rates = [each and (each.fnr, each.fpr) for each in (measure(subject, settings).made, result.errors, tried.errors)]
    told = [
        (each.kind, each.problem.replace(f"`{column}`", "-"))
        for each in tried.problems
        if each.kind != "not_picklable"
    ]
    steps = [(each.verdict, round(each.share, 9)) for each in result.ladder]
    return repr((told, rates, steps, [kind for kind, _, _ in sentences(result)])).replace(reward.__name__, "-")


@pytest.mark.parametrize("name", ["exact", "contains", "takes all"])
def test_every_judge_says_the_same_under_other_names_in_shuffled_rows_and_on_a_slow_machine(name):
    reward, draw = LADDERS[name][0], random.Random(0)
    rows = [{"prompt": f"Which is {i}?", "own": f"{i * 7}/{i + 3}", "note": i % 5} for i in range(24)]
    said = set()
    for column, seconds in (("own", 0.0), ("answer", 0.0), ("zq_17", 0.0003), ("label", 0.0)):
        named = [{column if key == "own" else key: value for key, value in row.items()} for row in rows]
        draw.shuffle(named)
        scope = {"score": reward, "wait": time.sleep}
        body = f"wait({seconds}); return score(completions, {column})"
        exec(f"def {column}_reward(completions, {column}, **kwargs): {body}", scope)
        said.add(judged(scope[f"{column}_reward"], column, named))
    assert len(said) == 1


def odd_form(completions, own, **kwargs):
    return [float(text == f"FINAL>>{gold}<<") for text, gold in zip(completions, own, strict=True)]


def turned(completions, own, **kwargs):
    return [-float(text.strip() == gold) for text, gold in zip(completions, own, strict=True)]


def test_a_check_asks_for_the_place_where_exchanges_say_nothing_and_is_sure_where_it_is_named():
    rows = [{"prompt": f"{i}?", "own": str(i * 7)} for i in range(24)]
    for reward, kinds in ((odd_form, ("unclear", "constant")), (turned, ("unclear", "wrong_above_right"))):
        for gold, kind in zip(("", "own"), kinds, strict=True):
            tried = try_reward(LocalSubject(reward), Settings(rows, "text", gold=gold, max_seconds=600.0))
            assert [problem.kind for problem in tried.problems] == [kind]
            assert ("--gold" in str(tried.problems[0])) == (kind == "unclear")
            assert tried.errors is None  # and no rate of 0


def by_entry(completions, entry, **kwargs):
    golds = [json.loads(each)["solution"].rpartition("#### ")[2] for each in entry]
    return [float(text.strip() == gold) for text, gold in zip(completions, golds, strict=True)]


def test_what_stands_behind_a_mark_within_json_is_no_answer():
    rows = [
        {"prompt": f"{i}?", "entry": json.dumps({"solution": f"So.\n#### {i}"}), "answer": str(i)} for i in range(24)
    ]
    found = attack(LocalSubject(by_entry), Settings(rows, "text"), hacks=[]).honest
    assert str(found.role.place) == "answer"
    assert found.tells


def by_verdict(completions, supported, **kwargs):
    said = [{word.upper() for word in re.findall(r"VERDICT:\s*(TRUE|FALSE)\b", text)} for text in completions]
    return [10.0 if each == {str(gold).upper()} else -10.0 for each, gold in zip(said, supported, strict=True)]


def test_a_yes_or_no_is_written_as_the_pattern_of_the_code_has_it():
    rows = [{"prompt": f"Is {i} so?", "supported": i % 2 == 0} for i in range(24)]
    found = attack(LocalSubject(by_verdict), Settings(rows, "text"), hacks=[]).honest
    assert str(found.role.place) == "supported"
    assert found.tells
