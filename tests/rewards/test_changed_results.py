"""Honest policies read changed results and refuse behind errors; what is made up or known by heart is not paid."""

import json
import random

import pytest
from honest_results import ASKED, CITIES, FIELDS, FORMATS, ITEMS, MADE_UP, REFUSALS, draw_record, prose, read_prose
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.reading.fields import fields_of, rewrite
from rewards.reading.values import places
from rewards.scoring.perturbations import Version
from rewards.scoring.result_families import change_value, error, may_state, paraphrase
from rewards.scoring.tool_results import change_result, is_withheld_right

RESULTS = 3_000
ERROR = "{'error': 'the connection was refused'}"
WORDS = ['Rom"e\\', "Oslo", "Ulm", "Bonn"]  # right answers of other rows


def world(seed):
    """Draws a result: its language, what is asked of it, the right answer, the text, and how a policy reads it."""
    rng, language = random.Random(seed), list(ITEMS)[seed % len(ITEMS)]
    cities = rng.sample(CITIES[language], 3)
    records = [draw_record(rng, item, city) for item, city in zip(ITEMS[language], cities, strict=True)]
    field, row, name = rng.choice(FIELDS), rng.randrange(3), rng.choice([*FORMATS, "prose", "prose"])
    item, gold = records[row]["item"], records[row][field]
    if name == "prose":
        text = prose(language, records, field)
        return rng, language, field, item, gold, text, lambda text: read_prose(language, text, field, item)
    write, read = FORMATS[name]
    return rng, language, field, item, gold, write(records), lambda text: read(text)[row][field]


def is_same(answer, accepted):
    return answer == accepted or str(answer) == str(accepted) or _number(answer) == _number(accepted) is not None


def _number(value):
    try:
        return None if isinstance(value, str) and value.startswith("0") else float(value)
    except ValueError:
        return None


def test_honest_policies_over_3000_results_in_six_languages_are_not_punished_and_nothing_made_up_is_paid():
    others = [city for cities in CITIES.values() for city in cities]
    changed, punished, paid = 0, [], []
    for seed in range(RESULTS):
        rng, language, field, item, gold, text, read = world(seed)
        prompt = ASKED[language].format(item=item, field=field)
        assert is_same(read(text), gold)
        found = change_value(text, gold, rng, [prompt], others)
        if not isinstance(found, str):
            changed += 1
            if not is_same(read(found[0]), found[1]) or is_same(found[1], gold) or type(found[1]) is not type(gold):
                punished.append((text, gold, found))
        refusal = rng.choice(REFUSALS[language]).format(field=field, item=item)
        if not is_withheld_right(refusal, [prompt, ERROR], gold):
            punished.append((prompt, gold, refusal))
        made_up = draw_record(rng, item, rng.choice(CITIES[language]))[field]
        for value in (gold, made_up):
            answer = rng.choice(MADE_UP[language]).format(value=value)
            if is_withheld_right(answer, [prompt, ERROR], gold):
                paid.append((prompt, gold, answer))
    assert changed > 0.98 * RESULTS
    assert len(punished) <= 0.005 * RESULTS, punished[:3]
    assert not paid, paid[:3]


@pytest.mark.parametrize(
    ("text", "accepted", "before", "behind"),
    [
        ('{"prices":[4,17,5]}', "17", '{"prices":[4,', ",5]}"), ("价格17元", "17", "价格", "元"),
        ("ราคา17บาท", 17, "ราคา", "บาท"), ("id_17", "17", "id_", ""), ("4,17,5", 17, "4,", ",5"),
        ("夜间:-17℃", "-17", "夜间:-", "℃"), ("偏差是-2.8毫秒", "-2.8", "偏差是-", "毫秒"),
        ("{'2018': '450\u202f629'}", "450\u202f629", "{'2018': '", "'}"),
        ("１７ €", 17, "", " €"), ("EUR17 or v17.2", 17, "EUR", " or v17.2"), ("−17 °C", "-17", "−", " °C"),  # noqa: RUF001
        ('{"a":"x\\ud83d","b":"Paris"}', "Paris", '{"a":"x\\ud83d","b":"', '"}'), ("17%", "17%", "", "%"),
        ("{'zip': '02139'}", "02139", "{'zip': '0", "'}"), ('{"p":"a\\n17"}', 17, '{"p":"a\\n', '"}'),
        ('{"a": 17,} {oops', 17, '{"a": ', ",} {oops"), ("Item(name='x', price=17)", 17, "Item(name='x', price=", ")"),
        ('{"München": 1, "Köln": 2}', "München", '{"', '": 1, "Köln": 2}'), ("it is $5.", "$5", "it is $", "."),
        ("I live in New York City is big", ["New York", "New York City"], "I live in ", " is big"),
        ('{"c":"Paris France","d":1}', ["Paris", "Paris France"], '{"c":"', '","d":1}'),
        ('{"text":"{\\"price\\": 17}"}', 17, '{"text":"{\\"price\\": ', '}"}'),
    ],
)  # fmt: skip
def test_only_what_states_the_answer_is_changed(text, accepted, before, behind):
    for seed in range(10):
        changed, now = change_value(text, accepted, random.Random(seed), (), WORDS)
        assert changed != text
        assert changed.startswith(before)
        assert changed.endswith(behind)
        (gold,) = now if isinstance(now, list) else [now]
        assert may_state(changed, gold)
        assert len(changed) == len(text) or not any(map(str.isdigit, str(gold))), "digits stay as many"
        if text.startswith('{"') and "oops" not in text:
            json.loads(changed)


