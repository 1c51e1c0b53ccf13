from importlib.util import find_spec

import pytest
from started import modules_after


@pytest.mark.slow
@pytest.mark.skipif(find_spec("vllm") is None, reason="needs the extra `vllm`")
def test_a_run_that_asks_no_vllm_does_not_import_it(tiny_recipe):
    code = (
        f"import sys\nfrom align.cli import main\nsys.argv = ['align', 'train', {str(tiny_recipe(max_steps=1))!r}]\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code"
    )
    loaded = modules_after(code)
    assert "trl" in loaded
    assert "vllm" not in loaded
