"""What runs on the card: its limits, and the ways in which others would do the same work.

Everything here takes the device as an argument, "cuda" or, to see that it works, "cpu". PyTorch and
KeOps are imported once this module is: see `gpu.py` for when.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, final

import numpy as np
import torch
from pykeops.torch import Genred, KernelSolve, Vi, Vj

from benchmarks.gpu_limits import LOOPS, Limits
from service.backends.keops.formulas import Formula
from service.domain.arrays import Floats

Device = Literal["cpu", "cuda"]

CDIST_BYTES = 2**31
"""Of the matrix of distances that cdist is given to fill at once."""


@final
class Card:
    """A device, and how to use it.

    Args:
        device: "cuda", or "cpu" to try things out.
    """

    def __init__(self, device: Device) -> None:
        self.device: Final = device
        self.scheme: Final = "GPU_1D" if device == "cuda" else "CPU"
        self._rounded: Final[dict[Formula, Any]] = {}

    @property
    def name(self) -> str:
        """The model."""
        return torch.cuda.get_device_name(0) if self.device == "cuda" else "cpu"

    def place(self, array: Floats, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        """Return the array as a contiguous tensor on the device."""
        return torch.tensor(array, dtype=dtype, device=self.device).contiguous()

    def wait(self) -> None:
        """Return once the device has done all that it was given."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], object], rounds: int) -> float:
        """Return the least time of the work, with all that it starts on the device."""
        work()
        found = []
        for _ in range(rounds):
            self.wait()
            started = time.perf_counter()
            work()
            self.wait()
            found.append(time.perf_counter() - started)
        return min(found)

    def limits(self, *, elements: int, queries: int, rows: int, rounds: int = 5) -> Limits:
        """Return the card's limits in float64.

        Args:
            elements: Numbers copied at once; far more than any cache holds.
            queries: Threads of the loops; enough to fill the card.
            rows: Turns of each thread.
            rounds: The fastest of so many is taken: a limit is what can be reached.
        """
        a, b = torch.zeros(elements, dtype=torch.float64, device=self.device), None
        b = torch.empty_like(a)
        copied = self.seconds(lambda: b.copy_(a), rounds)
        rates = {"bytes_per_s": 16.0 * elements / copied}
        random = np.random.default_rng(0)
        factors = self.place(0.2 + 0.3 * random.random((queries, 1)))
        terms = self.place(0.2 + 0.3 * random.random((rows, 1)))
        for name, loop in LOOPS.items():
            evaluate = Genred(loop.text, ["a=Vi(1)", "b=Vj(1)"], axis=1, use_fast_math=False)

            def run(evaluate: Any = evaluate) -> object:
                return evaluate(factors, terms, backend=self.scheme)

            taken = self.seconds(run, rounds)
            rates[name] = float(loop.operations) * queries * rows / taken
        return Limits(**rates)

    def reduce_rounded(self, formula: Formula, *arguments: Floats) -> Floats:
        """Return what one of the service's formulas gives in float32."""
        if formula not in self._rounded:
            self._rounded[formula] = genred(formula)
        tensors = [self.place(argument, torch.float32) for argument in arguments]
        result = self._rounded[formula](*tensors, backend=self.scheme)
        return np.asarray(result.cpu().to(torch.float64).numpy()).reshape(-1, formula.width)

    def peers(self, x: Floats, y: Floats, *, is_rounded: bool) -> "Peers":
        """Return the others on these rows, in float32 or float64."""
        return Peers(self, x, y, torch.float32 if is_rounded else torch.float64)

    def by_scheme(
        self, formula: Formula, x: Floats, rows: Mapping[str, Floats], batches: int
    ) -> dict[str, Callable[..., object]]:
        """Return the ways in which KeOps can sum over the rows for few queries.

        Args:
            formula: A sum whose arguments of the rows are `x` and those of `rows`.
            x: Rows; their number is a multiple of `batches`.
            rows: Other arguments of the rows, and parameters, by name.
            batches: Into how many the rows are split where they are split.

        Each function takes the arguments of the queries, by name, as tensors of two dimensions.
        """
        given = {"x": self.place(x), **{name: self.place(value) for name, value in rows.items()}}
        evaluate = genred(formula)

        def plain(scheme: str) -> Callable[..., object]:
            def run(**queries: torch.Tensor) -> object:
                tensors = [{**given, **queries}[name] for name, _, _ in formula.arguments]
                return evaluate(*tensors, backend=scheme)

            return run

        split = {
            name: given[name].view(batches, -1, width) if kind == "Vj" else given[name].view(1, -1)
            for name, kind, width in formula.arguments
            if kind != "Vi"
        }

        def by_batches(**queries: torch.Tensor) -> object:
            tensors = [
                queries[name][None] if kind == "Vi" else split[name]
                for name, kind, _ in formula.arguments
            ]
            return evaluate(*tensors, backend=self.scheme).sum(dim=0)

        if self.device == "cpu":
            return {"CPU": plain("CPU"), "batches": by_batches}
        return {"GPU_1D": plain("GPU_1D"), "GPU_2D": plain("GPU_2D"), "batches": by_batches}


