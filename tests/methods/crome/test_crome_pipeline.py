import json
from collections import Counter

import pytest
from augmented import CALLS_PER_PAIR, augment, reasons_of, rows_of
from chat_server import ChatServer
from oracle_replies import oracle_reply, step_of, text_of, write_preferences

from align.data.pairs.reward_pairs import NEUTRAL
from align.methods.crome.augmentation.family import CromeSettings, load_originals
from align.methods.crome.augmentation.oracles import NUM_RETRIES
from align.methods.crome.augmentation.pairs import augment_with_model, plan_cost
from align.models.samplers.asking import SampledAnswers
from align.models.samplers.endpoint import EndpointSampler

COUNT = 3  # originals: every attribute of each costs several calls
EVERY_TIE = {"neutrals": list(NEUTRAL), "phrases": ["to be sure"]}


@pytest.fixture
def originals(tmp_path):
    return load_originals(write_preferences(tmp_path / "data.jsonl", COUNT))[0]


def test_every_original_gives_an_upgrade_and_a_degrade_per_attribute_and_a_tie(originals, tmp_path):
    families, tokens, server = augment(originals, tmp_path, oracle_reply)
    assert Counter(row["source"] for row in rows_of(families)) == {
        "preference": COUNT,
        "upgrade": 5 * COUNT,
        "degrade": 5 * COUNT,
        "irrelevant_query": COUNT,
    }
    assert len(server.bodies) == COUNT * CALLS_PER_PAIR == tokens.answers
    assert (tokens.prompt, tokens.completion) == (7 * tokens.answers, 3 * tokens.answers)
    rows = {row["id"]: row for row in rows_of(families)}
    up, down = rows["r2/upgrade/point 1"], rows["r2/degrade/point 1"]
    assert (up["chosen"], up["rejected"]) == ("Bad answer 2. [more point 1: It counts.]", "Bad answer 2.")
    assert (down["chosen"], down["rejected"]) == ("Good answer 2.", "Good answer 2. [less point 1: It counts.]")
    assert (up["attribute"], up["weight"], up["origin"], up["tie"]) == ("point 1", 0.25, "r2", False)
    assert up["generator"] == up["check"] == f"tiny ({server.url})"


def test_fewer_attributes_are_the_heaviest(originals, tmp_path):
    families, _, _ = augment(originals, tmp_path, oracle_reply, num_attributes=2, neutrals=["none"])
    assert {row["attribute"] for row in rows_of(families)} == {None, "point 0", "point 1"}
    sources = {"preference": COUNT, "upgrade": 2 * COUNT, "degrade": 2 * COUNT}
    assert Counter(row["source"] for row in rows_of(families)) == sources


def test_ties_of_every_kind(originals, tmp_path):
    families, _, server = augment(originals, tmp_path, oracle_reply, num_attributes=1, **EVERY_TIE)
    rows = {row["id"]: row for row in rows_of(families)}
    ties = Counter(row["source"] for row in rows.values() if row["tie"])
    assert ties == dict.fromkeys(NEUTRAL, COUNT)
    assert rows["r0/causally_aligned"]["chosen"] == "Good answer 0."
    assert rows["r0/causally_aligned"]["rejected"] == "Bad answer 0. Now as good."
    assert rows["r0/paraphrase"]["rejected"] == "Put otherwise: " + rows["r0/paraphrase"]["chosen"]
    assert Counter(map(step_of, server.bodies))["differences"] == COUNT


def test_an_irrelevant_query_is_another_originals_and_its_answers_are_of_one_pair(originals, tmp_path):
    families, _, _ = augment(originals, tmp_path, oracle_reply)
    rows = {row["id"]: row for row in rows_of(families)}
    ties = [row for row in rows.values() if row["source"] == "irrelevant_query"]
    for tie in ties:
        answers, question = rows[tie["answers_of"]], rows[tie["prompt_of"]]
        assert answers["origin"] == tie["origin"] != question["id"]
        assert (tie["chosen"], tie["rejected"]) == (answers["chosen"], answers["rejected"])
        assert tie["prompt"] == question["prompt"]
    assert {rows[tie["answers_of"]]["source"] for tie in ties} > {"upgrade"}


def test_the_elements_reach_the_edit_and_the_check_does_not_see_how_it_came_about(originals, tmp_path):
    _, _, server = augment(originals[:2], tmp_path, oracle_reply)
    texts = {step: [text_of(body) for body in server.bodies if step_of(body) == step] for step in ("edit", "check")}
    assert all("- increases it: thing 4" in text for text in texts["edit"])
    assert not any("thing 4" in text or "Change it." in text for text in texts["check"])


