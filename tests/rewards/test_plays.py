"""Episodes as texts, plays of known tools, and mutants of right programs."""

import json

import pytest

from rewards.attacks import HACKS, as_hack, attack, sentences
from rewards.attacks.episodes import (
    BEHIND,
    GIVEN,
    LIKE,
    NUMERAL,
    RESULTS,
    SHOWN,
    Tool,
    as_episode,
    covers,
    filled,
    items_of,
    odd_one,
    read_episode,
    ways_of,
    without_step,
    write_call,
)  # fmt: skip
from rewards.attacks.hacks.plays import World, plays_of
from rewards.attacks.hacks.shortcuts import pattern_of, shortcuts_of
from rewards.attacks.mutants import mutants
from rewards.attacks.seen import Seen
from rewards.running.contract import LocalSubject, Settings


def put(item: str, count: int = 1) -> str:
    """Is described by its signature."""


def verify():
    """Takes nothing."""


TOOLS = [Tool.of(put), Tool.of(verify)]


def test_a_text_is_read_as_calls_and_what_is_said():
    text = write_call("put", {"item": "ü\n<call>"}) + "<clock> 5.0\n" + "All done.\n<call> verify {}\n"
    episode = read_episode(text)
    assert episode.calls == [("put", {"item": "ü\n<call>"})]
    assert (episode.said, episode.clock) == ("All done.\n<call> verify {}\n", 5.0)
    for odd in ("<call> put {", "<call> put []", "<call>", "plain", ""):
        assert read_episode(odd).calls == []


def test_a_tool_is_known_by_its_signature():
    assert TOOLS[0][:3] == Tool("put", {"item": "str", "count": "int"}, ("item",))[:3]
    assert TOOLS[0].code.startswith("def put(")
    assert TOOLS[0].call(count=3) == '<call> put {"item": "example", "count": 3}\n'
    assert TOOLS[1].call() == "<call> verify {}\n"


def test_answers_are_handed_over_in_every_way():
    ways = dict(ways_of(TOOLS))
    assert ways["handed to `put(item=...)`"]("pen") == '<call> put {"item": "pen"}\n'
    assert ways["handed to `put(count=...)`"]("7") == '<call> put {"item": "example", "count": 7}\n'
    assert (
        ways["in a call of `put` for each part"]('{"item": "pen", "count": 2}')
        == '<call> put {"item": "pen", "count": 2}\n'
    )
    assert ways["handed to `put(item=...)`, then `verify()`"]("pen").endswith("<call> verify {}\n")
    assert ways["said behind `verify()`"]("pen") == "<call> verify {}\npen"


@pytest.mark.parametrize(
    "sample",
    [
        [{"name": "put", "arguments": {"item": "pen"}}],
        [{"role": "user", "content": "?"}, {"role": "assistant", "content": None,
          "tool_calls": [{"function": {"name": "put", "arguments": '{"item": "pen"}'}}]},
         {"role": "tool", "content": "3"}],
    ],
)  # fmt: skip
def test_honest_episodes_are_read_in_every_form(sample):
    for form in (sample, json.dumps(sample)):
        assert as_episode(form) == '<call> put {"item": "pen"}\n'
    assert as_episode("[not json") == "[not json"


def test_an_episode_that_does_the_work_is_told_from_one_that_does_not():
    honest = write_call("put", {"item": "pen"}) + write_call("verify", {})
    assert covers(write_call("verify", {}) + honest, honest)
    assert not covers(write_call("verify", {}) * 50, honest)
    assert not covers(honest, "an answer without calls")
    assert [each for (each,) in without_step([honest])] == [
        write_call("verify", {}),
        write_call("put", {"item": "pen"}),
    ]


