"""Does a cell of the capability table really run quantized on ONNX Runtime here, and is it faster?"""

from __future__ import annotations

from collections.abc import Sequence

import onnxruntime as ort

from autoq.adaptors.onnxrt.build import Format, build, observable
from autoq.adaptors.onnxrt.candidate import OnnxCandidate, Source
from autoq.adaptors.onnxrt.capabilities import support
from autoq.adaptors.onnxrt.model import OnnxModel
from autoq.adaptors.onnxrt.probing import Prober
from autoq.adaptors.onnxrt.profile import profile
from autoq.adaptors.onnxrt.realized import OwnerIndex
from autoq.core.adaptor import Candidate, OpCosts, RunOptions
from autoq.core.batch import Inputs
from autoq.core.plan import Plan
from autoq.core.statistics import Calibration

_THREADS = RunOptions(threads=1)


class _OnnxRuntime:
    def observable(self, model: OnnxModel) -> Sequence[str]:
        return observable(model.fusion, model.fusion.ops)

    def candidate(self, model: OnnxModel, plan: Plan, calibration: Calibration | None) -> Candidate:
        data = build(model, plan, calibration, Format.QOPERATOR).SerializeToString()
        return OnnxCandidate(Source(data, None, len(data)), plan, model.fusion, _THREADS)

    def profile(self, candidate: Candidate, inputs: Inputs) -> OpCosts:
        assert isinstance(candidate, OnnxCandidate)
        assert candidate.fusion is not None
        return profile(candidate, OwnerIndex(candidate.fusion), inputs)


def prober() -> Prober:
    """Probes this version of ONNX Runtime."""
    return Prober(support(), ort.__version__, _OnnxRuntime())
