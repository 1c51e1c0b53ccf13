"""What transformers has renamed and TRL still calls by its old names, of which no user should be warned."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from transformers import TrainingArguments

# transformers 5.20; TRL 1.16 sets the first by default. Drop with TRL 1.17.
RENAMED = {
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
}


def take_new_names(config: TrainingArguments) -> None:
    """Hands settings on under their new names, as transformers does, which warns of a default that is TRL's."""
    for old, new in RENAMED.items():
        if getattr(config, new, False) is None:  # a transformers before has none of that name
            setattr(config, new, getattr(config, old))


def hide_old_names() -> None:
    """Hides deprecations of transformers >= 5.20 that TRL 1.16 causes and no user can mend; drop with TRL 1.17."""
    for name in ("gradient_checkpointing", "is_gradient_checkpointing", "past_key_values"):
        warnings.filterwarnings("ignore", message=rf"`{name}\w*` is deprecated", category=FutureWarning)


@contextmanager
def old_names_hidden() -> Iterator[None]:
    """Does so for a call of TRL's alone."""
    with warnings.catch_warnings():
        hide_old_names()
        yield
