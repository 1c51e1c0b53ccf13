"""Prompts are read once for several responses, where a model can, and where nothing of the loss forbids it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from accelerate.utils import is_peft_model
from torch import Tensor, nn

from align.console import say
from align.models.rows_of_trees import apart_by_settings
from align.models.second_pass.image_memo import is_sharded
from align.models.shared_prefixes import (
    Folded,
    body_of,
    fold,
    images_read_alike,
    prefixes_read_once,
    tokens_read_alike,
)

Read = Callable[[Any, Tensor, Tensor], object]


def read_tokens(model: Any, ids: Tensor, mask: Tensor) -> object:
    """Reads tokens as trainers do that ask a model for its logits."""
    return model(input_ids=ids, attention_mask=mask, use_cache=False)


class SharedPrompts:
    """Has the models of a trainer read once what sequences begin with in common.

    Where that cannot be, each sequence is read whole, as TRL does, and the run says why. A batch makes one forward
    pass in any case, so that ranks never wait for each other. `read(model, ids, mask)` calls a model of the trainer,
    for a trial; `what` is the subject of the sentence that says why not.
    """

    def __init__(
        self,
        trainer: Any,
        read: Read = read_tokens,
        what: str = "What both responses of a pair begin with",
    ) -> None:
        self._trainer, self._read, self._what = trainer, read, what
        self._tokens: WeakKeyDictionary[nn.Module, float] = WeakKeyDictionary()
        self._is_on = getattr(trainer.args, "share_prompts", "auto") == "auto"
        self.with_images: bool | None = None  # unless the first batch that has some tells

    def are_used(self, *models: Any) -> bool:
        """Tells whether models may read so; each is tried once, and all ranks ask together."""
        if self._is_on and not self._tokens:
            self._refuse(reason_for_each(self._trainer))
        for model in models if self._is_on else ():
            body = self._body(model)
            if body not in self._tokens:
                self._tokens[body] = tokens_read_alike(model, body, partial(self._read, model))
            if not self._tokens[body]:
                kind = f"{type(body).__name__} with attention `{body.config._attn_implementation}`"
                self._refuse(f"{kind} does not have the same numbers then")
        return self._is_on

    @contextmanager
    def reading(self, model: Any) -> Iterator[list[int]]:
        """Has a model read so inside the block, if models may; yields how many tokens its passes then read."""
        tokens: list[int] = []
        if not self.are_used(model):
            yield tokens
            return
        body, multiple = self._body(model), self._trainer.args.pad_to_multiple_of
        most, width = self._tokens[body], body.config.get_text_config().hidden_size
        apart = False

        def look(_: Any, args: Any, kwargs: dict[str, Any]) -> None:
            nonlocal apart
            apart = any(name.startswith("pixel") and value is not None for name, value in kwargs.items())
            if apart and self.with_images is None:
                kept = len(tokens)
                self._try_images(body, args, kwargs)
                del tokens[kept:]
            apart = apart and not self.with_images

        def folded(ids: Tensor, mask: Tensor) -> Folded | None:
            rows = None if apart else fold(ids, mask, width, multiple=multiple or 1, most=most)
            tokens.append((ids if rows is None else rows.ids).numel())
            return rows

        hook = body.register_forward_pre_hook(look, with_kwargs=True)
        try:
            with prefixes_read_once(body, folded):
                yield tokens
        finally:
            hook.remove()

    def _try_images(self, body: Any, args: Any, kwargs: dict[str, Any]) -> None:
        """Tries a batch with images; ranks try batches of their own, which those of a sharded model cannot."""
        self.with_images = False  # while it is tried
        sharded = is_sharded(body)
        self.with_images = False if sharded else images_read_alike(body, args, kwargs)
        if self.with_images is False:
            why = (
                "the weights are sharded" if sharded else f"{type(body).__name__} does not have the same numbers then"
            )
            say(f"{self._what} is read for each of them where it has images: {why}.")

    def _body(self, model: Any) -> Any:
        return body_of(self._trainer.accelerator.unwrap_model(model))

    def _refuse(self, reason: str | None) -> None:
        if reason and self._is_on:
            self._is_on = False
            say(f"{self._what} is read for each of them: {reason}.")


def reason_for_each(trainer: Any) -> str | None:
    """Says why sequences that begin alike have to be read whole, whatever the model can; None if they need not."""
    args, model = trainer.args, trainer.model
    split = trainer.accelerator.parallelism_config
    reasons = {
        "the adapter puts virtual tokens in front of each": is_peft_model(model)
        and any(config.is_prompt_learning for config in model.peft_config.values()),
        "dropout is drawn for each": drops(model),
        "the loss of the router is over all tokens": getattr(trainer, "aux_loss_enabled", False),
        **apart_by_settings(args),
        "sequences are split over processes": split is not None and (split.cp_enabled or split.sp_enabled),
    }
    return next((reason for reason, is_so in reasons.items() if is_so), None)


def drops(model: nn.Module) -> bool:
    """Tells whether a model in training draws what it leaves out, or the noise of its router."""
    return any(
        type(value) is float
        and value > 0
        and ("drop" in name or "jitter" in name or (name == "p" and "Dropout" in type(module).__name__))
        for module in model.modules()
        for name, value in vars(module).items()
    )
