"""`align.watch`: what a run of `align train` has around its trainer, for a trainer in somebody's own script."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from align.console import say
from align.errors import RunFolderError, UserError
from align.recipe.problems import one_line
from align.recipe.recipe import read_block
from align.recipe.reward_settings import RewardSettings, check_reward_settings
from align.recipe.unknown_keys import unknown_keys
from align.runs.folder import RECIPE_FILE, record_end, record_run, set_log_aside
from align.training.callbacks import AlarmLines, MetricsFile
from align.training.guarded_rewards import GuardedRewards, become, rules_of, scores_completions, take_over
from rewards.catalog import resolve_reward
from rewards.extras import listed
from rewards.running.protocol import reward_name

if TYPE_CHECKING:
    from transformers import Trainer as Parent
else:
    Parent = object

UPLOADING = ("wandb", "trackio")  # to which TRL sends its completions as soon as it writes any
COMPLETIONS = "completions"
_NOTE = "# Written by `align.watch`: the settings of the trainer that differ from their defaults. No recipe to run.\n"


def watch(
    trainer: Any,
    *,
    audits: Sequence[Callable[..., Any] | str] = (),
    stop_on: Sequence[str] = (),
    **keys: Any,
) -> Any:
    """Watches a trainer of TRL or transformers: guards its rewards, logs audits and alarms, and writes its page.

    Its numbers stay what they are, to the last bit, while every reward is valid. `metrics.jsonl` and `report.html` go
    to its `output_dir`, of one that scores completions `rewards.jsonl` and tables of completions, too. What there is
    nothing of in a trainer, such as rewards in DPO, is left out, with a sentence.

    Args:
        trainer: Built, and not trained yet.
        audits: Reward functions, or names of some, that are logged and never trained on.
        stop_on: Alarms that end training by a `UserError`, such as `invalid_share` or `length`.
        **keys: What else a recipe may say of rewards: `on_invalid`, `max_invalid_share`, `reward_workers`,
            `reward_timeout`, `reward_memory_gb`, `reward_repeats`, `reward_gates`, `reward_clip` and `alarms`.

    Returns:
        The trainer.

    Raises:
        UserError: If a key or value has no meaning, the trainer is watched already, or its `output_dir` is another's.

    Example:
        trainer = align.watch(GRPOTrainer(...), audits=["repetition"], stop_on=["invalid_share"])
        trainer.train()
    """
    if not all(hasattr(trainer, name) for name in ("add_callback", "train", "args", "state")):
        raise UserError(f"`align.watch` takes a trainer of TRL or transformers, got {type(trainer).__name__}.")
    if isinstance(trainer, Watched):
        raise UserError(
            "This trainer is watched already. Give all `audits` and `stop_on` in one call of `align.watch`."
        )
    functions = [_function(audit) for audit in (*audits, *keys.pop("audit_funcs", ()))]
    names, named = list(getattr(trainer, "reward_func_names", ())), list(map(reward_name, functions))
    settings = _settings(keys | {"stop_on": list(stop_on)}, names, named)
    folder = Path(trainer.args.output_dir or ".")
    _check_own(folder)
    scores, kinds = scores_completions(trainer), type(trainer).mro()
    class_name = next(each.__name__ for each in kinds if each.__module__.startswith(("trl.", "transformers.")))
    given = [f"`{name}`" for name, value in {"audits": audits, "stop_on": stop_on, **keys}.items() if value]
    left_out = [] if scores or not given else [f"scores no completions, so {listed(given)} cannot apply"]
    if isinstance(trainer, GuardedRewards) and (own := [f"`{name}`" for name in keys if name != "alarms"]):
        left_out.append(f"was built with rules of its own, so {listed(own)} cannot apply")
    if scores:
        guarding, rules = rules_of(settings, _paths(names))
        take_over(trainer, rules, functions, guarding)
        left_out += _show_completions(trainer, folder)
    become(trainer, Watched)
    shown = settings.model_dump(exclude_defaults=True, exclude={"audit_funcs"}) | {"audit_funcs": named}
    trainer._start_watch(folder, _record(trainer, class_name, names, shown if scores else {}))
    trainer.add_callback(MetricsFile(folder / "metrics.jsonl"))
    if scores:
        trainer.add_callback(AlarmLines(settings.thresholds(), settings.stop_on))
    if left_out:
        say(f"`align.watch`: {class_name} {', and '.join(left_out)}. The rest is watched.")
    return trainer


class Watched(Parent):
    """Adds to any trainer what begins and ends the log of a run; no step differs."""

    def _start_watch(self, folder: Path, record: Mapping[str, Any]) -> None:
        self._run_folder, self._run_record = folder, record
        self._logged_before = self._log_size()

    def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Trains as before, and writes the page however training ends."""
        is_main = self.is_world_process_zero()
        if is_main:
            self._begin_log(goes_on=bool(resume_from_checkpoint))
        try:
            output = super().train(resume_from_checkpoint, *args, **kwargs)
            if is_main:
                record_end(self._run_folder, self.state.global_step)
            return output
        finally:
            if is_main:
                self._logged_before = self._log_size()
                from align.report import build_report

                try:
                    say(f"The page of this run is {build_report(self._run_folder)}.")
                except Exception as error:  # whatever its tables hold, the training is done
                    why, again = one_line(error).rstrip("."), f"align report {self._run_folder}"
                    say(f"This run has no page: {why}. `{again}` tries again.")

    def _log_size(self) -> int:
        path = self._run_folder / "metrics.jsonl"
        return path.stat().st_size if path.exists() else 0

    def _begin_log(self, *, goes_on: bool) -> None:
        """Sets the log of an earlier run aside, and keeps what this trainer has logged before its first step."""
        path = self._run_folder / "metrics.jsonl"
        if self._logged_before and not goes_on:
            own = path.read_bytes()[self._logged_before :].lstrip()
            say(f"The log of the run that was in {self._run_folder} is kept in {set_log_aside(self._run_folder)}.")
            if own:
                path.write_bytes(own)
        versions = {"watched": self._run_record["watched"]}
        record_run(self._run_folder, self._run_record, versions, _NOTE)


