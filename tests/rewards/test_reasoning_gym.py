"""The reward that a task of reasoning-gym pays with its own verifier."""

import json
import pickle
import re
from pathlib import Path

import pytest
from in_time import whatever_the_speed

from rewards import ReasoningGym
from rewards.reading.gym import EVALUATED, READ_AS_PYTHON, GymGrader, make_task, read_entry, read_spec, write_entry
from rewards.running.guard import GuardedReward, GuardSettings

gym = pytest.importorskip("reasoning_gym", reason="needs the extra `reasoning-gym`")
SLOW = {"futoshiki", "intermediate_integration", "knight_swap", "puzzle24", "sokoban", "zebra_puzzles"}  # seconds
ELSEWHERE = {"composite", "figlet_font"}  # the second needs a pyfiglet that the extra `facts` excludes
TASKS = sorted(set(gym.factory.DATASETS) - SLOW - ELSEWHERE)


def item_of(spec, index=0):
    item = make_task(read_spec(spec))[index]
    return spec, write_entry(item), item["answer"]


def rows(spec, *answers):
    task, entry, _ = item_of(spec)
    count = len(answers)
    return {
        "completions": [f"<think>Hm.</think><answer>{answer}</answer>" for answer in answers],
        "task": [task] * count,
        "entry": [entry] * count,
    }


@pytest.fixture(scope="module")
def grader():
    return GymGrader()


@pytest.fixture(scope="module")
def reward():
    return ReasoningGym(timeout=60.0)  # seconds of a busy machine


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_a_verifier_finds_the_answer_of_its_task_right_after_a_trip_through_text(grader, name):
    spec, entry, answer = item_of(f"reasoning_gym:{name}?size=2&seed=4", 1)
    assert write_entry(read_entry(entry)) == entry
    if answer is not None:  # some tasks know no answer, only whether one is right
        assert grader((spec, entry, answer)).score == 1.0


def test_answers_are_scored_by_their_tasks(reward):
    right = item_of("reasoning_gym:gcd?seed=2")[2]
    given = rows("reasoning_gym:gcd?seed=2", right, f" {right} ", f"{right} or 1", "banana", "")
    assert reward(**given) == [1.0, 1.0, 0.0, 0.0, 0.0]
    plain = rows("reasoning_gym:gcd?seed=2", "") | {"completions": [f"Let me see.\nAnswer: {right}"]}
    assert reward(**plain) == [1.0]


def test_parts_of_a_verifier_count_only_where_they_are_wanted(reward, monkeypatch):
    spec = "reasoning_gym:gcd?seed=2"
    right = item_of(spec)[2]
    listed = f"{right} or 999"
    assert reward(**rows(spec, listed)) == [0.0]
    monkeypatch.setattr(reward, "partial", True)
    assert reward(**rows(spec, right, listed)) == [1.0, len(right) / len(listed)]


def test_rows_of_other_data_are_skipped(reward):
    assert reward(completions=["<answer>1</answer>"] * 2, task=[None] * 2, entry=[None] * 2) == [None, None]


def test_an_answer_that_a_verifier_raises_at_is_wrong_and_said(reward, caplog):
    logged = {}
    given = rows("reasoning_gym:prime_factorization", "banana", item_of("reasoning_gym:prime_factorization")[2])
    assert reward(**given, log_metric=logged.__setitem__) == [0.0, 1.0]
    assert logged == {
        "reasoning_gym/timeout_rate": 0.0, "reasoning_gym/error_rate": 0.0, "reasoning_gym/unread_rate": 0.5,
    }  # fmt: skip
    assert "raised at the answer 'banana': ValueError: invalid literal" in caplog.text


def test_a_verifier_that_fails_at_its_own_answer_gives_no_reward_and_is_named(reward, caplog):
    broken = {"question": "?", "answer": "2 by 3", "metadata": {}}
    logged = {}
    scores = reward(
        completions=["<answer>7</answer>"], task=["reasoning_gym:prime_factorization"], entry=[json.dumps(broken)],
        log_metric=logged.__setitem__,
    )  # fmt: skip
    assert scores == [None]
    assert logged["reasoning_gym/error_rate"] == 1.0
    assert "score '7' with the verifier of 'reasoning_gym:prime_factorization': ValueError" in caplog.text


@pytest.mark.slow
@whatever_the_speed(5.0, 60.0)
def test_a_verifier_that_does_not_end_costs_its_row(seconds):
    reward = ReasoningGym(evaluate_answers=True, timeout=seconds)
    spec = "reasoning_gym:polynomial_multiplication"
    assert reward(**rows(spec, "9**9**9**9", item_of(spec)[2], "x")) == [None, 1.0, 0.0]