def genred(formula: Formula) -> Any:
    """Return the formula as KeOps' documentation would have it called."""
    return Genred(
        formula.text,
        [f"{name}={kind}({width})" for name, kind, width in formula.arguments],
        reduction_op="ArgKMin" if formula.neighbors else "Sum",
        axis=1,
        opt_arg=formula.neighbors or None,
        use_fast_math=False,
    )


@final
class Peers:
    """The same predictions, as the KeOps gallery or a PyTorch user would write them.

    Rows are on the device beforehand; queries come from the host and means return to it.

    Args:
        card: Where.
        x: (n, d).
        y: (n, 1).
        dtype: In which all is computed.
    """

    def __init__(self, card: Card, x: Floats, y: Floats, dtype: torch.dtype) -> None:
        self._card: Final = card
        self._dtype: Final = dtype
        self._x: Final = card.place(x, dtype)
        self._y: Final = card.place(y, dtype)

    def nadaraya_watson(self, queries: Floats, bandwidth: float) -> Floats:
        """Return Σ w y / Σ w by lazy tensors."""
        squares = Vi(self._card.place(queries, self._dtype)).sqdist(Vj(self._x))
        weights = (-squares / (2 * bandwidth**2)).exp()
        total = weights.sum(dim=1, backend=self._card.scheme)
        weighted = (weights * Vj(self._y)).sum(dim=1, backend=self._card.scheme)
        return _host(weighted / total)

    def local_linear(self, queries: Floats, bandwidth: float) -> Floats:
        """Return the local lines' values from one sum of w φ (φ, y)ᵀ, solved on the device."""
        d = self._x.shape[1]
        line = "Concat(IntCst(1),x-q)"
        moments = Genred(
            f"Exp(-g*SqDist(q,x))*TensorProd({line},Concat({line},y))",
            [f"q=Vi({d})", f"x=Vj({d})", "y=Vj(1)", "g=Pm(1)"],
            axis=1,
        )
        scale = torch.full((1,), 0.5 / bandwidth**2, dtype=self._dtype, device=self._card.device)
        q = self._card.place(queries, self._dtype)
        sums = moments(q, self._x, self._y, scale, backend=self._card.scheme)
        system = sums.view(-1, d + 1, d + 2)
        solved = torch.linalg.solve(system[:, :, :-1], system[:, :, -1:])
        return _host(solved[:, 0])

    def knn(self, queries: Floats, k: int) -> Floats:
        """Return the mean of the k nearest by a lazy arg-K-min."""
        squares = Vi(self._card.place(queries, self._dtype)).sqdist(Vj(self._x))
        rows = squares.argKmin(k, dim=1, backend=self._card.scheme)
        return _host(self._y[rows.view(-1, k)].mean(dim=1))

    def knn_cdist(self, queries: Floats, k: int) -> Floats:
        """Return the mean of the k nearest by torch.cdist and topk, in blocks of queries."""
        size = max(1, CDIST_BYTES // (len(self._x) * self._x.element_size()))
        means = []
        for q in self._card.place(queries, self._dtype).split(size):
            rows = torch.cdist(q, self._x).topk(k, dim=1, largest=False).indices
            means.append(self._y[rows].mean(dim=1))
        return _host(torch.cat(means))

    def kriging(self, queries: Floats, kernel: str, length_scale: float, alpha: float) -> Floats:
        """Return the kriging means by KeOps' own solver and a product."""
        d = self._x.shape[1]
        inner = {"gaussian": "Exp(-g*SqDist(q,x))", "laplacian": "Exp(-g*Norm2(q-x))"}[kernel]
        g = {"gaussian": 0.5 / length_scale**2, "laplacian": 1 / length_scale}[kernel]
        scale = torch.full((1,), g, dtype=self._dtype, device=self._card.device)
        aliases = [f"q=Vi({d})", f"x=Vj({d})", "b=Vj(1)", "g=Pm(1)"]
        solve = KernelSolve(f"{inner}*b", aliases, "b", axis=1)
        a = solve(self._x, self._x, self._y, scale, alpha=alpha, backend=self._card.scheme)
        q = self._card.place(queries, self._dtype)
        multiply = Genred(f"{inner}*b", aliases, axis=1)
        return _host(multiply(q, self._x, a, scale, backend=self._card.scheme))


def _host(means: torch.Tensor) -> Floats:
    return np.asarray(means.to("cpu", torch.float64).numpy()).reshape(len(means), -1)
