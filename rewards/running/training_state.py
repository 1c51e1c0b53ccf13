"""What a reward in the training process may not change for the trainer, put back after each call."""

import contextlib
import logging
import os
from collections.abc import Iterator

from rewards.running.contract.interpreter import changes, fresh_torch, put_back, torch_settings, working_folder

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def training_as_it_was(reward: str) -> Iterator[None]:
    """Puts back the settings of torch and the working folder, and says what a reward did to them."""
    folder, before = working_folder(), torch_settings()
    try:
        yield
    finally:
        after = torch_settings()
        if after != before:
            before = fresh_torch() | before  # it may have loaded torch
            changed = changes(before, after)
            put_back(before, after)
            if changed:
                logger.warning("Reward `%s` changed settings of torch, put back: %s.", reward, ", ".join(changed))
        if working_folder() != folder:
            logger.warning("Reward `%s` changed the working folder to %s, put back.", reward, working_folder())
            with contextlib.suppress(OSError):  # it may have been deleted
                os.chdir(folder)
