"""Takes the pictures of the first page: the top of a report, light and dark, in a browser without a window.

bash scripts/quickstart.sh && python -m scripts.pictures outputs/quickstart/report.html
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.harness import Options

SIZE = 1000, 462
SCHEMES = {"light": 1, "dark": 0}  # in the words of the browser


def main(argv: Sequence[str] | None = None) -> int:
    """Writes `NAME-light.png` and `NAME-dark.png`."""
    parser = Options(__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/quickstart"), help="the name, without its end")
    parser.add_argument("--browser", default="chromium")
    options = parser.parse_args(argv)
    for scheme, number in SCHEMES.items():
        picture = options.out.with_name(f"{options.out.name}-{scheme}.png").resolve()
        how = [f"--blink-settings=preferredColorScheme={number}", f"--window-size={SIZE[0]},{SIZE[1]}"]
        quiet = ["--headless", "--no-sandbox", "--hide-scrollbars"]
        command = [options.browser, *quiet, *how, f"--screenshot={picture}", options.page.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True)
        print(f"{picture} has {picture.stat().st_size / 1000:.0f} kB.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
