import json
import shutil
from collections import Counter

import pytest
from clips import shown_numbers, write_clip
from scenes import write_squares

from align.data import ADAPTERS, DataError, load_questions
from align.recipe.dataset import MediaSettings, MultipleChoiceDatasetConfig

CHOICES = {"text": ["iron", "gold", "zinc"], "label": ["A", "B", "C"]}
VIDEO = {
    "problem_id": 12, "problem": "What rusts?", "data_type": "image", "problem_type": "multiple choice",
    "options": ["A. iron", "B. gold"], "solution": "<answer>B</answer>", "path": "a.png", "data_source": "lab",
}  # fmt: skip
ROWS = {
    "sciq": {"question": "What rusts?", "distractor3": "tin", "distractor1": "gold", "distractor2": "zinc",
             "correct_answer": "iron", "support": "Iron rusts."},
    "arc": {"id": "x1", "question": "What rusts?", "choices": CHOICES, "answerKey": "A"},
    "in_prompt": {"id": "p1", "prompt": [{"role": "user", "content": "What rusts?\nA. iron\nB. gold\nAnswer:"}],
                  "solution": "A"},
    "openbookqa": {"id": "x1", "question_stem": "What rusts?", "choices": CHOICES, "answerKey": "A"},
    "mmlu": {"question": "What rusts?", "subject": "metals", "choices": ["gold", "iron"], "answer": 1},
    "mmlu_pro": {"question_id": 3, "question": "What rusts?", "options": ["gold", "iron"], "answer": "B",
                 "answer_index": 1, "cot_content": "", "category": "metals", "src": "own"},
    "video_r1": VIDEO | {"solution": "<answer>A</answer>"},
    "mmvu": {"id": "validation_0", "question": "What rusts?", "choices": {"A": "gold", "B": "iron"}, "answer": "B",
             "question_type": "multiple-choice", "metadata": {"subject": "Chemistry"},
             "video": "https://huggingface.co/datasets/owner/MMVU/resolve/main/videos/a.mp4"},
    "mathvista": {"pid": "7", "question": "What rusts?", "image": "a.png", "decoded_image": None, "unit": None,
                  "choices": ["gold", "iron"], "answer": "iron", "question_type": "multi_choice",
                  "metadata": {"source": "IconQA"}},
    "mathverse": {"sample_index": "9", "question": "What rusts?\nChoices:\nA:gold\nB:iron", "image": "a.png",
                  "answer": "B", "question_type": "multi-choice", "problem_version": "Text Lite"},
    "mathvision": {"id": "4", "question": "What rusts?\n<image1>", "options": ["gold", "iron"], "answer": "B",
                   "image": "a.png", "decoded_image": None, "subject": "metals"},
    "video_mme": {"videoID": "a", "question_id": "1-1", "question": "What rusts?", "options": ["A. gold", "B. iron"],
                  "answer": "B", "task_type": "Object Reasoning", "duration": "short"},
    "mvbench": {"video": "a.mp4", "question": "What rusts?", "candidates": ["gold", "iron"], "answer": "iron"},
    "tvbench": {"video": "a.mp4", "question": "What rusts?", "candidates": ["gold", "iron"], "answer": "iron"},
    "mlvu": {"video": "a.mp4", "question": "What rusts?", "candidates": ["gold", "iron"], "answer": "iron",
             "duration": 480.0, "question_type": "needle"},
    "longvideobench": {"id": "v_0", "question": "What rusts?", "option0": "gold", "option1": "iron", "option2": "N/A",
                       "correct_choice": 1, "video_path": "a.mp4", "question_category": "S2E"},
    "vsi_bench": {"id": 3, "dataset": "lab", "scene_name": "a", "question_type": "route_planning",
                  "question": "What rusts?", "options": ["A. gold", "B. iron"], "ground_truth": "B"},
    "video_mmmu": {"id": "dev_Basic_Physics_1", "question": "What rusts?", "options": ["gold", "iron"],
                   "answer": "B", "question_type": "multiple-choice"},
    "tempcompass": {"video_id": "a", "question": "What rusts?\nA. gold\nB. iron", "answer": "B. iron",
                    "dim": "action"},
    "videohallucer": {
        "basic": {"video": "a.mp4", "question": "What rusts?", "answer": "yes"},
        "hallucination": {"video": "videos/a.mp4", "question": "Does gold?", "answer": "No"},
        "type": "relation",
    },
}  # fmt: skip


