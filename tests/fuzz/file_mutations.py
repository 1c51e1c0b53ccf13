"""Files of good rows in every format, with a few values or bytes changed."""

import csv
import io
import json
import random
from typing import Any

import pyarrow
import pyarrow.parquet
from odd_values import ATOMS, nested, odd_value

FORMATS = ("jsonl", "jsonl", "json", "csv", "parquet")
NAMES = ["Question", "\ud800", "", "a\0", "\x1b", "completions", "images", "image", "video", "tools", "id", "prompt"]
ODD_LISTS: list[Any] = [[], {}, [[]], [None], [1, "a"], ["a", "a"], [[0, 10**20]], [[0, True]], {"role": "user"}]
ODD_LISTS += [[{"role": "user", "content": None}], [{"role": 1, "content": "x"}], {"text": ["a"], "label": [1]}]
ODD_LISTS += [{"bytes": None, "path": None}, {"bytes": "x", "path": "/x"}, "\ud800", "2014-99-99"]
FRAGMENTS = [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\0", b"\r", b"\n", b'"', b"\\", b"\\ud800"]
FRAGMENTS += [b"\\u0000", b"1e999", b"9" * 5_000, b"[" * 5_000, b'{"a":' * 3_000, b"]" * 50, b"{", b"}", b",", b";"]
FRAGMENTS += [b"\t", b"\xef\xbb\xbf", b"\xff\xfe", b"NaN", b"-Infinity", b"\x1b[2J", b"\x85", b"null", b'""', b'"":1,']
FRAGMENTS += ["\u200b".encode(), "\u2028".encode(), "é".encode()]
ENCODINGS = ["utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig"]


def draw_file(rng: random.Random, rows: list[dict[str, Any]]) -> tuple[str, bytes]:
    """Returns the format and the content of a file."""
    kind = rng.choice(FORMATS)
    if rng.random() < 0.6:
        changed = json.loads(json.dumps(rows))
        for _ in range(rng.randint(0, 3)):
            _change(rng, changed)
        try:
            return kind, write(rng, changed, kind)
        except (pyarrow.ArrowException, UnicodeError, OverflowError, RecursionError):  # no such file can be written
            pass
    return kind, _spoil(rng, write(rng, rows, kind))


def write(rng: random.Random, rows: list[dict[str, Any]], kind: str) -> bytes:
    """Writes rows in a format, in one of the ways in which it is written."""
    plain = rng.random() < 0.5
    if kind == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=plain) + "\n" for row in rows).encode()
    if kind == "json":
        return json.dumps(rows, indent=rng.choice([None, 1]), ensure_ascii=plain).encode()
    flat = [{name: json.dumps(value) if _is_nested(value) else value for name, value in row.items()} for row in rows]
    if kind == "csv":
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=rng.choice(",,;\t"), lineterminator=rng.choice(["\n", "\r\n", "\r"]))
        writer.writerows([flat[0].keys(), *(row.values() for row in flat)])
        return text.getvalue().encode()
    content = io.BytesIO()
    has_types = plain and len({type(value) for row in rows for value in [row.get("prompt")]}) == 1
    table = pyarrow.Table.from_pylist(rows if has_types else flat)
    pyarrow.parquet.write_table(table, content, compression=rng.choice(["none", "snappy", "zstd"]))
    return content.getvalue()


def _is_nested(value: Any) -> bool:
    return isinstance(value, list | dict)


def _change(rng: random.Random, rows: list[dict[str, Any]]) -> None:
    row = rng.choice(rows)
    name = rng.choice(list(row))
    kind = rng.random()
    if kind < 0.15 and len(row) > 1:
        del row[name]
    elif kind < 0.25:
        row[rng.choice([*NAMES, name.upper()])] = row[name]
    elif kind < 0.32:
        row[name] = nested(rng, rng.choice([3, 49, 50, 51, 200, 600]))
    elif kind < 0.4:
        for each in rows:
            if name in each:
                each[f"{name.title()}_"] = each.pop(name)
    elif kind < 0.6 and isinstance(row[name], list) and row[name]:
        row[name][rng.randrange(len(row[name]))] = rng.choice(ATOMS + ODD_LISTS)
    elif kind < 0.65:
        rows.append(dict(row))
    else:
        row[name] = rng.choice(ODD_LISTS) if kind < 0.75 else odd_value(rng)


def _spoil(rng: random.Random, content: bytes) -> bytes:
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(content) + 1)
        before, after = content[:place], content[place:]
        kind = rng.random()
        if kind < 0.4:
            content = before + rng.choice(FRAGMENTS) + after
        elif kind < 0.6:
            content = before + bytes([rng.randrange(256)]) + after[1:]
        elif kind < 0.7:
            content = before + after[rng.randint(1, 30) :]
        elif kind < 0.9:
            content = rng.choice([before, after, content + content])
        elif kind < 0.93:
            content = rng.randbytes(rng.randint(0, 200))
        else:
            content = content.decode("utf-8", "replace").encode(rng.choice(ENCODINGS), "replace")
    return content
