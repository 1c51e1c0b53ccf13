"""Public multiple-choice schemas, each turned into ours by one small function.

An adapter takes a row as it is published and returns `question`, `options`, `answer` and, where there are some, `id`,
`group` and `image`, `images` or `video`. What it returns is checked like any other row.
"""

import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from align.data.conversations import message_text
from rewards.reading.options import split_options

Row = Mapping[str, Any]
Adapter = Callable[[Row], dict[str, Any]]
LABELLED = re.compile(r"\s*\(?([A-Z])[).:]\s*(.*)", re.DOTALL)
DATA_SET_ADDRESS = re.compile(r"https://[^/]+/datasets/[^/]+/[^/]+/resolve/[^/]+/")  # of a video
IMAGE_PLACE = re.compile(r"<image\d*>")
YES_OR_NO = ("yes", "no")
SOLUTION = re.compile(r"\s*(?:<answer>)?\s*\(?([A-Z])[).]?\s*(?:</answer>)?\s*")


class AdapterError(ValueError):
    """A row that is not what the schema promises; `column` says where."""

    def __init__(self, column: str, rule: str, remedy: str) -> None:
        super().__init__(f"column `{column}`: {rule}. {remedy}")
        self.column = column
        self.rule = rule
        self.remedy = remedy


def question_of(question: Any, options: Any, answer: Any, **more: Any) -> dict[str, Any]:
    """Makes a row of ours; `more` are `id`, `group`, and what the question shows."""
    return {"question": question, "options": options, "answer": answer} | more


def sciq(row: Row) -> dict[str, Any]:
    """Reads SciQ: `question`, `correct_answer`, `distractor1..3`.

    SciQ gives no order, so the right option's place is drawn from a checksum of the question.

    Example:
        >>> row = {"question": "Rust is?", "correct_answer": "oxide", "distractor1": "a", "distractor2": "b",
        ...        "distractor3": "c"}
        >>> sciq(row)["options"], sciq(row)["answer"]
        (['a', 'b', 'c', 'oxide'], 3)
    """
    options = [row[f"distractor{i}"] for i in (1, 2, 3)]
    place = zlib.crc32(str(row["question"]).encode()) % 4
    options.insert(place, row["correct_answer"])
    return question_of(row["question"], options, place)


def arc(row: Row) -> dict[str, Any]:
    """Reads ARC: `question`, `choices` (`text`, `label`), `answerKey`, as tables or as its authors nest them."""
    if isinstance(row["question"], Mapping):
        asked = row["question"]
        choices = {name: [each[name] for each in asked["choices"]] for name in ("text", "label")}
        row = {**row, "question": asked["stem"], "choices": choices}
    return {"id": row.get("id"), "question": row["question"], **_labelled_choices(row)}


def openbookqa(row: Row) -> dict[str, Any]:
    """Reads OpenBookQA: `id`, `question_stem`, `choices` (`text`, `label`), `answerKey`."""
    return {"id": row["id"], "question": row["question_stem"], **_labelled_choices(row)}


def in_prompt(row: Row) -> dict[str, Any]:
    r"""Reads rows whose `prompt` (or `question`), or its last message, shows the options: "... A. tin B. gold".

    Example:
        >>> in_prompt({"prompt": "Which rusts?\nA. iron\nB. gold", "answer": "A"})["options"]
        ['iron', 'gold']
    """
    asked = row["prompt"] if "prompt" in row else row["question"]
    question, options = _question_and_options(asked if isinstance(asked, str) else message_text(asked[-1]))
    column = next(
        (name for name in ("answer", "reference", "solution", "label") if row.get(name) is not None), "answer"
    )
    also = {name: row[name] for name in ("id", "group", *("image", "images", "video")) if row.get(name) is not None}
    return question_of(question, options, row[column], **also)


def mmlu(row: Row) -> dict[str, Any]:
    """Reads MMLU: `question`, `choices`, `answer` (index), `subject`."""
    return question_of(row["question"], row["choices"], row["answer"], group=row.get("subject"))


