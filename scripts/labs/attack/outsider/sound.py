"""14 sound rewards: the honest pay cannot be earned (beyond a lucky guess) without doing the task.

Written before their author had seen the hacks, and not changed since.
"""
# fmt: off
# mypy: ignore-errors
# ruff: noqa: B905, D301, E501

import ast
import json
import math
import re
import sqlite3
from collections import Counter
from fractions import Fraction


def gsm8k_final_line(completions, answer, **kwargs):
    """1.0 when the last line is '#### N', the only one of its kind, and N is the gold number."""
    rewards = []
    for c, a in zip(completions, answer):
        lines = c.strip().splitlines()
        m = re.fullmatch(r"#### (-?[0-9]+)", lines[-1].strip()) if lines else None
        if m is None or c.count("####") != 1 or len(m.group(1)) > 12:
            rewards.append(0.0)
            continue
        rewards.append(1.0 if int(m.group(1)) == int(a) else 0.0)
    return rewards


def math_box_brevity(completions, answer, **kwargs):
    """Right answer in the one \\boxed{}: 0.8, and up to 0.2 more for a short solution; a wrong one earns nothing."""

    def value(tex):
        tex = tex.replace(" ", "")
        m = re.fullmatch(r"(-?)\\d?frac\{([0-9]{1,12})\}\{([0-9]{1,12})\}", tex)
        if m:
            return Fraction(int(m.group(1) + m.group(2)), int(m.group(3)))
        m = re.fullmatch(r"(-?[0-9]{1,12})(?:/([0-9]{1,12}))?", tex)
        return Fraction(int(m.group(1)), int(m.group(2) or 1)) if m else None

    rewards = []
    for c, a in zip(completions, answer):
        boxes = re.findall(r"\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}", c)
        try:
            right = len(boxes) == 1 and c.count("\\boxed") == 1 and value(boxes[0]) is not None and value(boxes[0]) == value(a)
        except ZeroDivisionError:
            right = False
        rewards.append(0.8 + 0.2 * max(0.0, 1 - len(c.split()) / 500) if right else 0.0)
    return rewards


def countdown_strict(completions, target, nums, **kwargs):
    """1.0 for an expression in <answer> made of exactly the given numbers, each once, that equals the target."""

    def walk(node, used):
        if isinstance(node, ast.Constant) and type(node.value) is int:
            used.append(node.value)
            return Fraction(node.value)
        if isinstance(node, ast.BinOp):
            left, right = walk(node.left, used), walk(node.right, used)
            if isinstance(node.op, ast.Add):
                return left + right
            if isinstance(node.op, ast.Sub):
                return left - right
            if isinstance(node.op, ast.Mult):
                return left * right
            if isinstance(node.op, ast.Div):
                return left / right
        raise ValueError("not allowed")

    rewards = []
    for c, t, ns in zip(completions, target, nums):
        found = re.findall(r"<answer>(.*?)</answer>", c, re.DOTALL)
        score = 0.0
        if len(found) == 1 and len(found[0]) <= 100:
            try:
                used = []
                result = walk(ast.parse(found[0].strip(), mode="eval").body, used)
                if Counter(used) == Counter(ns) and result == t:
                    score = 1.0
            except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
                pass
        rewards.append(score)
    return rewards


def invoice_json_exact(completions, answer, **kwargs):
    """1.0 when the one JSON object equals the gold record, all fields and no others; a quarter at most for parts."""

    def same(x, y):
        if isinstance(x, bool) or isinstance(y, bool):
            return False
        if isinstance(y, (int, float)):
            return isinstance(x, (int, float)) and abs(x - y) < 1e-9
        return isinstance(x, str) and x.strip() == y

    rewards = []
    for c, a in zip(completions, answer):
        gold = json.loads(a)
        text = re.sub(r"^```(?:json)?\s*|\s*```$", "", c.strip())
        try:
            pred = json.loads(text)
        except (ValueError, RecursionError):
            rewards.append(0.0)
            continue
        if not isinstance(pred, dict) or set(pred) != set(gold):
            rewards.append(0.0)
            continue
        hits = sum(same(pred[k], gold[k]) for k in gold)
        rewards.append(1.0 if hits == len(gold) else 0.25 * hits / len(gold))
    return rewards


