"""What the service answers, with names for what is read most.

Each keeps the whole JSON document of the service, so that what a newer service adds is there too.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Document = dict[str, Any]

UNDER_WAY: Final = frozenset({"waiting", "running"})


@dataclass(frozen=True)
class DatasetInfo:
    """What a dataset is.

    Attributes:
        document: As the service describes it.
        is_new: Whether an upload made it; False where the same content was there already, None
            where it was not just uploaded.
    """

    document: Document
    is_new: bool | None = None

    @property
    def id(self) -> str:
        """How requests refer to it; the same for all its versions."""
        return str(self.document["id"])

    @property
    def name(self) -> str | None:
        """A label for people."""
        name: str | None = self.document["name"]
        return name

    @property
    def version(self) -> int:
        """1 for the upload, one more for each append."""
        return int(self.document["version"])

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return int(self.document["rows"])

    @property
    def feature_names(self) -> list[str]:
        """The names of its features, in the order of queries."""
        return list(self.document["feature_names"])

    @property
    def target_names(self) -> list[str]:
        """The names of its targets."""
        return list(self.document["target_names"])

    @property
    def task(self) -> str:
        """`regression` or `classification`."""
        return str(self.document["task"])

    @property
    def digest(self) -> str:
        """The sha256 of its content."""
        return str(self.document["digest"])


@dataclass(frozen=True)
class Job:
    """A search for the best fit: how far it is, and what it has found.

    Attributes:
        document: As the service describes it.
    """

    document: Document

    @property
    def id(self) -> str:
        """How requests refer to it."""
        return str(self.document["id"])

    @property
    def state(self) -> str:
        """`waiting`, `running`, `done`, `cancelled` or `failed`."""
        return str(self.document["state"])

    @property
    def is_over(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.state not in UNDER_WAY

    @property
    def progress(self) -> float:
        """The share of its time that has passed; 1 at its end."""
        return float(self.document["progress"])

    @property
    def best(self) -> Document | None:
        """The best candidate so far with its `fit` and `error`; None while there is none."""
        best: Document | None = self.document["best"]
        return best

    @property
    def fit(self) -> Document | None:
        """The best fit so far, ready to be given to `predict`; None while there is none."""
        return None if self.best is None else self.best["fit"]

    @property
    def scores(self) -> list[Document]:
        """All candidates so far; empty while the search has just begun."""
        return list(self.document.get("scores", ()))


@dataclass(frozen=True)
class Score:
    """How good a fit is.

    Attributes:
        document: As the service answered.
    """

    document: Document

    @property
    def fit(self) -> Document:
        """What was judged, with every choice made."""
        return dict(self.document["fit"])

    @property
    def targets(self) -> list[Document]:
        """The figures of each target: `rmse`, `mae`, `r2`, `coverage` and so on."""
        return list(self.document["targets"])


@dataclass(frozen=True)
class Path:
    """Where one start of a descent led.

    Attributes:
        document: As the service answered.
    """

    document: Document

    @property
    def points(self) -> NDArray[Any]:
        """The start and the point after each step, (s, d), or (s,) for one feature."""
        return np.array(self.document["points"])

    @property
    def values(self) -> NDArray[np.float64]:
        """Of the surface there, (s,); NaN where it has none."""
        return np.array(self.document["values"], dtype=np.float64)

    @property
    def stop(self) -> str:
        """Why it ended."""
        return str(self.document["stop"])


@dataclass(frozen=True)
class Minimum:
    """The paths of a descent.

    Attributes:
        document: As the service answered.
    """

    document: Document

    @property
    def paths(self) -> list[Path]:
        """One for each start, in their order."""
        return [Path(path) for path in self.document["paths"]]

    @property
    def best(self) -> Path | None:
        """The path that ends lowest (highest with `ascent`); None if none has a value."""
        place = self.document["best"]
        return None if place is None else self.paths[place]


@dataclass(frozen=True)
class Relevance:
    """How much each feature matters.

    Attributes:
        document: As the service answered.
    """

    document: Document

    @property
    def shares(self) -> dict[str, float]:
        """The share of each feature; they add up to 1."""
        return {item["name"]: item["share"] for item in self.document["features"]}
