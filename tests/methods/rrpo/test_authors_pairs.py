"""The schema of the authors' pairs, which bears the paper's name."""

import pytest
from clips import shown_numbers, write_clip
from pair_recipe import write_rows
from scenes import write_squares

from align.data import PREFERENCE_ADAPTERS, DataError, load_preferences, pair_to_row
from align.recipe.dataset import MediaSettings

ROW = {
    "sample_id": 3, "question": "What happens?", "src": "lab",
    "answer": "A man cooks, then eats.", "answer_masked": "A man <MASK> cooks </MASK>, then <MASK>eats</MASK>.",
    "pred": "A man sings, then eats.", "pred_masked": "A man <MASK> sings </MASK> , then eats.",
}  # fmt: skip


def test_the_data_of_the_authors_loads_with_its_spans_and_its_own_whitespace(tmp_path):
    (pair,), _ = load_preferences(write_rows(tmp_path / "pairs.jsonl", [ROW]), adapter="rrpo")
    assert (pair.id, pair.prompt, pair.chosen, pair.rejected) == ("3", "What happens?", ROW["answer"], ROW["pred"])
    assert [pair.chosen[a:b] for a, b in pair.chosen_spans] == ["cooks", "eats"]
    assert [pair.rejected[a:b] for a, b in pair.rejected_spans] == ["sings"]
    assert pair.spans_from == "tags"


@pytest.mark.parametrize("media", [{"video": "a.mp4"}, {"media_path": "a.mp4"}, {"image": "00-red.png"},
                                   {"images": ["00-red.png"]}, {"media_path": "00-red.png"}])  # fmt: skip
def test_the_data_of_the_authors_loads_with_its_media(tmp_path, media):
    write_squares(tmp_path, ("red",))
    write_clip(tmp_path / "a.mp4", 4)
    row = ROW | {"question": f"<image>\n{ROW['question']}"} | media
    settings = MediaSettings(frames_dir=str(tmp_path / "frames"), num_frames=2)
    (pair,), _ = load_preferences(write_rows(tmp_path / "pairs.jsonl", [row]), adapter="rrpo", media=settings)
    assert pair.prompt == [{"role": "user", "content": "What happens?"}]
    assert (pair.chosen, pair.rejected) == (ROW["answer"], ROW["pred"])
    assert [pair.chosen[a:b] for a, b in pair.chosen_spans] == ["cooks", "eats"]
    if "a.mp4" in media.values():
        assert shown_numbers(pair.images) == [1, 3]
    else:
        assert pair.images == (str(tmp_path / "00-red.png"),)
    assert pair_to_row(pair)["images"] == list(pair.images)


def test_masked_texts_without_tags_mark_nothing(tmp_path):
    row = ROW | {"answer_masked": ROW["answer"], "pred_masked": ROW["pred"]}
    (pair,), _ = load_preferences(write_rows(tmp_path / "pairs.jsonl", [row]), adapter="rrpo")
    assert (pair.chosen_spans, pair.rejected_spans, pair.spans_from) == ((), (), "tags")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video": "a.mp4"}, "column `video`: the video file does not exist.*'a.mp4'"),
        ({"video": "a.mp4", "image": "a.png"}, "column `image`: the row has video and image"),
        ({"video": "a.mp4", "question": None}, "column `question`: the column is not a text"),
        ({"answer_masked": "A man <MASK>cooks</MASK>."}, "column `answer_masked`: the text is not that of `answer`"),
        ({"pred_masked": "A <MASK>man"}, "column `pred_masked`: a <MASK> tag is not closed"),
        ({"pred_masked": None}, "column `pred_masked`: the column is not a text"),
        ({"answer": ROW["pred"], "answer_masked": ROW["pred"]}, "chosen and rejected are equal"),
    ],
)
def test_rows_that_break_the_schema_of_the_authors_are_reported(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        load_preferences(write_rows(tmp_path / "pairs.jsonl", [ROW | change]), adapter="rrpo")


def test_a_column_that_an_adapter_needs_is_named(tmp_path):
    row = {key: value for key, value in ROW.items() if key != "pred"}
    with pytest.raises(DataError, match="has no column `pred`, which the adapter `rrpo` needs"):
        load_preferences(write_rows(tmp_path / "pairs.jsonl", [row]), adapter="rrpo")
    assert set(PREFERENCE_ADAPTERS) == {"rrpo"}
