"""The method of a recipe, and its second run: a policy that the first rewards, or what starts from the first."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from align.errors import RecipeError
from align.methods import METHODS
from align.recipe.problems import shown
from align.recipe.rules import suggestion

TRAINED = "trained"  # stands for the model of the first run: as a reward, or as the model of the second


def second_methods(method: str) -> list[str]:
    """Lists the methods of the run that may come after one: what starts from its model, or is rewarded by it."""
    first = METHODS[method]
    after = [name for name, other in METHODS.items() if first.makes_language_model or other.has_rewards]
    return after if first.makes_language_model or first.makes_reward_model else []


def second_run(content: Mapping[str, Any], output_dir: str) -> dict[str, Any] | None:
    """Returns the recipe under `then`, whose reward or model `trained` is the folder of the first run."""
    if content.get("then") is None:
        return None
    then, method = content["then"], content["method"]
    if not isinstance(then, Mapping):
        raise RecipeError(
            f"`then` must be a block with the keys of a recipe, such as `method: grpo`; got {shown(then)}."
        )
    starts = METHODS[method].makes_language_model
    _check_first(content)
    second = then.get("method")
    seconds = second_methods(method)
    if second not in seconds:
        which = "" if starts else ", which use rewards"
        hint = suggestion(second, seconds) if isinstance(second, str) else ""
        found = f"got {shown(second)}.{hint}" if second is not None else word_missing(then, seconds, "then.")
        raise RecipeError(f"`then.method` must be one of {', '.join(seconds)}{which}; {found}")
    if "then" in then:
        raise RecipeError("`then.then`: a chain has two runs. Remove the inner block.")
    folder = str(Path(output_dir).resolve())
    used = _start(method, then, folder) if starts else _reward(method, then, folder)
    known = {"output_dir": str(Path(output_dir) / second)} | dict(then)
    if Path(str(known["output_dir"])).expanduser().resolve() == Path(folder):
        raise RecipeError(f"`then.output_dir` is that of the first run, {output_dir}. Leave it out, or name another.")
    return known | used


def _start(method: str, then: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Puts the folder of the first run in place of the model of the second."""
    model = then.get("model_name_or_path")
    if model != TRAINED:
        raise RecipeError(
            f"`then.model_name_or_path` must be `{TRAINED}`, the model that {method} trains; got {shown(model)}."
        )
    return {"model_name_or_path": folder}


def _reward(method: str, then: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Puts the folder of the first run beside the name `trained`, which a reward of the second keeps."""
    rewards = then.get("reward_funcs")
    specs = [rewards] if isinstance(rewards, str) else rewards
    if not isinstance(specs, list) or TRAINED not in specs:
        raise RecipeError(
            f"`then.reward_funcs` must name `{TRAINED}`, the reward model that {method} trains; got {shown(rewards)}."
        )
    lists = {key: then[key] for key in ("reward_funcs", "audit_funcs") if isinstance(then.get(key), list)}
    lists["reward_funcs"] = specs
    return {key: [f"{TRAINED}={folder}" if each == TRAINED else each for each in of] for key, of in lists.items()}


def parse_second_run(content: Mapping[str, Any], parse: Callable[[Mapping[str, Any]], Any]) -> Any:
    """Parses the recipe under `then`, and says so in its errors."""
    try:
        return parse(content)
    except RecipeError as error:
        raise RecipeError(f"In `then`: {error}") from error


def _check_first(content: Mapping[str, Any]) -> None:
    method = content["method"]
    if METHODS[method].makes_language_model:
        if content.get("use_peft"):
            raise RecipeError(
                "`then` starts from whole weights, and `use_peft: true` trains an adapter. Train all weights, or use "
                "two recipes and merge between."
            )
        return
    if not METHODS[method].makes_reward_model:
        makers = ", ".join(name for name, other in METHODS.items() if other.makes_reward_model)
        starters = ", ".join(name for name, other in METHODS.items() if other.makes_language_model)
        raise RecipeError(
            f"`then` rewards a policy with the model trained before ({makers}); {method} trains none. Or it starts "
            f"from the model trained before ({starters})."
        )
    if content.get("model_type") == "pairwise":
        raise RecipeError(
            "`then` needs a reward per answer, and a pairwise model gives none. Use `model_type: scalar`."
        )
    if content.get("use_peft"):
        raise RecipeError(
            "`then` cannot use an adapter: TRL loads it with a random score head. Train all weights "
            "(`use_peft: false`), or a head on the frozen model (`head: ridge`), or use two recipes and merge between."
        )


EXAMPLE = next(iter(METHODS))


def method_of(content: Mapping[str, Any]) -> str:
    """Reads the key `method` of a recipe."""
    method = content.get("method")
    if isinstance(method, str) and method in METHODS:
        return method
    if method is None:
        raise RecipeError(f"`method` must be one of {', '.join(METHODS)}; {word_missing(content, METHODS)}")
    hint = suggestion(method, METHODS) if isinstance(method, str) else f" Write one word, as in `method: {EXAMPLE}`."
    raise RecipeError(f"`method` must be one of {', '.join(METHODS)}; got {shown(method)}.{hint}")


def word_missing(content: Mapping[str, Any], methods: Collection[str], prefix: str = "") -> str:
    """Says what stands there in place of the key, and which line to add, with the method that a misspelt key names."""
    misspelt = next((key for key in content if key != "method" and suggestion(str(key), ["method"])), None)
    absent = "got None." if "method" in content else "it is missing."
    found = f"`{prefix}{misspelt}` looks like it." if misspelt is not None else absent
    like = next((value for value in content.values() if isinstance(value, str) and value in methods), None)
    return f"{found} Add a line such as `method: {like or next(iter(methods))}`."
