"""One turn, two rewards of which one awaits, a metric, and settings: how often a letter stands in a word."""

import asyncio

import verifiers.v1 as vf

WORDS = ["pear", "plum", "cherry", "banana", "apple", "mango", "melon", "kiwi"]


class LettersConfig(vf.TasksetConfig):
    letter: str = "e"
    rows: int = 8


class LettersData(vf.TaskData):
    word: str
    answer: str


class LettersTask(vf.Task[LettersData, vf.State, vf.TaskConfig]):
    @vf.reward(weight=2.0)
    async def counted(self, task, trace) -> float:
        await asyncio.sleep(0)
        return float(task.answer in trace.last_reply)

    @vf.reward(weight=0.5)
    async def short(self, trace) -> float:
        return 1.0 / (1 + len(trace.last_reply))

    @vf.metric
    async def characters(self, trace) -> float:
        return float(len(trace.last_reply))


class LettersTaskset(vf.Taskset[LettersTask, LettersConfig]):
    def load(self):
        for place in range(self.config.rows):
            word = WORDS[place % len(WORDS)]
            data = LettersData(
                name=f"{word}{place}",
                prompt=f"How many {self.config.letter} are in {word}?",
                system_prompt="Answer with a number.",
                word=word,
                answer=str(word.count(self.config.letter)),
            )
            yield LettersTask(data, self.config.task)


__all__ = ["LettersTaskset"]
