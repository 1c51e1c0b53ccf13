import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext

import pytest
from scripted_policies import TraceUser
from scripted_run import make_questions, values

from align.errors import UserError
from align.evaluation.asking import Asker, KeptAnswers
from align.evaluation.divided import Division, Launched, current, dividing, end_of_part
from align.evaluation.suites.questions.suite import SuiteSettings, evaluate_suites
from align.models.answer_cache import AnswerCache

QUESTIONS = make_questions(23)


class Chunks(TraceUser):
    """Keeps the chunks that it was asked."""

    chunk_size = 5
    fingerprint = "chunks"

    def __init__(self):
        self.asked = []

    def generate(self, questions, decoding):
        self.asked.append(tuple(question.id for question in questions))
        return super().generate(questions, decoding)

    def score_letters(self, rows):
        self.asked.append(tuple(f"{row.question.id}/{row.order}/{row.prefix}" for row in rows))
        return super().score_letters(rows)


class Threads:
    """Peers that are threads of this process."""

    is_local_main = True

    def __init__(self, rank, size, told, barrier):
        self.rank, self.size, self._told, self._barrier = rank, size, told, barrier

    def gather(self, name, value):
        self._told[name, self.rank] = value
        self._barrier.wait()
        return [self._told[name, rank] for rank in range(self.size)]

    def forget(self, name):
        del self._told[name, self.rank]

    def host_of(self, rank):
        return f"host-{rank}"


def launch(size, work):
    """Runs `work(rank)` in threads that divide an evaluation; returns what each returned, and what is still told."""
    told, barrier = {}, threading.Barrier(size, timeout=120)

    def part(rank):
        with dividing(Launched(Threads(rank, size, told, barrier))):
            try:
                return work(rank)
            except UserError:
                barrier.abort()  # as the watch of a launch ends the others
                raise

    with ThreadPoolExecutor(size) as pool:
        return [future.result() for future in [pool.submit(part, rank) for rank in range(size)]], told


def ask_suites(folder, questions=QUESTIONS):
    policy = Chunks()
    with closing(AnswerCache(folder)) as cache:
        kept = KeptAnswers(cache)
        result = evaluate_suites(Asker(policy, kept=kept), questions, SuiteSettings())
    return values(result), policy.asked, kept.num_cached


def test_processes_of_a_launch_ask_the_chunks_of_one_process_between_them(tmp_path):
    alone, chunks, _ = ask_suites(tmp_path / "alone")
    found, told = launch(3, lambda rank: ask_suites(tmp_path / str(rank)))
    for result, _, num_cached in found:
        assert result == pytest.approx(alone, nan_ok=True)
        assert num_cached == 0
    assert sorted(chunk for _, asked, _ in found for chunk in asked) == sorted(chunks)
    assert all(len(asked) >= len(chunks) // 3 - 2 for _, asked, _ in found)
    assert len({name for name, _ in told}) <= 2  # what all have heard is taken back

    again, _ = launch(3, lambda rank: ask_suites(tmp_path / ("0" if rank == 0 else f"{rank} of another host")))
    assert [(asked, num_cached) for _, asked, num_cached in again] == [([], 23 * 4)] * 3
    assert ask_suites(tmp_path / "1")[1] == chunks  # only the main process keeps answers


def test_a_process_with_other_data_ends_the_launch():
    other = make_questions(22)
    with pytest.raises(UserError, match=r"Process 1 on host-1 asks something else than process 0 \(answering\)"):
        launch(2, lambda rank: evaluate_suites(Asker(Chunks()), other if rank else QUESTIONS, SuiteSettings()))


def answers_of(contents, folder, division, size=2):
    asked = []

    def ask(places):
        asked.append(places)
        return [f"{contents[i]} of {places}" for i in places]

    with closing(AnswerCache(folder)) if folder else nullcontext() as cache, dividing(division):
        found = KeptAnswers(cache).ask("asking", ask, [[each] for each in contents], [0] * len(contents), size)
        return found, asked


def test_equal_items_of_later_chunks_are_asked_once_in_every_division(tmp_path):
    contents = ["a", "b", "b", "c", "a", "d", "d", "d"]
    found, chunks = answers_of(contents, tmp_path / "one", Division())
    assert chunks == [[0, 1], [3], [5]]
    assert found[2] == found[1] == "b of [0, 1]"
    together, _ = launch(2, lambda rank: answers_of_launched(contents, tmp_path / str(rank)))
    assert [each[0] for each in together] == [found, found]
    assert sorted(chunk for _, asked in together for chunk in asked) == chunks


def answers_of_launched(contents, folder):
    return answers_of(contents, folder, current())


def test_without_a_cache_equal_items_are_asked_as_often_as_they_are_there():
    assert answers_of(["a", "a", "a"], None, Division())[1] == [[0, 1], [2]]
    together, _ = launch(2, lambda rank: answers_of_launched(["a", "a", "a"], None))
    assert [asked for _, asked in together] == [[[0, 1]], [[2]]]


def test_every_process_but_the_one_that_writes_ends_where_all_is_asked():
    reached, _ = launch(2, lambda rank: (end_of_part(), rank)[1])
    assert reached == [0, None]
    end_of_part()  # one process writes
