"""From a plan to a ``.tflite`` file: the quantizer's own passes, told op by op what to do."""

from __future__ import annotations

from collections.abc import Mapping

from ai_edge_quantizer import model_modifier, params_generator, qtyping, recipe_manager
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.utils import tfl_flatbuffer_utils

from autoq.adaptors.tensorflow_lite.graph import graph_of, parse, write
from autoq.adaptors.tensorflow_lite.model import LiteModel
from autoq.adaptors.tensorflow_lite.ops import MOVES, source
from autoq.adaptors.tensorflow_lite.outputs import float_outputs
from autoq.adaptors.tensorflow_lite.ranges import ranges
from autoq.adaptors.tensorflow_lite.repairs import named_duplicates, repair
from autoq.adaptors.tensorflow_lite.runtime import reason
from autoq.core.errors import TrialError
from autoq.core.plan import Plan
from autoq.core.precision import DType, Granularity, Mode, OpPrecision, Scheme, TensorQuant
from autoq.core.statistics import Calibration

_FLOAT = (AlgorithmName.NO_QUANTIZE, qtyping.OpQuantizationConfig())


class _Recipe(recipe_manager.RecipeManager):  # type: ignore[misc]
    """What each op becomes, looked up by its scope: as many expressions as ops would take longer than all else."""

    def __init__(self, configs: Mapping[str, tuple[AlgorithmName, qtyping.OpQuantizationConfig]], static: bool) -> None:
        super().__init__()
        self._configs = configs
        self._static = static

    def get_quantization_configs(
        self, target_op_name: qtyping.TFLOperationName, scope_name: str
    ) -> tuple[AlgorithmName, qtyping.OpQuantizationConfig]:
        """The quantizer's question."""
        if target_op_name in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
            return _FLOAT
        return self._configs.get(scope_name, _FLOAT)

    def need_calibration(self) -> bool:
        """Whether ranges are needed."""
        return self._static


def build(model: LiteModel, plan: Plan, calibration: Calibration | None) -> bytes:
    """The file a plan describes. Inputs and outputs stay float.

    Raises:
        TrialError: The plan names an op that the model does not have, statistics are missing, or the quantizer fails.
    """
    unknown = next((op for op in plan if op not in model.ops_by_id), None)
    if unknown is not None:
        raise TrialError("the plan names an op that this model does not have", where=unknown)
    if not plan.precisions:
        return model.content
    calibrated = ranges(model, plan, calibration)
    configs = _configs(model, plan)
    try:
        # Parsed anew: the quantizer writes into the objects it is given.
        objects = parse(model.content)
        # The quantizer looks for signatures also where a file has none.
        objects.signatureDefs = objects.signatureDefs or []
        recipe = _Recipe(configs, bool(calibrated))
        parameters = params_generator.ParamsGenerator(objects).generate_quantization_parameters(
            recipe, calibrated, enable_progress_bar=False
        )
        modifier = named_duplicates(model_modifier.ModelModifier(objects))
        content = bytes(modifier.modify_model(parameters, enable_progress_bar=False))
    except Exception as error:
        raise TrialError(f"the quantizer cannot build this plan: {reason(error)}") from error
    return _consistent(model, content)


def _consistent(model: LiteModel, content: bytes) -> bytes:
    objects = parse(content)
    graph = graph_of(objects)
    changed = [repair(objects, graph), float_outputs(model, objects, graph)]
    return write(objects) if any(changed) else content


def moved(model: LiteModel, plan: Plan) -> Mapping[int, OpPrecision]:
    """Precision of the nodes that move what a static op made, by node."""
    graph = model.graph
    by_node = {op.node: plan[op.id] for op in model.ops}
    found: dict[int, OpPrecision] = {}
    for node in graph.nodes:
        if node.type not in MOVES:
            continue
        origin = source(graph, node.outputs[0])
        precision = by_node.get(origin.index) if origin is not None else None
        if precision is not None and precision.mode is Mode.STATIC:
            found[node.index] = OpPrecision(Mode.STATIC, None, precision.activation)
    return found


def _configs(model: LiteModel, plan: Plan) -> dict[str, tuple[AlgorithmName, qtyping.OpQuantizationConfig]]:
    subgraph = parse(model.content).subgraphs[0]
    chosen = {model.ops_by_id[op].node: precision for op, precision in plan.precisions.items()}
    found: dict[str, tuple[AlgorithmName, qtyping.OpQuantizationConfig]] = {}
    for node, precision in {**moved(model, plan), **chosen}.items():
        scope = tfl_flatbuffer_utils.get_op_scope(subgraph.operators[node], subgraph.tensors)
        found[scope] = _config(precision)
    return found


def _config(precision: OpPrecision) -> tuple[AlgorithmName, qtyping.OpQuantizationConfig]:
    if precision.mode is Mode.FP16:
        half = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
        config = qtyping.OpQuantizationConfig(
            weight_tensor_config=half,
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        )
        return AlgorithmName.FLOAT_CASTING, config
    activation = None if precision.mode is not Mode.STATIC else precision.activation
    # Ops without a weight are never asked for theirs, but must name one.
    alone = precision.mode is Mode.WEIGHT_ONLY
    return AlgorithmName.MIN_MAX_UNIFORM_QUANT, qtyping.OpQuantizationConfig(
        activation_tensor_config=None if activation is None else _tensor(activation),
        weight_tensor_config=_tensor(precision.weight or TensorQuant(DType.INT8)),
        compute_precision=qtyping.ComputePrecision.FLOAT if alone else qtyping.ComputePrecision.INTEGER,
        explicit_dequantize=alone,
    )


def _tensor(quant: TensorQuant) -> qtyping.TensorQuantizationConfig:
    return qtyping.TensorQuantizationConfig(
        num_bits=quant.dtype.bits, symmetric=quant.scheme is Scheme.SYM, granularity=_granularity(quant)
    )


def _granularity(quant: TensorQuant) -> qtyping.QuantGranularity:
    match quant.granularity:
        case Granularity.PER_CHANNEL:
            return qtyping.QuantGranularity.CHANNELWISE
        case Granularity.PER_GROUP:
            return qtyping.QuantGranularity(f"BLOCKWISE_{quant.group_size}")
        case _:
            return qtyping.QuantGranularity.TENSORWISE
