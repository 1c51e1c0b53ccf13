import pytest


@pytest.fixture
def parse(tmp_path):
    """Parses the minimal recipe with further lines, or `text` instead of it."""
    from minimal_recipe import BASE

    from align.recipe.recipe import load_recipe

    def write_and_load(lines="", *overrides, text=None):
        path = tmp_path / "recipe.yaml"
        path.write_text(BASE + lines if text is None else text, encoding="utf-8")
        return load_recipe(path, overrides)

    return write_and_load
