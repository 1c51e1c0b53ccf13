import html
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from align.data.loading import find_adapter
from align.data.problems import BadRow
from align.data.questions.adapters import Adapter, Row
from align.data.tables.observations import Roles

TAG = re.compile(r"<[^>]+>")
SECONDS_PER_DAY = 86_400


class ObservationAdapter(NamedTuple):
    """A schema: what it adds to a row, and the roles that options may replace."""

    add: Adapter
    roles: Roles


def upworthy(row: Row) -> dict[str, Any]:
    """Reads the Upworthy Research Archive: `headline`, `clicks`, `impressions`, `clickability_test_id`, `created_at`.

    Adds `click_rate`, and of the time, as it was written, `day` (since 1970) and `hour`. Packages of one test were
    shown at random, so an effect of the time is one between tests.

    Example:
        >>> row = {"headline": "A", "clicks": "3", "impressions": "300", "created_at": "2014-11-20 06:43:16.005"}
        >>> upworthy(row)
        {'click_rate': 0.01, 'day': 16394.28, 'hour': 6}
    """
    clicks, impressions = _count(row, "clicks"), _count(row, "impressions")
    if impressions == 0:
        raise BadRow("impressions", impressions, "nobody saw the row", "Leave rows without impressions out.")
    time = _time(row, "created_at")
    return {"click_rate": clicks / impressions, "day": _day(time), "hour": time.hour}


def stackexchange(row: Row) -> dict[str, Any]:
    r"""Reads posts of StackExchange, as the API (`creation_date`) or a dump (`CreationDate`) names their columns.

    Reads title and body, score, views and creation date. Adds `text` (without markup), `score`, `log_views`, `day`
    (since 1970) and `author`. Views confound and are themselves earned: a correction for them keeps what a text
    is worth to those who saw it.

    Example:
        >>> row = {"Title": "Why?", "Body": "<p>So.</p>", "Score": 5, "ViewCount": 99, "CreationDate": 86400}
        >>> stackexchange(row)
        {'text': 'Why?\n\nSo.', 'score': 5.0, 'log_views': 4.605, 'day': 1.0, 'author': None}
    """
    known = {name.replace("_", "").lower(): name for name in row}

    def column(*names: str) -> str:
        return next((known[name] for name in names if name in known), names[0])

    parts = [row.get(column(name)) for name in ("title", "body")]
    text = "\n\n".join(html.unescape(TAG.sub("", str(part))).strip() for part in parts if part)
    if not text:
        raise BadRow("title", None, "there is neither a title nor a body", "Leave the row out.")
    owner = row.get(column("owneruserid", "owner"))
    return {
        "text": text,
        "score": _count(row, column("score"), least=-math.inf),
        "log_views": round(math.log1p(_count(row, column("viewcount"))), 3),
        "day": _day(_time(row, column("creationdate"))),
        "author": str(owner["user_id"]) if isinstance(owner, dict) and "user_id" in owner else owner,
    }


OBSERVATION_ADAPTERS: dict[str, ObservationAdapter] = {
    "upworthy": ObservationAdapter(
        upworthy, Roles("click_rate", ("day", "hour"), text="headline", groups="clickability_test_id")
    ),
    "stackexchange": ObservationAdapter(stackexchange, Roles("score", ("log_views", "day"), text="text")),
}


def find_observation_adapter(name: str | None) -> tuple[str, Adapter] | None:
    """Looks up what adds columns to a row, as `find_adapter` does; only those of ours know which column is what."""
    return find_adapter(name, {ours: each.add for ours, each in OBSERVATION_ADAPTERS.items()})


def roles_of_adapter(name: str | None) -> Roles | None:
    """Returns which columns a public schema names."""
    return OBSERVATION_ADAPTERS[name].roles if name in OBSERVATION_ADAPTERS else None


def _count(row: Row, column: str, least: float = 0) -> float:
    value = row[column]
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number) or number < least:
        raise BadRow(column, value, "the value is not a count", "Write a number, or leave the row out.")
    return number


def _time(row: Row, column: str) -> datetime:
    """Reads seconds since 1970, a date of Arrow, or a text as ISO 8601; offsets are passed over."""
    value = row[column]
    readers: tuple[Callable[[], datetime], ...] = (
        lambda: value if isinstance(value, datetime) else datetime.fromtimestamp(float(value), UTC),
        lambda: datetime.fromisoformat(str(value).strip()),
    )
    for read in readers:
        try:
            time = read()
        except (TypeError, ValueError, OverflowError, OSError):
            continue
        return time.replace(tzinfo=UTC)
    remedy = "Write it as 2014-11-20 06:43:16 or in seconds since 1970."
    raise BadRow(column, value, "the value is not a time", remedy)


def _day(time: datetime) -> float:
    return round(time.timestamp() / SECONDS_PER_DAY, 2)