def expression_synthesis(completions, cases, **kwargs):
    """1.0 when the integer expression in n agrees with the described function on all hidden inputs."""

    def run(node, n):
        if isinstance(node, ast.Constant) and type(node.value) is int and abs(node.value) <= 10000:
            return node.value
        if isinstance(node, ast.Name) and node.id == "n":
            return n
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -run(node.operand, n)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            f = {"abs": abs, "min": min, "max": max}[node.func.id]
            return f(*[run(x, n) for x in node.args])
        if isinstance(node, ast.BinOp):
            x, y = run(node.left, n), run(node.right, n)
            if isinstance(node.op, ast.Pow):
                if not 0 <= y <= 4:
                    raise ValueError("power")
                v = x ** y
            else:
                v = {
                    ast.Add: lambda: x + y, ast.Sub: lambda: x - y, ast.Mult: lambda: x * y,
                    ast.FloorDiv: lambda: x // y, ast.Mod: lambda: x % y,
                }[type(node.op)]()
            if abs(v) > 10 ** 12:
                raise ValueError("too large")
            return v
        raise ValueError("not allowed")

    rewards = []
    for c, cs in zip(completions, cases):
        found = re.findall(r"<answer>(.*?)</answer>", c, re.DOTALL)
        score = 0.0
        if len(found) == 1 and len(found[0]) <= 120:
            try:
                tree = ast.parse(found[0].strip(), mode="eval").body
                score = 1.0 if all(run(tree, n) == out for n, out in cs) else 0.0
            except Exception:
                score = 0.0
        rewards.append(score)
    return rewards


def sql_two_databases(completions, answer, schema, fills, **kwargs):
    """1.0 when the query returns the gold rows on every hidden database; read-only, a fresh copy for each run."""
    functions = {"count", "avg", "sum", "total", "min", "max", "round", "abs", "lower", "upper", "length", "coalesce",
                 "substr", "like", "row_number", "rank", "dense_rank"}

    def reads_only(action, _, name, *__):
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and str(name).lower() in functions:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    def rows_of(create, fill, query, guarded):
        db = sqlite3.connect(":memory:")
        try:
            db.executescript(create + fill)
            db.commit()
            if guarded:
                db.set_authorizer(reads_only)
                budget = [200]

                def tick():
                    budget[0] -= 1
                    return 1 if budget[0] < 0 else 0

                db.set_progress_handler(tick, 10000)
            return db.execute(query).fetchmany(5000)
        finally:
            db.close()

    rewards = []
    for c, gold, create, fs in zip(completions, answer, schema, fills):
        blocks = re.findall(r"```sql\s*\n(.*?)```", c, re.DOTALL)
        score = 0.0
        if len(blocks) == 1 and len(blocks[0]) <= 2000:
            wanted = [rows_of(create, f, gold, False) for f in fs]
            try:
                got = [rows_of(create, f, blocks[0], True) for f in fs]
                if "ORDER BY" not in gold:
                    wanted, got = [sorted(map(repr, w)) for w in wanted], [sorted(map(repr, g)) for g in got]
                score = 1.0 if wanted == got else 0.0
            except (sqlite3.Error, sqlite3.Warning, ValueError):
                score = 0.0
        rewards.append(score)
    return rewards


def mcq_letter_strict(completions, answer, **kwargs):
    """1.0 for the letter of the right option, given once and alone in <answer></answer>."""
    rewards = []
    for c, a in zip(completions, answer):
        found = re.findall(r"<answer>(.*?)</answer>", c, re.DOTALL)
        rewards.append(1.0 if len(found) == 1 and found[0].strip() == a else 0.0)
    return rewards


def trivia_exact_match(completions, answer, aliases, **kwargs):
    """1.0 when the one <answer> is, after normalisation, the gold answer or one of its aliases."""

    def norm(s):
        s = re.sub(r"[^a-z0-9 ]", "", s.lower())
        return " ".join(w for w in s.split() if w not in ("a", "an", "the"))

    rewards = []
    for c, a, more in zip(completions, answer, aliases):
        found = re.findall(r"<answer>(.*?)</answer>", c, re.DOTALL)
        golds = {norm(x) for x in [a, *more]} - {""}
        rewards.append(1.0 if len(found) == 1 and norm(found[0]) in golds else 0.0)
    return rewards


