"""Names of the files of an adapter, and the base that it names."""

import json
from pathlib import Path

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def adapter_base(folder: Path) -> str:
    """Returns the model that an adapter stands on; empty where that cannot be read, which who loads it says."""
    try:
        content = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    return str(content.get("base_model_name_or_path") or "") if isinstance(content, dict) else ""