def mmlu_pro(row: Row) -> dict[str, Any]:
    """Reads MMLU-Pro: `question_id`, `question`, `options` (up to ten), `answer_index`, `category`."""
    about = {"id": row["question_id"], "group": row.get("category")}
    return question_of(row["question"], row["options"], row["answer_index"], **about)


def video_r1(row: Row) -> dict[str, Any]:
    """Reads the Video-R1 style: `problem`, `options` ("A. ..."), `solution`, `data_type`, `path` or `frames`."""
    _require_choice(row, "problem_type", "multiple choice")
    solution = SOLUTION.fullmatch(str(row["solution"]))
    if solution is None:
        raise AdapterError("solution", "the solution is not one letter", "Write <answer>B</answer>.")
    about = {"id": row.get("problem_id"), "group": row.get("data_source")}
    question, options = row["problem"], _without_labels(row["options"])
    return question_of(question, options, ord(solution[1]) - ord("A"), **about, **media_of(row))


def mmvu(row: Row) -> dict[str, Any]:
    """Reads MMVU: `id`, `question`, `choices` (text by letter), `answer` (a letter), `video`, `question_type`."""
    _require_choice(row, "question_type", "multiple-choice")
    choices = row["choices"]
    if not isinstance(choices, Mapping):
        raise AdapterError("choices", "the choices are not texts by letter", 'Write {"A": ..., "B": ...}.')
    letters = [letter for letter, text in choices.items() if text is not None]  # tables fill missing letters
    if row["answer"] not in letters:
        raise AdapterError("answer", "the answer is not among the letters", f"They are {', '.join(letters)}.")
    about = {"id": row.get("id"), "group": _metadata(row, "subject")}
    options, place = [choices[letter] for letter in letters], letters.index(row["answer"])
    question, video = row["question"], row["video"]
    video = DATA_SET_ADDRESS.sub("", video) if isinstance(video, str) else video
    return question_of(question, options, place, video=video, **about)


def mathvista(row: Row) -> dict[str, Any]:
    """Reads MathVista: `pid`, `question`, `choices`, `answer` (a choice), its image and `question_type`."""
    _require_choice(row, "question_type", "multi_choice")
    choices = list(row["choices"] or ())
    if row["answer"] not in choices:
        raise AdapterError("answer", "the answer is not among the choices", "Write one of them.")
    image = _image(row)
    if image is None:
        raise AdapterError("image", "the image is missing", "Write its path.")
    about = {"id": row.get("pid"), "group": _metadata(row, "source"), "image": image}
    return question_of(row["question"], choices, choices.index(row["answer"]), **about)


def video_mme(row: Row) -> dict[str, Any]:
    """Reads Video-MME: `videoID`, `question_id`, `question`, `options`, `answer` (a letter), `task_type`."""
    options = _without_labels(list(row["options"]))
    about = {"id": row.get("question_id"), "group": row.get("task_type")}
    question, place = row["question"], _place(row, "answer", options)
    return question_of(question, options, place, video=f"{row['videoID']}.mp4", **about)


def candidates(row: Row) -> dict[str, Any]:
    """Reads MVBench, TVBench and MLVU: `video`, `question`, `candidates`, `answer` (one of them), `question_type`."""
    options = list(row["candidates"] or ())
    if row["answer"] not in options:
        raise AdapterError("answer", "the answer is not among the candidates", "Write one of them.")
    about = {"group": row.get("question_type")}
    return question_of(row["question"], options, options.index(row["answer"]), video=row["video"], **about)


def longvideobench(row: Row) -> dict[str, Any]:
    """Reads LongVideoBench: `id`, `question`, `candidates` or `option0..4`, `correct_choice`, `video_path`."""
    named = (row.get(f"option{i}") for i in range(5))
    options = list(row.get("candidates") or (option for option in named if option not in (None, "N/A")))
    place = row["correct_choice"]
    if not isinstance(place, int) or not 0 <= place < len(options):
        raise AdapterError(
            "correct_choice", "there is no option at this place", f"There are {len(options)}, from 0 on."
        )
    about = {"id": row.get("id"), "group": row.get("question_category")}
    return question_of(row["question"], options, place, video=row["video_path"], **about)


