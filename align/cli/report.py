"""`align report`: one page per run, comparison or evaluation."""

from collections.abc import Sequence
from pathlib import Path

from align.errors import UserError
from align.logs.naming import names_apart
from align.report import build_any_report, build_comparison, is_evaluation

_PORT = 8765


def run(folders: Sequence[Path], out: Path | None = None, watch: bool = False, port: int | None = None) -> None:
    """Writes a page, or serves it and follows its runs."""
    if out is not None and watch:
        raise UserError("`--watch` serves the page and writes no file. Leave out `--out` or `--watch`.")
    if port is not None and not watch:
        raise UserError(f"`--port {port}` needs `--watch`, which was not given. Add `--watch`, or leave the port out.")
    if out is not None and out.is_dir():
        raise UserError(f"`--out` must be a file, got the folder {out}. Name a file in it, such as {out}/report.html.")
    if watch:
        _follow(folders, _PORT if port is None else port)
    elif len(folders) == 1:
        print(f"The report is {build_any_report(folders[0], out)}.")
    else:
        page = build_comparison(_named(folders), None, out or Path("comparison.html"))
        print(f"The comparison of {len(folders)} runs is {page}.")


def _follow(folders: Sequence[Path], port: int) -> None:
    from align.report.watch import FollowedPage, serve

    for folder in folders:
        if not folder.is_dir():
            raise UserError(
                f"`--watch` follows runs, and {str(folder)!r} is no folder. Give the `output_dir` of a run."
            )
    page, names = FollowedPage(_named(folders)), ", ".join(map(str, folders))
    serve(page, port, lambda address: print(f"{address} follows {names}. Ctrl-C ends this.", flush=True))
    print("\nThe page is not served any more; `align report` writes it as a file.")


def _named(folders: Sequence[Path]) -> dict[str, Path]:
    """Names runs by as many parts of their paths as tell them apart."""
    names, whole = names_apart("run", folders), [folder.resolve() for folder in folders]
    for folder in whole:
        if is_evaluation(folder):
            raise UserError(
                f"{folder} holds an evaluation; several folders, and `--watch`, work with runs only. "
                f"`align report {folder}` writes its page."
            )
    return dict(zip(names, whole, strict=True))
