"""Arguments of the command about the machine: doctor."""

from pathlib import Path
from typing import Annotated

import typer

from align.cli.application import app, execute


@app.command()
def doctor(
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Where runs will be written.")] = Path("outputs"),
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check versions, devices, disk, ports and engines of this machine, with the line that mends each problem."""
    from align.cli.doctor import run

    execute(lambda: run(output_dir, json))