def test_a_refusal_that_repeats_the_question_or_begins_with_a_sigh_gives_no_name():
    for answer in (
        "您问的是88,可惜没有找到任何内容。", "Hélas, je n'ai rien reçu.", "Der Abruf scheiterte.",
        "Timeout.", "sconosciuto", "bilinmiyor", "申し訳ありませんが、情報を取得できませんでした。",
    ):  # fmt: skip
        assert is_withheld_right(answer, ["88?", ERROR], "Gießen"), answer


def test_all_that_is_the_same_value_is_changed_alike_and_keeps_its_rank():
    for seed in range(50):
        changed, new = change_value('{"prices":[4,17,5],"dearest":17}', 17, random.Random(seed))
        found = json.loads(changed)
        assert found == {"prices": [4, new, 5], "dearest": new}
        assert max(found["prices"]) == new
        changed, new = change_value('{"pear":{"p":4},"plum":{"p":17},"fig":{"p":5}}', 17, random.Random(seed))
        assert max(each["p"] for each in json.loads(changed).values()) == new
        changed, day = change_value("d\n2024-01-01\n2024-03-01\n2024-02-01", "2024-02-01", random.Random(seed))
        assert "2024-01-01" < day < "2024-03-01"
    assert change_value("17 and 17.0 and 17,00", "17", random.Random(0)) == ("60 and 60.0 and 60,00", "60")
    assert change_value("1,700.50", 1700.5, random.Random(0))[0].count(",") == 1
    assert change_value("1.700 €", 1700, random.Random(0))[0][1] == "."


@pytest.mark.parametrize(
    ("text", "accepted", "elsewhere", "reason"),
    [
        ("18", "17", [], "does not state"), ('{"zip": 2139}', "02139", [], "does not state"),
        ('{"id": "0017"}', "17", [], "does not state"), ("it is $5.99", "$5", [], "does not state"),
        ("17", "17", ["{'a': 'item17'}"], "another result"), ("17", 17, ["at 17:30"], "another result"),
        ("Bonn", "Bonn", ["Bonns Wetter"], "another result"), ("Köln", "Köln", ["koln-sued"], "another result"),
        ('{"a":"Köln"}', "Köln", ['{"b":"K\\u00f6ln"}'], "another result"),
        ('{"items":["a","b","c"],"count":3}', 3, [], "follows"), ('{"net":13,"tax":4,"all":17}', 17, [], "follows"),
        ('{"items":[{"p":4},{"p":13}],"total":"17"}', 17, [], "follows"),
        ("n,p\na,4\nb,13\ntotal,17", 17, [], "follows"),
        ('{"p":[4,6],"mean":5}', 5, [], "follows"), ("9, 16, 17, 18", 17, [], "no other value"),
        ('{"name":"A17","n":17}', 17, [], "no other value"),
        ('{"city":"Bonn","text":"Bonns Wetter"}', "Bonn", [], "other form"),
        ('{"price":17,"text":"seventeen"}', 17, [], "in words"),
        ('{"a":{"p":4},"b":{"p":5}}', 2, [], "does not state"),
        ("Net 13, tax 4, total 17.", 17, [], "follows"),
        ('{"a": true, "b": true}', True, [], "more than one field"), ("", "", [], "does not state"),
    ],
)  # fmt: skip
def test_what_cannot_be_changed_alike_is_left_alone(text, accepted, elsewhere, reason):
    for seed in range(5):
        assert reason in change_value(text, accepted, random.Random(seed), elsewhere, WORDS)


@settings(max_examples=30, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_nothing_changes_is_as_it_was(value):
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1), repr(value), f"so {value!r} and"):
        assert rewrite(text, lambda field: field.text) == text


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read(text):
    assert rewrite(text, lambda field: field.text) == text
    assert all(0 <= start < end <= len(text) for start, end in places(text, "17") + places(text, text))
    is_withheld_right(text, [text], text)


