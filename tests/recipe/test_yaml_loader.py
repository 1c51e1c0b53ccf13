"""Files that are no recipe, or would be billions of values, are one sentence with the line, within a second."""

import time

import pytest
import yaml

from align.errors import RecipeError
from align.recipe.yaml_loader import MAX_BYTES, dump_yaml, load_yaml, parse_overrides, parse_yaml


def bomb(line):
    """Ten levels, each of which names the level below ten times."""
    levels = ["a0: &a0 {x: 1}", *(line(i, f"[{', '.join([f'*a{i - 1}'] * 10)}]") for i in range(1, 10))]
    return "\n".join(levels)


REFUSED = {
    "alias bomb": (bomb(lambda i, names: f"a{i}: &a{i} {names}"), "Line 5: there are more than 20,000 values"),
    "bomb of merge keys": (bomb(lambda i, names: f"a{i}: &a{i} {{<<: {names}}}"), "Line 5: there are more than"),
    "many values": (f"a: [{'1, ' * 20_001}]", "Line 1: there are more than 20,000 values"),
    "list in itself": ("b: 1\na: &a [*a]", "Line 2: `.a` stands inside `&a`"),
    "block in itself": ("a: &a\n  b: {c: *a}", "Line 2: `.a` stands inside `&a`"),
    "3,000 brackets": ("a: " + "[" * 3_000, "Line 1: values are nested more than 30 deep"),
    "3,000 closed brackets": ("a: " + "[" * 3_000 + "]" * 3_000, "nested more than 30 deep"),
    "deep lines": ("".join(f"{' ' * i}a:\n" for i in range(100)), "Line 30: values are nested more than 30 deep"),
    "5,000 digits": ("seed: " + "1" * 5_000, "Line 1: `111.*` and 4,960 more characters is not a valid int"),
    "5,000 hexadecimal digits": ("seed: 0x" + "f" * 5_000, "Line 1: `0xff.* is too large for a number"),
    "64 bits": ("seed: 9223372036854775808", "Line 1: `9223372036854775808` is too large"),
    "no date": ("a: !!timestamp 2026-02-30", "Line 1: the tag `timestamp` is not valid YAML here"),
    "bytes": ("a: !!binary aGVsbG8=", "Line 1: the tag `binary`"),
    "set": ("a: !!set {a, b}", "Line 1: the tag `set`"),
    "python object": ("a: !!python/object/apply:os.getcwd []", "Line 1: the tag `python/object/apply:os.getcwd`"),
    "own tag": ("a: !mine 1", "Line 1: the tag `!mine`"),
    "tagged text": ("a: !!int x", "Line 1: `x` is not a valid int. Put text in quotes"),
    "digits without one": ("a: 0b_", "Line 1: `0b_` is not a valid int"),
    "half a character": ('a: "\\ud800"', r"Line 1: the text holds '\\ud800', which is no character"),
    "half a character in a key": ('"\\udc00": 1', r"Line 1: the text holds '\\udc00'"),
    "escaped NUL": ('a: "x\\0"', r"Line 1: the text holds '\\x00'"),
    "NUL": ("a: 1\nb: \0", r"not valid YAML. Line 2: '\\x00' is no character of a text"),
    "tab": ("a:\n\tb: 1", "not valid YAML. Line 2, column 1: .*Indent with spaces"),
    "unknown alias": ("a: *b", "not valid YAML. Line 1, column 4: found undefined alias 'b'"),
    "merge of a number": ("a: {<<: 3}", "not valid YAML. Line 1, column 9: .*expected a mapping"),
    "two documents": ("a: 1\n---\nb: 2", "Line 2, column 1: expected a single document.*found another document"),
    "no quote": ('a: "x', "not valid YAML. Line 1, column 6"),
    "null as key": ("null: 1", "Line 1: the key `null` is read as None. Put a word in quotes"),
    "switch as key": ("a: {on: 1}", "Line 1: the key `on` is read as True"),
    "number as key": ("1.5: 1", "Line 1: the key `1.5` is read as 1.5"),
    "list as key": ("[a]: 1", "Line 1: a key must be a word"),
    "hidden in a key": ('"see\ufeffd": 1', r"Line 1: the key 'see\\ufeffd' holds a character that cannot be seen"),
    "escape in a key": ('a: {"\\e[2J": 1}', r"Line 1: the key '\\x1b\[2J' holds a character that cannot be seen"),
    "escape in a number": ('a: !!int "\\e[2J"', r"Line 1: `\\x1b\[2J` is not a valid int"),
    "escape in a tag": ("a: !%1B[2J 1", r"Line 1: the tag `!\\x1b\[2J` is not valid YAML here"),
    "twice": ("a: 1\nb: {c: 1, c: 2}", "Line 2: the key `c` is written twice"),
    "empty": ("", "is empty; it must hold `key: value` lines"),
    "large": ("a: " + "x" * MAX_BYTES, "larger than 1,000,000 bytes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_a_recipe_is_one_sentence(tmp_path, case):
    text, message = REFUSED[case]
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    started = time.process_time()
    with pytest.raises(RecipeError, match=message) as error:
        load_yaml(path)
    assert time.process_time() - started < 10
    assert "recipe.yaml" in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400 + len(str(path))


TEXTS = [
    "1e-6",
    "1e5",
    "+1e3",
    "\x85",
    "a\u2028b",
    "\u2029",
    "2026-02-30",
    "2026-02-03",
    "=",
    "1:30",
    "0x10",
    "yes",
    "null",
]
TEXTS += ["a\r\nb", "\ufeff", "<<", " x ", "a\n\nb\n", ".nan", "\t", "*a", "!!int 1", "# x", "😀", ""]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_that_is_written_is_read_as_the_same_text(text):
    written = dump_yaml({"a": text, "b": [text, 1e-6, None, True]})
    assert parse_yaml(written) == yaml.safe_load(written) == {"a": text, "b": [text, 1e-6, None, True]}


@pytest.mark.parametrize("content", ["a: 1".encode("utf-16"), b"a: 1\nb: \xe9", bytes(range(256))])
def test_a_file_in_another_encoding_is_refused_with_its_line(tmp_path, content):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    line = content[: next(i for i, byte in enumerate(content) if byte > 127)].count(b"\n") + 1
    with pytest.raises(RecipeError, match=rf"recipe.yaml is not UTF-8 text \(line {line}\)"):
        load_yaml(path)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"Cannot read .*: Is a directory"):
        load_yaml(tmp_path)
    with pytest.raises(RecipeError, match=r"Cannot read .*: embedded null byte"):
        load_yaml(tmp_path / "a\0b")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-02-30", "2026-02-30"),
        ("2026-02-20", "2026-02-20"),
        ("2026-02-20 10:00:00", "2026-02-20 10:00:00"),
        ("=", "="),
        ("1:30", "1:30"),
        ("010", "010"),
        ("-12", -12),
        ("0x1F", 31),
        ("!!str 3", "3"),
        ("9223372036854775807", 2**63 - 1),
        ("{<<: {x: 1}, y: 2}", {"x": 1, "y": 2}),
        ('{0: "10GB"}', {0: "10GB"}),
    ],
)
def test_values_are_read_as_they_are_meant(tmp_path, text, value):
    path = tmp_path / "recipe.yaml"
    path.write_text(f"\ufeffkey: {text}\nshared: &a [1, 2]\nagain: [*a, *a]", encoding="utf-8")
    content = load_yaml(path)
    assert content == {"key": value, "shared": [1, 2], "again": [[1, 2], [1, 2]]}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--"], "`--` must be followed by the name of a key.*got ''"),
        (["--=1"], "`--` must be followed by the name of a key"),
        (["--a..b", "1"], "must be followed by the name of a key.*'a..b'"),
        (["--.a", "1"], "must be followed by the name of a key"),
        (["--a\nb", "1"], "must be followed by the name of a key"),
        ([f"--{'a.' * 3_000}a", "1"], "must be followed by the name of a key.*more characters"),
        (["--seed", "1" * 5_000], "`--seed`: `11.* is not a valid int"),
        (["--seed", "[" * 3_000], "`--seed`: values are nested more than 30 deep"),
        (["--seed", "{a: 1, a: 2}"], "`--seed`: the key `a` is written twice"),
        (["--run_name", "\udcff"], "`--run_name`: '.udcff' is not UTF-8 text"),
    ],
)
def test_words_that_are_no_overrides_are_refused(words, message):
    with pytest.raises(RecipeError, match=message):
        parse_overrides(words)


