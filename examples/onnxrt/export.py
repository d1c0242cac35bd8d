"""PyTorch module → ONNX file: one file, any batch size, readable op names."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import torch

OPSET = 18


def export_onnx(
    model: torch.nn.Module,
    example: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    path: Path,
    axes: Mapping[int, str] | None = None,
) -> None:
    """Write `model` to `path`.

    Args:
        model: In evaluation mode.
        example: One tensor per input, in the order the model takes them; dimensions that vary must be above 1.
        outputs: Names of the outputs.
        path: The file to write.
        axes: Names of the axes that vary, the same for every input; the batch by default.
    """
    named = axes if axes is not None else {0: "batch"}
    dimensions = {axis: torch.export.Dim(name) for axis, name in named.items()}
    with warnings.catch_warnings():
        # The exporter warns about its own internals; nothing a reader of this example could act on.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            model,
            tuple(example.values()),
            dynamo=True,
            input_names=list(example),
            output_names=list(outputs),
            dynamic_shapes=tuple(dict(dimensions) for _ in example),
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    exported: onnx.ModelProto = program.model_proto
    _tidy(exported)
    onnx.checker.check_model(exported, full_check=True)
    onnx.save(exported, path)


def _tidy(model: onnx.ModelProto) -> None:
    """Name nodes after the module they came from, and drop the exporter's notes (they hold paths of this machine)."""
    seen: Counter[str] = Counter()
    for node in model.graph.node:
        scope = _module_of(node)
        name = f"{scope}/{node.op_type}" if scope else node.op_type
        seen[name] += 1
        node.name = name if seen[name] == 1 else f"{name}_{seen[name]}"
        del node.metadata_props[:]
    for part in (*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        del part.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]


def _module_of(node: onnx.NodeProto) -> str:
    weights = [str(name) for name in node.input if str(name).endswith(".weight")]
    # A weight's name says more than the recorded scope: a folded batch norm would lend its name to the convolution.
    if weights:
        return weights[0].removesuffix(".weight").replace(".", "/")
    for note in node.metadata_props:
        if note.key == "namespace":
            scopes = [part.partition(":")[0].strip() for part in str(note.value).split("/")]
            # The exporter's own placeholder starts with an underscore and holds no module of the model.
            inner = [s for s in scopes[:-1] if s and not s.startswith("_empty_nn_module")]
            return inner[-1].replace(".", "/") if inner else ""
    return ""