@pytest.mark.slow
def test_in_a_worker_of_the_guard_it_grades_there():
    right = item_of("reasoning_gym:gcd")[2]
    guarded = GuardedReward(ReasoningGym(), GuardSettings(workers=1, timeout=60.0))
    assert guarded(**rows("reasoning_gym:gcd", right, "0")) == [1.0, 0.0]
    guarded.close()


@pytest.mark.slow
def test_a_task_that_runs_answers_is_refused_unless_it_is_allowed(reward):
    spec = "reasoning_gym:countdown?size=1"
    given = rows(spec, "__import__('os').getpid()")
    with pytest.raises(ValueError, match=r"countdown.*runs an answer as Python.*evaluate_answers: true"):
        reward(**given)
    assert ReasoningGym(evaluate_answers=True, timeout=60.0)(**given) == [0.0]


@pytest.mark.parametrize(
    ("name", "answer", "changed"),
    [
        ("number_sorting", "['1']", {"answer": "__import__('pathlib').Path('PATH').touch() or ['1']"}),
        ("bitwise_arithmetic", "0x1", {"metadata": {"problem": "__import__('pathlib').Path('PATH').touch() or 1"}}),
    ],
)
def test_code_in_a_row_is_not_run(reward, tmp_path, caplog, name, answer, changed):
    path = tmp_path / "written"
    entry = json.dumps({"question": "?", "answer": answer, "metadata": {}} | changed)
    given = {"completions": [f"<answer>{answer}</answer>"], "task": [f"reasoning_gym:{name}"]}
    assert reward(**given, entry=[entry.replace("PATH", str(path))]) == [None]
    assert not path.exists()
    assert re.search(rf"'{name}' runs `(answer|metadata.problem)` of an item as Python, which must be", caplog.text)


@pytest.mark.parametrize("spec", ["number_sorting?min_decimals=6&max_decimals=9", "bitwise_arithmetic?difficulty=6"])
def test_what_the_library_writes_there_is_run(grader, spec):
    for index in range(20):
        task, entry, answer = item_of(f"reasoning_gym:{spec}&seed=3", index)
        assert grader((task, entry, answer)).score == 1.0


def running(pattern):
    return {
        name
        for name, (task, _) in gym.factory.DATASETS.items()
        if (source := Path(__import__(task.__module__, fromlist=["x"]).__file__).read_text(encoding="utf-8"))
        and re.search(pattern, source)
    }


def test_the_tasks_that_run_answers_are_known():
    assert running(r"(?<!literal_)\beval\(answer|parse_expr\(answer") == EVALUATED


def test_the_tasks_that_run_a_part_of_the_row_are_known():
    # Of the others with `eval` or `exec`, it is the library's own text that they run when they make a row.
    made = {"basic_arithmetic", "codeio"}
    found = running(r"(?<!literal_)\b(eval|exec)\(|\.parse_expr\(") - EVALUATED - made
    assert found == set(READ_AS_PYTHON)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("reasoning_gym:chain_sums", r"no task 'chain_sums'\. Did you mean 'chain_sum' or"),
        ("reasoning_gym:qqq", r"no task 'qqq'\. It has ab, "),
        ("reasoning_gym:composite", r"Name each of them in `dataset\.mix`"),
        ("reasoning_gym:", r"names no task\. Write `reasoning_gym:TASK`"),
        ("reasoning_gym:gcd?max_numbr=2", r"no setting 'max_numbr'\. Did you mean 'max_numbers'"),
        ("reasoning_gym:chain_sum?max_terms=1", r"refuses its settings: max_terms must be >= min_terms"),
        ("reasoning_gym:gcd?seed=-1", r"`seed` must be a whole number, at least 0; got -1"),
        ("reasoning_gym:gcd?size=2&size=3", r"'size=3' must be a setting of its own"),
    ],
)
def test_a_task_or_setting_that_is_none_is_named(spec, message):
    with pytest.raises(ValueError, match=message):
        make_task(read_spec(spec))


def test_a_column_of_tasks_holds_tasks(reward):
    with pytest.raises(ValueError, match="Column `task` must hold tasks such as 'reasoning_gym:chain_sum', got 'gcd'"):
        reward(completions=["<answer>1</answer>"], task=["gcd"], entry=["{}"])


def test_it_pickles_with_its_settings():
    copy = pickle.loads(pickle.dumps(ReasoningGym(partial=True, timeout=60.0)))
    assert (copy.partial, copy._graders.timeout, copy._graders._pool) == (True, 60.0, None)
