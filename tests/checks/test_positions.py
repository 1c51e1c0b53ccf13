from types import SimpleNamespace

import pytest

from align.checks.lengths import check_positions
from align.models.model_files import ModelFiles

LONG = {"rope_scaling": {"type": "longrope"}, "original_max_position_embeddings": 100, "max_position_embeddings": 1000}
DYNAMIC = {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}, "max_position_embeddings": 100}
RECIPE = SimpleNamespace(model=SimpleNamespace(model_name_or_path="./model", chat_template_path=None), settings=None)


@pytest.mark.parametrize(
    ("config", "lengths", "growth", "remedy"),
    [
        (LONG, [50, 101], 0, "`max_length: 100`"),
        (LONG, [101, 150], 0, None),
        (DYNAMIC, [101, 150], 0, "`max_length: 100`"),
        (LONG, [50, 100], 0, None),
        (DYNAMIC, [50, 60], 64, "`max_completion_length: 40`"),
        (DYNAMIC, [50, 60], 40, None),
        ({"rope_scaling": {"rope_type": "llama3"}, "max_position_embeddings": 100}, [50, 150], 0, None),
    ],
)
def test_rows_on_both_sides_of_the_length_are_told(monkeypatch, config, lengths, growth, remedy):
    monkeypatch.setattr(ModelFiles, "config", config)
    found = check_positions(RECIPE, lengths, growth=growth)
    assert [each.level for each in found] == ["warning"] * (remedy is not None)
    assert all(remedy in each.text for each in found)
