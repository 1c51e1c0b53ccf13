"""The command that continues a run which was stopped."""

import os
import shlex
from collections.abc import Sequence

_LAUNCHED = {"LOCAL_RANK", "ACCELERATE_MIXED_PRECISION"}  # set by torchrun, and by accelerate for one process too


def how_to_go_on(words: Sequence[str]) -> str:
    """Writes the command that was given with `--resume auto`; a launcher's own words are not known.

    Args:
        words: `sys.argv` of the run.

    Example:
        >>> how_to_go_on(["/bin/align", "train", "my recipe.yaml", "--resume=run/checkpoint-4", "--max_steps", "9"])
        "It goes on with: align train 'my recipe.yaml' --max_steps 9 --resume auto"
    """
    given = list(words[1:])
    if given[:1] != ["train"] or _LAUNCHED & os.environ.keys():
        return "`--resume auto` goes on."
    if "--resume" in given:
        place = given.index("--resume")
        del given[place : place + 2]
    given = [word for word in given if not word.startswith("--resume=")]
    return f"It goes on with: {shlex.join(['align', *given, '--resume', 'auto'])}"
