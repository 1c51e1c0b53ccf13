"""Whether a recipe's model is there and whole, and has what the recipe names of it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import TemplateError, TemplateSyntaxError

from align.checks.finding import Finding
from align.data.conversations import put_images_in
from align.models.at_hand import file_problem
from align.models.model_files import ModelFiles, file_problems, pickled_weights
from align.models.prompt_tokenizer import ChatTemplate, PromptTokenizer
from align.recipe.fields import Source, keys_read, parameters
from align.recipe.recipe import Recipe
from align.recipe.rules import suggestion

ELSEWHERE = {"gguf_file", "subfolder", "variant"}  # keys of loading under which the files have other names


def check_model(recipe: Recipe, model: ModelFiles) -> list[Finding]:
    """Finds a model path that leads nowhere, or to pickled weights; a hub id may still be downloaded."""
    given = getattr(recipe.settings, "model_init_kwargs", None) or {}
    if given.get("use_safetensors", True) is not True:
        text = "`model_init_kwargs.use_safetensors` is always true here: pickled weights can run code. Remove the key."
        return [Finding("error", "model", text)]
    if problem := pickled_weights(model.name):
        return [Finding("error", "model", f"`model_name_or_path`: {problem}")]
    if Path(model.name).is_dir():
        found = [] if model.folder is None else _check_folder(recipe, model.folder, given)
        if not found:
            model.refuse_endless()
        return found
    if problem := file_problem(model.name):
        name = Path(model.name).name
        chosen = f" A GGUF file in it is chosen by `model_init_kwargs: {{gguf_file: {name}}}`."
        hint = chosen if name.endswith(".gguf") else ""
        return [Finding("error", "model", f"`model_name_or_path`: {problem}{hint}")]
    if model.is_hub_id:
        return []
    text = f"There is no folder {model.name}. Check `model_name_or_path`; `./x` is relative to the recipe."
    return [Finding("error", "model", text)]


def _check_folder(recipe: Recipe, folder: Path, given: Mapping[str, Any]) -> list[Finding]:
    if ELSEWHERE & set(given):
        return []
    runs_code = True in (getattr(recipe.settings, "trust_remote_code", None), given.get("trust_remote_code"))
    writes_text = recipe.record.part("footprint")(recipe).has_lm_head
    problems = file_problems(folder, runs_code=runs_code, writes_text=writes_text)
    return [Finding("error", "model", f"`model_name_or_path`: {problem}") for problem in problems]


def check_adapter(recipe: Recipe, model: ModelFiles) -> list[Finding]:
    """Finds names of `lora_target_modules` that are no part of a name in the model's files.

    A pattern is left to peft, and so is `all-linear`. What is found is a warning, since transformers may join the
    modules of a file, as it does with experts.
    """
    targets = recipe.model.lora_target_modules
    if not recipe.model.use_peft or isinstance(targets, str):
        return []
    known = model.modules
    missing = [name for name in targets if known and not any(f".{each}".endswith(f".{name}") for each in known)]
    last = sorted({module.rpartition(".")[2] for module in known})
    return [
        Finding(
            "warning",
            "model",
            f"`lora_target_modules`: the model has no module called {name!r}, so no adapter would be put there. It "
            f"has {', '.join(last)}.{suggestion(name, last)}",
        )
        for name in missing
    ]


MODELS: Source = ("transformers", "modeling_utils.py")
AUTO: Source = ("transformers", "models/auto/auto_factory.py")
OF_LOADING = {"code_revision", "experts_implementation", "attn_implementation", "low_cpu_mem_usage", "torch_dtype"}
OF_PROGRAMS = {"config", "state_dict", "output_loading_info"}  # take or give objects, which no recipe holds
OF_LABELS = {"num_labels", "id2label", "label2id", "problem_type", "output_attentions", "use_cache"}


def check_model_kwargs(recipe: Recipe, model: ModelFiles) -> list[Finding]:
    """Finds keys that neither loading nor the model's config takes: they would end in an error of its class."""
    given = getattr(recipe.settings, "model_init_kwargs", None)
    if not isinstance(given, dict):
        return []
    config, known = _config_keys(model)
    known |= _loading_keys()
    findings = []
    for name in given:
        if name in known:
            continue
        text = f"`model_init_kwargs.{name}` is no setting of loading"
        if config is None:
            text += ", and the model's own settings are not on this machine: training may stop when it loads."
            findings.append(Finding("warning", "model", text + suggestion(str(name), known)))
        else:
            text += f" or of a model of type {config}. Remove it.{suggestion(str(name), known)}"
            findings.append(Finding("error", "model", text))
    return findings


def _loading_keys() -> set[str]:
    named = parameters(MODELS, "PreTrainedModel.from_pretrained").keys() - {"cls", "pretrained_model_name_or_path"}
    read = keys_read(MODELS, "PreTrainedModel.from_pretrained", "kwargs")
    auto = keys_read(AUTO, "_BaseAutoModelClass.from_pretrained", "kwargs")
    return {name for name in {*named, *read, *auto} if not name.startswith("_")} - OF_PROGRAMS | OF_LOADING


def _config_keys(model: ModelFiles) -> tuple[str | None, set[str]]:
    """Returns the type of a model, None where transformers does not know it, and the keys of its config."""
    content = model.written_config
    if not isinstance(kind := content.get("model_type"), str):
        return None, set()
    from transformers import CONFIG_MAPPING  # which takes seconds, and few recipes ask for it

    known = kind in CONFIG_MAPPING
    return kind if known else None, {*content, *(CONFIG_MAPPING[kind]().to_dict() if known else ()), *OF_LABELS}


