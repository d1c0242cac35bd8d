"""What this route uses of torchao, imported without its messages and without what it changes in the process."""

from __future__ import annotations

import contextlib
import io
import logging

from torch._inductor import config

from autoq.adaptors.pytorch.guard import quiet

_before = config.pre_grad_custom_pass
_logger = logging.getLogger("torchao")
_level = _logger.level
_logger.setLevel(logging.CRITICAL)
try:
    with quiet(), contextlib.redirect_stderr(io.StringIO()):
        from torchao.quantization.pt2e import MinMaxObserver, PerChannelMinMaxObserver, PlaceholderObserver
        from torchao.quantization.pt2e.observer import UniformQuantizationObserverBase
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
        from torchao.quantization.pt2e.quantizer import (
            QuantizationAnnotation,
            QuantizationSpec,
            QuantizationSpecBase,
            SharedQuantizationSpec,
        )
        from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import X86InductorQuantizer, quant_lift_up
finally:
    _logger.setLevel(_level)
    # torchao puts a pass of its own into every compilation of the process; ours ask for it.
    config.pre_grad_custom_pass = _before

__all__ = [
    "MinMaxObserver",
    "PerChannelMinMaxObserver",
    "PlaceholderObserver",
    "QuantizationAnnotation",
    "QuantizationSpec",
    "QuantizationSpecBase",
    "SharedQuantizationSpec",
    "UniformQuantizationObserverBase",
    "X86InductorQuantizer",
    "convert_pt2e",
    "prepare_pt2e",
    "quant_lift_up",
]
