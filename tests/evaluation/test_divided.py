import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext

import pytest
from scripted_policies import TraceUser
from scripted_run import make_questions, values

from align.errors import UserError
from align.evaluation.asking import Asker, KeptAnswers
from align.evaluation.divided.command import Shard, ShardRecord, find_paths, read_number
from align.evaluation.divided.division import Division, Launched, current, dividing, end_of_part, own_part
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
        with dividing(Launched(Threads(rank, size, told, barrier), Division())):
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
    return None, asked


def shard(number, of):
    return Shard(ShardRecord(number=number, of=of, options={}, paths={}))


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


def test_shards_deal_chunks_out_by_number_whatever_they_have_asked_before(tmp_path, monkeypatch):
    contents = list("abcdefghij")
    _, chunks = answers_of(contents, tmp_path / "one", Division())
    for _ in range(2):  # a shard that goes on asks what is missing
        parts = []
        for number in (1, 2, 3):
            division = shard(number, 3)
            division.claim(tmp_path / f"shard-{number}", tmp_path, {})
            found, asked = answers_of(contents, tmp_path / f"cache-{number}", division)
            assert found is None
            parts.append(asked)
        if _ == 0:
            assert parts == [[chunks[0], chunks[3]], [chunks[1], chunks[4]], [chunks[2]]]
    assert parts == [[], [], []]


def test_a_part_ends_where_others_have_the_answers(tmp_path):
    reached = []
    division = shard(1, 2)
    division.claim(tmp_path, tmp_path, {})
    with dividing(division):
        with own_part():
            KeptAnswers().ask("one", lambda places: places, [["a"]], [0], 1)
            reached.append("the only chunk is here")
            KeptAnswers().ask("two", lambda places: places, [["a"], ["b"]], [0, 0], 1)
            reached.append("never")
        with own_part():
            reached.append("what needs no answer")
        end_of_part()
        reached.append("never")
    assert reached == ["the only chunk is here", "what needs no answer"]
    with dividing(Division()), own_part():
        end_of_part()
        reached.append("alone")
    assert reached[-1] == "alone"


@pytest.mark.parametrize("text", ["", "1", "1/", "/2", "0/2", "3/2", "-1/2", "1/2/3", "a/b", "1.0/2"])
def test_a_shard_is_one_of_n(text):
    with pytest.raises(UserError, match="`--shard` must be i/n with i from 1 to n"):
        read_number(text)


def test_files_that_options_name_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("")
    (tmp_path / "mine.py").write_text("")
    options = {"data": "rows.jsonl", "rewards": ("number_accuracy", "./mine.py:brevity"), "seed": 0, "recipe": None}
    assert find_paths(options | {"reward_kwargs": "a" * 5000 + "\0"}) == {
        "rows.jsonl": "data",
        "./mine.py": "rewards",
    }


def test_a_part_that_asks_nothing_leaves_nothing_to_compare():
    division = Division()
    with dividing(division):
        with own_part():
            pass
        assert not division.is_first
