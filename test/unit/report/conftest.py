"""Documents like those of real jobs, for the report's tests."""

import math

import numpy as np
import pytest

from autoq.core.batch import TensorSpec
from autoq.core.capability import Capability, CapabilityTable, Op
from autoq.core.criterion import Criterion
from autoq.core.interval import Interval
from autoq.core.objective import Objective
from autoq.core.plan import FP32_PLAN, LatencyEffort, Plan, Proposal
from autoq.core.precision import FP32, DType, Granularity, Mode, Observer, OpPrecision, Scheme, TensorQuant
from autoq.core.task import Description, MetricInfo, Split
from autoq.core.trial import Failure, FailureKind, Latency, MetricScore, Trial, TrialState
from autoq.report.build import build_document


def static(granularity=Granularity.PER_CHANNEL, observer=Observer.MINMAX):
    return OpPrecision(
        Mode.STATIC,
        TensorQuant(DType.INT8, Scheme.SYM, granularity),
        TensorQuant(DType.UINT8, Scheme.ASYM, observer=observer),
    )


DYNAMIC = OpPrecision(Mode.DYNAMIC, TensorQuant(DType.INT8), TensorQuant(DType.UINT8, Scheme.ASYM))
TYPES = ("Conv", "Conv", "Conv", "Add", "Conv", "Conv", "GlobalAveragePool", "Gemm")


