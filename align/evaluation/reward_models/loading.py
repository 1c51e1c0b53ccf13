"""Loads what a trainer of reward models saved: a whole model, or an adapter and its base."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers.utils import cached_file, logging

from align.data.pairs.pairwise import ADAPTER_MARK
from align.errors import UserError
from align.models.pretrained import load_adapter, load_pretrained, refuse_pickled_weights
from align.models.reading import reading_model


@contextmanager
def loading(source: str) -> Iterator[None]:
    """Names the model in errors, and keeps transformers from warning about a head that the adapter brings."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with reading_model(source, "reward model"):
            yield
    finally:
        logging.set_verbosity(verbosity)


def load_whole(source: str, dtype: str) -> tuple[Any, bool]:
    """Loads a whole model, and says whether it is pairwise."""
    config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    pairwise = bool(getattr(config, "truealign_pairwise", False))
    names = ", ".join(config.architectures or ["nothing"])
    if not pairwise and not names.endswith("ForSequenceClassification"):
        raise _not_a_reward_model(source, f"its `config.json` names {names}")
    if not pairwise and config.num_labels != 1:
        raise _not_a_reward_model(source, f"it has `num_labels` = {config.num_labels}")
    model_class = AutoModelForCausalLM if pairwise else AutoModelForSequenceClassification
    model, missing = _from_pretrained(model_class, source, dtype)
    if missing:
        raise _not_a_reward_model(source, f"its weights lack {', '.join(sorted(missing))}")
    return model, pairwise


def load_adapter_model(source: str, dtype: str, num_tokens: int) -> tuple[Any, bool]:
    """Loads an adapter and its base, and says whether it is pairwise."""
    from peft import PeftConfig, TaskType

    refuse_pickled_weights(source)
    adapter = PeftConfig.from_pretrained(source)
    pairwise = cached_file(source, ADAPTER_MARK, _raise_exceptions_for_missing_entries=False) is not None
    if not pairwise and adapter.task_type != TaskType.SEQ_CLS:
        raise _not_a_reward_model(source, f"its `task_type` is {adapter.task_type}, so no head was saved with it")
    base_class = AutoModelForCausalLM if pairwise else AutoModelForSequenceClassification
    labels = {} if pairwise else {"num_labels": 1}
    base, missing = _from_pretrained(base_class, str(adapter.base_model_name_or_path), dtype, **labels)
    saved = set(adapter.modules_to_save or ())
    lost = {name for name in missing if not set(name.split(".")) & saved}
    if lost:
        raise _not_a_reward_model(source, f"neither it nor its base holds {', '.join(sorted(lost))}")
    if num_tokens > base.get_input_embeddings().num_embeddings:
        base.resize_token_embeddings(num_tokens)
    return load_adapter(base, source), pairwise


def _from_pretrained(model_class: Any, source: str, dtype: str, **kwargs: Any) -> tuple[Any, set[str]]:
    """Loads a model and names the weights that its files lack."""
    model, info = load_pretrained(model_class, source, dtype=dtype, output_loading_info=True, **kwargs)
    return model, set(info["missing_keys"])


def _not_a_reward_model(source: str, reason: str) -> UserError:
    return UserError(
        f"{source} is not a reward model: {reason}. Give one saved by `align train` with `method: crome` or by TRL's "
        "`RewardTrainer`: a sequence classification model with one label, or a pairwise model with "
        f"`truealign_pairwise: true` in its `config.json`, or with `{ADAPTER_MARK}` beside its adapter."
    )
