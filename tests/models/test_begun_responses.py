"""Responses that go on from a given beginning and end behind a given text, with a tiny model."""

import pytest

from align.data.pairs.preferences import PreferencePair
from align.data.questions.templates import PromptTemplate
from align.evaluation.asking import complete_prompts
from align.evaluation.suites.pairs.evaluation import prompts_of
from align.models.checkpoint import find_checkpoint, load_model
from align.models.policies.asking import Completion, Decoding, Prompt
from align.models.policies.model_policy import ModelPolicy
from align.models.policies.token_policy import cut_behind

CONTENTS = [f"q{i}?\nA. {7 * i}\nB. 1\nC. 22\nD. 33\n" for i in range(0, 60, 5)]
DECODING = Decoding(max_new_tokens=12)


@pytest.fixture(scope="module")
def policy(answering_model_folder):
    model, tokenizer = load_model(find_checkpoint(str(answering_model_folder)), dtype="float32", device="cpu")
    return ModelPolicy(model, tokenizer, PromptTemplate("{question}\n{options}\n", conversational=False), batch_size=5)


@pytest.fixture(scope="module")
def whole(policy):
    """The greedy responses, of which nearly all are `<think>x</think><answer>B</answer>`."""
    found = [each[0].text for each in policy.complete([Prompt(each, each) for each in CONTENTS], DECODING)]
    assert sum(text.startswith("<think>") and text.endswith("</answer>") for text in found) > 9
    return found


@pytest.mark.parametrize("mark", ["<think>", "<think>x", "</think>", "<answer>"])
def test_a_response_goes_on_as_it_would_have(policy, whole, mark):
    ends = [text.find(mark) + len(mark) for text in whole]
    assert min(ends) >= len(mark)
    begun = [Prompt(each, each, prefix=text[:end]) for each, text, end in zip(CONTENTS, whole, ends, strict=True)]
    found = [each[0].text for each in policy.complete(begun, DECODING)]
    assert found == [text[end:] for text, end in zip(whole, ends, strict=True)]


def test_messages_are_begun_behind_the_chat_template(policy):
    messages = [{"role": "user", "content": "q1?"}]
    ids = policy._prompts.encode_prompts([Prompt("a", messages, prefix="<think>"), Prompt("b", "q", prefix="x")])
    assert policy.tokenizer.decode(ids[0]) == "user: q1?\nassistant: <think>"
    assert policy.tokenizer.decode(ids[1]) == "qx"


def test_what_a_row_tells_the_chat_template_is_told_it(policy, monkeypatch):
    switches = {"tools": [{"type": "function", "function": {"name": "look"}}], "chat_template_kwargs": {"slow": True}}
    messages = [{"role": "user", "content": "q1?"}]
    pair = PreferencePair("a", messages, "yes", "no", 1, None, "diff", template=switches)
    plain = "{{ messages[0]['content'] }}"
    with_tools = plain + "{% for t in tools %}[{{ t.function.name }}]{% endfor %}{{ slow }}"
    monkeypatch.setattr(policy.tokenizer, "chat_template", {"default": plain, "tool_use": with_tools})
    (prompt,) = prompts_of([pair])
    ids = policy._prompts.encode_prompts([prompt, prompt._replace(template={})])
    assert [policy.tokenizer.decode(each) for each in ids] == ["q1?[look]True", "q1?"]


def test_responses_end_behind_their_own_stops_and_stay_in_order(policy, whole):
    stops = ["</think>", "", "</answer>", "x"] * 3
    prompts = [Prompt(each, each, stop=stop) for each, stop in zip(CONTENTS, stops, strict=True)]
    found = [each[0] for each in policy.complete(prompts, DECODING)]
    assert [each.text for each in found] == [cut_behind(text, stop) for text, stop in zip(whole, stops, strict=True)]
    assert [len(each.ids) for each in found[::4]] == [3] * 3  # <think>, x and </think>, and nothing to fill up
    assert all(policy.tokenizer.pad_token_id not in each.ids for each in found)


def test_a_prompt_without_a_beginning_has_the_key_it_always_had():
    asked = []

    class Kept:
        def ask(self, stage, ask, contents, lengths, size):
            asked.append((contents, lengths))
            return [[["text", None]] for _ in contents]

    class Policy:
        fingerprint, chunk_size = "weights", 8

    profile = {"temperature": 0.0, "top_p": 1.0, "num_samples": 1, "max_new_tokens": 12, "seed": 0}
    told = Prompt("a", "q?", template={"tools": []})
    prompts = [Prompt("a", "q?"), Prompt("a", "q?", prefix="<think>", stop="x"), told]
    assert complete_prompts(Policy(), prompts, DECODING, Kept()) == [[Completion("text")]] * 3
    contents, lengths = asked[0]
    assert contents[0] == ["weights", "completions", ["a", "q?", profile]]
    assert contents[1] == ["weights", "completions", ["a", "q?", {"prefix": "<think>", "stop": "x"}, profile]]
    assert contents[2] == ["weights", "completions", ["a", "q?", {"template": {"tools": []}}, profile]]
    assert lengths == [2, 9, 2]
