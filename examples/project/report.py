"""The entrypoint of the project: `capsule run` in this folder, or `capsule run report.py`.

It imports a module that was there before; those of a file's own folder go into the sandbox with it.
"""

import rules

from capsule import TaskFailed, task

ORDERS = {"ada": [30, 70], "bob": [50], "eve": []}


@task
def main() -> dict[str, float | str]:
    """The mean of what each customer pays; one that fails is told and holds nobody up."""
    means: dict[str, float | str] = {}
    for name, amounts in ORDERS.items():
        try:
            means[name] = mean(amounts)
        except TaskFailed as failed:
            means[name] = failed.error_type
    return means


@task(ram="48MB")
def mean(amounts: list[float]) -> float:
    return sum(amount * (1 - rules.discount(amount)) for amount in amounts) / len(amounts)


@task(allowed_hosts=["rates.example.com"])
def rate(currency: str) -> float:
    """It asks for a host, which the project's ceiling has."""
    from capsule import http

    return float(http.get(f"https://rates.example.com/{currency}").json()["rate"])