NAMED = ("pad_token", "eos_token")
SUFFIXES = (".jinja", ".j2")  # by which TRL tells a file from a model
QUESTION, ANSWER = "Which metal rusts?", "It is iron, of course."
_MARKS = re.compile(r"<\|\w+\|>")


def check_tokens(recipe: Recipe, model: ModelFiles) -> list[Finding]:
    """Finds a named token that the tokenizer, where it is on this machine, does not have."""
    named = {name: getattr(recipe.settings, name) for name in NAMED if getattr(recipe.settings, name, None)}
    tokenizer = model.tokenizer if named else None
    if tokenizer is None or recipe.model.chat_template_path:  # which may bring tokens with it
        return []
    return [
        Finding(
            "error",
            "model",
            f"`{name}`: {token!r} is no token of {recipe.model.model_name_or_path}. Name one of its tokens, or remove "
            "the key.",
        )
        for name, token in named.items()
        if tokenizer.tokenizer.token_to_id(token) is None
    ]


def check_chat_template(recipe: Recipe, model: ModelFiles) -> list[Finding]:
    """Finds a template that is not there, is no template, or leaves out what training needs."""
    path = recipe.model.chat_template_path
    if path is None:
        return []
    name = f"`chat_template_path: {path}`"
    if Path(path).is_file() and not path.endswith(SUFFIXES):
        return [_error(f"{name} must end in {' or '.join(SUFFIXES)}, to be told from a model. Rename the file.")]
    text, named = model.chat_template, ModelFiles(path)
    if text is None and named.folder is None and named.is_hub_id and not path.endswith(SUFFIXES):
        return [Finding("warning", "chat template", f"{name} is not on this machine, so it is not tried out.")]
    if text is None:
        what = "holds no chat template" if Path(path).is_dir() else "leads nowhere"
        return [_error(f"{name} {what}. Name a .jinja file, or a model whose template is taken; `./x` is relative to "
                       "the recipe.")]  # fmt: skip
    special = model.tokenizer.special_tokens if model.tokenizer is not None else {}
    template = ChatTemplate(text, special | (getattr(recipe.settings, "chat_template_kwargs", None) or {}))
    try:
        trial = _tried(template)
        problem = trial.problem(answers=not recipe.record.makes_reward_model)
    except TemplateSyntaxError as error:
        return [_error(f"{name} is no template: {error.message}, in line {error.lineno}. Mend it there.")]
    except TemplateError as error:
        return [_error(f"{name} cannot render a question and its answer: {error}.")]
    if problem:
        return [_error(f"{name} {problem}")]
    return [*_unknown_marks(name, path, recipe, text, model.tokenizer), _shown(name, trial)]


class _Trial(NamedTuple):
    """A question and its answer, as a template writes them."""

    asked: str  # the question, with what asks for an answer
    alone: str  # without it
    whole: str  # with the answer

    def problem(self, *, answers: bool) -> str:
        """Says what the template leaves out, a sign for the model to answer too; empty if it leaves nothing out."""
        if QUESTION not in self.asked:
            return "leaves out what the user says. Write `message['content']` of every message."
        if ANSWER not in self.whole:
            return "leaves out what the assistant says, and nothing would be learnt. Write its `message['content']`."
        if answers and self.asked == self.alone:
            return (
                "has no generation prompt: a prompt ends without a sign that the assistant is next. Add "
                "`{% if add_generation_prompt %}...{% endif %}`, with what stands before an answer."
            )
        return ""


def _tried(template: ChatTemplate) -> _Trial:
    """Renders texts or, where these do not show up, lists of parts, as models that read images have them."""
    said = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
    try:
        is_seen = QUESTION in template.render(said[:1], add_generation_prompt=True)
    except TemplateSyntaxError:
        raise
    except TemplateError:
        is_seen = False
    said = said if is_seen else put_images_in(said, [])
    asked, alone = (template.render(said[:1], add_generation_prompt=each) for each in (True, False))
    return _Trial(asked, alone, template.render(said, add_generation_prompt=False))


def _unknown_marks(
    name: str, path: str, recipe: Recipe, text: str, tokenizer: PromptTokenizer | None
) -> list[Finding]:
    """Finds marks such as `<|im_start|>` that are ordinary text to the tokenizer."""
    if tokenizer is None or (hasattr(recipe.settings, "chat_template_path") and not Path(path).is_file()):
        return []  # TRL takes the tokens over with the template of a model
    marks = list(dict.fromkeys(_MARKS.findall(text)))
    unknown = [mark for mark, found in zip(marks, tokenizer.encode(marks, add_special_tokens=False), strict=True)
               if len(found.ids) != 1]  # fmt: skip
    if not unknown:
        return []
    told = f"{name}: {', '.join(unknown)} {'is' if len(unknown) == 1 else 'are'} no token of the model's tokenizer"
    text = f"{told}, and will be learnt as several. Use a template that was made for this model."
    return [Finding("warning", "chat template", text)]


def _shown(name: str, trial: _Trial) -> Finding:
    follows = trial.whole.startswith(trial.asked)
    text = f"{name} writes {trial.whole!r}."
    if follows:
        return Finding("ok", "chat template", text, {"prompt": trial.asked, "whole": trial.whole})
    text += (
        f" A prompt alone ends otherwise, {trial.asked!r}, so that an answer is not learnt in the place where it will "
        "be written."
    )
    return Finding("warning", "chat template", text, {"prompt": trial.asked, "whole": trial.whole})


def _error(text: str) -> Finding:
    return Finding("error", "chat template", text)
