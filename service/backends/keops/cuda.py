"""KeOps on a GPU: the PyTorch API with the rows resident on the device.

Written after KeOps' sources and documentation. It was run with PyTorch on a CPU; on a GPU it has
not been run yet, and nothing is claimed about its speed: `benchmarks/gpu.py` measures it.

Importing this module imports PyTorch and KeOps, which compiles its GPU engine at first import.
"""

import atexit
from typing import Any, Final, Literal, final

import numpy as np
import pykeops
import torch
from keopscore.get_keops_dll import get_keops_dll
from pykeops.common.keops_io import keops_binder
from pykeops.torch import Genred

from service.backends.keops.formulas import Formula
from service.backends.keops.library import check_arguments, checked_result
from service.backends.keops.parts import choose_parts
from service.domain.arrays import Floats

# They would write pickles at exit, without a lock.
for _cache in (get_keops_dll, *keops_binder.values()):
    atexit.unregister(_cache.save_cache)


@final
class CudaLibrary:
    """Formulas as Genred objects on the first visible GPU.

    Float64 with `sum_scheme="block_sum"`, without fast mathematics: to agree with the CPU. The
    rows are cut into parts (see `parts`), each of which meets all queries: KeOps' block-sparse
    ranges, over as many copies of the queries as there are parts. One process has one GPU: set
    CUDA_VISIBLE_DEVICES where there are several.
    """

    device: Final[Literal["cuda"]] = "cuda"

    def __init__(self) -> None:
        if not pykeops.config.gpu_available:
            # KeOps would only print a line, and compute on the CPU.
            raise RuntimeError(
                "PyTorch sees a GPU, but KeOps does not: it needs libnvrtc and libcudart under "
                "these names, and CUDA_PATH set to their headers."
            )
        self._device: Final = torch.device("cuda", 0)
        self._scheme: Final = "GPU_1D"
        self._functions: Final[dict[Formula, Any]] = {}

    def place(self, array: Floats) -> Any:
        """Return the array as a tensor on the GPU."""
        # A read-only array makes PyTorch warn; what it copies here is never written to.
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self._device)

    def compile(self, formula: Formula) -> None:
        """Compile the formula with NVRTC, or load what was compiled; see `Library.compile`."""
        function = Genred(
            formula.text,
            [f"{name}={kind}({width})" for name, kind, width in formula.arguments],
            reduction_op="KMin_ArgKMin" if formula.neighbors else "Sum",
            axis=1,
            opt_arg=formula.neighbors or None,
            sum_scheme="auto" if formula.neighbors else "block_sum",
            use_fast_math=False,
        )
        self._functions[formula] = function
        n = max(2, formula.neighbors)
        rows = {"Vi": 2, "Vj": n}
        dummies = [
            np.ones((width,)) if kind == "Pm" else np.ones((rows[kind], width))
            for _, kind, width in formula.arguments
        ]
        try:
            self.reduce(formula, *dummies)
        except (ValueError, SystemExit) as problem:
            raise RuntimeError(f"KeOps cannot compile '{formula.name}': {problem}") from problem

    def discard(self, formula: Formula) -> None:
        """Forget the function. Its file stays: KeOps does not say which it is."""
        self._functions.pop(formula, None)

    def reduce(self, formula: Formula, *arguments: Any) -> Floats:
        """Evaluate the formula; see `Library.reduce`."""
        with torch.inference_mode():
            tensors = [a if isinstance(a, torch.Tensor) else self.place(a) for a in arguments]
            m, n = check_arguments(
                formula,
                [tuple(t.shape) for t in tensors],
                [t.dtype == torch.float64 and t.is_contiguous() for t in tensors],
            )
            chosen = choose_parts(formula, m, n)
            result = np.empty((m, formula.width))
            try:
                for block in chosen.blocks(m):
                    merged = self._reduced(formula, tensors, block, n, chosen.parts)
                    result[block] = merged.to("cpu", torch.float64).numpy()
            except torch.cuda.OutOfMemoryError:
                raise
            except RuntimeError as problem:
                # After an error of the device every later call in this process fails, or lies.
                # So the process ends here, and its parent starts another.
                raise SystemExit(f"KeOps failed on the GPU: {problem}") from problem
        return checked_result(formula, result)

    def _reduced(
        self, formula: Formula, tensors: list[Any], block: slice, n: int, parts: int
    ) -> Any:
        """Return the reduction of a block of queries, (size, formula.width), on the device."""
        size = block.stop - block.start
        copied = [
            tensor[block].repeat(parts, 1) if kind == "Vi" else tensor
            for (_, kind, _), tensor in zip(formula.arguments, tensors, strict=True)
        ]
        ranges = self._ranges(size, n, parts)
        found = self._functions[formula](*copied, backend=self._scheme, ranges=ranges)
        if not formula.neighbors:
            return _summed(found.view(parts, size, formula.width))
        squares, rows = (
            one.view(parts, size, formula.neighbors).transpose(0, 1).reshape(size, -1)
            for one in found
        )
        nearest = torch.topk(squares, formula.neighbors, dim=1, largest=False).indices
        return torch.gather(rows, 1, nearest)

    def _ranges(self, size: int, n: int, parts: int) -> tuple[Any, ...]:
        """Return KeOps' ranges by which copy b of the queries meets part b of the rows.

        The first three are (queries of a copy, how many parts the copies meet in all, rows of a
        part); the others are for reductions over the queries and stand idle.
        """
        numbers = torch.arange(parts + 1, dtype=torch.int64, device=self._device)
        queries, rows = (
            torch.stack([bounds[:-1], bounds[1:]], dim=1).contiguous()
            for bounds in (numbers * size, numbers * n // parts)
        )
        met = numbers[1:].contiguous()
        return queries, met, rows, rows, met, queries


def _summed(parts: Any) -> Any:
    """Return the sum over the first axis, by halves.

    In an order that depends on the number of parts alone: PyTorch's own sum would choose one by
    the shape of the block.
    """
    while len(parts) > 1:
        half = len(parts) // 2
        folded = parts[:half] + parts[half : 2 * half]
        parts = torch.cat([folded, parts[2 * half :]]) if len(parts) % 2 else folded
    return parts[0]
