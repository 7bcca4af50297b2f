"""Which entries preprocessing uses: all, those of a list of names, or those the doctor passed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from smil_ray.data.entries import AnyEntry
from smil_ray.data.hdf5.schema import Drop
from smil_ray.errors import DataError

NOT_LISTED = "not_listed"


@dataclass(frozen=True)
class Selection:
    """Names to use, and for names to leave out the (reason, detail) where it is known."""

    names: frozenset[str]
    reasons: dict[str, tuple[str, str]] = field(default_factory=dict)

    def split(self, entries: Sequence[AnyEntry]) -> tuple[list[AnyEntry], list[Drop]]:
        """Return the entries to use and a record of those left out.

        Raises:
            DataError: None of the entries is in the selection.
        """
        kept = [entry for entry in entries if entry.name in self.names]
        if not kept:
            raise DataError(
                "--only: no entry of the input is in the list",
                expected=f"names such as {entries[0].name!r}",
                found=f"{len(self.names)} names, such as {min(self.names, default='')!r}",
            )
        left_out = []
        for entry in entries:
            if entry.name not in self.names:
                reason, detail = self.reasons.get(entry.name, (NOT_LISTED, entry.name))
                left_out.append(Drop(entry.name, reason, detail, is_error=False))
        return kept, left_out


def read_selection(path: Path) -> Selection:
    """Return the selection of a file: the doctor's JSON report, or names, one a line.

    Raises:
        DataError: The file cannot be read or is neither of them.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list of names", found=str(error)) from error
    if not text.lstrip().startswith("{"):
        return Selection(frozenset(line.strip() for line in text.splitlines() if line.strip()))
    try:
        report = orjson.loads(text)
        errors = {k for k, kind in report["kinds"].items() if kind["severity"] == "error"}
        found = [f for f in report["findings"] if f["kind"] in errors]
        # The first finding of an entry is the reason; reversed, because the last one stays.
        reasons = {f["name"]: (f["kind"], f["message"]) for f in reversed(found)}
        return Selection(frozenset(report["good_names"]), reasons)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: not a report of the doctor",
            expected="what `smil-ray doctor DATA --json FILE` writes",
            found=f"{type(error).__name__}: {error}",
        ) from error
