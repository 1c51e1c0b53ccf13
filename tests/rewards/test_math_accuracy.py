import pickle
import threading

import pytest
from in_time import whatever_the_speed
from trl.rewards import accuracy_reward

import rewards
from rewards.reading.formulas import MathGrader, answered_formula, single_formula
from rewards.running.guard import GuardedReward, GuardSettings
from rewards.scoring.math_accuracy import MathAccuracy


@pytest.fixture(scope="module")
def grade():
    return MathGrader()


@pytest.fixture(scope="module")
def reward():
    return MathAccuracy(timeout=60.0)


def boxed(*formulas):
    return [f"So it is $\\boxed{{{formula}}}$." for formula in formulas]


FORMULAS = {
    r"\boxed{5}": "5",
    r"\boxed{\frac{1}{2}}": r"\frac{1}{2}",
    r"\boxed{\{1, 2\}}": r"\{1, 2\}",
    r"<think>\boxed{1}</think>It is $\boxed{2}$.": "2",
    r"<think>a</think><answer>\boxed{2}</answer>": "2",
    "<think>a</think><answer>$x + 1$</answer>": "x + 1",
    r"<answer>\(5\)</answer>": "5",
    "Hm.\nAnswer: 5.": "5",
    r"\boxed{5}, I repeat: \boxed{5}": "5",
    r"\boxed{\u22125}".replace(r"\u2212", "\u2212"): "-5",
    r"\boxed {5}": "5",
    r"\fbox{5}": "5",
    r"\boxed{1} or \boxed{2}": None,
    r"\boxed {1} or \boxed{2}": None,
    r"\boxed 1 or \boxed{2}": None,
    r"\fbox{1} or \boxed{2}": None,
    r"\boxed{1}, \boxed{2": None,
    r"\boxed{5": None,
    r"\boxed{}": None,
    "5": None,
    "": None,
    "<answer></answer>": None,
    "<answer>5</answer><answer>6</answer>": None,
    r"<answer>\boxed{5}": None,
    r"<think>\boxed{5}": None,
    r"<answer>5</answer> \boxed{5} <answer>": None,
    "<answer>$5$ or $6$</answer>": None,
    r"<answer>\(5\) or \(6\)</answer>": None,
    r"\boxed{$5$ or $6$}": None,
    r"\boxed{" + "1" * 1001 + "}": None,
}


@pytest.mark.parametrize("text", FORMULAS)
def test_one_formula_is_found_or_none(text):
    assert answered_formula(text) == FORMULAS[text]


