"""How long the parts of a request took, for the header Server-Timing."""

import time


class ServerTiming:
    """The parts of one request, in the order in which they are noted."""

    def __init__(self) -> None:
        self._since = time.perf_counter()
        self._parts: list[str] = []

    def lap(self, name: str) -> None:
        """Note what has passed since the last part, or since the beginning."""
        now = time.perf_counter()
        self._note(name, now - self._since)
        self._since = now

    def part(self, name: str, seconds: float) -> None:
        """Note a part that was measured elsewhere; the next lap begins now."""
        self._note(name, seconds)
        self._since = time.perf_counter()

    @property
    def header(self) -> str:
        """The parts as the header has them, in milliseconds."""
        return ", ".join(self._parts)

    def _note(self, name: str, seconds: float) -> None:
        self._parts.append(f"{name};dur={seconds * 1e3:.3f}")