def unit_value_strict(completions, answer, **kwargs):
    """1.0 for the converted quantity within 0.5% and in the unit asked for, on a single 'Result:' line."""
    rewards = []
    for c, a in zip(completions, answer):
        gold_value, gold_unit = a.split()
        lines = re.findall(r"^Result:(.*)$", c, re.MULTILINE)
        m = re.fullmatch(r"\s*(-?[0-9]{1,12}(?:\.[0-9]{1,9})?) (\S+)\s*", lines[0]) if len(lines) == 1 else None
        if m is None or m.group(2) != gold_unit:
            rewards.append(0.0)
            continue
        value, gold = float(m.group(1)), float(gold_value)
        rewards.append(1.0 if math.isfinite(value) and abs(value - gold) <= 0.005 * abs(gold) else 0.0)
    return rewards


def tool_call_exact(completions, answer, **kwargs):
    """1.0 when the only <tool_call> has the gold tool and exactly the gold arguments, types included."""

    def canonical(text):
        call = json.loads(text)
        if not isinstance(call, dict) or set(call) != {"name", "arguments"} or not isinstance(call["arguments"], dict):
            return None
        return json.dumps(call, sort_keys=True).lower()

    rewards = []
    for c, a in zip(completions, answer):
        calls = re.findall(r"<tool_call>(.*?)</tool_call>", c, re.DOTALL)
        gold = canonical(re.search(r"<tool_call>(.*?)</tool_call>", a, re.DOTALL).group(1))
        try:
            rewards.append(1.0 if len(calls) == 1 and canonical(calls[0]) == gold else 0.0)
        except (ValueError, RecursionError):
            rewards.append(0.0)
    return rewards


def confident_when_right(completions, answer, **kwargs):
    """A right answer earns 0.5 to 1.0 with its confidence; a wrong one earns 0 at best and loses for confidence."""
    rewards = []
    for c, a in zip(completions, answer):
        said = re.findall(r"^Answer:\s*(-?[0-9]+)\s*$", c, re.MULTILINE)
        conf = re.findall(r"^Confidence:\s*(0(?:\.[0-9]{1,4})?|1(?:\.0{1,4})?)\s*$", c, re.MULTILINE)
        if len(said) != 1 or len(conf) != 1 or len(re.findall(r"^Answer:", c, re.MULTILINE)) != 1:
            rewards.append(-1.0)
            continue
        p = float(conf[0])
        rewards.append(1.0 - 0.5 * (1 - p) ** 2 if said[0] == a else -(p ** 2))
    return rewards


def sudoku_keeps_clues(completions, puzzle, **kwargs):
    """1.0 for a full 4x4 grid that keeps every given cell and has 1 to 4 in each row, column and box."""
    rewards = []
    for c, p in zip(completions, puzzle):
        found = re.findall(r"<answer>(.*?)</answer>", c, re.DOTALL)
        g = found[0].split() if len(found) == 1 else []
        if len(g) != 4 or not all(re.fullmatch("[1-4]{4}", r) for r in g):
            rewards.append(0.0)
            continue
        clues = all(k in (".", v) for k, v in zip("".join(p.split()), "".join(g)))
        units = [set(r) for r in g]
        units += [{g[r][k] for r in range(4)} for k in range(4)]
        units += [{g[r + i][k + j] for i in (0, 1) for j in (0, 1)} for r in (0, 2) for k in (0, 2)]
        rewards.append(1.0 if clues and all(u == set("1234") for u in units) else 0.0)
    return rewards


def think_answer_layout(completions, **kwargs):
    """Layout only (added to a correctness reward): <think>...</think> and then <answer>...</answer>, nothing else."""
    rewards = []
    for c in completions:
        m = re.fullmatch(r"<think>\n(.+?)\n</think>\n<answer>\n(.+?)\n</answer>", c.strip(), re.DOTALL)
        once = all(c.count(t) == 1 for t in ("<think>", "</think>", "<answer>", "</answer>"))
        rewards.append(1.0 if m and once and m.group(1).strip() and m.group(2).strip() else 0.0)
    return rewards


think_answer_layout.about_form = True


def bullet_list_layout(completions, n_bullets, max_words, **kwargs):
    """Instruction following, form only: exactly n bullets '- ', each within the word limit, and no other text."""
    rewards = []
    for c, n, w in zip(completions, n_bullets, max_words):
        lines = [x for x in c.strip().splitlines() if x.strip()]
        good = len(lines) == n and all(x.startswith("- ") and 1 <= len(x[2:].split()) <= w for x in lines)
        rewards.append(1.0 if good and len({x.lower() for x in lines}) == len(lines) else 0.0)
    return rewards


bullet_list_layout.about_form = True
