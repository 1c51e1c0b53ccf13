"""`align schema`: the keys of a method for editors."""

import json

from align.recipe.method_key import method_of
from align.recipe.schema import schema_of


def run(method: str) -> None:
    """Prints JSON Schema."""
    print(json.dumps(schema_of(method_of({"method": method})), indent=2, ensure_ascii=False))
