"""A shop whose prices nobody can know without asking: a tool with one table, and an environment with one per row."""

import random

ITEMS = (
    "apple", "bread", "butter", "candle", "carrot", "cheese", "chair", "clock", "coffee", "cup", "drum", "egg",
    "flute", "fork", "garlic", "glove", "hammer", "hat", "honey", "jacket", "kettle", "ladder", "lamp", "lemon",
    "melon", "mirror", "mug", "nail", "onion", "pear", "pen", "pillow", "plate", "plum", "rope", "salt", "scarf",
    "soap", "spoon", "table", "tea", "towel", "violin", "wheel",
)  # fmt: skip
PRICES = range(10, 100)


def draw_prices(seed: int) -> dict[str, int]:
    """Draws a price for every item."""
    rng = random.Random(seed)
    return {item: rng.choice(PRICES) for item in ITEMS}


TABLE = draw_prices(7)


def price(item: str) -> int:
    """Looks up what an item costs.

    Args:
        item: The name of the item, in the singular.
    """
    if item not in TABLE:
        raise ValueError(f"there is no {item}")
    return TABLE[item]


class Shop:
    """A shop with prices of its own in every rollout; it pays for the right one."""

    def reset(self, id, asked, **row):
        """Draws the prices that belong to a row."""
        self.prices = draw_prices(sum(id.encode()) * 1009 + len(id))
        self.asked, self.seen = asked, None

    def price(self, item: str) -> int:
        """Looks up what an item costs.

        Args:
            item: The name of the item, in the singular.
        """
        if item not in self.prices:
            raise ValueError(f"there is no {item}")
        self.seen = item
        return self.prices[item]

    def get_reward(self) -> float:
        """Pays for having looked up what was asked for."""
        return float(self.seen == self.asked)