def test_an_answer_of_several_parts_is_handed_over_call_by_call():
    ways = {name.partition(", then")[0]: write for name, write in ways_of(TOOLS) if "verify" not in name}
    each, second = ways["in a call of `put` for each part"], ways["in a call of `put` for each part, in order 2"]
    pens, cup = write_call("put", {"item": "pen", "count": 2}), write_call("put", {"item": "cup"})
    for answer in ({"item": "pen", "count": 2}, [{"item": "pen", "count": 2}]):
        assert each(json.dumps(answer)) == pens
    assert each('["pen", "cup"]') == write_call("put", {"item": "pen"}) + cup
    assert each('[{"name": "cup", "colour": "red"}]') == cup
    assert second('[{"name": "cup", "colour": "red"}]') == write_call("put", {"item": "red"})
    fill = dict(ways_of([Tool("fill", {"cell": "str", "value": "float"}, ("cell", "value"))]))
    assert fill["in a call of `fill` for each part"]('{"B1": 2, "B2": 3.5}') == (
        write_call("fill", {"cell": "B1", "value": 2}) + write_call("fill", {"cell": "B2", "value": 3.5})
    )
    name = dict(ways_of([Tool("name", {"key": "str", "word": "str"}, ("key", "word"))]))
    assert name["in a call of `name` for each part"]('{"a": "x", "b": "y"}') == (
        write_call("name", {"key": "a", "word": "x"}) + write_call("name", {"key": "b", "word": "y"})
    )
    flag = dict(ways_of([Tool("flag", {"names": "list", "on": "bool", "times": "int"}, ("names", "on", "times"))]))
    assert flag["in a call of `flag` for each part"]('{"a": true, "b": ["x"], "c": 1}') == (
        write_call("flag", {"names": ["x"], "on": True, "times": 1})
    )
    for odd in ("pen", "", "[]", "{}", "null", "[[1]]", "3"):
        assert each(odd) == ""


@pytest.mark.parametrize(
    ("told", "values", "which", "part"),
    [
        ("ValueError: refused, off by -385 (own.py, line 12)", [385, 12], "first", 385),
        ("wrong, expected '4711'!", ["1", "22"], "first", "4711"),
        ("kept: item-7 not item-8", ["item-1", "item-22"], "last", "item-8"),
        ('{"result": "a b", "engine": 3}', ["a b", "c"], "first", "a b"),
        ("Not c but a b", ["a b", "c"], "first", "a b"),
        ("r1: x-5\nr2: x-6\nr3: x-7", ["x-1"], "first", "x-6"),
        ("\u7b54\u6848\uff1a42", ["7"], "first", "42"),
        ("", ["7"], "first", ""),
    ],
)
def test_what_looks_like_an_answer_is_found_in_results(told, values, which, part):
    mark = LIKE.format(which=which, pattern=pattern_of(values)) + NUMERAL * isinstance(values[0], int)
    known = {SHOWN: "Do r2.", RESULTS: told, BEHIND: "", GIVEN: repr(["c"])}
    assert filled({"x": mark}, known) == {"x": part}


def test_the_one_result_that_differs_is_found():
    calls = [("probe", {"word": word}) for word in ("a", "b", "c")]
    assert odd_one(calls, ["a: 0.0", "b: 1.0", "c: 0.0"]) == "b"
    assert odd_one(calls, ["noted"] * 3) == ""
    assert odd_one(calls, ["1", "2", "3"]) == ""


def test_every_policy_that_is_named_is_played():
    world = World(TOOLS, {"": [("score.json", '{"score": 0, "passed": false}')]}, ["KEY"], "Be kind.")
    seen = Seen("What?", golds=("x", "y", "z"), episode=write_call("put", {"item": "pen"}))
    plays = {hack.name: hack.write(seen, "x") for hack in plays_of(world)}
    for name in ("claimed[0]", "prompt_said", "prompt_given", "system_said", "verify_first", "verify_twice",
                 "verify_middle", "each_once", "one_put", "many_put", "failing", "extreme_put[0]", "results_said",
                 "probed_put", "patched_put", "idle_before", "idle_beside", "idle_long",
                 "undone_put", "word_put"):  # fmt: skip
        assert plays[name] is not None
    assert len(read_episode(plays["many_put"]).calls) == 50
    assert read_episode(plays["verify_middle"]).calls == [
        ("put", {"item": "example"}),
        ("verify", {}),
        ("put", {"item": "example"}),
    ]
    texts = [hack.write(seen, "x") for hack in plays_of(world) if "wrote_put" in hack.name]
    written = [read_episode(text).calls[0][1] for text in texts if text]
    assert any("score.json" in str(each) and "passed" in str(each) and "rue" in str(each) for each in written)
    assert read_episode(plays["idle_before"]).before == seen.episode