def test_words_may_be_of_any_alphabet():
    assert parse_overrides(["--run_name", "läuft-走-😀"]) == {"run_name": "läuft-走-😀"}


@pytest.mark.parametrize(
    "text",
    [
        "seed 3 #7",
        "#7",
        "# Role\nBe brief.",
        "Answer the question.\n\n{question}\n\n{options}\n\nWrite the letter. # no other words\n",
        " two  spaces ",
        "--- and so on",
        "{question}",
    ],
)
def test_a_text_of_the_command_line_keeps_its_lines_and_what_looks_like_a_comment(text):
    assert parse_overrides([f"--dataset.system_prompt={text}"]) == {"dataset": {"system_prompt": text}}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("'1e-6' # a text", "1e-6"),
        ('"a\\nb"', "a\nb"),
        ("|\n a\n b\n", "a\nb\n"),
        (">-\n a\n b\n", "a b"),
        ("!!str 3", "3"),
        ("&a text", "text"),
        ("[a, # a comment\n b]", ["a", "b"]),
        ("{a: b}", {"a": "b"}),
        (" 1e-6 # small", 1e-6),
        ("~ # none", None),
        ("", None),
    ],
)
def test_a_word_that_is_written_as_yaml_is_read_as_yaml(word, value):
    assert parse_overrides(["--x", word]) == {"x": value}


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["--a.b=1", "--a={c: 2}"], {"a": {"b": 1, "c": 2}}),
        (["--a.b=1", "--a={b: 2, c: 3}"], {"a": {"b": 1, "c": 3}}),
        (["--a.b.c=1", "--a.b={d: 2}", "--a={e: 3}"], {"a": {"b": {"c": 1, "d": 2}, "e": 3}}),
        (["--a={b: 1}", "--a={c: 2}"], {"a": {"b": 1, "c": 2}}),
    ],
)
def test_a_block_and_keys_of_it_are_read_alike_in_any_order(words, value):
    assert parse_overrides(words) == parse_overrides(words[::-1]) == value


@pytest.mark.parametrize("block", ["x", "{}", "[1]"])
def test_a_key_of_a_block_that_is_none_or_cleared_is_refused_in_any_order(block):
    words = ["--a.b=1", f"--a={block}"]
    for order in (words, words[::-1]):
        with pytest.raises(RecipeError, match=r"`--a\.b` and `--a.*` cannot both be given"):
            parse_overrides(order)