def vsi_bench(row: Row) -> dict[str, Any]:
    """Reads VSI-Bench's choices: `dataset`, `scene_name`, `question_type`, `question`, `options`, `ground_truth`."""
    if not row.get("options"):
        raise AdapterError("options", "the row asks for a number", "Filter on `options`.")
    options = _without_labels(list(row["options"]))
    about = {"id": row.get("id"), "group": row.get("question_type")}
    question, place = row["question"], _place(row, "ground_truth", options)
    return question_of(question, options, place, video=f"{row['dataset']}/{row['scene_name']}.mp4", **about)


def video_mmmu(row: Row) -> dict[str, Any]:
    """Reads VideoMMMU's choices: `id` (SPLIT_SUBJECT_NUMBER), `question`, `options`, `answer` (a letter)."""
    if not row.get("options"):
        raise AdapterError("options", "the row is not multiple choice", "Filter on `options`.")
    options = _without_labels(list(row["options"]))
    about = {"id": row["id"], "group": "_".join(str(row["id"]).split("_")[1:-1]) or None}
    return question_of(row["question"], options, _place(row, "answer", options), video=f"{row['id']}.mp4", **about)


def tempcompass(row: Row) -> dict[str, Any]:
    """Reads TempCompass: `video_id`, `question` with lines of options, or answered by yes or no, `answer`, `dim`."""
    answer = str(row["answer"])
    if answer.lower() in YES_OR_NO:
        question, options, place = row["question"], ["yes", "no"], YES_OR_NO.index(answer.lower())
    else:
        question, options = _question_and_options(row["question"])
        place = _place(row, "answer", options)
    return question_of(question, options, place, group=row.get("dim"), video=f"{row['video_id']}.mp4")


def mathverse(row: Row) -> dict[str, Any]:
    """Reads MathVerse: `sample_index`, `question` with lines of options, `answer`, `image`, `problem_version`."""
    _require_choice(row, "question_type", "multi-choice")
    question, options = _question_and_options(row["question"])
    about, place = {"id": row.get("sample_index"), "group": row.get("problem_version")}, _place(row, "answer", options)
    shown = {} if row["image"] in (None, "") else {"image": row["image"]}  # versions of text alone have none
    return question_of(question, options, place, **about, **shown)


def mathvision(row: Row) -> dict[str, Any]:
    """Reads MathVision: `id`, `question`, `options`, `answer` (a letter), its image and `subject`."""
    if not row["options"]:
        raise AdapterError("options", "the row is not multiple choice", "Filter on `options`.")
    options = list(row["options"])
    question, place = IMAGE_PLACE.sub("", row["question"]).strip(), _place(row, "answer", options)
    return question_of(question, options, place, id=row.get("id"), group=row.get("subject"), image=_image(row))


def videohallucer(row: Row) -> dict[str, Any]:
    """Reads a question of VideoHallucer, which `split_pair` takes out of its row: `answer` is yes or no."""
    if "pair" not in row:
        remedy = 'Write {"basic": {...}, "hallucination": {...}}, each with video, question and answer.'
        raise AdapterError("basic", "there is no pair of questions", remedy)
    answer = str(row["answer"]).lower()
    if answer not in YES_OR_NO:
        raise AdapterError("answer", f"the answer of `{row['side']}` is neither yes nor no", "Write one of them.")
    name, question = f"{row['pair']}-{row['side']}", row["question"]
    about = {"id": name, "group": row["type"], "contrast_set": row["pair"]}
    return question_of(question, list(YES_OR_NO), YES_OR_NO.index(answer), video=row["video"], **about)