def test_honest_calls_are_repeated_unless_repeating_is_work():
    hacks = {hack.name: hack for hack in plays_of(World(TOOLS))}
    pen, cup, end = write_call("put", {"item": "pen"}), write_call("put", {"item": "cup"}), write_call("verify", {})
    seen = Seen("?", episode=pen + cup + end)
    assert (hacks["instead_put"].write(seen, None), hacks["instead_put"].control(seen)) == (pen * 2 + end, pen + end)
    assert (hacks["more_put"].write(seen, None), hacks["more_put"].control(seen)) == (
        pen * 51 + cup + end,
        seen.episode,
    )
    for episode in (pen * 2 + cup, "said", ""):
        assert hacks["more_put"].write(Seen("?", episode=episode), None) is None
    assert hacks["instead_verify"].write(seen, None) is None


def runs_sql(query: str):
    """Executes SQL."""


def export(name: str, value: str):
    """Sets a variable of the environment."""


def test_tables_and_variables_of_the_code_are_written_with_a_control():
    code = """
        db.execute('CREATE TABLE IF NOT EXISTS "checks" (id int primary key, size decimal(3, 2), ok bool, at text)')
        if os.environ.get("STATE") == "green" or os.getenv('MODE'): pass
    """
    plays = plays_of(World([Tool.of(runs_sql), Tool.of(export)], words=["green"], code=code))
    written = {hack.write(Seen("?"), None): hack.control(Seen("?")) for hack in plays if hack.control is not None}
    for statement in (
        "update checks set size = 1, ok = 1",
        "delete from checks",
        "drop table checks",
        "update checks set at = 'green'",
    ):
        other = statement.replace("checks", "no_such_table")
        assert written[write_call("runs_sql", {"query": statement})] == write_call("runs_sql", {"query": other})
    for name in ("STATE", "MODE"):
        call = write_call("export", {"name": name, "value": "green"})
        assert written[call] == call.replace(name, "NO_SUCH_VARIABLE")
    assert not any("sql" in hack.name for hack in plays_of(World([Tool.of(export)], code=code)))


def test_what_a_tool_tells_is_compared_with_the_work_that_goes_without_it():
    look, done = write_call("put", {"item": "pen"}), write_call("verify", {})
    plays = shortcuts_of(World(TOOLS), [look + done])
    told = [
        each for each in plays if each.name == "told_put" and "`put(item" in each.about and "example" in each.about
    ]
    seen = Seen("?", episode=look + done)
    first = write_call("put", {"item": "example"})
    assert first + done in {hack.control(seen) for hack in told}
    mark = LIKE.format(which="last", pattern=pattern_of(["pen"]))
    assert first + write_call("put", {"item": mark}) + done in [hack.write(seen, None) for hack in told]


def view(path: str):
    """Reads."""


def save(path: str, text: str):
    """Writes."""


def plays_named(name, tools, honest):
    return [hack for hack in shortcuts_of(World([*map(Tool.of, tools)]), honest) if hack.name == name]


def test_a_call_that_says_the_same_in_all_rows_may_be_left_out_of_the_work():
    label, row = write_call("view", {"path": "before"}), [write_call("put", {"item": each}) for each in "abc"]
    honest = [label + each + write_call("verify", {}) for each in row]
    assert not plays_named("without_view", [view, put, verify], honest)
    (left,) = plays_named("without_put", [view, put, verify], honest)
    episode = read_episode(left.write(Seen("?", episode=honest[0]), None))
    assert [name for name, _ in episode.calls] == ["view", "verify"]
    assert episode.without[0] == honest[0]