def load(tmp_path, adapter, *rows, **settings):
    write_squares(tmp_path / "squares", ("red",))
    shutil.copy(tmp_path / "squares" / "00-red.png", tmp_path / "a.png")
    settings["media"] = MediaSettings(frames_dir=str(tmp_path / "frames"), num_frames=4)
    if not (tmp_path / "videos").exists():
        write_clip(tmp_path / "videos" / "a.mp4", 8)
        (tmp_path / "lab").mkdir()
        for name in ("a.mp4", "lab/a.mp4", "dev_Basic_Physics_1.mp4"):
            shutil.copy(tmp_path / "videos" / "a.mp4", tmp_path / name)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_questions(tmp_path / "rows.jsonl", adapter=adapter, **settings)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_right_option_survives_every_adapter(tmp_path, adapter):
    (question, *_), _ = load(tmp_path, adapter, ROWS[adapter])
    assert question.question == "What rusts?"
    assert question.options[question.answer] == ("yes" if adapter == "videohallucer" else "iron")
    assert len(set(question.options)) == len(question.options) >= 2


def test_ids_and_groups_come_along(tmp_path):
    found = {name: load(tmp_path, name, ROWS[name])[0][0] for name in ADAPTERS}
    assert {name: q.id for name, q in found.items()} == {
        "sciq": "rows-1", "arc": "x1", "in_prompt": "p1", "openbookqa": "x1", "mmlu": "rows-1",
        "mmlu_pro": "3", "video_r1": "12",
        "mmvu": "validation_0", "mathvista": "7", "mathverse": "9", "mathvision": "4", "video_mme": "1-1",
        "mvbench": "rows-1", "tvbench": "rows-1", "mlvu": "rows-1", "longvideobench": "v_0", "vsi_bench": "3",
        "video_mmmu": "dev_Basic_Physics_1", "tempcompass": "rows-1", "videohallucer": "1-basic",
    }  # fmt: skip
    assert {name: q.group for name, q in found.items() if q.group} == {
        "mmlu": "metals", "mmlu_pro": "metals", "video_r1": "lab", "mmvu": "Chemistry", "mathvista": "IconQA",
        "mathverse": "Text Lite", "mathvision": "metals", "video_mme": "Object Reasoning", "mlvu": "needle",
        "longvideobench": "S2E", "vsi_bench": "route_planning", "video_mmmu": "Basic_Physics", "tempcompass": "action",
        "videohallucer": "relation",
    }  # fmt: skip


def test_every_adapter_can_be_named_in_a_recipe():
    assert set(MultipleChoiceDatasetConfig.schemas) == set(ADAPTERS) == set(ROWS)
    told = MultipleChoiceDatasetConfig.model_fields["adapter"].description
    assert [name for name in ADAPTERS if name not in told] == []


def test_sciq_spreads_the_right_option_over_all_places(tmp_path):
    questions, _ = load(tmp_path, "sciq", *[ROWS["sciq"] | {"question": f"What rusts in {i}?"} for i in range(400)])
    counts = Counter(question.answer for question in questions)
    assert set(counts) == {0, 1, 2, 3}
    assert all(65 < count < 135 for count in counts.values())  # 100 +- 4 standard deviations of 8.7
    again, _ = load(tmp_path, "sciq", ROWS["sciq"] | {"question": "What rusts in 7?"})
    assert again[0].answer == questions[7].answer


