"""Whether a compiled plan computes what the plan says: compilers have faults that no error tells."""

from __future__ import annotations

from autoq.adaptors.pytorch_pt2e.model import Pt2eModel
from autoq.core.adaptor import Candidate
from autoq.core.agreement import worst
from autoq.core.errors import TrialError

LEAST = 10.0
"""Signal to difference, in dB, below which two outputs are not the same computation rounded differently.

Faithful packages were measured at 44 dB and more, wrong ones at 1 dB and less.
"""


def require_faithful(reference: Candidate, compiled: Candidate, model: Pt2eModel) -> None:
    """Compare both forms on the example the model was loaded with.

    Raises:
        TrialError: They disagree: the compiled form is wrong.
    """
    inputs = {spec.name: tensor.numpy() for spec, tensor in zip(model.inputs, model.example, strict=True)}
    found = worst(reference.predict(inputs), compiled.predict(inputs))
    if found < LEAST:
        raise TrialError(
            f"compiled, this plan gives other outputs than it should ({found:.1f} dB signal to difference): "
            "a fault of the compiler",
            hint="keep ops of unusual shape in float: quantization.op_wise",
        )