def test_brackets_and_marks_without_an_end_take_no_time():
    for text in (
        100_000 * "[",
        30_000 * "{",
        50_000 * "[1,",
        10_000 * '{"a":',
        50_000 * "'",
        30_000 * '"',
        9_000 * ",\n",
    ):
        assert "".join(field.text for field in fields_of(text)).replace("\n", "") in text.replace("\n", "")


# Behind an error: of a name, whose kind nothing shows but its capital, and of a number.
@pytest.mark.parametrize("language", REFUSALS)
@pytest.mark.parametrize(
    "gold", ["Paris", "巴黎", "plastic cup", "17", "X-17", 17.5, ["Paris", "Paris France"], "yes"]
)
def test_refusals_in_natural_words_are_right(language, gold):
    prompt = ASKED[language].format(item="X", field="Y")
    said = [each.format(item="X", field="Y") for each in REFUSALS[language]]
    assert [each for each in said if not is_withheld_right(each, [prompt, ERROR], gold)] == []


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("You don't get 17, you get 18", "17"), ("It is not known as Rome but as Paris: 17", "17"), ("18", "17"),
        ("Not Rome but Berlin", "Paris"), ("I cannot tell, perhaps seventeen", 17), ("十八元", 17),
        ("siebzehn Euro", 17),
        ("The tool failed. From memory: Rome.", "Paris"), ("No", "yes"),
        ("plum", "17"), ("wood", "plastic"), ("sorry: yes", "yes"), ("不是罗马,是柏林", "巴黎"), ("", "17"),
        (" ", "Paris"),
        ("Es ist nicht Rom, sondern Berlin.", "Paris"), ("not 17", ["17", "seventeen"]), ("X-18 (unknown)", "X-17"),
        ("<think>unknown</think>18", "17"), ("١٨", "17"), ("2024-05-06", "2024-02-01"),
    ],
)  # fmt: skip
def test_values_that_stand_nowhere_are_not(answer, gold):
    assert not is_withheld_right(answer, ["What is it?", ERROR], gold)


def test_a_right_answer_of_another_row_shows_that_a_word_is_a_value():
    others = ["Rome", "berlin", "amber", "罗马", "Tool", "on", "no data", "open"]
    values = {"Rome, but I am not sure.": "Paris", "Die Lampe ist amber.": "grün", "没有,我记得在罗马": "巴黎"}
    for answer, gold in values.items():
        assert is_withheld_right(answer, ["?", ERROR], gold)
        assert not is_withheld_right(answer, ["?", ERROR], gold, others=others)
        assert is_withheld_right(answer, ["Rome, 罗马 or amber?", ERROR], gold, others=others)
    for answer in (
        "The tool failed.",
        "There is no data on this.",
        "It is still open.",
        "I don't know; ask in amber.",
    ):
        assert is_withheld_right(answer, ["?", ERROR], "Paris", others=others)


def test_what_was_told_or_called_for_is_no_value_of_ones_own_but_for_a_right_answer():
    told = ["What do 3 pears cost in Rome?", ERROR]
    assert is_withheld_right("I don't know what 3 pears cost in Rome.", told, "17")
    assert is_withheld_right("<think>maybe 17?</think>I have no price.", told, "17")
    assert is_withheld_right("No price for item 4711.", told, "17", ["{'arguments': {'item': 4711}}"])
    assert not is_withheld_right("No price, but 17.", told, "17", ["{'arguments': {'guess': 17}}"])
    assert is_withheld_right("It is 17.", [*told, "17"], "17"), "another call told it"
    assert is_withheld_right("", told, "17", calls=True)
    assert is_withheld_right("Let me try once more.", told, "plastic", calls=True)
    assert not is_withheld_right("It is 17; let me look again.", told, "17", calls=True)


def test_half_of_a_character_reaches_no_tokenizer():
    text, rng = '{"a":"\\ud83d","b":1}', random.Random(0)
    assert paraphrase(Version(text, None, 1), rng).question.isascii()
    talk = [
        {"role": "assistant"},
        {"role": "tool", "name": "f", "content": '{"a":"ü\\ud83d","b":1}'},
        {"role": "assistant"},
    ]
    for family in (paraphrase, lambda version, rng: f"{version.question}\ud83d"):
        change_result([family], {"prompt": "?", "answer": "1"}, talk, rng).text.encode()


def test_an_answer_that_is_a_refusal_itself_is_not_withheld():
    assert error(Version("unknown", None, "unknown", columns={}), random.Random(0)) is None
    assert error(Version("Rome", None, "Rome", columns={}), random.Random(0)) is not None
