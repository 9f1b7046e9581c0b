"""A module of an application that was there before capsule: plain Python, of which a task takes what it reaches."""

DISCOUNTS = {10: 0.05, 100: 0.2}


def discount(amount: float) -> float:
    """The part that is taken off."""
    return max((part for least, part in DISCOUNTS.items() if amount >= least), default=0.0)