class Maker:
    """Makes documents; every argument is a deviation from an ordinary accepted job."""

    def __init__(self, ops=63, relative=0.01, samples=300, held_out=200, seed=0):
        self.rng = np.random.default_rng(seed)
        self.ops = [Op(f"/blocks.{i // 4}/conv_{i % 4}/{TYPES[i % 8]}", TYPES[i % 8]) for i in range(ops)]
        self.criterion = Criterion("top1", relative)
        self.samples = samples
        self.held_out = held_out
        self.base = 0.7833

    def plan(self, floats=(), kinds=None):
        kinds = kinds or (static(),)
        return Plan({op.id: kinds[i % len(kinds)] for i, op in enumerate(self.ops) if i not in set(floats)})

    def score(self, loss, samples=None, half=None):
        samples = samples or self.samples
        half = half if half is not None else 0.25 / math.sqrt(samples)
        interval = Interval(loss, loss - half, loss + half)
        value = self.base * (1 - loss) if math.isfinite(loss) else 0.0
        return MetricScore(
            "top1", value, self.base, interval, self.criterion.limit, self.criterion.met(interval), samples
        )

    def latency(self, ratio, half=0.012, rounds=60):
        return Latency(0.01123 * ratio, 0.01123, Interval(ratio, ratio - half, ratio + half), rounds)

    def trial(self, number, plan, loss, ratio, note="", samples=None, realized=None):
        latency = self.latency(ratio) if ratio is not None else None
        return Trial(
            number,
            Proposal(plan, samples, LatencyEffort.QUICK, note),
            TrialState.COMPLETE,
            (self.score(loss, samples),),
            latency,
            int(18_600_000 * (0.26 + 0.004 * (len(self.ops) - len(plan)))),
            objective=ratio,
            seconds={"build": 0.21, "evaluate": 2.4, "latency": 0.5},
            realized=realized or plan,
            full=samples is None,
        )

    def baseline(self):
        return Trial(
            0,
            Proposal(FP32_PLAN, note="fp32 baseline"),
            TrialState.COMPLETE,
            (self.score(0.0, half=0.0),),
            Latency(0.01123, 0.01123, Interval(1, 1, 1), 60),
            18_600_000,
            objective=1.0,
            seconds={"evaluate": 5.6},
            realized=FP32_PLAN,
            full=True,
        )

    def failure(self, number, kind=FailureKind.MEMORY, message="the child used 4.1 GB of the 4 GB allowed"):
        state = TrialState.CRASHED if kind is FailureKind.CRASH else TrialState.FAILED
        proposal = Proposal(self.plan(range(number)), note="prefix → fp32")
        return Trial(number, proposal, state, failure=Failure(kind, message), seconds={"build": 0.2})

    def search(self):
        """Ordinary trials: from fully quantized (loses too much) to accepted."""
        trials = [self.baseline(), self.trial(1, self.plan(), 0.123, 0.352, "fully quantized", 64)]
        trials.append(
            self.trial(2, self.plan(kinds=(static(observer=Observer.PERCENTILE),)), 0.085, 0.358, "percentile")
        )
        for i, (loss, ratio) in enumerate(
            [(0.061, 0.37), (0.044, 0.39), (0.028, 0.41), (0.016, 0.425), (0.0102, 0.43)]
        ):
            trials.append(
                self.trial(3 + i, self.plan(range(4 * i)), loss, ratio, f"prefix {4 * i} → fp32", 64 if i < 3 else None)
            )
        trials.append(self.failure(8))
        trials.append(self.failure(9, FailureKind.CRASH, "signal 11 (segmentation fault) while building"))
        trials.append(self.trial(10, self.plan(range(20)), 0.0064, 0.47, "prefix 20 → fp32"))
        trials.append(
            self.trial(
                11,
                self.plan(range(12), (static(), static(Granularity.PER_TENSOR))),
                0.0043,
                0.429,
                "/blocks.3 requantized",
            )
        )
        trials.append(self.trial(12, self.plan(range(30)), 0.001, 0.62, "prefix 30 → fp32"))
        return trials

    def description(self):
        precisions = (static(), static(Granularity.PER_TENSOR), static(observer=Observer.PERCENTILE), DYNAMIC, FP32)
        return Description(
            CapabilityTable(tuple(Capability(op, precisions) for op in self.ops)),
            "5f0c9e1ab2d4",
            "evidence",
            (TensorSpec("images", "float32", ("batch", 3, 224, 224)),),
            (TensorSpec("logits", "float32", ("batch", 1000)),),
            18_600_000,
            (MetricInfo("top1", True, True),),
            {Split.TUNE: self.samples, Split.HELD_OUT: self.held_out},
            1,
            {
                "processor": "AMD EPYC 7B13",
                "cores available": "2",
                "threads per run": "1",
                "system": "Linux-6.1",
                "python": "3.11.9",
                "autoq": "0.1.0",
                "onnxruntime": "1.31.1",
            },
        )

    def document(self, trials=None, best=11, attempt=None, held_out=(0.0051, "confirmed"), **changes):
        trials = self.search() if trials is None else trials
        by_number = {t.number: t for t in trials}
        chosen = by_number.get(best)
        verdict = ((self.score(held_out[0], self.held_out, 0.004),), held_out[1]) if held_out else None
        values = {
            "job_id": "20260101-120000-ab12",
            "name": "efficientnet-lite0",
            "framework": "onnxrt_qdq",
            "description": self.description(),
            "criteria": (self.criterion,),
            "objective": Objective(),
            "baseline": trials[0],
            "trials": trials,
            "best": chosen,
            "attempt": by_number.get(attempt),
            "held_out": verdict,
            "stop_reason": "nothing more could be quantized again within the limit",
            "strategy": "basic",
            "seed": 7,
            "seconds": {
                "load": 0.9,
                "baseline": 6.1,
                "calibrate": 8.4,
                "search": 58.2,
                "finalists": 21.0,
                "verdict": 7.7,
                "memory": 3.1,
                "save": 1.2,
            },
            "memory": {"fp32": 48_000_000, "best": 21_500_000},
            "full_latencies": {chosen.plan.digest: self.latency(0.429, 0.006, 200)} if chosen else {},
            "op_seconds": {op.id: 1e-4 * (1 + i % 7) for i, op in enumerate(self.ops)},
            "explanation": "Started from the fully quantized plan and moved 12 of 63 ops back to float, in regions "
            "ordered by accuracy won per latency lost. Then quantized again whatever the limit allowed.",
            "job_yaml": "model:\n  name: efficientnet-lite0\n  framework: onnxrt_qdq\n  path: model.onnx\n"
            "tuning:\n  accuracy_criterion:\n    relative: 0.01\n",
        }
        return build_document(**{**values, **changes})


@pytest.fixture
def maker():
    return Maker()
