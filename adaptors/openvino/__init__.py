"""The OpenVINO backend: ONNX models on OpenVINO's CPU runtime.

Importing this package imports OpenVINO without its telemetry, which would report each import to its makers and leave
files in the user's home.
"""

import sys

_TELEMETRY = "openvino_telemetry"

if _TELEMETRY not in sys.modules:
    # OpenVINO does without a package that cannot be imported.
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        import openvino  # noqa: F401
    finally:
        del sys.modules[_TELEMETRY]
