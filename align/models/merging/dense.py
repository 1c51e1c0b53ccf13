"""Merges two models: theta = (1 - alpha) base + alpha tuned, summed in fp32, tensor by tensor."""

import json
import shutil
from pathlib import Path

from align.models.merging.parents import Parents, shapes

_TYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
# Files of the tuned model that go with the weights: how it is prompted, and where its responses end.
_ALONG = ("*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt")
_NOT_ALONG = ("model.safetensors.index.json", "trainer_state.json", "manifest.json", "versions.json", "checks.json",
              "finished.json", "evaluation.json", "adapter_config.json")  # fmt: skip


def merged_type(parents: Parents) -> str:
    """Returns the parents' own type, so that both ends are the parents bit for bit; float32 if they have several."""
    found = {kind for folder in (parents.base_folder, parents.tuned_folder) for kind, _ in shapes(folder).values()}
    return _TYPES.get(found.pop(), "float32") if len(found) == 1 else "float32"


def merge_models(parents: Parents, alpha: float, out: Path) -> None:
    """Writes a merged model with the tuned model's tokenizer and configuration."""
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    kind = merged_type(parents)
    models = [
        {"model": str(folder.resolve()), "parameters": {"weight": weight}}
        for folder, weight in ((parents.base_folder, 1 - alpha), (parents.tuned_folder, alpha))
    ]
    plan = {"merge_method": "linear", "models": models, "parameters": {"normalize": False}}
    config = MergeConfiguration.model_validate(plan | {"dtype": "float32", "out_dtype": kind})
    run_merge(config, str(out), MergeOptions(quiet=True, write_model_card=False, copy_tokenizer=False))
    for pattern in _ALONG:
        for path in parents.tuned_folder.glob(pattern):
            if path.name not in _NOT_ALONG:
                shutil.copyfile(path, out / path.name)
    written = json.loads((out / "config.json").read_text(encoding="utf-8"))
    (out / "config.json").write_text(json.dumps(written | {"dtype": kind}, indent=2) + "\n", encoding="utf-8")
