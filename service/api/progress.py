"""How far uploads have come, for clients that want to show it."""

import re
import time
from collections import OrderedDict
from typing import Final, final

from starlette.requests import Request

from service.api.schemas.files import UploadProgress
from service.domain.errors import InvalidInput, NearfitError, UploadNotFound

ID_HEADER: Final = "Upload-Id"
ACCEPTABLE: Final = re.compile(r"[A-Za-z0-9._~-]{1,64}")

KEPT: Final = 1_000
"""Uploads of which something is known; the oldest that have ended go first."""


@final
class Watched:
    """One upload; with no id, nobody asks for it.

    Args:
        upload_id: As the client chose it.
        expected: Bytes of the body, where that was said.
    """

    def __init__(self, upload_id: str, expected: int | None) -> None:
        self._id = upload_id
        self._expected = expected
        self._bytes = 0
        self._rows = 0
        self._started = time.monotonic()
        self._ended: float | None = None
        self._dataset_id: str | None = None
        self._detail = ""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come."""
        return self._ended is not None

    def seen(self, more_bytes: int, rows: int) -> None:
        """Note that so many bytes more have come, and so many rows are read in all."""
        self._bytes += more_bytes
        self._rows = rows

    def done(self, dataset_id: str, rows: int) -> None:
        """Note that the rows are kept."""
        self._ended = time.monotonic()
        self._dataset_id, self._rows = dataset_id, rows

    def failed(self, error: BaseException) -> None:
        """Note that they are not."""
        self._ended = time.monotonic()
        self._detail = (
            error.detail if isinstance(error, NearfitError) else "The upload was broken off."
        )

    def progress(self) -> UploadProgress:
        """Return how far it has come."""
        is_kept = self._dataset_id is not None
        return UploadProgress(
            id=self._id,
            state="done" if is_kept else "failed" if self.has_ended else "receiving",
            bytes_read=self._bytes,
            bytes_expected=self._expected,
            rows=self._rows,
            elapsed_s=round((self._ended or time.monotonic()) - self._started, 3),
            dataset_id=self._dataset_id,
            detail=self._detail,
        )


@final
class Uploads:
    """The uploads under way whose clients gave them an id, and the latest that have ended."""

    def __init__(self) -> None:
        self._watched: OrderedDict[str, Watched] = OrderedDict()

    def begin(self, request: Request) -> Watched:
        """Return the watch over the body of a request.

        Raises:
            InvalidInput: Its Upload-Id is none, or that of an upload under way.
        """
        upload_id = request.headers.get(ID_HEADER)
        length = request.headers.get("content-length", "")
        watched = Watched(upload_id or "", int(length) if length.isdecimal() else None)
        if upload_id is None:
            return watched
        if not ACCEPTABLE.fullmatch(upload_id):
            raise InvalidInput.at(
                ID_HEADER,
                f"Upload-Id is {upload_id[:64]!a}; it must be 1 to 64 letters, digits or ._~- "
                "that no other upload under way has.",
            )
        known = self._watched.pop(upload_id, None)
        if known is not None and not known.has_ended:
            self._watched[upload_id] = known
            raise InvalidInput.at(
                ID_HEADER,
                f"Upload-Id is {upload_id!a}, which an upload under way has; choose another.",
            )
        self._watched[upload_id] = watched
        if len(self._watched) > KEPT:
            ended = next((key for key, other in self._watched.items() if other.has_ended), None)
            if ended is not None:
                del self._watched[ended]
        return watched

    def get(self, upload_id: str) -> Watched:
        """Return an upload. Raises `UploadNotFound`."""
        if upload_id not in self._watched:
            raise UploadNotFound(
                f"There is no upload {upload_id[:64]!a}; send the header Upload-Id with the "
                "upload. It is known from when its body begins to come until many others have "
                "ended."
            )
        return self._watched[upload_id]