def test_long_texts_are_read_quickly():
    for piece in ("\\boxed{", "{", "}", "$", "\\", "x", "\\boxed{1} "):
        text = piece * (100_000 // len(piece))
        assert answered_formula(f"\\boxed{{{text}") is None or piece == "\\boxed{1} "
        assert single_formula(text) in (None, "1")


EQUAL = [
    ("5", "5.0"), ("1/2", r"\frac12"), ("0.5", r"\frac{1}{2}"), ("1234", "1,234"), ("-5", "\u22125"), ("2", "1 + 1"),
    ("x^2 + 2x + 1", "(x + 1)^2"), (r"\sin^2 x + \cos^2 x", "1"), (r"\{1, 2\}", "2, 1"), ("[0, 1)", "[0,1)"),
    (r"2\sqrt{2}", r"\sqrt{8}"), ("5", "x = 5"), ("5", "2 + 3 = 5"), ("5", r"5 \text{ cm}"), (r"50\%", "0.5"),
    (r"x \ge 0", r"[0, \infty)"), (r"(-\infty, 1) \cup (2, \infty)", r"(2, \infty) \cup (-\infty, 1)"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"), ("0.1", "10^{-1}"),
    ("100000", "1e5"), ("0.00002", "x = 2e-05"), ("3.5e+06", "3500000"), ("2e-1", r"2 e - 1"), ("2/1e3", "0.002"),
]  # fmt: skip
DIFFERENT = [
    ("5", "6"), ("5", "5 or 6"), ("5", "5, 6"), ("5", r"5 \text{ or } 6"), ("5", "5; 6"), ("5", "5 6"),
    ("5", r"\pm 5"), ("5", r"4 \cup 5"), ("5", r"6 \lor 5"), ("5", "6 = 5"), ("5", "5 = 6"), ("5", "1 = 2 = 5"),
    ("5", r"x \ne 5"), ("5", "x > 5"), ("5", "the answer is 5"), ("5", "five"), ("5", r"\text{5 or maybe 7}"),
    ("5", r"5 \text{ not } 6"),
    ("1e5", "5e"), ("100000", r"1 \cdot e \cdot 5"),
    ("5", r"\frac{5}{"), ("5", "{5"), ("5", "\x00"), ("5", r"\infty"), ("5", "1/0"), ("1/3", "0.33"),
    ("[0, 1)", "[0, 1]"), ("(1, 2)", "(2, 1)"), (r"\{1, 2\}", r"\{1, 2, 3\}"), (r"\sqrt{2}", "1.41"),
    ("x + 1", "y + 1"),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "answer"), EQUAL)
def test_equal_formulas(grade, gold, answer):
    assert grade((gold, answer)) is True


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_other_formulas_and_lists_of_formulas_are_wrong(grade, gold, answer):
    assert grade((gold, answer)) is False


def test_a_reference_that_is_no_formula_is_no_verdict_except_for_the_same_text(grade):
    assert grade((r"\frac{5}{", "5")) is None
    assert grade((r"\frac{5}{", r"\frac{5} {")) is True


LEFT_TO_DO = [
    ("75", "25 * 3"), ("75", r"25 \times 3"), ("75", "(20 + 5) 3 + 0"), ("4", "2^2"), ("4", r"\sqrt{16}"),
    ("5", "10/2"),
    ("5", r"\frac{10}{2}"), ("24", "4!"), ("-3", "4 - 7"), ("0.5", "1 - 0.5"), ("1/2", "1/4 + 1/4"),
    ("6", r"\binom{4}{2}"),
]  # fmt: skip
WORKED_OUT = [
    ("75", "75.0"), ("75", "25 * 3 = 75"), ("-5", "-5"), ("0.5", r"\frac{1}{2}"), ("1/2", "2/4"),
    ("300000", r"3 \times 10^{5}"), ("1000", "1{,}000"), ("100000", "10^5"), (r"2\sqrt{2}", r"\sqrt{8}"),
    ("x^2 + x", "x(x + 1)"),
]  # fmt: skip


def test_a_formula_that_is_not_worked_out_is_no_answer_where_a_number_is_asked_for():
    golds, answers = zip(*LEFT_TO_DO, strict=True)
    assert MathAccuracy()(boxed(*answers), golds) == [0.0] * len(golds)
    golds, answers = zip(*WORKED_OUT, strict=True)
    assert MathAccuracy()(boxed(*answers), golds) == [1.0] * len(golds)


HANGS = r"\sum_{n=1}^{10^{9}} \frac{1}{n}"  # a reference that nobody can compare with a number
TOO_LARGE = (r"10^{10^{10}}", r"10^{10^{10^{10}}}", "9!!!!", r"\{1, 10^{10^{10}}\}", r"\frac{7}{10^{10^{7}}}")
TOO_MUCH = [
    r"10^{10^{10^{10}}}", r"9^{9^{9^{9}}}", "100000000!", "9!!!!!", "((9!)!)!", r"2^{1000000000}", r"10^{-10^{10}}",
    r"\binom{10^9}{10^8}", r"\binom{1000000000}{100000000}", r"x^{10^{10^{10}}}", r"\left(\frac{1}{2}\right)^{10^9}",
    "(x + 1)^{10000}", "(x + y + z + 1)^{300}", r"(\sqrt{2} + 1)^{10000}", r"\frac{10^{10^9}}{10^{10^9}}",
    r"\{10^{10^{10}}, 1\}", r"\begin{pmatrix}10^{10^{10}}\end{pmatrix}", "10^{10^{10}} = x", r"\sin(10^{10^8})",
    r"\gcd(10^{10^8}, 2)", r"\max(10^{10^8}, 2)", r"\sum_{i=1}^{1000000000} \frac{1}{i^2}", r"\prod_{i=1}^{10^9} i",
    r"\int_0^{10^9} e^{-x^2} \sin(x^3) dx", r"\lim_{x \to \infty} x^{1/x}", r"1 + 10^{10^{10}} - 10^{10^{10}}",
    "{" * 400 + "5" + "}" * 400, "(" * 400 + "5" + ")" * 400, "[1," * 300 + "5" + "]" * 300,
    r"\sqrt{" * 100 + "25" + "}" * 100, r"\frac{1}{" * 100 + "5" + "}" * 100,
]  # fmt: skip
NOT_TOO_MUCH = [
    ("2^{2023}", r"2 \cdot 2^{2022}"), ("x^{1000000000}", r"x \cdot x^{999999999}"), ("2^{1000000}", "4^{500000}"),
    ("(1 + x)^{2023}", "(x + 1)^{2023}"), ("(-1)^{10^{30}}", "1"), ("100!", r"100 \cdot 99!"),
    (r"\binom{2023}{2}", r"\frac{2023 \cdot 2022}{2}"), ("((((((((5))))))))", "5"), (r"\sqrt{2}^{100}", "2^{50}"),
    ("e^{10}", "e^{5} e^{5}"), (r"\pi^{2}", r"\pi \pi"), ("x^{2}y", "yx^2"),
]  # fmt: skip


def test_an_answer_that_nobody_can_work_out_is_wrong_without_trying(reward):
    logged = {}
    answers = boxed(*TOO_MUCH, "5", "6")
    scores = reward(answers * 3, answer=[r"\sqrt{25}"] * 3 * len(answers), log_metric=logged.__setitem__)
    assert dict(zip(answers, scores, strict=False)) == dict.fromkeys(answers, 0.0) | {answers[-2]: 1.0}
    assert set(logged.values()) == {0.0}, "none is at the time limit"


@pytest.mark.parametrize(("gold", "answer"), NOT_TOO_MUCH)
def test_large_numbers_that_can_be_worked_out_are(grade, gold, answer):
    assert grade((gold, answer)) is True


@pytest.mark.slow
@whatever_the_speed(3.0, 60.0)
def test_a_comparison_that_hangs_is_none_also_off_the_main_thread(caplog, seconds):
    caplog.clear()
    reward, scores, logged = MathAccuracy(timeout=seconds), [], []
    columns = {
        "completions": boxed("5", "5", "7", "6", "5"),
        "answer": [r"\sqrt{25}", HANGS, HANGS, "5", r"\sqrt{25}"],
    }
    thread = threading.Thread(
        target=lambda: scores.extend(reward(**columns, log_metric=lambda *metric: logged.append(metric)))
    )
    thread.start()
    thread.join()
    assert scores == [1.0, None, None, 0.0, 1.0]
    assert logged == [("math_accuracy/timeout_rate", 0.4), ("math_accuracy/error_rate", 0.0)]
    assert caplog.text.count(f"no result after {seconds:g} s. The row gets no reward.") == 2


def test_the_same_huge_formula_is_right_without_working_it_out(grade):
    assert grade((TOO_LARGE[0], "10^{ 10^{10} }")) is True


def test_a_reference_that_nobody_can_work_out_is_told_by_its_column_and_not_tried(reward, caplog):
    logged = {}
    answers = [gold for gold in TOO_LARGE for _ in range(2)] + ["5"]
    given = boxed(*(["7", r"10^{10^{9}}"] * len(TOO_LARGE)), "5")
    assert reward(given, answers, log_metric=logged.__setitem__) == [None] * (len(given) - 1) + [1.0]
    assert logged["math_accuracy/timeout_rate"] == 0.0
    said = "the reference '10^{10^{10}}': ValueError: Column `answer` holds a number of more than 1,000,000 digits"
    assert said in caplog.text


def test_no_answer_is_wrong_and_no_reference_is_skipped(reward):
    completions = [*boxed("5"), "", "5", "<answer>5</answer><answer>6</answer>", "\\boxed{5} " * 20_000, "x" * 100_000]
    assert reward(completions, answer=[5] * 6) == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    message = [[{"role": "assistant", "content": boxed("1/2")[0]}]]
    assert reward(message, answer=[0.5]) == reward(message, answer=[r"Thus $\boxed{\frac{1}{2}}$."]) == [1.0]
    assert reward(boxed("0.00002", "e - 5", "10^{16}"), answer=[2e-5, 1e-5, 1e16]) == [1.0, 0.0, 1.0]
    assert reward(completions, answer=[None, "", " ", float("nan"), "$$", "$1$ or $2$"]) == [None] * 6
    for gold in (True, [5]):
        with pytest.raises(TypeError, match="`answer` must hold a number or LaTeX"):
            reward(completions[:1], answer=[gold])


SHARED = [r"\frac{1}{3}", "x + 1", "7", r"\sqrt{2}"]


def test_it_agrees_with_trl_on_plain_cases(reward):
    pairs = [(gold, answer) for gold in SHARED for answer in SHARED]
    golds = [gold for gold, _ in pairs]
    messages = [[{"role": "assistant", "content": text}] for text in boxed(*(answer for _, answer in pairs))]
    trl = accuracy_reward(messages, solution=[f"${gold}$" for gold in golds])
    assert reward(messages, answer=golds) == trl
    assert sum(trl) == len(SHARED)


def test_where_trl_pays_for_two_answers_it_does_not(reward):
    messages = [[{"role": "assistant", "content": text}] for text in (r"\boxed{5}, or \boxed{6}", r"$\boxed{6 = 5}$")]
    assert 1.0 in accuracy_reward(messages, solution=["$5$", "$5$"])
    assert reward(messages, answer=["5", "5"]) == [0.0, 0.0]


@pytest.mark.slow
@whatever_the_speed(5.0, 60.0)
def test_in_a_worker_of_the_guard_it_grades_there_and_the_guard_counts(seconds):
    guarded = GuardedReward(MathAccuracy(), GuardSettings(workers=1, timeout=seconds))
    assert guarded(completions=boxed("5", "7", "6"), answer=["5", HANGS, "5"]) == [1.0, None, 0.0]
    assert [score.failure for score in guarded.take_scores()] == [None, "timeout", None]
    guarded.close()


def test_it_pickles_with_its_settings_and_without_its_processes(reward):
    reward(boxed("5"), answer=["5"])
    copy = pickle.loads(pickle.dumps(reward))
    assert (copy._graders.timeout, copy._graders._pool) == (60.0, None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timeout": 0}, "`timeout` must be a finite number above 0, got 0"),
        ({"timeout": None}, "got None"),
        ({"workers": 1.5}, "`workers` must be a whole number, got 1.5"),
        ({"memory_gb": -1}, "`memory_gb` must be a finite number above 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MathAccuracy(**settings)


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "truealign\[math\]"'):
        rewards.MathAccuracy()(boxed("5"), answer=["5"])
