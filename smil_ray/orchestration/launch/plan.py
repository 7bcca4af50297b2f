"""What a cluster file would start, and what an hour of it costs at most."""

from collections.abc import Sequence
from dataclasses import dataclass, field

PRICES_OF = "2025"
PRICES = {
    "m7i.xlarge": 0.25,
    "m7i.2xlarge": 0.49,
    "c7i.4xlarge": 0.83,
    "c7i.8xlarge": 1.66,
    "g6.xlarge": 1.05,
    "g6.2xlarge": 1.25,
    "g6.4xlarge": 1.70,
    "g6e.2xlarge": 2.85,
    "g5.2xlarge": 1.55,
    "n2-standard-4": 0.22,
    "n2-standard-8": 0.43,
    "n2-standard-16": 0.86,
    "g2-standard-4": 0.78,
    "g2-standard-8": 0.94,
    "g2-standard-16": 1.27,
}
"""US dollars an hour, on demand, in the files' regions: approximate, of `PRICES_OF`, for an upper
bound. They were written down from memory, change, and differ between regions: look yours up."""


@dataclass(frozen=True)
class NodeGroup:
    """Machines of one kind.

    Args:
        name: As the file calls them.
        least: How many are there as long as the cluster is.
        most: How many there can be.
        machine: Machine type of a cloud, address, or what the file asks for.
        is_spot: Whether the cloud may take it back, for a lower price.
    """

    name: str
    least: int
    most: int
    machine: str
    is_spot: bool = False

    def __str__(self) -> str:
        number = str(self.most) if self.least == self.most else f"{self.least} to {self.most}"
        return f"{number} x {self.name} ({self.machine}{', spot' if self.is_spot else ''})"


@dataclass(frozen=True)
class ClusterPlan:
    """A cluster file that its launcher accepts.

    Args:
        schema: What the file was held against.
        groups: Its machines; the head first.
        start: The command that starts it.
        most_workers: Workers at most, of all groups together; None: the sum of the groups.
        charge: What an hour costs, in words; None: what a cloud asks for the machines.
        problems: What will not work, or is not safe, although the launcher accepts it.
        notes: What else a person should know.
    """

    schema: str
    groups: Sequence[NodeGroup]
    start: str
    most_workers: int | None = None
    charge: str | None = None
    problems: Sequence[str] = field(default_factory=list)
    notes: Sequence[str] = field(default_factory=list)

    def cost(self) -> str:
        """Return in words what an hour costs at most: on-demand prices, without disks."""
        if self.charge is not None:
            return self.charge
        unknown = sorted({g.machine for g in self.groups if g.machine not in PRICES})
        if unknown:
            return f"unknown: no price at hand for {', '.join(unknown)}"
        head, *workers = self.groups
        dear = sorted((PRICES[g.machine] for g in workers for _ in range(g.most)), reverse=True)
        total = PRICES[head.machine] * head.most + sum(dear[: self.most_workers])
        return (
            f"about {total:.2f} US dollars, on demand, without disks and traffic; prices are "
            f"approximate, of {PRICES_OF}: look up those of your region"
        )


def unfilled(text: str) -> list[str]:
    """Return a problem for each value that only stands for one, e.g. `MY_PROJECT`."""
    shown = [line for line in text.splitlines() if not line.lstrip().startswith("# ")]
    return [
        f"{name} stands for a value of yours: fill it in, or use `smil-ray cluster init`"
        for name in ("ami-00000000000000000", "MY_PROJECT", "REGISTRY/")
        if any(name in line for line in shown)
    ]
