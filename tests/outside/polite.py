"""A reward and an adapter of another package."""


def politeness(completions, **kwargs):
    """1 if a completion says please."""
    return [float("please" in (each if isinstance(each, str) else each[-1]["content"])) for each in completions]


def from_forum(row):
    """Makes a pair of a row of a forum, which has a question and two answers with votes."""
    better, worse = sorted(row["answers"], key=lambda each: -each["votes"])
    return {"id": row["thread"], "prompt": row["title"], "chosen": better["text"], "rejected": worse["text"]}
