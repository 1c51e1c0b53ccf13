"""What can be wrong with a reward: one entry each, which whoever finds or shows it asks."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

Level = Literal["error", "warning"]


class Fault(NamedTuple):
    """Everything there is of a fault; what is in braces in its words was seen in the trial.

    What stands behind a `/` in its name tells sentences of one kind from each other.
    """

    name: str
    level: Level  # an error would stop training or spoil what is learnt, a warning may be meant
    words: str  # what the reward does, without its name in front
    remedy: str
    look: Callable[[Any], Iterable[Mapping[str, Any]]] | None = None  # finds it in a `Trial`; else a call tells it


_ONE_EACH = "Return one number (or None) per completion."
_FINITE = "Return a finite number, or None to skip a row."
_VALUE = "returned {value} for {count} of {of} rows, first at {place}: {reason}"
_PRINT = "Remove the print, or use `log_extra` and `log_metric`: it prints once per step on every process."
_THREAD = "`signal.alarm` works in the main thread only, which servers and pools do not give it: set no timeout in it."
_READ_BOTH = "Read a completion with `rewards.completion_text(completion)`, which knows both forms"
_HANG = (
    "Give what waits (HTTP, a solver, a regular expression) a time limit of its own, shorter than this one. If it may "
    "take longer, say so: `reward_timeout` in the recipe, `--time_limit` for the check."
)
_DEATH = "Something in it ends the process: native code, `os._exit`, or too much memory."
_FAULTS = (
    Fault("not_found", "error", "cannot be used", "{why}"),
    Fault("signature", "error", "does not take the keyword {names}",
          "TRL passes every column and more by keyword: add `**kwargs` to its signature."),
    Fault("signature/positional", "error", "takes positional-only arguments",
          "TRL calls by keyword: remove the `/`."),
    Fault("missing_column", "error", "needs a column `{column}` that the data lacks",
          "{hint}It is called with: {names}."),
    Fault("raises", "error", "raised {error}",
          "Run it on one such completion and mend it; TRL stops at an error, and the guard loses the row."),
    Fault("raises/sent", "error", "could not be called: {error}",
          "Rows and responses are sent to it by pickle; the values of every column must allow that."),
    Fault("raises/beside", "error", "could not be called: {error}",
          "It breaks what runs beside it in its process: look at what it replaces or closes."),
    Fault("fails_on_odd", "error", "{problem}, on {name}{more}", "{remedy}"),
    Fault("hangs", "error", "did not return within {seconds:.0f} s on {on}", _HANG),
    Fault("hangs_sometimes", "error", "did not return within {seconds:.0f} s on {on}", _HANG),
    Fault("hangs/loading", "error", "could not be loaded within {seconds:.0f} s",
          "Look at what its module does when it is imported."),
    Fault("dies", "error", "ends its process on {on}: {error}", _DEATH),
    Fault("dies_sometimes", "error", "ends its process on {on}: {error}", _DEATH),
    Fault("dies/loading", "error", "cannot be loaded: {error}", "Look at what its module does."),
    Fault("not_a_list", "error", "returned {what}", _ONE_EACH),
    Fault("not_a_list/coroutine", "error", "returned a coroutine",
          "Declare the reward itself `async def`, so that TRL awaits it."),
    Fault("wrong_length", "error", "returned {values} for {completions}", _ONE_EACH),
    Fault("not_a_number", "error", _VALUE, _FINITE),
    Fault("not_finite", "error", _VALUE, _FINITE),
    Fault("has_gradient", "warning", _VALUE, "Return `value.item()`, or compute under `torch.no_grad()`."),
    Fault("always_none", "error", "returned None for every one of {count} responses to {rows} rows",
          "It teaches nothing{why}"),
    Fault("reads_no_gold", "error", "gave {value:g} to all of {count} responses, right, wrong and odd ones",
          "It teaches nothing. {golds}"),
    Fault("changes_inputs", "error", "changes its inputs: {names}",
          "Copy before you change: the next reward and the log read the same objects."),
    Fault("depends_on_order", "error", "gave {name} {here}, and {there} when the batch is reversed",
          "Read prompt, columns and completion of a row by the same index, and keep nothing from row to row."),
    Fault("forms_differ", "error",
          "gives {name} {here} as {form} and {there} as {other}: it does not look into messages",
          f"{_READ_BOTH}; one that asks a model by its chat template says so, `renders_messages = True`."),
    Fault("wrong_above_right", "error",
          "gives the wrong answer {form} {wrong} and the right one in the same form {right} (`{column}` {gold})",
          "Check the sign, and which column and form it compares."),
    Fault("pays_nothing", "error", "gives {name} {value}, as much as the right answer",
          "Give an empty or missing answer nothing before comparing."),
    Fault("logs_wrong_length", "error", "logs {count} values in the column `{column}` for {of} completions",
          "`log_extra(column, values)` takes one value per completion; TRL cannot write its table otherwise."),
    Fault("seeds", "error", "sets the seed of {names}",
          "Use a generator of your own (`random.Random(0)`): with the global one every step draws the same."),
    Fault("changes_folder", "error", "changes the working folder to {folder}",
          "Use absolute paths: checkpoints would go elsewhere, because `output_dir` is relative to it."),
    Fault("torch", "error", "changes settings of torch: {names}",
          "Put it back before you return, as `with torch.no_grad():` does: the model trains with the same torch."),
    Fault("keeps_threads", "error", "leaves {count} thread{s} running that Python waits for: {names}",
          "Start it with `daemon=True`, or end it before you return: training would never end."),
    Fault("leaves_processes", "error", "leaves processes behind: {left} after {calls} calls",
          "Wait for each (`subprocess.run` does), or end it before you return: they fill the machine."),
    Fault("floods", "error",
          "prints more than {most:,} characters in a call with {count} completions, beginning {begin}", _PRINT),
    Fault("floods/past_python", "error",
          "writes {megabytes:,.0f} MB to standard error, or past Python to standard output",
          "Silence what writes it: it does so on every process."),
    Fault("needs_data", "warning", "reads the column `{column}`, which cannot be made up",
          "Give data that has it: `--data FILE`, or name a recipe."),
    Fault("absent_column", "warning",
          "looks for a column `{column}` in its `**kwargs` that the data lacks, and goes on without",
          "{remedy} Leave it so if the column is optional."),
    Fault("one_form", "warning", "reads completions as {form} only; as {other} it {problem}",
          f"{_READ_BOTH}, or use it with {{prompts}} only."),
    Fault("often_none", "warning", "returned None for {share:.0%} of {count} responses",
          "TRL leaves such rows out. Check that this is meant."),
    Fault("often_none/judge", "warning", "returned None for each of {count} responses",
          "Look at what the model replies: it may not keep to the form."),
    Fault("not_deterministic", "warning", "gave {name} {first} and then {then}",
          "Seed a generator of its own with the row, and keep no state: groups are compared by its values."),
    Fault("depends_on_batch", "warning", "gave {name} {here} in a batch and {there} alone",
          "If it compares the completions of a prompt, set `whole_batch = True` on it, so that workers give it all of "
          "them; else score each row by itself."),
    Fault("differs_in_thread", "warning", "gave {name} {here} in the main thread and {there} outside of it", _THREAD),
    Fault("differs_in_thread/fails", "warning", "{problem} outside the main thread", _THREAD),
    Fault("right_below_maximum", "warning",
          "gives the right answer less than the maximum in {count} of {of} rows: `{column}` {gold} gets {value} like "
          "a wrong one", "It may not be able to read this answer. Forms tried: {forms}."),
    Fault("ignores_answer", "warning",
          "reads `{column}`, but gives right and wrong answers the same in every form that was tried",
          "Forms: {forms}. Check what it compares."),
    Fault("unclear", "warning",
          "reads {columns}, and no exchange between rows says where right answers stand, in whatever form",
          "Name the place with `--gold`, and see that a right answer alone earns something."),
    Fault("unclear/turned", "warning",
          "gives {wrong} for another row's `{column}`, and {right} for the row's own, {gold}, {form}",
          "If right answers stand there, its sign is wrong: say so with `--gold {column}`."),
    Fault("pays_every_answer", "warning",
          "gives {name} ({text!r:.60}) {value}, as much as the right one, on {on} of {of} row{s}",
          "Read exactly one answer and compare it as a whole; a policy learns to list them."),
    Fault("constant", "warning",
          "gave {value:g} to all of {count} responses, right, wrong and odd ones, and to some made of what its code "
          "names", "A constant teaches nothing: look at what it reads, and in which form."),
    Fault("constant/form", "warning", "gave {value:g} to all of {count} responses, right, wrong and odd ones",
          "It pays {own!r}: see that prompts ask for this form."),
    Fault("slow", "warning",
          "takes {each:.2g} s per completion: about {seconds:.0f} s per step of {count} completions",
          "Score in parallel (workers, or `async def` for HTTP), or cache what repeats."),
    Fault("few_samples", "warning",
          "takes {each:.2g} s per completion and was tried on {kept} of {of} responses only",
          "Most odd responses were left out; raise `--max_seconds` to try more."),
    Fault("few_samples/answers", "warning", "took too long for right answers to be told from wrong ones",
          "Raise `--max_seconds`."),
    Fault("not_picklable", "warning", "cannot be pickled: {error}",
          "Worker processes cannot be given it: define it at the top level of a module or file, or as a class with "
          "`__call__` and `__name__`, without locks, open files and clients in its attributes."),
    Fault("prints", "warning", "prints to standard output: {first}", _PRINT),
)  # fmt: skip
FAULTS = {fault.name: fault for fault in _FAULTS}


class RewardProblem(NamedTuple):
    """Something that would stop or spoil training, or that may.

    Attributes:
        reward: Its name.
        kind: A key of `FAULTS`.
        problem: What it does, without its name in front.
        remedy: What to do about it.
    """

    reward: str
    kind: str
    problem: str
    remedy: str

    @classmethod
    def of(cls, reward: str, fault: str, **seen: Any) -> "RewardProblem":
        """Words a fault, a key of `FAULTS`, with what was seen of it."""
        _, _, words, remedy, _ = FAULTS[fault]
        return cls(reward, fault.partition("/")[0], words.format(**seen), remedy.format(**seen))

    @property
    def level(self) -> Level:
        """`error` or `warning`."""
        return FAULTS[self.kind].level

    def __str__(self) -> str:
        text = f"Reward `{self.reward}` {self.problem}. {self.remedy}"
        return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)  # what hides or moves
