import json

import pytest
import torch
import transformers
from loaded_script import load_script
from packaging.version import Version
from tiny import tiny_model


def angles_of(config):
    """The rotary embedding of five tokens, which was a matrix product until transformers 5.18."""
    return 2 * config.head_dim // 2 * 5 if Version(transformers.__version__) < Version("5.19") else 0


def test_the_least_is_what_is_counted_but_for_what_attention_hides():
    """Of n tokens attention counts n x n pairs, of which n (n + 1) / 2 are needed."""
    counted, model = load_script("benches.counted"), tiny_model().eval()
    ids, cost = [5, 6, 7, 8, 9], counted.Cost()
    with counted.counting(model, cost), torch.no_grad():
        model(input_ids=torch.tensor([ids]), logits_to_keep=1, use_cache=False)
    flops, tokens = counted.least(model, [ids], ["a"])
    config = model.config
    per_pair = 4 * config.num_hidden_layers * config.hidden_size
    assert tokens == cost.tokens == 5
    assert cost.flops - flops == per_pair * (25 - 15) + angles_of(config)
    assert cost.peak_bytes > 4 * config.hidden_size * 5


def test_products_and_attention_are_counted_backward_too_and_in_the_type_of_their_sum():
    counted, model = load_script("benches.counted"), tiny_model()
    forward, both = counted.Cost(), counted.Cost()
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with counted.counting(model, forward):
        loss = model(input_ids=ids, use_cache=False).logits.sum()
    with counted.counting(model, both):
        loss.backward()
    config = model.config
    attention = 4 * config.num_hidden_layers * config.hidden_size * 25  # forward; backward it reads everything again
    angles = angles_of(config)
    assert both.flops == 2 * (forward.flops - attention - angles) + 2.5 * attention
    one, other, total = (
        torch.zeros(2, 2, dtype=kind, device="meta") for kind in (torch.half, torch.half, torch.float)
    )
    products = counted.Cost()
    with counted.counting(model, products):
        torch.addmm(total, one, other, out_dtype=torch.float32, out=total)
    assert products.flops == 2 * 2 * 2 * 2


def test_what_sequences_of_an_owner_share_is_needed_once():
    counted, model = load_script("benches.counted"), tiny_model()

    def tokens(sequences, owners):
        return counted.least(model, sequences, owners)[1]

    assert tokens([[1, 2, 3, 4], [1, 2, 3, 5]], "aa") == 5
    assert tokens([[1, 2, 3, 4], [1, 2, 3, 5]], "ab") == 5  # what all begin with
    assert tokens([[1, 2, 4], [1, 2, 5], [9, 2]], "aab") == 6
    assert tokens([[1, 2, 4], [1, 2, 5], [9, 2]], "abc") == 8
    assert tokens([[1, 2], [1, 2]], "aa") == 2


def test_bytes_at_once_are_followed():
    with load_script("benches.counted").LiveBytes() as live:
        first = torch.zeros(1000)
        second = first + 1
        del first
        third = second.view(10, 100) * 2  # a view is no storage of its own
    assert live.peak == 8000
    assert third.numel() == 1000


@pytest.mark.slow
@pytest.mark.nightly  # as the bench of commands
def test_the_bench_of_second_answers_counts_and_times(tmp_path, capsys):
    out = tmp_path / "bench.json"
    words = ["--questions", "12", "--rounds", "1", "--threads", "1", "--json", str(out)]
    assert load_script("benches.evaluate").main(words) == 0
    found = json.loads(out.read_text())
    counted = found["counted"]
    assert 1 <= counted["tokens_over_floor"] < counted["flops_over_floor"] < 2
    assert counted["first"]["flops"] > 0
    assert counted["flops_ratio"] > counted["floor_ratio"] > 1
    assert len(found["ratios"]) == 1
    assert "second answers over the floor" in capsys.readouterr().out


def test_the_bench_of_generation_ends_in_the_engines_texts(tmp_path, capsys):
    out = tmp_path / "bench.json"
    words = ["--prompts", "8", "--batch_size", "4", "--rounds", "1", "--threads", "1", "--json", str(out)]
    assert load_script("benches.prompts").main(words) == 0
    found = json.loads(out.read_text())
    assert found["same_texts"] == found["prompts"] == 8
    assert found["tokens"]["align"] == found["tokens"]["engine"] > 8
    assert "8 prompts, 8 with the same text" in capsys.readouterr().out
