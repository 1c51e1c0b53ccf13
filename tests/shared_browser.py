import pytest


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A browser that the tests of a module share; it starts in a second."""
    from browser import reader

    with reader(tmp_path_factory.mktemp("browser")) as found:
        yield found
