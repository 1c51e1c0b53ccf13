"""The one way in which commands read a model's folder: whatever is damaged in it is said in a sentence."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from align.errors import UserError
from align.models.model_files import ModelFiles, damages
from align.recipe.problems import one_line

_WORDED = (OSError, ValueError, ImportError, RuntimeError, AssertionError)  # with these, libraries say what is wrong
_SHOWN = 5  # names of weights


@contextmanager
def reading_model(source: str, called: str = "model") -> Iterator[None]:
    """Says what is wrong with a model's files, whatever the library raises that reads them."""
    try:
        ModelFiles(source).refuse_endless()
        yield
    except UserError:
        raise
    except Exception as error:  # a file may hold anything, and safetensors and tokenizers raise plain exceptions
        raise UserError(f"The {called} {source} cannot be loaded: {_reason(source, error)}") from error


def refuse_unfit(source: str, info: Mapping[str, Any]) -> None:
    """Refuses weights of another shape, or in no file: transformers makes them at random, and only warns."""
    if mismatched := sorted(info["mismatched_keys"]):
        name, found, wanted = mismatched[0]
        problem = (
            f"{len(mismatched)} of its weights have another shape than its configuration asks for, such as {name}: "
            f"{_shape(found)} in the file, {_shape(wanted)} by `config.json`"
        )
    elif missing := sorted(info["missing_keys"]):
        listed = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        problem = f"{len(missing)} weights that its configuration asks for are in none of its files: {listed}"
    else:
        return
    raise UserError(
        f"The model {source} cannot be loaded: {problem}. Put the `config.json` that was saved with the weights "
        "beside them, or save the model again."
    )


@contextmanager
def rendering(tokenizer: Any) -> Iterator[None]:
    """Says what is wrong where a chat template, a program that a model's folder brings, does not render messages."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # whatever a template raises
        raise UserError(
            f"The chat template of {getattr(tokenizer, 'name_or_path', 'the model')} fails on the messages "
            f"({type(error).__name__}: {one_line(error)}). Mend `chat_template.jinja` in its folder, or give messages "
            "that it takes."
        ) from error


def render(processing: Any, messages: Any, **how: Any) -> Any:
    """Renders messages with the chat template of a tokenizer or processor."""
    with rendering(getattr(processing, "tokenizer", processing)):
        rendered = processing.apply_chat_template(messages, **how)
        if len(rendered["input_ids"] if isinstance(rendered, Mapping) else rendered) == 0:
            raise ValueError("it writes nothing")
        return rendered


def _reason(source: str, error: Exception) -> str:
    if Path(source).is_dir() and (found := damages(Path(source))):
        return found[0]
    said = " ".join(str(error).split())
    return said if isinstance(error, _WORDED) and said else f"{type(error).__name__}: {said}. Save the model again."


def _shape(size: Any) -> str:
    return " x ".join(map(str, size)) or "a number"
