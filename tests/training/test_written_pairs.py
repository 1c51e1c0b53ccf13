from itertools import pairwise

import pyarrow.parquet as parquet
import pytest

from align.data.pairs.preferences import check_pair, pair_to_row
from align.report.run.folder import read_pairs
from align.training.shown_rows import PAIRS_FILE, write_pairs

ROW = {
    "id": "a",
    "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of France?"}],
    "chosen": [{"role": "assistant", "content": "Paris."}],
    "rejected": [{"role": "assistant", "content": "Rome."}],
    "chosen_spans": [[0, 5]],
    "rejected_spans": [[0, 4]],
    "spans_from": "offsets",
}


def written(folder, rows, **settings):
    write_pairs(folder, rows, **settings)
    return read_pairs(folder / PAIRS_FILE)


def test_messages_become_text_and_spans_still_point_at_the_words(tmp_path):
    (row,) = written(tmp_path, [ROW])
    assert row == {
        "id": "a",
        "prompt": "system: Be brief.\n\nuser: Capital of France?",
        "chosen": "Paris.",
        "rejected": "Rome.",
        "chosen_spans": [[0, 5]],
        "rejected_spans": [[0, 4]],
        "spans_from": "offsets",
        "marked_share": None,
        "source": None,
        "attribute": None,
        "tie": None,
        "images": None,
    }


def test_a_pair_for_a_reward_model_keeps_its_source_and_needs_no_spans(tmp_path):
    pair = {side: ROW[side] for side in ("id", "prompt", "chosen", "rejected")}
    (row,) = written(tmp_path, [pair | {"source": "paraphrase", "attribute": "tone", "tie": True, "row": 3}])
    assert (row["source"], row["attribute"], row["tie"]) == ("paraphrase", "tone", True)
    assert (row["chosen_spans"], row["spans_from"], row["marked_share"]) == ([], None, None)


def test_a_tagged_pair_comes_through_with_its_words_marked(tmp_path):
    chosen, rejected = (
        [{"role": "assistant", "content": f"It is <MASK>{city}</MASK>."}] for city in ("Paris", "Rome")
    )
    pair = check_pair({"prompt": ROW["prompt"], "chosen": chosen, "rejected": rejected})
    (row,) = written(tmp_path, [pair_to_row(pair)])
    assert [row["chosen"][start:end] for start, end in row["chosen_spans"]] == ["Paris"]
    assert [row["rejected"][start:end] for start, end in row["rejected_spans"]] == ["Rome"]
    assert row["spans_from"] == "tags"


def test_plain_text_stays_as_it_is(tmp_path):
    (row,) = written(tmp_path, [ROW | {"prompt": "Q: ", "chosen": "Paris.", "rejected": " Rome", "marked_share": 0.5}])
    assert (row["prompt"], row["chosen"], row["rejected"], row["marked_share"]) == ("Q: ", "Paris.", " Rome", 0.5)


@pytest.mark.parametrize(("count", "limit"), [(1000, 40), (40, 40), (41, 40), (3, 40), (1, 40), (50, 1)])
def test_the_sample_is_bounded_spread_evenly_and_starts_with_the_first(tmp_path, count, limit):
    rows = [ROW | {"id": str(number)} for number in range(count)]
    kept = [int(row["id"]) for row in written(tmp_path, rows, limit=limit)]
    assert len(kept) == min(count, limit)
    assert kept[0] == 0
    gaps = [later - earlier for earlier, later in pairwise(kept)]
    assert not gaps or max(gaps) - min(gaps) <= 1
    assert limit == 1 or kept[-1] == count - 1


def test_no_rows_make_an_empty_table(tmp_path):
    assert written(tmp_path, []) == []


def test_a_table_is_replaced_whole(tmp_path):
    write_pairs(tmp_path, [ROW] * 3)
    write_pairs(tmp_path, [ROW])
    assert parquet.read_table(tmp_path / PAIRS_FILE).num_rows == 1
    assert [path.name for path in tmp_path.iterdir()] == [PAIRS_FILE]
