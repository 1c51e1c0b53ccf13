"""`align eval`: runs an evaluation and says what it found."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from align.checks.memory import most_parameters
from align.cli.evaluation.divided import divided
from align.errors import UserError
from align.evaluation.service import EVALUATED, find_suite, run_suite
from align.secrets import mask_words
from align.threads import use_threads


def run(options: Mapping[str, Any], given: set[str]) -> None:
    """Evaluates, or asks one part of an evaluation.

    Args:
        options: Value of every option.
        given: Names of those that the command line named.
    """
    asked = filter(None, (options.get("model"), options.get("reward_model")))
    use_threads(most_parameters(asked))
    with divided(options, given) as (of_all, given_to_all):
        _evaluate(of_all, given_to_all)


def _evaluate(options: Mapping[str, Any], given: set[str]) -> None:
    policy, scorer = options.get("model"), options.get("reward_model")
    if (policy is None) == (scorer is None):
        raise UserError("Give `--model` (a policy) or `--reward_model`, one of the two.")
    suite = find_suite(options)
    evaluation = run_suite(suite, options, given, _command(options, given))
    out, record = evaluation.out, evaluation.found
    if policy is None:
        _show_scores(evaluation, record, out)
    else:
        from align.cli.evaluation.tables import show_evaluation
        from align.evaluation.record import EVALUATION_FILE, ITEMS_FILE

        show_evaluation(record)
        print(f"\nAll numbers are in {out / EVALUATION_FILE}, all {evaluation.items} in {out / ITEMS_FILE}.")
        print(f"The report is {evaluation.page}.")
    if evaluation.card is not None:
        from align.evaluation.on_card import pushed_to

        repo = pushed_to(evaluation.card)
        more = f" `hf upload {repo} {evaluation.card} README.md` puts them on the hub." if repo else ""
        print(f"The numbers are on the card {evaluation.card}.{more}")


def _show_scores(evaluation: Any, record: Any, out: Path) -> None:
    from align.cli.evaluation.reward_tables import show
    from align.evaluation.record import EVALUATION_FILE

    show(record)
    for rule, count in evaluation.left_out.items():
        print(f"{count:,} {'row is' if count == 1 else 'rows are'} left out: {rule}.")
    if missing := evaluation.without_quality:
        prompts = len(evaluation.candidates)
        print(f"What is chosen has no measured quality: {missing:,} of {prompts:,} prompts have no `quality`.")
    print(f"\nAll numbers are in {out / EVALUATION_FILE}, the report is {evaluation.page}.")
    if evaluation.mined is not None:
        print(f"The phrases that are kept are in {evaluation.mined}.")


def _command(options: Mapping[str, Any], given: set[str]) -> tuple[str, ...]:
    """Writes the options that were given as they could be given again."""
    found: list[str] = [options[EVALUATED]] if options.get(EVALUATED) else []
    for name in (name for name in options if name in given - {EVALUATED}):
        value = options[name]
        if isinstance(value, bool):
            found.append(f"--{name}" if value else f"--no-{name}")
        else:
            found += [f"--{name}", *([str(value)] if not isinstance(value, tuple) else value)]
    return tuple(mask_words(found))
