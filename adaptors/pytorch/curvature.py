"""What rounding the weights of an op does to a model's output, to second order, without labels.

With the loss ``L(w) = ½ ‖f(w) − f(w₀)‖² / ‖f(w₀)‖²`` of a model ``f`` with weights ``w₀``, gradient and residual vanish
at ``w₀``, so its Hessian there is exactly ``H = JᵀJ / ‖f(w₀)‖²``, ``J`` the Jacobian of the output. Rounding the
``n`` weights of a tensor by ``ΔW`` changes the output by ``2L ≈ ΔWᵀ H ΔW`` (relative squared error), and HAWQ-V2 puts
the mean eigenvalue in the place of ``H`` (Dong et al. 2020, arXiv:1911.03852, section 3.1):

    Ω = (Tr H / n) · ‖Q(W) − W‖²

The trace is Hutchinson's estimate: ``Tr JᵀJ = E ‖Jᵀu‖²`` over vectors ``u`` of random signs in the space of outputs.
One product with ``Jᵀ``, an ordinary backward pass, serves all weights at once; the Hessian itself is never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import allow_mutation_on_saved_tensors

from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.guard import guarded
from autoq.core.errors import AutoqError, DataError, UnsupportedError

_INSTEAD = "choose a strategy that needs no curvature, e.g. mse or bayesian"


@dataclass(frozen=True, eq=False)
class RoundedWeight:
    """One weight of an op.

    Attributes:
        op_id: The op.
        weight: A tensor the model computes with, of this op alone, that has gradients.
        rounded: What quantization makes of it.
    """

    op_id: str
    weight: Tensor
    rounded: Tensor


Run = Callable[[], Sequence[Tensor]]
"""Runs the model on one batch; gives its outputs in order."""


def output_curvature(
    weights: Sequence[RoundedWeight], runs: Iterable[Run], *, seed: int, draws: int, threads: int | None
) -> Mapping[str, float]:
    """Second-order estimate of the output's relative squared error that rounding the weights of each op causes.

    Several outputs count alike, each relative to its own size; outputs of whole numbers and such that are zero
    throughout do not count.

    Args:
        weights: Rounded weights, all at once; values of one op are added up. Gradients are asked of them alone.
        runs: The model on each batch. Every one is run twice: for the size of the outputs, and for the derivatives.
        seed: Of the random signs.
        draws: Random directions per batch, at least one.
        threads: Intra-op threads.

    Returns:
        The error by op id, without ops that no derivative of an output leads to.

    Raises:
        UnsupportedError: No output is float, or the model cannot be differentiated.
        DataError: The model fails on the data.
    """
    batches = list(runs)
    if not weights or not batches:
        return {}
    generator = torch.Generator().manual_seed(seed)
    leaves = [entry.weight for entry in weights]
    found: dict[str, float] = {}
    with guarded(threads):
        sizes = _sizes(batches)
        changes = [torch.sum((w.rounded - w.weight.detach()).double().square()).item() for w in weights]
        for run in batches:
            traces = _traces(run, leaves, sizes, generator, draws)
            for entry, change, trace in zip(weights, changes, traces, strict=True):
                if trace is not None:
                    found[entry.op_id] = found.get(entry.op_id, 0.0) + trace / entry.weight.numel() * change
    return found


def _sizes(batches: Iterable[Run]) -> Mapping[int, float]:
    """``‖f‖²`` over all batches of each output that counts, by its place."""
    sizes: dict[int, float] = {}
    for run in batches:
        for place, output in enumerate(_run(run)):
            if output.is_floating_point():
                sizes[place] = sizes.get(place, 0.0) + float(torch.sum(output.detach().double().square()))
    if not sizes:
        raise UnsupportedError("no output of the model is a float tensor, so none has derivatives", hint=_INSTEAD)
    return {place: size for place, size in sizes.items() if size > 0}


def _traces(
    run: Run, leaves: Sequence[Tensor], sizes: Mapping[int, float], generator: torch.Generator, draws: int
) -> list[float | None]:
    """Mean of ``‖Jᵀu‖²`` by leaf over random signs ``u``: of outputs of size one each, averaged over outputs.

    None where no derivative leads to a leaf.
    """
    found: list[float | None] = [None] * len(leaves)
    # Models that write into their tensors are differentiated too: what is needed later is kept first.
    with torch.enable_grad(), allow_mutation_on_saved_tensors():
        outputs = [(output, sizes[place]) for place, output in enumerate(_run(run)) if place in sizes]
        followed = [(output, size) for output, size in outputs if output.requires_grad]
        if not followed:
            raise UnsupportedError("no output of the model follows its weights smoothly", hint=_INSTEAD)
        for draw in range(draws):
            signs = [_signs(output, generator) / (size * len(sizes)) ** 0.5 for output, size in followed]
            again = draw + 1 < draws
            try:
                vectors = torch.autograd.grad(
                    [output for output, _ in followed], leaves, signs, retain_graph=again, allow_unused=True
                )
            except (RuntimeError, NotImplementedError) as error:
                told = f"the model cannot be differentiated: {first_line(error)}"
                raise UnsupportedError(told, hint=_INSTEAD) from error
            for number, vector in enumerate(vectors):
                if vector is not None:
                    found[number] = (found[number] or 0.0) + float(torch.sum(vector.double().square())) / draws
    return found


def _signs(like: Tensor, generator: torch.Generator) -> Tensor:
    drawn = torch.randint(0, 2, like.shape, generator=generator)
    return drawn.to(like.dtype) * 2 - 1


def _run(run: Run) -> Sequence[Tensor]:
    try:
        return run()
    except AutoqError:
        raise
    except Exception as error:
        raise DataError(
            f"the model fails on the calibration data: {type(error).__name__}: {first_line(error)}",
            hint="check the shapes and the preprocessing of the calibration data",
        ) from error
