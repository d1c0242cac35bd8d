"""Does a cell of the capability table really run quantized on OpenVINO here, and is it faster?"""

from __future__ import annotations

from collections.abc import Sequence

import openvino as ov

from autoq.adaptors.onnxrt.candidate import Source
from autoq.adaptors.onnxrt.model import OnnxModel
from autoq.adaptors.onnxrt.probing import Prober
from autoq.adaptors.openvino.build import build, observable
from autoq.adaptors.openvino.candidate import OpenVinoCandidate, Origin
from autoq.adaptors.openvino.capabilities import support
from autoq.adaptors.openvino.profile import profile
from autoq.adaptors.openvino.runtime import CompileSettings
from autoq.core.adaptor import Candidate, OpCosts
from autoq.core.batch import Inputs
from autoq.core.plan import Plan
from autoq.core.statistics import Calibration


class _OpenVino:
    def observable(self, model: OnnxModel) -> Sequence[str]:
        return observable(model.fusion, model.fusion.ops)

    def candidate(self, model: OnnxModel, plan: Plan, calibration: Calibration | None) -> Candidate:
        built = build(model, plan, calibration)
        data = built.proto.SerializeToString()
        origin = Origin(model, built.quantized)
        return OpenVinoCandidate(Source(data, None, len(data)), plan, CompileSettings(threads=1), origin=origin)

    def profile(self, candidate: Candidate, inputs: Inputs) -> OpCosts:
        assert isinstance(candidate, OpenVinoCandidate)
        assert candidate.origin is not None
        return profile(candidate, candidate.origin, inputs)


def prober() -> Prober:
    """Probes this version of OpenVINO. An Add is quantized as part of the op in front of it."""
    return Prober(support(), ov.__version__.partition("-")[0], _OpenVino(), frozenset({"Add"}))