def test_arc_labels_may_be_digits(tmp_path):
    choices = {"text": ["iron", "gold"], "label": ["1", "2"]}
    (question,), _ = load(tmp_path, "arc", ROWS["arc"] | {"choices": choices, "answerKey": "2"})
    assert question.answer == 1


def test_video_rows_carry_their_frames(tmp_path):
    image, _ = load(tmp_path, "video_r1", VIDEO)
    assert image[0].images == (str(tmp_path / "a.png"),)
    assert image[0].options == ("iron", "gold")
    video, _ = load(tmp_path, "video_r1", VIDEO | {"data_type": "video", "path": "./videos/a.mp4"})
    assert shown_numbers(video[0].images) == [1, 3, 5, 7]
    frames, _ = load(tmp_path, "video_r1", VIDEO | {"data_type": "video", "path": "a.mp4", "frames": ["a.png"] * 3})
    assert len(frames[0].images) == 3
    more, _ = load(tmp_path, "video_r1", VIDEO | {"data_type": "video", "frames": ["a.png"] * 9})
    assert len(more[0].images) == 4  # as many as the settings say
    none, _ = load(tmp_path, "video_r1", VIDEO | {"data_type": "video", "path": "./videos/a.mp4", "frames": []})
    assert shown_numbers(none[0].images) == [1, 3, 5, 7]
    plain, _ = load(tmp_path, "video_r1", VIDEO | {"options": ["A. iron", "gold"]})
    assert plain[0].options == ("A. iron", "gold")  # not every option has its letter, so it is part of the text


def test_mmvu_rows_are_read_with_their_videos_and_without_the_letters_that_tables_add(tmp_path):
    filled = {"A": "gold", "B": "iron", "C": None, "D": None, "E": None}
    (question,), _ = load(tmp_path, "mmvu", ROWS["mmvu"] | {"choices": filled})
    assert question.options == ("gold", "iron")
    assert shown_numbers(question.images) == [1, 3, 5, 7]


def test_options_in_a_question_are_taken_out_of_it_and_yes_or_no_are_options(tmp_path):
    row = ROWS["tempcompass"] | {
        "question": "A. is a letter.\nWhat rusts?\n(A) gold\n\n(B) iron",
        "answer": "(B) iron",
    }
    (question,), _ = load(tmp_path, "tempcompass", row)
    assert (question.question, question.options, question.answer) == (
        "A. is a letter.\nWhat rusts?",
        ("gold", "iron"),
        1,
    )
    (question,), _ = load(tmp_path, "tempcompass", row | {"question": "Does it rust?", "answer": "no"})
    assert (question.question, question.options, question.answer) == ("Does it rust?", ("yes", "no"), 1)


def test_a_row_of_videohallucer_is_a_set_of_two_questions(tmp_path):
    row = ROWS["videohallucer"]
    questions, report = load(tmp_path, "videohallucer", row, {side: row[side] for side in ("basic", "hallucination")})
    assert [question.id for question in questions] == ["1-basic", "1-hallucination", "2-basic", "2-hallucination"]
    assert [question.contrast_set for question in questions] == ["1", "1", "2", "2"]
    assert [question.options[question.answer] for question in questions] == ["yes", "no"] * 2
    assert [question.group for question in questions] == ["relation", "relation", None, None]
    assert all(len(question.images) == 4 for question in questions)
    assert report.counts["kept"] == 4
    half = {name: value for name, value in row.items() if name != "hallucination"}
    with pytest.raises(DataError, match=r"row 2, column `basic`: there is no pair of questions .*Write \{\"basic"):
        load(tmp_path, "videohallucer", row, half)
    questions, report = load(tmp_path, "videohallucer", row, half, on_bad_rows="skip")
    assert len(questions) == 2
    wrong = row | {"hallucination": row["hallucination"] | {"answer": "perhaps"}}
    with pytest.raises(DataError, match="row 2, column `answer`: the answer of `hallucination` is neither yes nor no"):
        load(tmp_path, "videohallucer", row, wrong)
    questions, report = load(tmp_path, "videohallucer", row, wrong, on_bad_rows="skip")
    assert [question.id for question in questions] == ["1-basic", "1-hallucination"]  # the other half goes, too
    assert list(report.reasons.values()) == [1, 1]


