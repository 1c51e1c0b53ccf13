"""The one way in which weights are loaded: from safetensors, since pickled ones can run code; whole, and finite."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from align.errors import UserError
from align.models.at_hand import require_model
from align.models.finite import refuse_spoiled
from align.models.model_files import ADAPTER_WEIGHTS, adapter_base, pickled_weights
from align.models.reading import reading_model, refuse_unfit


def load_pretrained(model_class: Any, source: str, **settings: Any) -> Any:
    """Loads a model, of an adapter its base with it.

    `settings` are those of `from_pretrained`; with `output_loading_info` the caller judges which weights may be
    missing.
    """
    import torch

    dtype = settings.get("dtype", "auto")
    if isinstance(dtype, str) and dtype != "auto" and not isinstance(getattr(torch, dtype, None), torch.dtype):
        raise UserError(f"`dtype` must be auto, or a type of torch such as float32 or bfloat16; got {dtype!r}.")
    refuse_pickled_weights(source)
    safe = {"use_safetensors": True, "trust_remote_code": False, "output_loading_info": True}
    with reading_model(source):
        model, info = model_class.from_pretrained(source, **settings | safe | {"ignore_mismatched_sizes": True})
    asked = settings.get("output_loading_info", False)
    refuse_unfit(source, info | {"missing_keys": ()} if asked else info)
    refuse_spoiled(source, model.named_parameters())
    return (model, info) if asked else model


def load_adapter(model: Any, source: str) -> Any:
    """Puts an adapter on its base."""
    from peft import PeftModel

    refuse_pickled_weights(source)
    of_base = set(map(id, model.parameters()))
    with reading_model(source, "adapter"):
        adapted = PeftModel.from_pretrained(model, source)
    own = ((name, each) for name, each in adapted.named_parameters() if id(each) not in of_base)
    refuse_spoiled(source, own, "adapter")
    return adapted


def refuse_pickled_weights(source: str) -> None:
    """Refuses a model or adapter, or the base of one, that has no safetensors; peft would take pickled ones."""
    if problem := pickled_weights(source):
        raise UserError(problem)
    if not Path(source).is_dir():
        require_model(source)
        _refuse_on_hub(source)


def _refuse_on_hub(source: str) -> None:
    from transformers.utils import cached_file, find_adapter_config_file

    try:
        config = find_adapter_config_file(source)
    except (OSError, ValueError):
        return  # who loads it says what is wrong
    if config is None:
        return
    if cached_file(source, ADAPTER_WEIGHTS, _raise_exceptions_for_missing_entries=False) is None:
        raise UserError(f"The adapter {source} has no `{ADAPTER_WEIGHTS}`. Save it as safetensors.")
    refuse_pickled_weights(adapter_base(Path(config).parent))


@contextmanager
def whole_weights() -> Iterator[None]:
    """Lets `from_pretrained` load whole weights while DeepSpeed trains with ZeRO-3.

    transformers 5 splits every model it loads over the ranks once ZeRO-3 is configured, and a model that no DeepSpeed
    engine holds is then left with empty weights ("'weight' must be 2-D").
    """
    from transformers.integrations import deepspeed as deepspeed_state

    kept = deepspeed_state._hf_deepspeed_config_weak_ref  # there is no public way to put it back
    deepspeed_state.unset_hf_deepspeed_config()
    try:
        yield
    finally:
        deepspeed_state._hf_deepspeed_config_weak_ref = kept
