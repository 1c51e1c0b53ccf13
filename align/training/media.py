"""Small copies of the images that a run's report shows, kept in the run folder: the data may move."""

import hashlib
import warnings
from pathlib import Path

from align.whole_files import write_whole

MEDIA_FOLDER = "media"
_MOST_FILES = 20_000  # about 100 MB


class MediaFolder:
    """The folder `media` of a run, in which equal images are one file.

    Args:
        run: The run folder.
        most: Files to keep at most, those of an earlier part of the run included.
    """

    def __init__(self, run: Path, most: int = _MOST_FILES) -> None:
        self.folder = run / MEDIA_FOLDER
        self.most = most
        self._known = {path.name for path in self.folder.glob("*.jpg")}

    def keep(self, content: bytes) -> str | None:
        """Writes a JPEG unless it is there.

        Returns:
            Its path inside the run folder; None, after a warning, if the folder is full.
        """
        name = f"{hashlib.sha256(content).hexdigest()[:24]}.jpg"
        if name not in self._known:
            if len(self._known) >= self.most:
                warnings.warn(
                    f"{self.folder} holds {self.most:,} images; the report shows no others. Training goes on.",
                    stacklevel=2,
                )
                return None
            write_whole(self.folder / name, content)
            self._known.add(name)
        return f"{MEDIA_FOLDER}/{name}"
