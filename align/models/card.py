"""The card in the folder of a model, whoever wrote it, and which names are those of the hub."""

from pathlib import Path
from typing import Any

import yaml

from align.models.at_hand import is_hub_id


def card_fields(path: Path) -> dict[str, Any]:
    """Reads the front matter of a card; empty where there is none, or none that can be read."""
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    try:
        found = REGEX_YAML_BLOCK.search(path.read_text(encoding="utf-8"))
        fields = yaml.safe_load(found[2]) if found else None
    except (OSError, ValueError, yaml.YAMLError):  # a page that is no card, or a broken one: not worth a run
        return {}
    return {str(key): value for key, value in fields.items()} if isinstance(fields, dict) else {}


def hub_id(name: Any) -> str | None:
    """Returns a name that can be one of the hub; None for a path, whether something is still there or not.

    Example:
        >>> [hub_id(name) for name in ("owner/base", "gpt2", "/data/base", "./base", "runs/base/checkpoint-4")]
        ['owner/base', 'gpt2', None, None, None]
    """
    return name if isinstance(name, str) and is_hub_id(name) and not Path(name).exists() else None
