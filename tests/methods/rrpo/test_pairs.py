import json
import re

import pytest
from chat_server import ChatServer, completion

from align.data.pairs.preferences import load_preferences
from align.data.problems import DataReport
from align.errors import UserError
from align.methods.rrpo.augmentation.command import describe_run, finish
from align.methods.rrpo.augmentation.pairs import PairSettings, draw_samples, make_pairs
from align.methods.rrpo.augmentation.sources import MASK, check_source
from align.methods.rrpo.augmentation.verdicts import ContainsReference, RewardCheck
from align.models.samplers.asking import SampledAnswers
from align.models.samplers.endpoint import EndpointSampler

PROMPT = "The Seine runs through the largest city of this old country. What is the capital of France?"
ROW = {"id": "france", "prompt": PROMPT, "reference": "Paris", "wrong_answers": ["Lyon", "Nice"]}


def reply(body, before):
    """Restates well, and otherwise gives every seed another town."""
    if "right fact" in body["messages"][-1]["content"]:
        return "I say it is Paris, of course."
    return f"I say it is town {body['seed'] % 97}, of course."


def run(tmp_path, rows, reply=reply, check=None, **settings):
    chosen = PairSettings(**{"num_samples": 3, "max_new_tokens": 16} | settings)
    samples = draw_samples([check_source(row, i, f"row-{i}") for i, row in enumerate(rows)], chosen)
    with ChatServer(reply) as server, SampledAnswers(tmp_path / "cache") as cache:
        sampler = EndpointSampler(server.url, "tiny", max_retries=0)
        outcome = make_pairs(samples, sampler, check or ContainsReference(), cache, chosen)
    report = DataReport("data", num_read=len(rows), num_kept=len(rows))
    card = finish(tmp_path / "out", outcome, samples, report, describe_run(chosen, sampler.name, report))
    return outcome, card, server


def one(answer):
    return lambda body, before: "I say it is Paris." if "right fact" in str(body) else answer


def test_a_wrong_answer_becomes_a_pair_with_its_history(tmp_path):
    outcome, card, server = run(tmp_path, [ROW])
    pair = outcome.pairs[0]
    assert pair["prompt"] == [{"role": "user", "content": PROMPT}], "the prompt is not the perturbed one"
    assert pair["chosen"][0]["content"] == "I say it is Paris, of course."
    marked = [pair[key][0]["content"][slice(*pair[f"{key}_spans"][0])] for key in ("chosen", "rejected")]
    assert marked[0] == "Paris"
    assert re.fullmatch(r"town \d+", marked[1])
    assert (pair["source_id"], pair["id"]) == ("france", f"france/{pair['sample']}")
    assert (pair["wording"], pair["check"], pair["seed"]) == ("model", "contains", 0)
    assert pair["perturbation"] == "mask_local_shuffle"
    asked = [body["messages"][-1]["content"] for body in server.bodies]
    assert pair["perturbed_prompt"] in asked
    assert MASK in pair["perturbed_prompt"]
    assert pair["perturbed_prompt"].endswith("What is the capital of France?")
    assert card["counts"]["pairs"] == len(outcome.pairs) == 3
    assert card["tokens"] == {"answers": 6, "prompt": 42, "completion": 18}


@pytest.mark.parametrize("name", ["out/pairs.jsonl", "out"])
def test_the_pairs_are_what_the_trainer_reads(tmp_path, monkeypatch, name):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    for seed in (0, 1):  # two folders of one name
        outcome, _, _ = run(tmp_path / str(seed), [ROW, ROW | {"id": "again"}], seed=seed)
        pairs, report = load_preferences(tmp_path / str(seed) / name)
        assert [pair.rejected for pair in pairs] == [pair["rejected"][0]["content"] for pair in outcome.pairs]
        assert {pair.spans_from for pair in pairs} == {"offsets"}
        assert report.num_kept == 6


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("Paris it is.", "right answer"),
        ("  ", "empty response"),
        (completion("It is Ly", "length"), "cut off"),
        (f"It is {MASK} then.", "repeats the mask"),
        ("It is <MASK>Lyon</MASK>.", "unusable pair"),
        ("It is \0 Lyon.", "unusable pair: a text holds a NUL"),
        (400, "error: the server answered 400"),
    ],
)
def test_a_response_of_no_use_is_left_out_with_its_reason(tmp_path, answer, reason):
    outcome, card, _ = run(tmp_path, [ROW], reply=one(answer), wording="reference", num_samples=1)
    assert outcome.pairs == []
    assert outcome.left_out[0].reason.startswith(reason)
    assert card["left_out"] == {outcome.left_out[0].reason: 1}
    assert next(iter(card["rows_without_pairs"])).startswith(f"every sample: {reason}")


def test_the_same_wrong_answer_of_one_row_counts_once(tmp_path):
    outcome, card, _ = run(tmp_path, [ROW, ROW | {"id": "b"}], reply=one("Lyon."), wording="reference")
    assert [pair["source_id"] for pair in outcome.pairs] == ["france", "b"]
    assert card["left_out"] == {"repeats another sample": 4}


def test_what_the_server_said_stands_beside_the_reason_and_does_not_split_its_count(tmp_path):
    outcome, card, _ = run(tmp_path, [ROW], reply=one(400))
    assert {each.detail for each in outcome.left_out} == {"Error code: 400 - no, EMPTY"}
    assert card["left_out"] == {"error: the server answered 400": 3}


