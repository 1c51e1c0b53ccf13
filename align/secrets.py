"""Secrets in what is written and shown: masked by the name of their key and by the shape of their value.

Training gets the real values; every writer of a file, a page or a line on the console calls `mask` on what it writes.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import Any

MASK = "***"
# Words of a key that make its value secret wherever they stand in it.
_SECRET_WORDS = {
    "apikey", "apitoken", "accesstoken", "auth", "authorization", "bearer", "cookie", "credential", "credentials",
    "jwt", "passphrase", "passwd", "password", "passwords", "pwd", "secret", "secrets",
}  # fmt: skip
# `..._key` is secret after these; a `label_key` is none.
_OF_KEYS = {
    "access", "account", "anthropic", "api", "auth", "azure", "client", "encryption", "hf", "license", "openai",
    "private", "secret", "service", "signing", "ssh", "subscription", "wandb",
}  # fmt: skip
# `..._token` is secret unless one of these is before it: then it is one that a tokenizer has, or a unit.
_OF_VOCABULARY = {
    "added", "and", "answer", "assistant", "audio", "begin", "boi", "bos", "by", "cls", "decoder", "each", "end",
    "eod", "eoi", "eom", "eos", "eot", "extra", "fill", "fim", "first", "im", "image", "label", "last", "mask", "mean",
    "middle", "new", "newline", "next", "one", "or", "pad", "per", "placeholder", "reward", "score", "sep",
    "separator", "single", "space", "special", "speech", "start", "step", "stop", "text", "think", "thinking",
    "timestamp", "tool", "turn", "unk", "video", "vision", "word",
}  # fmt: skip
_OF_TOKENS = {"access", "api", "auth", "hf", "hub", "secret"}  # `hub_tokens`, not `max_completion_tokens`
# A key that ends so says where a secret is, or what is known of it.
_NOT_THE_SECRET = {
    "column", "count", "dir", "env", "field", "file", "host", "ids", "length", "name", "path", "scope", "sock", "type",
    "uri", "url", "var", "variable",
}  # fmt: skip
_QUERY_WORDS = {"code", "key", "sig", "signature"}  # of a URL only
# A text without one of these holds none of the shapes below; looking for them is faster than looking for a shape.
_STARTS = (
    "hf_", "api_org_", "sk-", "rk-", "pk-", "sk_", "rk_", "gh", "github_pat_", "glpat-", "AKIA", "ASIA", "AIza",
    "ya29.", "xox", "nvapi-", "gsk_", "npm_", "pypi-", "eyJ", "-----BEGIN ", "Bearer ",
)  # fmt: skip
_SHAPES = re.compile(
    r"""
      (?:(?<![A-Za-z0-9_])|(?<=\\[nrt]))(?:                           # a word begins, also behind an escaped newline
          hf_[A-Za-z0-9]{16,} | api_org_[A-Za-z0-9]{16,}              # Hugging Face
        | (?:sk|rk|pk)-(?=[\w-]{0,99}\d)[\w-]{16,} | [sr]k_(?:live|test)_\w{10,}    # OpenAI, Anthropic, Stripe
        | gh[pousr]_[A-Za-z0-9]{16,} | github_pat_\w{20,} | glpat-[\w-]{16,}   # GitHub, GitLab
        | (?:AKIA|ASIA)[A-Z0-9]{12,} | AIza[\w-]{30,} | ya29\.[\w-]{16,}       # Amazon, Google
        | xox[abeprs]-[\w-]{10,} | nvapi-[\w-]{16,} | gsk_[A-Za-z0-9]{20,} | npm_[A-Za-z0-9]{30,}
        | pypi-AgE[\w-]{16,}
        | eyJ[\w-]{6,999}\.eyJ[\w-]{6,9999}(?:\.[\w-]*)?                   # JSON web tokens
      )
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    | (?<=\bBearer[ ])(?=\S*\d)[\w.~+/=-]{8,}
    """,
    re.VERBOSE | re.DOTALL,
)
# Of a URL that became a path, which has one slash, only what has a colon.
_LOGIN_OF_PATH = re.compile(r"""((?<=[A-Za-z0-9]):/)[^\s/:?#'"<>@]+:[^\s/?#'"<>]*(?=@)""")
_LOGIN = re.compile(r"""(://)[^\s/?#'"<>@]*(?:@[^\s/?#'"<>@]*)*(?=@)""")  # user:password of a URL
_HEADER = re.compile(r"([Aa]uthorization[\"']?\s*[:=]\s*[\"']?(?:(?i:basic|bearer|token|digest)\s+)?)([^\s\"',}]+)")
_ASSIGNED = re.compile(r"(?:([?&;])|(?<![\w.\[\]]))([A-Za-z][\w.\[\]-]{0,99})=([^\s&;\"'`,)}\]]+)")
_QUOTED = re.compile(r"""(["'])([A-Za-z][\w.-]*)\1(\s*:\s*)(["'])((?:(?!\4)[^\\\n]|\\.)+)\4""")
_LINE = re.compile(r"^(\s*(?:- )?)([A-Za-z][\w-]*)(:[ \t]+)(\S.*)$", re.MULTILINE)  # of YAML that has an error
_FLOW = re.compile(r"([{,]\s{0,9})([A-Za-z][\w-]*)(:[ \t]+)([^\s,\"'{}\[\]][^\s,{}\]]*)")  # of YAML between braces
_OPTION = re.compile(r"(--[A-Za-z][\w.-]{0,99})(\s+)(?!--)([\"']?)([^\s\"']+)\3")
_SHORTEST = 8  # characters of a value that is looked for in texts; shorter ones are words
_known: set[str] = set()


def mask(value: Any) -> Any:
    """Returns a value with every secret in it replaced by `***`.

    Mappings, lists and tuples are copied with their type's plain form; what holds no text comes back as it is.

    Example:
        >>> mask({"hub_token": "abc", "pad_token": "<pad>", "path": "https://me:pw@host/x", "max_tokens": 5})
        {'hub_token': '***', 'pad_token': '<pad>', 'path': 'https://***@host/x', 'max_tokens': 5}
    """
    return _masked(value, _findable_secrets())


def mask_words(words: Iterable[str]) -> list[str]:
    """Masks the words of a command: what follows `--hub_token`, and everything that `mask` finds.

    Example:
        >>> mask_words(["train", "r.yaml", "--hub_token", "abc", "--judge.api_key=abc", "--seed", "1"])
        ['train', 'r.yaml', '--hub_token', '***', '--judge.api_key=***', '--seed', '1']
    """
    found, hidden, secrets = [], False, _findable_secrets()
    for word in words:
        if word.startswith("--"):
            name, equals, _ = word[2:].partition("=")
            hidden = is_secret_name(name) and not equals
            found.append(f"--{name}={MASK}" if equals and is_secret_name(name) else _mask_text(word, secrets))
        else:
            found.append(str(_hide(word, secrets)) if hidden else _mask_text(word, secrets))
    return found


def remember_secrets(value: Any) -> None:
    """Notes the values of secret keys, so that `mask` finds them in any text of this process."""
    _known.update(text for text in _secret_texts(value) if _is_findable(text))


def remember_lines(text: str) -> None:
    """Notes the values of secret keys in a text that may be no YAML, which an error would quote."""
    for _, name, _, value in _LINE.findall(text):
        if is_secret_name(name):
            words = (value, *value.split()[:1])  # behind a tag or an anchor there may be another word
            remember_secrets({name: [word.strip(" \t\r!&*'\"[]{}") for word in words]})


def masked_keys(value: Any, prefix: str = "") -> list[str]:
    """Lists the keys, joined by dots, whose value `mask` has replaced.

    Example:
        >>> masked_keys({"hub_token": "***", "dataset": {"path": "https://***@host/x"}, "prompt": "Think *** now"})
        ['hub_token', 'dataset.path']
    """
    if isinstance(value, Mapping):
        return [found for key, item in value.items() for found in masked_keys(item, f"{prefix}.{key}".lstrip("."))]
    if isinstance(value, list | tuple):
        return list(dict.fromkeys(found for item in value for found in masked_keys(item, prefix)))
    is_masked = isinstance(value, str) and (value == MASK or re.search(r"://\*\*\*@|[?&][^=&\s]+=\*\*\*", value))
    return [prefix] if is_masked else []


@cache
def is_secret_name(name: str) -> bool:
    """Tells whether the value of a key is a secret, by the words of the key.

    Example:
        >>> [is_secret_name(each) for each in ("hub_token", "apiKey", "eos_token", "num_tokens", "api_key_env")]
        [True, True, False, False, False]
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    parts = [part for part in re.split(r"[^a-z0-9]+", words) if part]
    if not parts or parts[-1] in _NOT_THE_SECRET:
        return False
    before = parts[-2] if len(parts) > 1 else ""
    if parts[-1] == "token":
        return before not in _OF_VOCABULARY
    if parts[-1] == "tokens":
        return before in _OF_TOKENS
    return bool(_SECRET_WORDS & set(parts)) or any(
        second in ("key", "keys") and first in _OF_KEYS for first, second in pairwise(parts)
    )


def _masked(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, str):
        return _mask_text(value, secrets)
    if isinstance(value, Mapping):
        return {
            _masked(key, secrets): (_hide if is_secret_name(str(key)) else _masked)(item, secrets)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_masked(item, secrets) for item in value]
    if type(value) is tuple:
        return tuple(_masked(item, secrets) for item in value)
    return value


def _hide(value: Any, secrets: list[str]) -> Any:
    """Hides whatever stands under a secret key; a number may be a password, a switch is none."""
    if isinstance(value, Mapping):
        return {_masked(key, secrets): _hide(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_hide(item, secrets) for item in value]
    if isinstance(value, str):
        return value if _is_public(value) else MASK
    return MASK if isinstance(value, int) and not isinstance(value, bool) else value


def _is_public(value: str) -> bool:
    """Tells what is no secret under any key: nothing, a token of a tokenizer, the name of a variable."""
    return not value.strip() or bool(re.fullmatch(r"<.*>|\[.*\]|\$\w+|\$\{\w+\}|\*\*\*", value.strip()))


def _mask_text(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, MASK)
    if any(start in text for start in _STARTS):
        text = _SHAPES.sub(MASK, text)
    if ":/" in text and "@" in text:
        text = _LOGIN_OF_PATH.sub(rf"\1{MASK}", _LOGIN.sub(rf"\1{MASK}", text))
    if "uthorization" in text:
        text = _HEADER.sub(rf"\1{MASK}", text)
    if "=" in text:
        text = _ASSIGNED.sub(_mask_assigned, text)
    if '":' in text or "':" in text:
        text = _QUOTED.sub(_mask_quoted, text)
    if ": " in text:
        text = _FLOW.sub(_mask_line, _LINE.sub(_mask_line, text))
    return _OPTION.sub(_mask_option, text) if "--" in text else text


def _mask_assigned(found: re.Match[str]) -> str:
    sign, name, value = found.groups()
    sign = sign or ""
    is_secret = is_secret_name(name) or (sign in ("?", "&") and name.lower() in _QUERY_WORDS)
    return f"{sign}{name}={MASK}" if is_secret and not _is_public(value) else found[0]


def _mask_quoted(found: re.Match[str]) -> str:
    quote, name, colon, mark, value = found.groups()
    hidden = is_secret_name(name) and not _is_public(value)
    return f"{quote}{name}{quote}{colon}{mark}{MASK}{mark}" if hidden else found[0]


def _mask_line(found: re.Match[str]) -> str:
    """Masks a line whose key has two words: one of a text that a person writes begins with no such key."""
    start, name, colon, value = found.groups()
    hidden = re.search("[_-]", name) and is_secret_name(name) and not _is_public(value)
    return f"{start}{name}{colon}{MASK}" if hidden else found[0]


def _mask_option(found: re.Match[str]) -> str:
    name, space, quote, value = found.groups()
    return f"{name}{space}{quote}{MASK}{quote}" if is_secret_name(name) and not _is_public(value) else found[0]


def _secret_texts(value: Any, is_secret: bool = False) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secret_texts(item, is_secret or is_secret_name(str(key)))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secret_texts(item, is_secret)
    elif is_secret and isinstance(value, str) and not _is_public(value):
        yield value


def _findable_secrets() -> list[str]:
    """Lists the values that are looked for in texts, a longer one before its parts."""
    # `PWD` of every shell is the folder it is in, and no password.
    held = [text for name, text in os.environ.items() if name != "PWD" and is_secret_name(name)]
    found = [text for text in held if _is_findable(text) and not os.path.exists(text)]
    return sorted({*_known, *found}, key=len, reverse=True)


def _is_findable(text: str) -> bool:
    """Tells whether a value is long and odd enough not to occur in a text by chance."""
    return len(text) >= _SHORTEST and not _is_public(text) and not (text.isalpha() and text.islower())
