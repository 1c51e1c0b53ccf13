import json
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from in_one_process import run
from planted import read_lines, write_rows
from tiny import tiny_model, tiny_tokenizer

from align.auditing.entry import Entry
from align.auditing.traces import ScoredTrace, TraceData, find_scores, write_traces
from align.models.likelihood import Tokens, token_nll

TRACES = ("Iron is 4.\nSo it rusts.\nA", "Gold.", "One step. Two steps, 2. Three")


def by_hand(model, ids, start):
    """NLL of the tokens from `start`, of one text alone, in float64."""
    logits = model.double()(torch.tensor([ids])).logits[0]
    log_probs = logits - torch.log(torch.exp(logits).sum(-1, keepdim=True))
    return [-log_probs[place - 1, ids[place]].item() for place in range(start, len(ids))]


@pytest.mark.parametrize("most_tokens", [1, 24, 2_048])
def test_the_nll_of_a_padded_batch_is_that_of_each_text_alone(most_tokens):
    rows = [Tokens([5, 6, 7], [8, 9, 10, 11]), Tokens([5], [20]), Tokens([9] * 10, [30, 31, 4])]
    counted = []
    found = token_nll(tiny_model().eval(), rows, pad_token_id=0, most_tokens=most_tokens, advance=counted.append)
    expected = [by_hand(tiny_model().eval(), [*row.prompt, *row.text], len(row.prompt)) for row in rows]
    assert [len(each) for each in found] == [4, 1, 3]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    assert sum(counted) == 3
    assert len(counted) == {1: 3, 24: 2, 2_048: 1}[most_tokens]


@pytest.mark.parametrize("has_template", [True, False])
def test_means_of_traces_and_of_their_steps_by_hand(has_template):
    tokenizer, model = tiny_tokenizer(), tiny_model(vocabulary=len(tiny_tokenizer())).eval()
    if not has_template:
        tokenizer.chat_template = None
    data = TraceData(tokenizer, 512)
    for i, trace in enumerate(TRACES):
        data.add(Entry(f"r{i}", "f", i, "Which?", ("iron", "gold"), 0, trace=trace, source="x"))
    shown = "user: Which?\n\nA. iron\nB. gold\nassistant: " if has_template else "Which?\n\nA. iron\nB. gold\n"
    prompt = tokenizer(shown, add_special_tokens=False)["input_ids"]
    cuts = [(0, 11, 24, 25), (0, 5), (0, 9, 23, 29)]
    for trace, found, ends in zip(TRACES, data.score(model), cuts, strict=True):
        nll = by_hand(
            tiny_model(vocabulary=len(tokenizer)).eval(),
            [*prompt, *tokenizer(trace, add_special_tokens=False)["input_ids"]],
            len(prompt),
        )
        assert found.num_tokens == len(trace) == len(nll)
        assert found.nll == pytest.approx(sum(nll) / len(nll), rel=1e-4)
        steps = [sum(nll[a:b]) / (b - a) for a, b in pairwise(ends)]
        assert found.steps == pytest.approx(steps, rel=1e-4)


def test_what_cannot_be_scored_is_counted():
    data = TraceData(tiny_tokenizer(), 40)
    data.add(Entry("long", "f", 1, "Which?", trace="x" * 40))
    data.add(Entry("image", "f", 2, "Which?", trace="x", images=("digest",)))
    data.add(Entry("fits", "f", 3, "Which?", trace="x"))
    assert (len(data), data.num_long, data.num_with_images) == (1, 1, 1)
    found, sentences = find_scores(data, data.score(tiny_model()), "student")
    assert found is None
    assert sentences == [
        "1 traces are longer than the 40 tokens that the model reads, with their prompt, and were not scored by "
        "student.",
        "1 traces belong to rows with images, which a text alone does not ask about, and were not scored by student.",
        "There are 1 traces that can be scored, and quantiles need 20.",
    ]


def test_half_a_character_in_an_id_is_written_as_it_was_read(tmp_path):
    scored = ScoredTrace("half \ud83d", "rows.jsonl", 1, 0, None, None, 3, 0.5, [0.5])
    assert read_lines(write_traces([scored], tmp_path))[0]["id"] == "half \ud83d"


@pytest.mark.parametrize(("num_prompts", "has_interval"), [(1, False), (4, True), (24, True)])
def test_the_interval_is_wider_where_traces_of_a_prompt_agree(num_prompts, has_interval):
    def group(prompt):
        scored = [ScoredTrace(f"t{i}", "f", i, prompt(i), None, None, 9, float(i % 2), [0.5]) for i in range(24)]
        return find_scores(
            SimpleNamespace(window=None, num_long=0, num_with_images=0, num_empty=0), scored, "student"
        )[0].groups[0]

    found, alone = group(lambda i: i % num_prompts), group(lambda i: i)
    assert (found.low is not None) is has_interval
    if has_interval:
        assert found.low < found.mean < found.high
        assert (found.high - found.low > alone.high - alone.low) is (num_prompts < 24)


