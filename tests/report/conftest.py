from collections.abc import Iterator

import pytest
from browser import Reader, reader


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Reader]:
    """A browser that the tests of a module share; it starts in a second."""
    with reader(tmp_path_factory.mktemp("browser")) as found:
        yield found