def _function(audit: Callable[..., Any] | str) -> Callable[..., Any]:
    try:
        return resolve_reward(audit) if isinstance(audit, str) else audit
    except ValueError as error:
        raise UserError(f"`audits`: {error}") from error


def _settings(keys: Mapping[str, Any], names: list[str], audits: list[str]) -> RewardSettings:
    if unknown := unknown_keys(RewardSettings, "", keys):
        raise UserError(" ".join(unknown))
    settings = read_block(RewardSettings, "", {**keys, "audit_funcs": _paths(audits)})
    try:
        check_reward_settings(settings, _paths(names))
    except ValueError as error:
        raise UserError(str(error).replace("`audit_funcs`", "`audits`")) from error
    return settings


def _paths(names: Sequence[str]) -> list[str]:
    """Writes names so that a recipe's keys name them as a whole, dots included."""
    return [f"./{name}" for name in names]


def _check_own(folder: Path) -> None:
    path = folder / RECIPE_FILE
    try:
        kept = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {"watched": ""}
    except (OSError, ValueError, yaml.YAMLError):
        kept = None
    if not isinstance(kept, dict) or "watched" not in kept:
        raise RunFolderError(
            f"`output_dir` {folder} holds a {RECIPE_FILE} that `align.watch` did not write and would replace. Give "
            "the trainer another `output_dir`."
        )


def _show_completions(trainer: Any, folder: Path) -> list[str]:
    """Has TRL write its tables of completions, without printing them; where it would not, or upload them, says so."""
    if all(kind.__name__ != "GRPOTrainer" for kind in type(trainer).mro()):
        return ["writes no tables of completions, so the page shows none"]
    if trainer.log_completions:
        return []
    report_to = trainer.args.report_to
    reported = [report_to] if isinstance(report_to, str) else report_to or []
    uploads = [f"`{name}`" for name in UPLOADING if name in reported]
    if uploads:
        return [f"would upload completions to {listed(uploads)}, so none are kept; `log_completions=True` allows it"]
    trainer.log_completions, trainer.num_completions_to_print = True, 0
    if trainer.is_world_process_zero():
        (folder / COMPLETIONS).mkdir(parents=True, exist_ok=True)
    return []


def _record(trainer: Any, class_name: str, rewards: list[str], watched: Mapping[str, Any]) -> dict[str, Any]:
    """Lists what the page says of the settings: those that differ from their defaults, without tokens."""
    values = trainer.args.to_dict()
    changed = {
        field.name: values[field.name]
        for field in fields(trainer.args)
        if field.default is not MISSING
        and not field.name.endswith("_token")
        and isinstance(values.get(field.name), str | int | float)
        and values[field.name] != field.default
    }
    model = getattr(getattr(trainer.model, "config", None), "_name_or_path", "") or type(trainer.model).__name__
    head = {"method": (class_name.removesuffix("Trainer") or class_name).lower(), "watched": class_name}
    named = {"model_name_or_path": model, **({"reward_funcs": rewards} if rewards else {})}
    return {**head, **named, **watched, **changed}