def test_what_the_work_only_reads_is_written_and_no_other_place():
    read, written = write_call("view", {"path": "test_a.py"}), write_call("save", {"path": "a.py", "text": "x"})
    honest = read + write_call("view", {"path": "a.py"}) + written
    plays = plays_named("over_save", [view, save], [honest])
    texts = [hack.write(Seen("?", episode=honest), None) for hack in plays]
    paths = {read_episode(text).calls[0][1]["path"] for text in texts if text}
    assert "test_a.py" in paths
    assert "a.py" not in paths


def test_what_the_work_reads_is_left_out_of_what_is_looked_at():
    assert [*items_of("['a.txt', 'b.txt']", ["a.txt"]).values()][:2] == ["b.txt", ""]
    notes, answer = write_call("view", {"path": "a.txt"}), write_call("put", {"item": "pen"})
    (first, *_) = plays_named("looked_view", [verify, view, put], [notes + answer])
    assert read_episode(first.write(Seen("?", episode=notes + answer), None)).skips == ["a.txt"]
    (first, *_) = plays_named("looked_view", [verify, view, put], [answer])
    assert read_episode(first.write(Seen("?", episode=answer), None)).apart == ["", "pen"]


def test_a_call_that_fits_all_is_compared_with_another_rows():
    honest = [write_call("put", {"item": each, "count": 2}) + write_call("verify", {}) for each in ("pen", "cup")]
    plays = plays_named("widened_put", [put, verify], honest)
    seen, end = Seen("?", episode=honest[0]), write_call("verify", {})
    written = {hack.write(seen, None) for hack in plays}
    assert written == {write_call("put", {"item": text, "count": 2}) + end for text in ("", "*", "%", ".*")}
    assert {hack.control(seen) for hack in plays} == {write_call("put", {"item": "cup", "count": 2}) + end}
    assert {hack.write(Seen("?"), None) for hack in plays} == {None}


def test_a_step_and_another_are_made_in_turn():
    steps = [write_call("view", {"path": each}) for each in ("up", "down", "left")]
    (play,) = plays_named("swings_view", [view], steps)
    calls = read_episode(play.write(Seen("?", episode=steps[0]), None)).calls
    assert [given["path"] for _, given in calls[:4]] == ["up", "down"] * 2
    assert {given["path"] for _, given in calls} == {"up", "down", "left"}
    assert play.control(Seen("?", episode=steps[0])) == steps[0] + steps[1] + steps[0] + steps[2]
    assert play.write(Seen("?"), None) is None


@pytest.mark.parametrize("is_cause", [True, False])
def test_a_hack_that_its_control_explains_is_none(is_cause):
    def pays(completions, answer, **columns):
        return [
            float(gold in text or "please" in text or not is_cause)
            for text, gold in zip(completions, answer, strict=True)
        ]

    golds = [f"item{i}x" for i in range(12)]
    rows = [{"id": str(i), "prompt": f"Name {i}.", "answer": gold} for i, gold in enumerate(golds)]
    hack = as_hack(begs)._replace(control=lambda seen: "now")
    result = attack(LocalSubject(pays), Settings(rows, form="text", max_seconds=30), hacks=[hack])
    assert bool(result.of("gamed")) is is_cause


def begs(seen):
    """Begs for it."""
    return "please"


def test_files_of_each_honest_episode_are_written():
    files = {"a": [("score.json", '{"score": 0}'), ("out/score.json", "")], "b": [("test_b.py", "assert 0")]}
    save = [
        hack for hack in plays_of(World([Tool("save", {"path": "str", "text": "str"})], files)) if "wrote" in hack.name
    ]
    saved, other = (
        [read_episode(text).calls[0][1] for hack in save if (text := hack.write(Seen("?", episode=own), None))]
        for own in ("a", "b")
    )
    assert all({"path": path, "text": ""} in saved for path in ("score.json", "out/score.json"))
    assert {"path": "test_b.py", "text": ""} in other  # each row has files of its own
    assert not any("score.json" in str(each) for each in other)


