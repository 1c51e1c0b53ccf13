import pytest

from align.methods.acre.config import ACREConfig

QUIET = {"bf16": False, "use_cpu": True}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"second_pass": "foward"}, "Did you mean 'forward'"),
        ({"second_pass": "vllm"}, "needs vLLM rollouts"),
        ({"num_shuffles": 0}, "at least 1, got 0"),
        ({"permutation_scope": "batch"}, "must be one of group, row"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        ACREConfig(output_dir=str(tmp_path), **QUIET | settings)