def test_a_reply_that_cannot_be_read_is_asked_for_again_with_the_error(originals, tmp_path):
    def sloppy(body, before):
        if len(body["messages"]) == 1 and step_of(body) == "rubric":
            return oracle_reply(body).replace("0.3", "0.9")
        return oracle_reply(body)

    families, _, server = augment(originals, tmp_path, sloppy)
    again = [body for body in server.bodies if len(body["messages"]) > 1]
    assert len(again) == COUNT
    assert "the weights must add up to 1, and add up to 1.6" in again[0]["messages"][-1]["content"]
    assert again[0]["messages"][1]["role"] == "assistant"
    assert not reasons_of(families)


def test_what_is_never_readable_is_counted_and_costs_only_what_builds_on_it(originals, tmp_path):
    def broken(body, before):
        if step_of(body) == "elements" and "point 3" in text_of(body):
            return "I would rather not."
        if step_of(body) == "rubric" and "Question 2?" in text_of(body):
            return '{"attributes": ['
        return oracle_reply(body)

    families, _, server = augment(originals, tmp_path, broken)
    assert reasons_of(families) == {
        ("upgrade", "elements: unreadable reply"): 2,
        ("degrade", "elements: unreadable reply"): 2,
        ("upgrade", "rubric: unreadable reply"): 1,
        ("degrade", "rubric: unreadable reply"): 1,
    }
    assert Counter(row["source"] for row in rows_of(families))["upgrade"] == 2 * 4
    assert max(len(body["messages"]) for body in server.bodies) == 1 + 2 * NUM_RETRIES
    left = families[0].left_out[0]
    assert (left.id, left.attribute) == ("r0/upgrade/point 3", "point 3")
    assert left.detail.endswith("There is no JSON object in it. Reply: I would rather not.")


def test_edits_that_change_nothing_are_empty_or_fail_the_check_are_left_out(originals, tmp_path):
    def lazy(body, before):
        text, step = text_of(body), step_of(body)
        if step == "edit" and "point 0" in text:
            return json.dumps({"response": text.split("<answer>\n")[1].split("\n</answer>")[0]})
        if step == "edit" and "point 1" in text:
            return json.dumps({"response": " "})
        if step == "check" and "point 2" in text:
            return json.dumps({"reason": "The tone changed.", "verdict": "Fail"})
        return oracle_reply(body)

    families, _, _ = augment(originals[:1], tmp_path, lazy, neutrals=["none"])
    reasons = ("the edit changes nothing", "the edit is empty", "verification: fail")
    assert reasons_of(families) == {(source, reason): 1 for source in ("upgrade", "degrade") for reason in reasons}
    failed = next(each for each in families[0].left_out if each.reason == "verification: fail")
    assert (failed.detail, failed.answer) == ("The tone changed.", "Bad answer 0. [more point 2: It counts.]")


def test_edits_that_repeat_a_pair_or_that_no_file_can_hold_are_left_out(originals, tmp_path):
    def stubborn(body, before):
        if step_of(body) != "edit":
            return oracle_reply(body)
        answer = {"point 0": "Good answer 0.", "point 1": "So\0"}.get(f"point {text_of(body).split('point ')[1][0]}")
        return json.dumps({"response": answer or "No idea."})

    families, _, _ = augment(originals[:1], tmp_path, stubborn, neutrals=["none"])
    assert [row["id"] for row in rows_of(families)] == ["r0", "r0/upgrade/point 2", "r0/degrade/point 2"]
    assert reasons_of(families) == {
        ("upgrade", "repeats another pair"): 3,
        ("degrade", "repeats another pair"): 2,
        ("degrade", "the edit changes nothing"): 1,
        ("upgrade", "unusable pair: a text holds a NUL character"): 1,
        ("degrade", "unusable pair: a text holds a NUL character"): 1,
    }


def drop_names(row):
    return {key: value for key, value in row.items() if key not in ("generator", "check")}


