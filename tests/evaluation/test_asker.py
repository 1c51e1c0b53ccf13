import sqlite3
from contextlib import closing

import pytest
from scripted_policies import AlwaysA, TraceUser
from scripted_run import evaluate, make_questions, values

from align.errors import UserError
from align.evaluation.asking import Asker, KeptAnswers
from align.evaluation.suites.questions.suite import SuiteSettings, evaluate_suites
from align.models.answer_cache import AnswerCache
from align.models.policies.asking import Decoding

QUESTIONS = make_questions(20)


class Killed(RuntimeError):
    """Stands for the end of the process."""


class Mortal(TraceUser):
    """Dies after it was asked so many times, and counts what it was asked."""

    chunk_size = 5
    fingerprint = "mortal"

    def __init__(self, lives: int) -> None:
        self.lives = lives
        self.asked: list[str] = []

    def _live(self, ids):
        self.lives -= 1
        if self.lives < 0:
            raise Killed
        self.asked += ids

    def generate(self, questions, decoding):
        self._live([question.id for question in questions])
        return super().generate(questions, decoding)

    def score_letters(self, rows):
        self._live([f"{row.question.id}/{row.order}/{row.prefix}" for row in rows])
        return super().score_letters(rows)


def run(policy, folder, **settings):
    with closing(AnswerCache(folder)) as cache:
        kept = KeptAnswers(cache)
        return evaluate_suites(Asker(policy, kept=kept), QUESTIONS, SuiteSettings(**settings)), kept


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What a run asks that is not killed, and what it finds."""
    policy = Mortal(1000)
    run(policy, tmp_path_factory.mktemp("undisturbed"))
    return sorted(policy.asked), values(evaluate(TraceUser(), QUESTIONS))


@pytest.mark.parametrize("lives", [1, 3, 5, 9])
def test_a_killed_run_goes_on_and_asks_nothing_twice(tmp_path, undisturbed, lives):
    first, second = Mortal(lives), Mortal(1000)
    with pytest.raises(Killed):
        run(first, tmp_path / "killed")
    result, _ = run(second, tmp_path / "killed")
    asked, expected = undisturbed
    assert first.asked
    assert sorted(first.asked + second.asked) == asked
    assert values(result) == pytest.approx(expected, nan_ok=True)


def test_a_finished_run_asks_nothing_again_and_a_new_suite_only_its_own(tmp_path):
    run(Mortal(1000), tmp_path, suites=("accuracy", "consistency"))
    again, more = Mortal(0), Mortal(1000)
    _, kept = run(again, tmp_path, suites=("accuracy", "consistency"))
    assert kept.num_cached == 40  # first and second answers of 20 questions
    run(more, tmp_path, suites=("accuracy", "rotation"))
    assert len(more.asked) == 20 * 3  # the rotations of four options


@pytest.mark.parametrize("change", [{"seed": 1}, {"max_new_tokens": 7}])
def test_another_profile_has_its_own_answers(tmp_path, change):
    run(Mortal(1000), tmp_path, suites=("accuracy",))
    other = Mortal(1000)
    run(other, tmp_path, suites=("accuracy",), decoding=Decoding(**change))
    assert len(other.asked) == 20


def test_another_policy_has_its_own_answers(tmp_path):
    run(TraceUser(), tmp_path, suites=("accuracy",))
    result, kept = run(AlwaysA(), tmp_path, suites=("accuracy",))
    assert kept.num_cached == 0
    assert values(result)["accuracy"] == 0.25


def test_progress_counts_every_stage_to_its_end(tmp_path):
    seen = {}
    asker = Asker(
        Mortal(1000), kept=KeptAnswers(progress=lambda stage, done, total: seen.update({stage: (done, total)}))
    )
    evaluate_suites(asker, QUESTIONS, SuiteSettings())
    assert seen == {
        "answering": (20, 20),
        "shuffled options": (20, 20),
        "rotated options": (20, 20),
        "changed traces": (20, 20),
    }


def test_a_full_disk_is_one_sentence_with_a_remedy(tmp_path, monkeypatch):
    with closing(AnswerCache(tmp_path)) as cache:

        def full(*args, **kwargs):
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(cache._cache, "transact", full)
        with pytest.raises(UserError, match=r"cannot be kept in .* disk is full\. Free space there or choose another"):
            cache.put({"a": 1})


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be kept in .*file"):
        AnswerCache(tmp_path / "file")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_samples": 0}, r"`num_samples` must be at least 1, got 0"),
        ({"max_new_tokens": 0}, r"`max_new_tokens` must be at least 1, got 0"),
        ({"temperature": -1.0}, r"`temperature` must be a number from 0 \(greedy\), got -1.0"),
        ({"top_p": 0.0}, r"`top_p` must lie above 0 and be at most 1, got 0.0"),
        ({"num_samples": 4}, r"`num_samples` = 4 greedy responses would all be the same\. Give a `temperature`"),
    ],
)
def test_a_profile_that_cannot_be_is_refused(settings, message):
    with pytest.raises(UserError, match=message):
        Decoding(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"suites": ("acuracy",)}, r"`suite` must be some of accuracy, .*best_of_n, got \['acuracy'\]"),
        ({"suites": ()}, r"`suite` must be some of .*, got none"),
        ({"suites": ("accuracy", "accuracy")}, r"`suite` names each suite once"),
        ({"num_shuffles": 0}, r"`num_shuffles` must be at least 1, got 0"),
        ({"suites": ("best_of_n",)}, r"chooses among samples, got `num_samples` = 1\. Give `--num_samples 8"),
    ],
)
def test_suites_that_cannot_be_measured_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        SuiteSettings(**settings)
