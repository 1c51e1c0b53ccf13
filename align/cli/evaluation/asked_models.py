"""The policies of an evaluation: loaded to be asked, and described in its record."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from align.data.media.images import SHOWN_WITH
from align.errors import UserError
from align.evaluation.record.answers import AskedModel
from align.models.checkpoint import Checkpoint
from rewards.extras import missing

if TYPE_CHECKING:
    from align.data.questions.templates import PromptTemplate


class Engine(NamedTuple):
    """How policies are run."""

    backend: str = "transformers"
    dtype: str = "float32"
    device: str | None = None
    batch_size: int = 32

    def check(self) -> None:
        """Refuses, before anything is loaded, what cannot be done.

        Raises:
            UserError: If a value is out of its range, or a part is missing.
        """
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
    """Loads a policy, and frees it at the end; gives it, and the model if transformers runs it.

    Args:
        checkpoint: What to load.
        template: Makes the template of questions, told whether the model has a chat template.
        engine: How it is run.
        images: Whether it will be shown images.
    """
    from align.models.checkpoint import load_model, load_tokenizer

    if engine.backend == "vllm":
        from align.models.policies.vllm_policy import vllm_policy

        made = template(load_tokenizer(checkpoint).chat_template is not None)
        with vllm_policy(checkpoint, made, dtype=engine.dtype) as started:
            yield started, None
        return
    from align.models.policies.vision_policy import make_policy

    model, processing = load_model(checkpoint, dtype=engine.dtype, device=engine.device, images=images)
    made = template(processing.chat_template is not None)
    policy = make_policy(model, processing, made, batch_size=engine.batch_size, fingerprint=checkpoint.fingerprint)
    yield policy, model


def check_images(what: str, engine: Engine, checkpoints: Mapping[str, Checkpoint]) -> None:
    """Refuses items with images where one of the models would not see them.

    Args:
        what: Names the first such item, as a sentence begins.
        engine: How policies are run.
        checkpoints: Who would be shown it.

    Raises:
        UserError: If one would not.
    """
    if sentence := missing("vision", f"{what} has images, and showing them", *SHOWN_WITH):
        raise UserError(sentence)
    readers = [each.path for each in checkpoints.values() if not each.reads_images()]
    if engine.backend == "vllm" or readers:
        who = readers[0] if readers else "`--backend vllm`"
        raise UserError(f"{what} has images, and {who} reads text only here. Leave such rows out.")


def about_model(
    name: str, checkpoint: Checkpoint, engine: Engine, *, role: str, seconds: float, cached: int
) -> AskedModel:
    """Describes a policy that was asked."""
    return AskedModel(
        name=name,
        path=checkpoint.path,
        role=role,
        kind=checkpoint.kind,
        base=checkpoint.base,
        fingerprint=checkpoint.fingerprint,
        dtype=engine.dtype,
        backend=engine.backend,
        seconds=seconds,
        cached_items=cached,
    )


def print_report(folder: Path) -> None:
    """Builds the page, where the part that builds it is installed; the files are there either way."""
    from importlib.util import find_spec

    if find_spec("align.report.evaluation") is None:
        return
    from align.report.evaluation import build_evaluation_report

    print(f"The report is {build_evaluation_report(folder)}.")