def test_what_failed_is_asked_again_by_the_next_run_and_nothing_else_is(originals, tmp_path):
    def fail_once(body, before):
        return 400 if before == 0 and step_of(body) == "edit" else oracle_reply(body)

    with ChatServer(fail_once) as server, SampledAnswers(tmp_path) as cache:
        sampler = EndpointSampler(server.url, "tiny", concurrency=4)
        first, _ = augment_with_model(originals, sampler, cache, CromeSettings(), 4)
        second, tokens = augment_with_model(originals, sampler, cache, CromeSettings(), 4)
        again, _ = augment_with_model(originals, sampler, cache, CromeSettings(), 4)
    assert set(reasons_of(first)) == {(s, "edit: error: the server answered 400") for s in ("upgrade", "degrade")}
    assert not reasons_of(second)
    assert rows_of(again) == rows_of(second)
    assert max(server.answered.values()) == 1
    assert tokens.answers == sum(server.answered.values()) == COUNT * CALLS_PER_PAIR


def test_equal_pairs_are_asked_about_once(originals, tmp_path):
    twin = type(originals[0])(**vars(originals[0]) | {"id": "twin"})
    families, tokens, server = augment([originals[0], twin], tmp_path, oracle_reply, neutrals=["none"])
    assert len(server.bodies) == CALLS_PER_PAIR == tokens.answers
    assert len(rows_of(families)) == 2 * 11


@pytest.mark.parametrize("ties", [{"neutrals": ["none"]}, EVERY_TIE])
def test_a_plan_counts_the_calls_of_a_run_in_which_all_goes_well(originals, tmp_path, ties):
    settings = CromeSettings(**ties, max_new_tokens=100)
    with ChatServer(oracle_reply) as server, SampledAnswers(tmp_path) as cache:
        sampler = EndpointSampler(server.url, "tiny", concurrency=4)
        cost = plan_cost(originals, sampler, None, settings)
        augment_with_model(originals[:1], sampler, cache, settings, 4)
        rest = plan_cost(originals, sampler, cache, settings)
        asked = len(server.bodies)
        augment_with_model(originals, sampler, cache, settings, 4)
    assert cost.num_calls == len(server.bodies)
    assert (rest.num_known, rest.num_calls) == (asked, len(server.bodies) - asked)
    assert cost.most_calls == (NUM_RETRIES + 1) * cost.num_calls
    sent = sum(len(text_of(body)) for body in server.bodies) / 4
    assert 0.9 * sent < cost.prompt_tokens < 1.6 * sent < cost.most_prompt_tokens
    assert cost.most_reply_tokens == 100 * cost.most_calls > cost.reply_tokens


def test_the_worst_case_is_no_more_than_the_plan_allows(originals, tmp_path):
    def never(body, before):
        return "x" * 400  # as long as a reply may be

    settings = {"neutrals": ["paraphrase"], "max_new_tokens": 100}
    with ChatServer(never) as server:
        cost = plan_cost(originals, EndpointSampler(server.url, "tiny"), None, CromeSettings(**settings))
    _, _, server = augment(originals, tmp_path, never, **settings)
    per_pair = cost.most_prompt_tokens / COUNT
    sent = sum(len(m["content"]) for body in server.bodies for m in body["messages"]) / 4 / COUNT
    assert len(server.bodies) == COUNT * 2 * (NUM_RETRIES + 1) < cost.most_calls
    assert sent < per_pair


def test_space_around_an_answer_stays_around_its_edit(originals, tmp_path):
    spaced = [type(each)(**vars(each) | {"rejected": f" {each.rejected}\n"}) for each in originals]
    families, _, _ = augment(spaced, tmp_path, oracle_reply, num_attributes=1)
    row = next(row for row in rows_of(families) if row["source"] == "upgrade")
    assert row["chosen"] == " Bad answer 0. [more point 0: It counts.]\n"


def test_conversations_stay_conversations(tmp_path):
    path = tmp_path / "chat.jsonl"
    said = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Yes?"}]
    rows = [
        {
            "prompt": [*said, {"role": "user", "content": f"Who {i}?"}],
            "chosen": answer(f"A {i}"),
            "rejected": answer("B"),
        }
        for i in range(2)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    families, _, server = augment(load_originals(str(path))[0], tmp_path, oracle_reply, num_attributes=1)
    texts = [text_of(body) for body in server.bodies]  # in any order: several ask at once
    assert any("user: Hi.\n\nassistant: Yes?\n\nuser: Who 0?" in text for text in texts)
    upgrade = next(row for row in rows_of(families) if row["source"] == "upgrade")
    assert upgrade["prompt"] == rows[0]["prompt"]
    assert upgrade["chosen"] == answer("B [more point 0: It counts.]")


def answer(text):
    return [{"role": "assistant", "content": text}]