def test_mathvista_takes_the_decoded_image_before_the_path(tmp_path):
    row = ROWS["mathvista"]
    (question,), _ = load(tmp_path, "mathvista", row | {"decoded_image": {"path": "a.png"}, "image": "no.png"})
    assert question.images == (str(tmp_path / "a.png"),)


@pytest.mark.parametrize(
    ("adapter", "row", "message"),
    [
        ("sciq", {"question": "?"}, "has no column `distractor1`, which the adapter `sciq` needs"),
        ("arc", ROWS["arc"] | {"answerKey": "E"}, "`answerKey`: the answer is not among the labels.*'E'.*A, B, C"),
        ("arc", ROWS["arc"] | {"choices": None}, "column `choices`: texts and labels do not pair up"),
        ("arc", ROWS["arc"] | {"choices": CHOICES | {"label": ["A"]}}, "texts and labels do not pair up"),
        ("arc", ROWS["arc"] | {"choices": {"text": []}}, "has no column `label`, which the adapter `arc` needs"),
        ("video_r1", VIDEO | {"path": None}, "column `path`: the image is missing"),
        ("mmlu", ROWS["mmlu"] | {"answer": 4}, "the answer is not among the options"),
        ("video_r1", VIDEO | {"problem_type": "numerical"}, "the row is not multiple choice"),
        ("video_r1", VIDEO | {"data_type": "video", "path": "b.mp4"}, "the video file does not exist"),
        ("video_r1", VIDEO | {"solution": "<answer>3.5</answer>"}, "the solution is not one letter"),
        ("video_r1", VIDEO | {"path": "b.png"}, "the image file does not exist"),
        ("mmvu", ROWS["mmvu"] | {"question_type": "open-ended"}, "`question_type`: the row is not multiple choice"),
        ("mmvu", ROWS["mmvu"] | {"answer": "E"}, "`answer`: the answer is not among the letters.*They are A, B"),
        ("mmvu", ROWS["mmvu"] | {"choices": ["gold"]}, "`choices`: the choices are not texts by letter"),
        ("mmvu", ROWS["mmvu"] | {"video": "https://x.org/a.mp4"}, "the video is a URL"),
        ("mathvista", ROWS["mathvista"] | {"question_type": "free_form"}, "the row is not multiple choice"),
        ("mathvista", ROWS["mathvista"] | {"choices": None}, "`answer`: the answer is not among the choices"),
        ("mathvista", ROWS["mathvista"] | {"image": None}, "`image`: the image is missing"),
        ("mathverse", ROWS["mathverse"] | {"question_type": "free-form"}, "the row is not multiple choice"),
        ("mathverse", ROWS["mathverse"] | {"question": "What rusts?"}, "it does not end with options"),
        ("mathvision", ROWS["mathvision"] | {"options": []}, "`options`: the row is not multiple choice"),
        ("video_mme", ROWS["video_mme"] | {"answer": "E"}, "`answer`: the answer is not the letter of an option"),
        ("video_mme", ROWS["video_mme"] | {"videoID": "b"}, "the video file does not exist"),
        ("mvbench", ROWS["mvbench"] | {"answer": "B"}, "`answer`: the answer is not among the candidates"),
        ("longvideobench", ROWS["longvideobench"] | {"correct_choice": 2}, "`correct_choice`: there is no option"),
        ("vsi_bench", ROWS["vsi_bench"] | {"options": None}, "`options`: the row asks for a number"),
        ("tempcompass", ROWS["tempcompass"] | {"answer": "a cat"}, "`answer`: the answer is not the letter"),
    ],
)
def test_rows_that_break_their_schema_are_reported(tmp_path, adapter, row, message):
    with pytest.raises(DataError, match=message):
        load(tmp_path, adapter, row)
