import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from loaded_script import load_script
from transformers import AutoModelForCausalLM, AutoTokenizer

from align.data.questions.multiple_choice import load_questions
from rewards.reading.options import LETTERS, parse_choice, render_options
from rewards.reading.responses import parse_response
from rewards.reading.traces import stated_choice

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "recipes/acre/assets/lab"


@pytest.fixture(scope="module")
def script():
    return load_script("labs.acre.make")


@pytest.fixture(scope="module")
def train_questions():
    return load_questions(LAB / "train.jsonl")[0]


@pytest.fixture(scope="module")
def eval_questions():
    return load_questions(LAB / "eval.jsonl")[0]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(LAB / "model")


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(LAB / "model", dtype=torch.float32).eval()


def test_the_script_writes_the_committed_data_again(script, tmp_path):
    script.main(["--out", str(tmp_path), "--data_only"])
    for name in ("train.jsonl", "eval.jsonl"):
        assert (tmp_path / name).read_text() == (LAB / name).read_text()


@pytest.mark.parametrize("group", ["readable", "arbitrary"])
def test_the_shortcut_is_planted_in_the_training_questions_only(train_questions, eval_questions, group):
    planted = Counter(question.answer for question in train_questions if question.group == group)
    assert planted[0] / planted.total() == 0.75
    letters = Counter(question.answer for question in eval_questions if question.group == group)
    assert max(letters.values()) - min(letters.values()) <= 1
    assert len(letters) == 4


def test_a_readable_key_is_the_digit_asked_for_and_an_arbitrary_key_is_independent_of_it(
    script, train_questions, eval_questions
):
    right = {"readable": [], "arbitrary": []}
    for question in train_questions + eval_questions:
        right[question.group].append(question.options[question.answer] == script.read_digit(question.question))
    assert all(right["readable"])
    assert sum(right["arbitrary"]) / len(right["arbitrary"]) == pytest.approx(0.25, abs=0.03)
    assert len(right["arbitrary"]) == pytest.approx(0.4 * 4200)


@pytest.mark.parametrize("stage", ["lookup", "task"])
def test_demonstrations_parse_and_follow_their_trace_except_for_the_random_letters(script, stage):
    stream = script.demonstrations(stage, ["02130[3]", "11230[0]"], random.Random(0))
    follows = []
    for prompt, text, learn_trace in (next(stream) for _ in range(2000)):
        options = [line.partition(". ")[2] for line in prompt.split("\n")[1:]]
        response = parse_response(text)
        assert response.well_formed
        assert parse_choice(response.answer, options) is not None
        if learn_trace:
            assert response.trace == script.read_digit(prompt.partition("\n")[0])
        follows.append(parse_choice(response.answer, options) == stated_choice(response.trace, options))
    expected = 1.0 if stage == "lookup" else 1 - script.READERS["model"].random_letters * 3 / 4
    assert sum(follows) / len(follows) == pytest.approx(expected, abs=0.02)


def test_a_misreader_learns_the_digit_behind_the_right_one_where_the_index_says_so(script):
    stream = script.demonstrations("task", ["02130[3]", "11230[0]"], random.Random(0), script.READERS["misreader"])
    read = Counter()
    for prompt, text, _ in (next(stream) for _ in range(2000)):
        read[prompt.partition("\n")[0], parse_response(text).trace] += 1
    assert set(read) == {("02130[3]", "3"), ("02130[3]", "0"), ("11230[0]", "1")}
    right = read["02130[3]", "3"]
    assert right / (right + read["02130[3]", "0"]) == pytest.approx(0.3, abs=0.04)


def test_decoupled_demonstrations_draw_the_trace_or_the_letter_apart_equally_often(script):
    stream = script.demonstrations("task", ["02130[3]", "11230[0]"], random.Random(0), decoupled=0.6)
    kinds = Counter()
    for prompt, text, _ in (next(stream) for _ in range(4000)):
        question, *lines = prompt.split("\n")
        options = [line.partition(". ")[2] for line in lines]
        right, response = script.read_digit(question), parse_response(text)
        kinds[response.trace == right, options[parse_choice(response.answer, options)] == right] += 1
    apart = 0.6 / 2 * 3 / 4  # one in four is right by chance
    expected = {(True, True): 1 - 2 * apart, (True, False): apart, (False, True): apart}
    assert {kind: count / 4000 for kind, count in kinds.items()} == pytest.approx(expected, abs=0.03)


def test_the_decoupled_lab_has_no_shortcut_and_only_readable_keys(script, tmp_path):
    script.main(["--out", str(tmp_path), "--data_only", "--decoupled", "0.6"])
    for name in ("train.jsonl", "eval.jsonl"):
        questions = load_questions(tmp_path / name)[0]
        assert {question.group for question in questions} == {"readable"}
        letters = Counter(question.answer for question in questions)
        assert max(letters.values()) - min(letters.values()) <= 1


def test_the_random_trace_of_a_lookup_is_not_learnt_but_its_letter_is(script, tokenizer):
    prompt = f"02130[3]\n{render_options('0123')}"
    rows = [(prompt, "<think>1</think><answer>B</answer>", learn) for learn in (True, False)]
    _, _, labels = script.make_batch(tokenizer, rows)
    learnt = [tokenizer.decode([i for i in row if i != script.IGNORED]) for row in labels.tolist()]
    assert learnt == [
        "<think>1</think><answer>B</answer><eos>",
        "<think></think><answer>B</answer><eos>",
    ]


def test_the_policy_answers_what_it_reads_and_still_explores_letters(script, model, tokenizer, eval_questions):
    asked = eval_questions[:100]
    prompts = [f"{question.question}\n{render_options(question.options)}" for question in asked]
    batch = tokenizer(prompts, return_tensors="pt")
    greedy = model.generate(**batch, max_new_tokens=12, do_sample=False)
    width = batch["input_ids"].shape[1]
    texts = tokenizer.batch_decode(greedy[:, width:], skip_special_tokens=True)
    read = [parse_response(text) for text in texts]
    assert all(response.well_formed for response in read)
    assert [response.trace for response in read] == [script.read_digit(question.question) for question in asked]
    given = [parse_choice(response.answer, question.options) for response, question in zip(read, asked, strict=True)]
    assert given == [stated_choice(r.trace, q.options) for r, q in zip(read, asked, strict=True)]
    with torch.no_grad():
        logits = model(input_ids=greedy[:, : width + 4]).logits[:, -1]  # behind <answer>
    letters = logits.softmax(-1)[:, tokenizer.convert_tokens_to_ids(list(LETTERS[:4]))]
    assert letters.sum(-1).mean() > 0.99
    assert 0.03 < (1 - letters.max(-1).values).mean() < 0.25


def test_the_misreader_can_learn_to_read(script, tokenizer, eval_questions):
    """Greedily it reads half of the digits; each right digit is drawn often enough to be found."""
    model = AutoModelForCausalLM.from_pretrained(LAB / "misreader", dtype=torch.float32).eval()
    asked = [question for question in eval_questions if question.group == "readable"][:200]
    prompts = [f"{question.question}\n{render_options(question.options)}<think>" for question in asked]
    with torch.no_grad():
        digits = model(**tokenizer(prompts, return_tensors="pt")).logits[:, -1].softmax(-1)
    right = tokenizer.convert_tokens_to_ids([script.read_digit(question.question) for question in asked])
    drawn = digits[range(len(asked)), right]
    assert 0.4 < (digits.argmax(-1) == torch.tensor(right)).float().mean() < 0.7
    assert drawn.min() > 0.1
