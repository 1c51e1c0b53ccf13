"""Whether TRL can tell what the assistant says in a rendered conversation, which `assistant_only_loss` needs."""

import re
from importlib.util import find_spec
from pathlib import Path

# TRL 1.16, `has_generation_markers`
_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")


def marks_answers(template: str) -> bool:
    """Says whether a chat template marks answers itself, or TRL has the same template with marks.

    Example:
        >>> marks_answers("{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}")
        True
    """
    if _MARK.search(template):
        return True
    spec = find_spec("trl")  # reading its files: importing it takes seconds
    folder = Path(next(iter((spec and spec.submodule_search_locations) or ()), "")) / "chat_templates"
    marked = folder.glob("*_training.jinja")
    plain = (file.with_name(file.name.replace("_training", "")) for file in marked)
    return template in (file.read_text(encoding="utf-8") for file in plain if file.is_file())
