"""Makes an ordinary Hugging Face folder of a GGUF file: de-quantised weights in bfloat16 beside a tokenizer."""

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROBE = "Question: What is the chemical symbol of iron?\nAnswer:"


def dequantise(gguf: Path) -> tuple[Any, Any]:
    """Loads the GGUF and returns `(float32 model, bfloat16 copy that can be saved)`."""
    import torch
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32).eval()
    config = type(loaded.config)(**{k: v for k, v in loaded.config.to_dict().items() if k != "quantization_config"})
    fresh = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    fresh.load_state_dict(loaded.state_dict())
    fresh.generation_config = loaded.generation_config
    return loaded, fresh


def verify(folder: Path, loaded: Any, fresh: Any) -> None:
    """Prints how far the reloaded folder is from the de-quantised weights and what it generates.

    Raises:
        RuntimeError: The reloaded logits differ from those of the weights that were saved.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    reloaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    ids = asked = tokenizer(PROBE, return_tensors="pt").input_ids
    if tokenizer.chat_template:
        turn = [{"role": "user", "content": "What is the capital of France?"}]
        chat = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        asked = chat.input_ids
    with torch.no_grad():
        saved, again = fresh(ids).logits, reloaded(ids).logits
        exact, rounded = loaded(ids).logits, reloaded.float()(ids).logits
        mask = torch.ones_like(asked)  # the end of a turn is the padding, too
        generated = reloaded.generate(asked, attention_mask=mask, max_new_tokens=24, do_sample=False)
    if not torch.equal(saved, again):
        raise RuntimeError(
            f"reloaded logits differ from the saved model's by {(saved - again).abs().max().item():.3g}"
        )
    shift = (exact.log_softmax(-1) - rounded.log_softmax(-1)).abs().max().item()
    print(f"reloaded logits equal the saved model's; rounding to bfloat16 moved a log-prob by at most {shift:.3f}")
    print("sample:", tokenizer.decode(generated[0, asked.shape[1] :]))


def make_folder(out: Path, find: Callable[[Path], Path], load_tokenizer: Callable[[Path], Any]) -> int:
    """Builds a folder, unless it is there already, and returns an exit code.

    Args:
        out: The folder.
        find: Returns the GGUF file, which it may write into a temporary folder.
            Raises `FileNotFoundError` with what is missing.
        load_tokenizer: Reads the tokenizer of a GGUF file.
    """
    if (out / "model.safetensors").is_file():
        print(f"{out} is there already; delete it to build it again")
        return 0
    if out.exists():
        print(f"error: {out} exists and holds no model.safetensors; delete it or name another --out", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        try:
            gguf = find(Path(scratch))
        except FileNotFoundError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        out.parent.mkdir(parents=True, exist_ok=True)
        # Built beside its final place and moved there whole, so that an interrupted run leaves no half model.
        with tempfile.TemporaryDirectory(dir=out.parent) as parent:
            loaded, fresh = dequantise(gguf)
            folder = Path(parent) / out.name
            fresh.save_pretrained(folder)
            load_tokenizer(gguf).save_pretrained(folder)
            verify(folder, loaded, fresh)
            shutil.move(folder, out)
    print(f"wrote {out}")
    return 0
