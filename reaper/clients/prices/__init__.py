"""What things cost an hour: configured, asked of AWS in our own time, or shipped; never guessed.

`PriceBook.price` and `PriceBook.of` answer at once with a `Price`, which says where it comes from and of when it is, or
with None, which is unknown. Nothing of AWS is imported here until `ask` is called.
"""

from reaper.clients.prices.book import PriceBook
from reaper.clients.prices.models import Price, PriceKey, key_of
from reaper.clients.prices.shipped import SHIPPED_ON

__all__ = ["SHIPPED_ON", "Price", "PriceBook", "PriceKey", "key_of"]
