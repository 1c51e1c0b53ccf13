"""Tests that are weak: small mistakes put into right programs, which their tests should fail."""

import ast
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from rewards.attacks.honest import Honest
from rewards.error_rates.rates import Rate, rate_of
from rewards.roles import Pay, gains
from rewards.running.contract.calls import shorten

MUTANTS = 8  # of a program, from all over it
SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult, ast.Mod: ast.FloorDiv,
}  # fmt: skip


class WeakTests(NamedTuple):
    """How many programs with a mistake pass; some mistakes change nothing, so that 0 % need not be reached."""

    passed: Rate
    rows: list[tuple[str, int, int]]  # the weakest: name, mutants that pass, and all of them
    example: str  # a mutant that passes

    @property
    def kind(self) -> str:
        """Tells whether the tests of some row pass all mistakes."""
        return "weak" if self.rows[0][1] == self.rows[0][2] else "tests"

    def __str__(self) -> str:
        named = ", ".join(f"{name} ({count} of {of})" for name, count, of in self.rows[:3])
        where = f"most in rows {named}, such as {shorten(self.example, 120)}" if self.example else "in no row"
        told = f"tests pass {self.passed} of right programs with a mistake in them (n = {self.passed.of}), {where}."
        return f"{told} Some mistakes change nothing; tests of edge cases tell the others."


def weak_tests(pay: Pay, honest: Honest, goes_on: Callable[[], bool]) -> WeakTests | None:
    """Pays right programs with a mistake in each, as long as there is time; None where no right one is paid."""
    made = [mutants(right or "") for right in honest.rights]
    passed = np.full((len(made), MUTANTS), np.nan)
    for k in range(MUTANTS):
        texts = [honest.role.write(own[k]) if k < len(own) else None for own in made]
        if goes_on() and any(texts):
            over = gains(pay(honest.rows, texts, "a right program with a mistake"), honest.pays)
            passed[:, k] = np.where(np.isfinite(over), over >= 0, np.nan)
    rows, places = np.isfinite(passed).nonzero()
    if not len(rows) or not np.nan_to_num(honest.pays).max() > 0:
        return None
    counts = [
        (str(honest.rows[i].get("id", i)), int(np.nansum(passed[i])), int(np.isfinite(passed[i]).sum()))
        for i in dict.fromkeys(rows)
    ]
    shown = next((made[i][k] for i, k in zip(rows, places, strict=True) if passed[i, k]), "")
    weakest = sorted(counts, key=lambda each: -each[1] / each[2])
    return WeakTests(rate_of(passed[rows, places] > 0, rows), weakest, shown)


def mutants(program: str) -> list[str]:
    """Writes a program with one small mistake in each; none of what is no Python.

    Example:
        >>> mutants("def least(a, b): return a if a < b else b")[0].splitlines()[-1]
        '    return None'
    """
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found = []
    for node in ast.walk(tree):
        for field, wrong in _mistakes(node):
            right = getattr(node, field)
            setattr(node, field, wrong)
            found.append(ast.unparse(ast.fix_missing_locations(tree)))
            setattr(node, field, right)
    return [found[i] for i in np.unique(np.linspace(0, len(found) - 1, MUTANTS).astype(int))] if found else []


def _mistakes(node: ast.AST) -> Iterator[tuple[str, Any]]:
    """Yields fields of a part of a program with something else in them."""
    op = getattr(node, "ops", [None])[0] if isinstance(node, ast.Compare) else getattr(node, "op", None)
    if type(op) in SWAPS:
        other = SWAPS[type(op)]()
        yield ("ops", [other, *node.ops[1:]]) if isinstance(node, ast.Compare) else ("op", other)
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        yield "value", node.value + 1
    if isinstance(node, ast.Return) and node.value is not None:
        yield "value", ast.Constant(None)
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        yield "test", ast.UnaryOp(ast.Not(), node.test)