@pytest.mark.parametrize(
    ("wording", "rejected", "chosen"),
    [
        ("reference", "I say it is Lyon.", "Paris"),
        ("swap", "I say it is Lyon.", "I say it is Paris."),
        ("model", "I say it is Rome.", "I say it is Paris."),
    ],
)
def test_the_chosen_answer_is_worded_as_asked(tmp_path, wording, rejected, chosen):
    outcome, card, server = run(tmp_path, [ROW], reply=one(rejected), wording=wording, num_samples=1)
    pair = outcome.pairs[0]
    assert (pair["chosen"][0]["content"], pair["wording"]) == (chosen, wording)
    assert card["tokens"]["answers"] == len(server.bodies) == (2 if wording == "model" else 1)


@pytest.mark.parametrize(
    ("wording", "rejected", "reason", "detail"),
    [
        ("swap", "I say it is Rome.", "no wrong answer to swap", ""),
        ("model", "Quite some other town.", "too few words with the response", "I say it is Paris."),
    ],
)
def test_without_that_wording_there_is_no_pair_and_the_reason_is_kept(tmp_path, wording, rejected, reason, detail):
    outcome, _, _ = run(tmp_path, [ROW], reply=one(rejected), wording=wording, num_samples=1)
    assert outcome.pairs == []
    assert outcome.left_out[0].reason.endswith(reason)
    assert outcome.left_out[0][3:] == (rejected, detail)


@pytest.mark.parametrize(
    ("wording", "said", "restated", "reason"),
    [
        ("reference", "C", "", "right answer"),
        ("reference", "A or C", "", "no verdict"),
        ("swap", "The answer is (B) gold.", "", "the response names letters of options that cannot be put right"),
        (
            "model",
            "The answer is (A) gold.",
            "The answer is (A) iron.",
            "the restatement names the letter of a wrong option",
        ),
    ],
)
def test_letters_of_options_leave_no_pair_that_contradicts_itself(tmp_path, wording, said, restated, reason):
    row = {"id": "q", "prompt": "Which rusts?", "reference": "iron", "options": ["gold", "tin", "iron"]}
    answers = lambda body, before: restated if "right fact" in str(body) else said  # noqa: E731
    _, card, _ = run(tmp_path, [row], reply=answers, wording=wording, num_samples=1)
    assert card["left_out"] == {reason: 1}


def test_a_judge_has_the_last_word_on_a_swap(tmp_path):
    (tmp_path / "judge.py").write_text("def none(completions, **kwargs):\n    return [0.0] * len(completions)\n")
    check = RewardCheck(f"{tmp_path}/judge.py:none", conversational=True)
    _, card, _ = run(tmp_path, [ROW], reply=one("I say it is Lyon."), check=check, wording="swap", num_samples=1)
    assert card["left_out"] == {"the swapped response is not right": 1}


def test_a_row_is_drawn_alike_whatever_stands_beside_it(tmp_path):
    settings = PairSettings(num_samples=2)
    sources = [check_source(ROW | {"id": name}, 1, "") for name in "abc"]
    assert draw_samples(sources, settings)[4:] == draw_samples(sources[2:], settings)
    drawn = draw_samples(sources, settings), draw_samples(sources, PairSettings(num_samples=2, seed=1))
    assert len({sample.request.seed for samples in drawn for sample in samples}) == 12
    assert all(one.perturbed != other.perturbed for one, other in zip(*drawn, strict=True))


def test_a_lone_question_is_counted_as_not_perturbed(tmp_path):
    outcome, card, _ = run(tmp_path, [ROW, {"prompt": "What is the capital of France?", "reference": "Paris"}])
    assert (card["counts"]["rows"], card["counts"]["rows_perturbed"]) == (2, 1)
    assert [pair["perturbation"] for pair in outcome.pairs] == ["mask_local_shuffle"] * 3 + ["none"] * 3
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "1 of 2 prompts were perturbed" in " ".join(readme.split())


def test_the_folder_holds_every_sample_once(tmp_path):
    rows = [ROW | {"id": f"r{i}"} for i in range(5)]
    odd = lambda body, before: "Paris" if body["seed"] % 2 else reply(body, before)  # noqa: E731
    _, card, _ = run(tmp_path, rows, reply=odd)
    lines = {
        name: [json.loads(line) for line in (tmp_path / "out" / name).read_text().splitlines()]
        for name in ("pairs.jsonl", "left_out.jsonl")
    }
    found = [(each["source_id"], each["sample"]) for rows in lines.values() for each in rows]
    assert sorted(found) == [(f"r{i}", number) for i in range(5) for number in range(3)]
    assert 0 < len(lines["pairs.jsonl"]) < 15
    assert [each["id"] for each in lines["pairs.jsonl"]] == sorted(each["id"] for each in lines["pairs.jsonl"])
    readme = (tmp_path / "out" / "README.md").read_text()
    assert f"| pairs | {card['counts']['pairs']} |" in readme
    assert "| right answer |" in readme


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"perturbation": "maks"}, "Did you mean 'mask'"),
        ({"wording": "own"}, "`wording` must be one of model, swap, reference"),
        ({"num_samples": 0}, "`num_samples` must be at least 1"),
        ({"temperature": -1}, "`temperature` must be 0 or more"),
        ({"temperature": 0.0}, "gives the same response 4 times"),
    ],
)
def test_a_setting_out_of_range_says_what_would_do(settings, message):
    with pytest.raises(UserError, match=message):
        PairSettings(**settings)