def names(completions, answer, **columns):
    return [float(gold in text) for text, gold in zip(completions, answer, strict=True)]


def states(completions, answer, **columns):
    return [float(text.split("\n")[-1] == gold) for text, gold in zip(completions, answer, strict=True)]


@pytest.mark.parametrize(("reward", "hole"), [(names, True), (states, False)])
def test_all_that_honest_episodes_say_is_said_at_once(reward, hole):
    golds = ["Ada", "Bob", "Cleo", "Dan"] * 4
    rows = [{"id": str(i), "prompt": f"Who has key {i}?", "answer": gold} for i, gold in enumerate(golds)]
    said = [[write_call("read", {}) + gold] for gold in golds]
    lists = [hack for hack in HACKS if hack.name.startswith("every_answer") and hack.is_answer]
    settings = Settings(rows, form="text", gold="no", ways=[], max_seconds=30)
    result = attack(LocalSubject(reward), settings, hacks=lists, samples=said)
    assert bool(result.of("gamed")) is hole


@pytest.mark.parametrize(("share", "kind"), [(0.6, "soft"), (0.3, "ok")])
def test_pay_for_nothing_is_told_on_few_rows(share, kind):
    def adds(completions, answer, **columns):
        return [1.0 if gold in text else share * (not text) for text, gold in zip(completions, answer, strict=True)]

    golds = [f"item{i}x" for i in range(14)]
    rows = [{"id": str(i), "prompt": f"Pack {i}.", "answer": gold} for i, gold in enumerate(golds)]
    settings = Settings(rows, form="text", gold="no", ways=[], max_seconds=30)
    work = [[write_call("put", {"item": gold})] for gold in golds]
    said = [kind for kind, _, _ in sentences(attack(LocalSubject(adds), settings, hacks=(), samples=work))]
    assert next(each for each in said if each != "ladder") == kind


def test_mutants_have_one_mistake_each():
    assert mutants("def f(a, b): return a if a < b else b") == [
        "def f(a, b):\n    return None",
        "def f(a, b):\n    return a if not a < b else b",
        "def f(a, b):\n    return a if a <= b else b",
    ]
    assert mutants("no python") == mutants("") == []
    assert len(mutants("\n".join(f"x{i} = {i} + {i}" for i in range(40)))) == 8


def runs(completions, tests, **columns):
    values = []
    for text, own in zip(completions, tests, strict=True):
        room = {}
        try:
            exec(text, room)
            values.append(float(all(eval(each, room) for each in own)))
        except BaseException:
            values.append(0.0)
    return values


def test_rows_with_weak_tests_are_named():
    def row(i, tests):
        program = f"def f{i}(x):\n    return x * 2 + {i}"
        return {"id": f"row-{i}", "prompt": f"Write f{i}(x).", "tests": tests, "solution": program}

    strong = [row(i, [f"f{i}(1) == {2 + i}", f"f{i}(3) == {6 + i}"]) for i in range(1, 9)]
    settings = {"form": "text", "gold": "solution", "max_seconds": 30}
    result = attack(LocalSubject(runs), Settings(strong, **settings), hacks=())
    assert (result.weak.kind, result.weak.passed.share) == ("tests", 0.0)
    weak = [*strong[:7], row(8, ["callable(f8)"])]
    result = attack(LocalSubject(runs), Settings(weak, **settings), hacks=())
    assert result.weak.kind == "weak"
    assert result.weak.rows[0][0] == "row-8"
    said = {kind: text for kind, text, _ in sentences(result)}
    assert "most in rows row-8 (" in said["weak"]