def split_pair(row: Row, number: int) -> list[Row]:
    """Takes a row of VideoHallucer apart: `basic` and `hallucination`, each a question, and `type`."""
    sides = {name: row.get(name) for name in ("basic", "hallucination")}
    shared = {"type": row.get("type"), "pair": number}
    found = [{**side, **shared, "side": name} for name, side in sides.items() if isinstance(side, Mapping)]
    return [*found] if len(found) == len(sides) else [row]


ADAPTERS: dict[str, Adapter] = {
    "sciq": sciq,
    "arc": arc,
    "in_prompt": in_prompt,
    "openbookqa": openbookqa,
    "mmlu": mmlu,
    "mmlu_pro": mmlu_pro,
    "video_r1": video_r1,
    "mmvu": mmvu,
    "mathvista": mathvista,
    "mathverse": mathverse,
    "mathvision": mathvision,
    "video_mme": video_mme,
    "mvbench": candidates,
    "tvbench": candidates,
    "mlvu": candidates,
    "longvideobench": longvideobench,
    "vsi_bench": vsi_bench,
    "video_mmmu": video_mmmu,
    "tempcompass": tempcompass,
    "videohallucer": videohallucer,
}
PARTS: dict[str, Callable[[Row, int], list[Row]]] = {"videohallucer": split_pair}  # of rows with several questions


def _require_choice(row: Row, column: str, kind: str) -> None:
    if row.get(column, kind) != kind:
        raise AdapterError(column, "the row is not multiple choice", f"Filter on `{column}`.")


def _labelled_choices(row: Row) -> dict[str, Any]:
    choices = row["choices"]
    if not isinstance(choices, Mapping) or len(choices["label"]) != len(choices["text"]):
        raise AdapterError("choices", "texts and labels do not pair up", 'Write {"text": [...], "label": [...]}.')
    labels = list(choices["label"])
    if row["answerKey"] not in labels:
        raise AdapterError("answerKey", "the answer is not among the labels", f"The labels are {', '.join(labels)}.")
    return {"options": list(choices["text"]), "answer": labels.index(row["answerKey"])}


def _without_labels(options: Any) -> Any:
    """Removes "A. ", "B. " ... if every option carries its own letter."""
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        return options
    labelled = [LABELLED.fullmatch(option) for option in options]
    if all(match and ord(match[1]) - ord("A") == i for i, match in enumerate(labelled)):
        return [match[2] for match in labelled if match]
    return options


def _question_and_options(text: Any) -> tuple[str, list[str]]:
    """Takes a question and the options that stand in its text apart, "A. ...", "B. ..." and so on."""
    question, options = split_options(str(text))
    if not options:
        raise AdapterError("question", "it does not end with options", "Write A. ..., B. ... and so on.")
    return re.sub(r"\n?(Choices|Options):$", "", question).strip(), options


def _metadata(row: Row, name: str) -> Any:
    metadata = row.get("metadata")
    return metadata.get(name) if isinstance(metadata, Mapping) else None


def _image(row: Row) -> Any:
    decoded = row.get("decoded_image")
    return row["image"] if decoded is None else decoded


def _place(row: Row, column: str, options: Any) -> int:
    """Reads a letter, alone or in front of its option, as a place."""
    found = SOLUTION.fullmatch(str(row[column])) or LABELLED.fullmatch(str(row[column]))
    place = ord(found[1]) - ord("A") if found else -1
    if not 0 <= place < len(options):
        raise AdapterError(
            column, "the answer is not the letter of an option", f"There are {len(options)}, from A on."
        )
    return place


def media_of(row: Row) -> dict[str, Any]:
    """Returns the image, the video or the frames of a row of Video-R1."""
    if row.get("frames"):
        return {"video": row["frames"]}
    kind = row.get("data_type", "text")
    if kind not in ("image", "video"):
        return {}
    if row["path"] is None:
        raise AdapterError("path", f"the {kind} is missing", "Write its path.")
    return {kind: row["path"]}
