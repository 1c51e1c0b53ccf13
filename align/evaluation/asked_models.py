"""The models of an evaluation: found, loaded to be asked, and described in its record."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from align.data.media.images import SHOWN_WITH
from align.errors import UserError
from align.models.checkpoint import Checkpoint, find_checkpoint, load_processor
from rewards.extras import missing

if TYPE_CHECKING:
    from align.data.questions.templates import PromptTemplate
    from align.recipe.dataset import MediaSettings
    from align.recipe.recipe import Recipe


class Engine(NamedTuple):
    """How policies are run."""

    backend: str = "transformers"
    dtype: str = "float32"
    device: str | None = None
    batch_size: int = 32

    def check(self) -> None:
        """Refuses, before anything is loaded, what cannot be done."""
        if self.backend not in ("transformers", "vllm"):
            raise UserError(f"`backend` must be transformers or vllm, got {self.backend!r}.")
        if self.batch_size < 1:
            raise UserError(f"`batch_size` must be at least 1, got {self.batch_size}.")
        if self.backend == "vllm" and (sentence := missing("vllm", "`--backend vllm`")):
            raise UserError(sentence)


@contextmanager
def open_policy(
    checkpoint: Checkpoint, template: "Callable[[bool], PromptTemplate]", engine: Engine, *, images: bool = False
) -> Iterator[tuple[Any, Any]]:
    """Yields a policy, and the model if transformers runs it; `template` takes whether there is a chat template."""
    from align.models.checkpoint import load_model, load_tokenizer

    if engine.backend == "vllm":
        from align.models.policies.vllm_policy import vllm_policy

        has_template = (load_processor if images else load_tokenizer)(checkpoint).chat_template is not None
        with vllm_policy(checkpoint, template(has_template), dtype=engine.dtype, images=images) as started:
            yield started, None
        return
    from align.models.policies.model_policy import make_policy

    model, processing = load_model(checkpoint, dtype=engine.dtype, device=engine.device, images=images)
    made = template(processing.chat_template is not None)
    policy = make_policy(model, processing, made, batch_size=engine.batch_size, fingerprint=checkpoint.fingerprint)
    yield policy, model


def check_images(what: str, checkpoints: Mapping[str, Checkpoint], media: "MediaSettings") -> None:
    """Refuses items with images where one of the models would not see them; `what` begins the sentence."""
    from align.models.videos import why_no_video

    if sentence := missing("vision", f"{what} has images, and showing them", *SHOWN_WITH):
        raise UserError(sentence)
    if readers := [each.path for each in checkpoints.values() if not each.reads_images()]:
        raise UserError(f"{what} has images, and {readers[0]} reads text only. Leave such rows out.")
    if media.video_as == "video":
        for each in checkpoints.values():
            if sentence := why_no_video(load_processor(each), each.path):
                raise UserError(f"{sentence} Give `--video_as images`.")


def check_tokens(checkpoints: Iterable[Checkpoint], base: Checkpoint) -> None:
    """Refuses models whose tokenizer is not that of the reference."""
    from align.models.checkpoint import load_tokenizer
    from align.models.pair_terms import check_tokenizers

    reference = load_tokenizer(base)
    for checkpoint in checkpoints:
        check_tokenizers(load_tokenizer(checkpoint), reference, (checkpoint.path, base.path))


def find_reference(named: str | None, models: Sequence[str], recipe: "Recipe | None") -> str:
    """Finds the model that log-probs are compared with."""
    if named is not None:
        return named
    base = find_checkpoint(models[0]).base
    if base is not None:
        return base
    if recipe is not None:
        return recipe.model.model_name_or_path
    if len(models) == 2:
        return models[1]
    raise UserError(
        f"{models[0]}: pairs need a reference model to compare with, and none is known: it is no adapter, and has no "
        "recipe beside it. Give the model that it was trained from as `--reference`."
    )
