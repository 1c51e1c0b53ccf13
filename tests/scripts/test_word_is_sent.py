"""A run of a shipped recipe sends word of its alarms and of its end."""

from pathlib import Path

import pytest

import align
from align.errors import UserError

WRITES = 'echo "$ALIGN_STATE: $ALIGN_MESSAGE" >> "$ALIGN_RUN/told.txt"'


@pytest.mark.slow
def test_a_run_that_ends_and_one_that_an_alarm_ends_call_it(tmp_path: Path) -> None:
    how = {"logging_steps": 1, "on_end": WRITES, "reward_kwargs": {}, "max_steps": 6, "alarms": {"phrase": 0.0}}
    align.train("acre/quickstart", output_dir=str(tmp_path / "a"), **how)
    alarm, end = (tmp_path / "a" / "told.txt").read_text().splitlines()
    assert alarm.startswith("alarm: audit, step 5: The total reward goes up with words")
    assert end == "finished: acre/quickstart has finished."
    with pytest.raises(UserError, match="`stop_on` names phrase"):
        align.train("acre/quickstart", output_dir=str(tmp_path / "b"), stop_on=["phrase"], **how)
    assert "failed: acre/quickstart ended early" in (tmp_path / "b" / "told.txt").read_text()
