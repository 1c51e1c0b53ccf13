"""Policies planted behind a server that call tools rightly, wrongly or never, and one that runs here."""

import json
import re

import pandas as pd
import pytest
from chat_server import ChatServer, kill_once_answered
from in_time import whatever_the_speed
from shop_policies import SHOP, save_eager_policy
from some_recipes import PROMPTS

import align
from align.cli.app import app
from align.errors import UserError

TABLE = {"pear": 30, "pen": 40, "plum": 50, "cup": 60}
TOOLS = f'''\
import time

TABLE = {TABLE}


def price(item: str) -> int:
    """Looks up a price.

    Args:
        item: What is asked for.
    """
    if item == "hang":
        time.sleep(3600)
    return TABLE[item]


def page(item: str) -> str:
    """Reads a page.

    Args:
        item: Which.
    """
    return "<script>alert(1)</script>" + chr(0xD800) + "x" * 5000


def bare(item):
    return item


class Till:
    def reset(self, answer, **row):
        self.answer, self.said = int(answer), None
        return " Be quick."

    def price(self, item: str) -> int:
        """Looks up a price.

        Args:
            item: What is asked for.
        """
        self.said = TABLE[item]
        return self.said

    def get_reward(self):
        return float(self.said == self.answer)


def said(completions, environments, **columns):
    return [float(each.said) for each in environments]
'''
ASKED = re.compile(r"the (\w+) cost")


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "own.py").write_text(TOOLS)
    rows = [
        {"id": item, "prompt": [{"role": "user", "content": f"What does the {item} cost?"}], "answer": str(price)}
        | {"group": item[0]}
        for item, price in TABLE.items()
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def reply(text=None, calls=(), tokens=5, asked=10):
    """Writes an answer of a server, with the calls as (name, arguments)."""
    made = [
        {"id": f"call-{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for i, (name, arguments) in enumerate(calls)
    ]
    message = {"role": "assistant", "content": text} | ({"tool_calls": made} if made else {})
    usage = {"prompt_tokens": asked, "completion_tokens": tokens, "total_tokens": asked + tokens}
    return json.dumps({"choices": [{"finish_reason": "stop", "message": message}], "usage": usage}).encode()


def calling(argue):
    """Makes a policy that calls a tool with what `argue` says, and answers what it was told last."""

    def policy(body, before):
        messages = body["messages"]
        count = 10 * len(messages)  # of tokens: a message, and a result, has ten
        if messages[-1]["role"] == "tool":
            return reply(f"<answer>{messages[-1]['content']}</answer>", asked=count)
        item = ASKED.search(messages[-1]["content"])[1]
        return reply(calls=[(body["tools"][0]["function"]["name"], argue(item))], tokens=10, asked=count)

    return policy


def item_is(item):
    return json.dumps({"item": item})


def evaluate(shop, policy, **options):
    with ChatServer(policy) as server:
        given = {"tools": [f"{shop}/own.py:price"], "rewards": ["number_accuracy"], "out": shop / "out"} | options
        record = align.evaluate.tools(model="tiny", endpoint=server.url, data=shop / "rows.jsonl", **given)
    return record, pd.read_parquet(given["out"] / "items.parquet"), server


def means(record, *names):
    found = record.suites["tools"]["tiny"]
    return [found[f"tools/{name}"].value for name in names]


@pytest.mark.parametrize(
    ("policy", "expected", "failures"),
    [
        (calling(item_is), [1, 2, 1, 0, 1, 0], [None]),
        (calling(lambda item: item_is("cup")), [0.25, 2, 1, 0, 1, 0], [None]),
        (calling(lambda item: item_is("nothing")), [0, 2, 1, 1, 1, 0], ["error"]),
        (calling(lambda item: "{not json"), [0, 2, 0, 0, 0, 0], []),
        (lambda body, before: reply("<answer>11</answer>"), [0, 1, 0, 0, 0, 0], []),
    ],
    ids=["rightly", "another item", "no such item", "no arguments", "never"],
)
def test_planted_policies_have_the_numbers_that_are_known(shop, policy, expected, failures):
    check_planted(shop, policy, expected, failures, tool_timeout=600.0)


@whatever_the_speed(1.0, 10.0, 100.0)
def test_a_tool_that_hangs_costs_its_row(shop, seconds):
    policy = calling(lambda item: item_is("hang" if item == "pen" else item))
    given = {"tool_timeout": seconds, "out": shop / f"out-{seconds:g}"}
    check_planted(shop, policy, [0.75, 2, 1, 0.25, 1, 0.25], [None], **given)


def check_planted(shop, policy, expected, failures, **options):
    record, items, server = evaluate(shop, policy, **options)
    assert means(record, "success", "turns", "calls", "failed_calls", "called", "lost") == expected
    assert [call["failure"] for call in json.loads(items["tool_calls"][0])] == failures
    assert record.suites["number_accuracy"]["tiny"]["pass@1/number_accuracy"].value == pytest.approx(
        expected[0] if expected[5] == 0 else 1.0  # a row that lost its tool has no reward
    )
    assert record.suites["tools"]["tiny"].keys() >= {"tools/success/p", "tools/calls/c"}
    assert all(body["tools"][0]["function"]["parameters"]["required"] == ["item"] for body in server.bodies)


def test_a_transcript_is_sent_kept_and_shown_as_it_was(shop):
    record, items, server = evaluate(shop, calling(item_is), tools=[f"{shop}/own.py:page"])
    last = next(body for body in server.bodies if len(body["messages"]) == 3)["messages"]
    assert last[1]["tool_calls"][0]["function"]["arguments"].startswith('{"item": ')
    assert (last[2]["role"], last[2]["tool_call_id"]) == ("tool", "call-0")
    said = json.loads(items["transcript"][0])
    assert [each["role"] for each in said] == ["user", "assistant", "tool", "assistant"]
    assert said[2]["content"] == "<script>alert(1)</script>?" + "x" * 5000
    page = (shop / "out/report.html").read_text()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert "page(item=&#39;pear&#39;)" in page
    assert means(record, "tokens") == [15]


def test_results_that_do_not_fit_are_taken_back_and_calls_end_at_their_number(shop):
    record, items, _ = evaluate(shop, calling(item_is), max_new_tokens=15)  # 10 of the call, 10 of the result
    assert means(record, "unanswered", "success", "tokens") == [1, 0, 10]
    assert [each["role"] for each in json.loads(items["transcript"][0])] == ["user", "assistant"]

    def always(body, before):
        return reply(calls=[("price", item_is("pear"))], tokens=1, asked=10 * len(body["messages"]))

    often = {"max_tool_calling_iterations": 2, "max_new_tokens": 500}
    record, _, _ = evaluate(shop, always, out=shop / "again", **often)
    assert means(record, "turns", "calls", "unanswered") == [3, 2, 1]


def test_an_environment_adds_to_the_prompt_and_rewards(shop):
    environment = {"tools": None, "environment": f"{shop}/own.py:Till"}
    record, items, _ = evaluate(shop, calling(item_is), rewards=None, **environment)
    assert [each.name for each in record.about.rewards] == ["Till"]
    assert record.suites["Till"]["tiny"]["pass@1/Till"].value == 1
    assert json.loads(items["transcript"][0])[0]["content"] == "What does the pear cost? Be quick."
    rewards = ["number_accuracy", f"{shop}/own.py:said"]
    many, cup = shop / "many", calling(lambda item: item_is("cup"))
    both, _, _ = evaluate(shop, cup, out=many, rewards=rewards, **environment)
    assert list(both.suites) == ["number_accuracy", "said", "Till", "tools"]
    assert both.suites["Till"]["tiny"]["reward/Till"].value == 0.25
    assert both.suites["said"]["tiny"]["reward/said"].value == 60, "environments are as their answers left them"


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_and_asks_nothing_twice(shop):
    rows = [json.loads(line) for line in (shop / "rows.jsonl").read_text().splitlines()]
    more = [row | {"id": f"{row['id']}-{i}"} for i in range(6) for row in rows]
    (shop / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in more))
    policy, limit = calling(item_is), {"left": 30}

    def sometimes(body, before):
        with server.lock:
            limit["left"] -= 1
            hangs = limit["left"] < 0
        if hangs:
            server.release.wait(60)
        return policy(body, before)

    with ChatServer(sometimes) as server:
        words = ["eval", "tools", "--model", "tiny", "--endpoint", server.url, "--data", shop / "rows.jsonl"]
        words += ["--tools", f"{shop}/own.py:price", "--rewards", "number_accuracy", "--concurrency", "2"]
        words += ["--out", shop / "out"]
        kill_once_answered(server, words, answered=8, concurrency=2)
        server.release.set()
        limit["left"], before = 10**6, sum(server.asked.values())
        assert not app([str(word) for word in words], standalone_mode=False)
        assert sum(server.asked.values()) - before <= 2 * (24 - 8)
    record = json.loads((shop / "out/evaluation.json").read_text())
    assert record["suites"]["tools"]["tiny"]["tools/success"]["value"] == 1
    assert record["about"]["models"][0]["cached_items"] >= 8


@pytest.fixture(scope="module")
def eager(tmp_path_factory):
    return save_eager_policy(tmp_path_factory.mktemp("models") / "eager")


def test_models_are_compared_on_the_same_prompts(eager, tmp_path):
    how = {"recipe": f"{PROMPTS}/quickstart-tools", "data": SHOP / "eval.jsonl", "num_samples": 4, "temperature": 1.0}
    record = align.evaluate.tools(model=eager, baseline=[str(SHOP / "model")], out=tmp_path / "out", **how)
    differences = {each.metric: each.difference.value for each in record.comparisons if each.suite == "tools"}
    of = {name: found["tools/calls"].value for name, found in record.suites["tools"].items()}
    assert differences["tools/calls"] == pytest.approx(of["eager"] - of["model"])
    assert of["eager"] > of["model"] > 0
    assert {"pass@4/number_accuracy", "pass@1/number_accuracy"} <= set(record.suites["number_accuracy"]["eager"])
    items = pd.read_parquet(tmp_path / "out/items.parquet")
    assert len(items) == 2 * 8 * 4
    shares = (items["completion"].str.contains("<answer>") & (items["turns"] == 1)).groupby(items["model"]).mean()
    assert shares["eager"] < shares["model"]


@pytest.mark.slow
def test_engines_and_batches_give_the_same_numbers(eager, tmp_path):
    how = {"recipe": f"{PROMPTS}/quickstart-tools", "data": SHOP / "eval.jsonl"}
    whole = align.evaluate.tools(model=eager, out=tmp_path / "whole", **how)
    align.evaluate.tools(model=eager, out=tmp_path / "parts", batch_size=2, **how)
    kept = [pd.read_parquet(tmp_path / name / "items.parquet")["transcript"] for name in ("whole", "parts")]
    assert kept[0].tolist() == kept[1].tolist()
    pytest.importorskip("vllm", reason="needs the extra `vllm`")
    engine = align.evaluate.tools(model=eager, out=tmp_path / "vllm", backend="vllm", **how)
    names = [name for name in whole.suites["tools"]["eager"] if name != "tools/call_seconds"]
    assert len(names) > 8
    for name in names:
        assert engine.suites["tools"]["eager"][name].value == whole.suites["tools"]["eager"][name].value, name
    assert pd.read_parquet(tmp_path / "vllm/items.parquet")["transcript"].tolist() == kept[0].tolist()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"tools": None}, "`align eval tools` needs tools, and there is no recipe beside the model"),
        ({"tools": ["nowhere.py:x"]}, "nowhere.py"),
        ({"environment": "{shop}/own.py:TABLE", "tools": None}, "is of type dict and cannot be called"),
        ({"tools": ["{shop}/own.py:bare"]}, "Tool `bare` cannot be described to the model: .* `Args:`"),
        ({"tool_timeout": 0.0}, "`tool_timeout` must be above 0, got 0.0"),
        ({"rewards": None}, "Prompts are measured by rewards, and there is no recipe"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_anything_is_asked(shop, options, sentence):
    given = {name: value.format(shop=shop) if isinstance(value, str) else value for name, value in options.items()}
    given |= {"tools": [each.format(shop=shop) for each in given["tools"]]} if given.get("tools") else {}
    with ChatServer(lambda body, before: reply("x")) as server:
        how = {"tools": [f"{shop}/own.py:price"], "rewards": ["number_accuracy"], "model": "tiny"} | given
        with pytest.raises(UserError, match=sentence):
            align.evaluate.tools(endpoint=server.url, data=shop / "rows.jsonl", out=shop / "out", **how)
        assert not server.bodies
