"""Where pictures are drawn: one after the other, in a thread of its own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, final

from service.domain.errors import DeadlineExceeded, Overloaded
from service.plots.picture import Picture, PictureFormat

MOST_WAITING: Final = 64
"""Pictures drawn or waiting; each takes a part of a second and holds some hundred kilobytes."""


@final
class Studio:
    """Draws one picture at a time: matplotlib is not safe in several threads.

    The thread begins, and matplotlib is imported, with the first picture.

    Args:
        initializer: Called in the thread when it begins.
    """

    def __init__(self, initializer: Callable[[], None]) -> None:
        self._thread = ThreadPoolExecutor(1, "nearfit-plots", initializer=initializer)
        self._pending = 0

    async def drawn(self, picture: Picture, written_as: PictureFormat, timeout_s: float) -> bytes:
        """Return the picture in the format.

        Raises:
            Overloaded: Too many pictures wait already.
            DeadlineExceeded: It is not there after `timeout_s`; one that is begun is finished.
        """
        if self._pending >= MOST_WAITING:
            raise Overloaded(
                f"{self._pending} pictures wait already; ask for fewer at once.", retry_after_s=1
            )
        self._pending += 1
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.get_running_loop().run_in_executor(
                    self._thread, _drawn, picture, written_as
                )
        except TimeoutError:
            raise DeadlineExceeded(
                "The picture was not drawn in the time that was left for it; allow more by "
                "timeout_s, or ask again when fewer pictures wait."
            ) from None
        finally:
            self._pending -= 1

    def close(self) -> None:
        """End the thread once its picture is drawn; no other is begun."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _drawn(picture: Picture, written_as: PictureFormat) -> bytes:
    from service.plots.drawing import drawn  # not before the first picture: it takes a while

    return drawn(picture, written_as)
