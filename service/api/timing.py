"""How long the parts of a request took, for the header Server-Timing."""

import time


class Stopwatch:
    """Laps of one request."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self._laps: list[str] = []

    def lap(self, name: str) -> None:
        """End the part of this name; the next begins."""
        now = time.perf_counter()
        self._laps.append(f"{name};dur={(now - self._last) * 1e3:.3f}")
        self._last = now

    @property
    def header(self) -> str:
        """The laps as Server-Timing has them, in milliseconds."""
        return ", ".join(self._laps)