def rows(num=48):
    """Questions whose traces come from two sources and go three ways."""
    return [
        {"id": f"q{i}", "question": f"Which rusts, {i // 2}?", "options": ["iron", "gold"], "answer": 0,
         "writer": ("<b>me", "it")[i % 2],
         "trace": ("It rusts.\nSo iron.", "Hm.\nSo gold.", "<think>x</think><answer>A</answer>")[i % 3]}
        for i in range(num)
    ]  # fmt: skip


def audit(*words):
    done = run(["audit", *map(str, words), "--no-near", "--device", "cpu"])
    assert done["crash"] == "NoneType: None\n", done["crash"]
    return done


def test_the_command_scores_by_source_and_by_what_a_trace_comes_to(tmp_path, tiny_model_folder):
    file = write_rows(tmp_path / "rows.jsonl", rows())
    for name in ("out", "again"):
        done = audit(file, "--score_with", tiny_model_folder, "--trace_column", "trace", "--source_column", "writer",
                     "--out", tmp_path / name, "--write")  # fmt: skip
        assert done["code"] == 0, done["output"]
    found = json.loads((tmp_path / "out" / "audit.json").read_text())["traces"]
    groups = {each["group"]: each for each in found["groups"]}
    assert {name: each["n"] for name, each in groups.items()} == {
        "all": 48, "source <b>me": 24, "source it": 24, "right": 32
    }  # fmt: skip
    assert "Fewer than 20 traces are of wrong (16)" in done["output"]
    traces = read_lines(tmp_path / "out" / "traces.jsonl")
    assert [row["id"] for row in traces] == [row["id"] for row in rows()]
    assert [row["correct"] for row in traces] == [True, False, True] * 16
    assert groups["all"]["mean"] == pytest.approx(sum(row["nll"] for row in traces) / 48, abs=1e-5)
    assert [len(row["steps"]) for row in traces[:3]] == [2, 2, 1]
    assert [(each["step"], each["n"]) for each in found["steps"]] == [(1, 48), (2, 32)]
    least = min(traces, key=lambda row: row["nll"])
    assert least["quantile"] == pytest.approx(sum(row["nll"] == least["nll"] for row in traces) / 48, abs=1e-6)
    assert max(row["quantile"] for row in traces) == 1
    assert (tmp_path / "out" / "traces.jsonl").read_bytes() == (tmp_path / "again" / "traces.jsonl").read_bytes()
    page = (tmp_path / "out" / "audit.html").read_text()
    assert "source &lt;b&gt;me" in page
    assert "source <b>me" not in page
    kept, out = (read_lines(tmp_path / "out" / f"{name}.jsonl") for name in ("kept", "left_out"))
    assert {row["reason"] for row in out} <= {"duplicate"}  # nothing is left out for its score
    assert len(kept) + len(out) == 48


def test_completions_are_traces_and_columns_say_what_is_right(tmp_path, tiny_model_folder):
    asked = {"role": "system", "content": "Be brief."}
    taught = [
        {
            "messages": [
                asked,
                {"role": "user", "content": f"Why {i}?"},
                {"role": "assistant", "content": "It is so. " * (1 + i % 2)},
            ],
            "good": ("true", "no", "false")[i % 3],
        }
        for i in range(60)
    ]
    file = write_rows(tmp_path / "rows.jsonl", taught)
    done = audit(file, "--score_with", tiny_model_folder, "--correct_column", "good", "--out", tmp_path / "out")
    assert done["code"] == 0, done["output"]
    assert "column `good`: the value is neither true nor false (value: 'no')" in done["output"]
    traces = read_lines(tmp_path / "out" / "traces.jsonl")
    assert [row["correct"] for row in traces] == [True, False] * 20
    model, tokenizer = tiny_model(vocabulary=len(tiny_tokenizer())).eval(), tiny_tokenizer()
    prompt = tokenizer("system: Be brief.\nuser: Why 0?\nassistant: ")["input_ids"]
    nll = by_hand(model, [*prompt, *tokenizer("It is so. ")["input_ids"]], len(prompt))
    assert traces[0]["nll"] == pytest.approx(sum(nll) / len(nll), rel=1e-4)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--score_with", "MODEL"], "no column of the questions is named as one. Name it with `--trace_column`."),
        (["--score_with", "MODEL", "--trace_column", "thought"], "column `thought`: the value is missing or empty"),
        (
            ["--trace_column", "trace"],
            "`trace_column` needs a model that scores traces.",
        ),
        (["--score_with", "./none", "--trace_column", "trace"], "There is no folder ./none."),
    ],
)
def test_what_cannot_be_done_is_one_sentence(tmp_path, tiny_model_folder, words, sentence):
    file = write_rows(tmp_path / "rows.jsonl", rows(5))
    words = [str(tiny_model_folder) if word == "MODEL" else word for word in words]
    done = audit(file, *words, "--out", tmp_path / "out")
    assert done["code"] == 1
    assert sentence in done["output"]


def test_pairs_have_no_trace(tmp_path, tiny_model_folder):
    file = write_rows(tmp_path / "pairs.jsonl", [{"prompt": "q", "chosen": "a", "rejected": "b"}])
    done = audit(file, "--score_with", tiny_model_folder, "--out", tmp_path / "out")
    assert done["code"] == 1
    assert "`score_with` is for rows with a trace (questions, prompts, sft), got pairs." in done["output"]
