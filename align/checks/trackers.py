"""Whether what metrics are sent to would take them, before a model is loaded."""

import netrc
import os
from configparser import ConfigParser
from configparser import Error as ConfigError
from pathlib import Path
from urllib.parse import urlsplit

from align.checks.finding import Finding
from align.recipe.recipe import Recipe
from align.versions import installed_version

_SENDS_NOTHING = ("offline", "disabled", "dryrun")


def check_trackers(recipe: Recipe) -> list[Finding]:
    """Finds that wandb has no key: it asks for one when training begins, and ends a run without a terminal."""
    asked = recipe.settings.report_to or []
    if "wandb" not in ([asked] if isinstance(asked, str) else asked) or installed_version("wandb") is None:
        return []
    if os.environ.get("RANK", "0") != "0" or _has_key():  # only the main process sends anything
        return []
    text = (
        "`report_to: wandb` finds no key, and without one a run ends after its model is loaded. Run `wandb login`, "
        "set the variable WANDB_API_KEY, or set WANDB_MODE=offline and send the run later."
    )
    return [Finding("warning", "trackers", text, fix="wandb login")]


def _has_key() -> bool:
    """Looks where wandb 0.31 looks; asking wandb would start a process of its own."""
    saved = _settings()
    if os.environ.get("WANDB_MODE", saved.get("mode")) in _SENDS_NOTHING or saved.get("api_key"):
        return True
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    import wandb

    host = os.environ.get("WANDB_BASE_URL") or saved.get("base_url") or wandb.Settings().base_url
    files = [os.environ.get("NETRC"), Path.home() / ".netrc", Path.home() / "_netrc"]
    return any(_knows(Path(file), urlsplit(str(host)).netloc) for file in files if file is not None)


def _settings() -> dict[str, str]:
    """Reads what `wandb offline` and the like have noted, for the user and then for this folder."""
    of_user = os.environ.get("WANDB_CONFIG_DIR") or Path.home() / ".config" / "wandb"
    of_folder = Path(os.environ.get("WANDB_DIR") or ".") / "wandb"
    read = ConfigParser(interpolation=None)
    try:
        read.read([Path(of_user) / "settings", of_folder / "settings"])
    except (ConfigError, UnicodeDecodeError):
        return {}
    return dict(read["default"]) if read.has_section("default") else {}


def _knows(file: Path, host: str) -> bool:
    try:
        return netrc.netrc(file).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
