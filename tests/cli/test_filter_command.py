import json
import math

import pytest
from started import align
from tiny import tiny_reward_model, tiny_tokenizer

from align.cli.arguments.data import _show
from align.errors import UserError
from align.models.reward_model import RewardModel
from align.services.filter import filter as filter_pairs

ROWS = [
    {
        "id": f"r{i}",
        "prompt": f"question {i}",
        "chosen": f"answer {'x' * (i % 7)}",
        "rejected": f"other {'y' * (i % 5)}",
        "source": ("preference", "upgrade", "irrelevant_query")[i % 3],
        "tie": i % 3 == 2,
        "attribute": "clarity" if i % 3 == 1 else None,
        "mine": i,
    }
    for i in range(30)
]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A reward model with large margins, so that it is sure of some pairs."""
    folder = tmp_path_factory.mktemp("base")
    tiny_reward_model(initializer_range=0.4).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def filter_rows(data, out, base, tau=0.2, **settings):
    found = filter_pairs(data, out=out, base=base, tau=tau, **{"batch_size": 8} | settings)
    _show(found)
    return int(not found.num_kept)


def test_what_is_kept_follows_from_the_base_models_margins(data, base, tmp_path, capsys):
    out = tmp_path / "new" / "kept.jsonl"
    assert filter_rows(data, out, base) == 0
    margins = RewardModel.load(base).margins(
        *([row[name] for row in ROWS] for name in ("prompt", "chosen", "rejected"))
    )
    expected = {}
    for row, margin in zip(ROWS, margins, strict=True):
        p = 1 / (1 + math.exp(-margin))
        if abs(p - (0.5 if row["tie"] else 1)) > 0.2:
            expected[row["id"]] = row | {"p_base": pytest.approx(p, abs=1e-6)}
    kept = read_lines(out)
    assert {row["id"]: row for row in kept} == expected
    assert 0 < len(kept) < len(ROWS)
    counts = json.loads((tmp_path / "new" / "kept.filter.json").read_text())
    assert (counts["pairs"], counts["kept"], counts["not_scored"]) == (30, len(kept), 0)
    for source, each in counts["sources"].items():
        assert each["pairs"] == 10
        assert each["kept"] == sum(row["source"] == source for row in kept)
    printed = capsys.readouterr().out
    for text in ("share kept", "irrelevant_query", "kept.filter.json"):
        assert text in printed


def test_margins_of_a_csv_file_are_numbers_in_the_rows_that_are_kept(base, tmp_path):
    from align.data.pairs.reward_pairs import load_reward_pairs

    (tmp_path / "data.csv").write_text("id,prompt,chosen,rejected,margin\n007,question,right,wrong,0.50\n")
    assert filter_rows(tmp_path / "data.csv", tmp_path / "kept.jsonl", base, tau=0.0) == 0
    (pair,), _ = load_reward_pairs(tmp_path / "kept.jsonl")
    assert (pair.id, pair.margin) == ("007", 0.5)


def test_kept_rows_can_be_filtered_and_trained_on_again(data, base, tmp_path):
    from align.data.pairs.reward_pairs import load_reward_pairs

    filter_rows(data, tmp_path / "once.jsonl", base)
    filter_rows(tmp_path / "once.jsonl", tmp_path / "twice.jsonl", base)
    once, twice = (read_lines(tmp_path / f"{name}.jsonl") for name in ("once", "twice"))
    for row, again in zip(once, twice, strict=True):  # other rows in a batch, another order of sums
        assert again | {"p_base": None} == row | {"p_base": None}
        assert again["p_base"] == pytest.approx(row["p_base"], abs=1e-5)
    pairs, _ = load_reward_pairs(tmp_path / "once.jsonl")
    assert [(pair.id, pair.tie, pair.source) for pair in pairs] == [(r["id"], r["tie"], r["source"]) for r in once]


def test_rows_of_a_table_without_types_keep_their_meaning(base, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text('prompt,chosen,rejected,tie,source\n"q","a","b","true","paraphrase"\n"q","cc","d",,\n')
    filter_rows(path, tmp_path / "kept.jsonl", base, tau=0)
    assert [(row["tie"], row["source"]) for row in read_lines(tmp_path / "kept.jsonl")] == [
        (True, "paraphrase"),
        (False, "preference"),
    ]


def test_pairs_that_are_too_long_are_counted_and_left_out(data, base, tmp_path, capsys):
    lengths = [len(row["prompt"]) + 1 + max(len(row["chosen"]), len(row["rejected"])) for row in ROWS]
    filter_rows(data, tmp_path / "kept.jsonl", base, max_length=22)
    num_long = sum(length > 22 for length in lengths)
    assert 0 < num_long < len(ROWS)
    counts = json.loads((tmp_path / "kept.filter.json").read_text())
    assert counts["not_scored"] == num_long
    assert f"{num_long} pairs are too long to be scored" in capsys.readouterr().out


def test_nothing_kept_is_a_failure_and_says_so(data, base, tmp_path):
    assert filter_rows(data, tmp_path / "kept.jsonl", base, tau=1) == 1
    assert (tmp_path / "kept.jsonl").read_text() == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tau": 2}, "`tau` must lie between 0 and 1, got 2"),
        ({"out": "kept.parquet"}, "`out` must name a new .jsonl file"),
        ({"out": "data.jsonl"}, "data.jsonl that exists"),
        ({"out": "data.jsonl/kept.jsonl"}, "`out` .*kept.jsonl cannot be written: .*Choose another place"),
        ({"max_length": 2}, "scores no pair. All 30 pairs are too long to be scored. Raise"),
    ],
)
def test_what_cannot_be_done_is_refused(data, base, tmp_path, changes, message):
    out = tmp_path / changes.pop("out", "kept.jsonl")
    with pytest.raises(UserError, match=message):
        filter_rows(data, out, base, **changes)
    assert not (tmp_path / "kept.jsonl").exists()


def test_a_folder_without_a_model_is_refused(data, tmp_path):
    with pytest.raises(UserError):
        filter_rows(data, tmp_path / "kept.jsonl", data.parent)


@pytest.mark.slow
def test_the_command_as_a_user_types_it(data, base, tmp_path):
    out = tmp_path / "kept.jsonl"
    result = align("filter", data, "--base", base, "--tau", 0.3, "--out", out, "--batch_size", 4)
    assert result.returncode == 0, result.stderr
    assert "share kept" in result.stdout


def test_only_the_first_rows_are_read_where_so_many_are_asked_for(data, base, tmp_path):
    found = filter_pairs(data, out=tmp_path / "kept.jsonl", base=base, tau=0.0, max_rows=4, device="cpu")
    assert found.card["pairs"] == 4
