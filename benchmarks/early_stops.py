"""How many samples whole tuning runs score, and whether trials that stopped early were decided rightly.

``python -m benchmarks.early_stops [JOB ...] [--strategies auto basic] [--seeds 1]``; jobs are ``model@limit``.

A run is everything: fp32, every trial, and finalists scored in full; without the held-out verdict. What full
evaluations would need are as many times all samples as there are plans, fp32 among them. Plans that were only screened
on a few samples are told apart: the second ratio leaves them out. Afterwards every plan that was decided early is
scored on all samples, and the decision compared. The bound is that of Clopper and Pearson (1934), one-sided, 95 %.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoq.config.loader import load_job
from autoq.config.schema import Job
from autoq.core.plan import LatencyEffort, Proposal
from autoq.core.task import Split
from autoq.core.trial import Trial
from autoq.run import run_job
from autoq.store.repository import Store
from autoq.tuning.outcome import SilentListener
from benchmarks.common import Cell, prepared, print_table, write_results
from benchmarks.jobs import limited
from benchmarks.support import fashion
from benchmarks.support.sessions import opened

JOBS = (
    "resnet18@0.01",
    "resnet18@0.001",
    "mobilenet_v2@0.01",
    "mobilenet_v2@0.001",
    "resnet18-agreement@0.002",
    "mobilenet_v2-agreement@0.002",
    "mobilenet_v2-per-tensor-agreement@0.01",
    "efficientnet-lite0@0.05",
    "efficientnet-lite0@0.01",
)
"""On all 10,000 test pictures of Fashion-MNIST, top-1 accuracy or agreement with fp32, and agreement on 300 crops of
photos.

Int8 names as many clothes rightly as fp32, so that one of the first plans is accepted. That it also gives the same
answers takes a search; all the more with one scale for each weight.
"""

_PER_TENSOR = "-per-tensor"

_AGREEMENT = "-agreement"
_BOUND = 0.95


@dataclass(frozen=True)
class Count:
    """Samples of one run.

    Attributes:
        plans: Tried in all, fp32 included.
        screened: Of these only on the first few samples.
        scored: Samples that were scored.
        screening: Of these on plans that were only screened.
        every: Samples of one full evaluation.
    """

    plans: int
    screened: int
    scored: int
    screening: int
    every: int

    @classmethod
    def of(cls, trials: Sequence[Trial], every: int) -> Count:
        """Samples are counted once for each plan: a later trial of it goes on where an earlier one ended."""
        samples: dict[str, int] = {}
        for trial in trials:
            samples[trial.plan.digest] = max(samples.get(trial.plan.digest, 0), trial.samples)
        screened = samples.keys() - {t.plan.digest for t in trials if t.full or t.decided or t.failure is not None}
        screening = sum(samples[digest] for digest in screened)
        return cls(len(samples), len(screened), sum(samples.values()), screening, every)

    @property
    def saving(self) -> float:
        """How many times fewer samples than full evaluations of all plans would score."""
        return self.plans * self.every / self.scored

    @property
    def saving_of_trials(self) -> float:
        """The same without plans that were only screened."""
        return (self.plans - self.screened) * self.every / (self.scored - self.screening)


def job_of(name: str, strategy: str, seed: int, workspace: Path) -> Job:
    """The job called ``model@limit``."""
    model, _, limit = name.partition("@")
    network = model.removesuffix(_AGREEMENT).removesuffix(_PER_TENSOR)
    if network in fashion.SIDES:
        metric = "agreement" if model.endswith(_AGREEMENT) else "top1"
        rules = {"model_wise": {"weight": {"granularity": "per_tensor"}}} if _PER_TENSOR in model else {}
        file, side = fashion.network(network), fashion.SIDES[network]
        job = fashion.job(model, file, side, workspace, metric=metric, rules=rules)
        job = limited(job, float(limit), workspace)
    else:
        job = limited(load_job(prepared(model) / "job.yaml"), float(limit), workspace)
    section = job.tuning.strategy.model_copy(update={"name": strategy})
    unlimited = job.tuning.exit_policy.model_copy(update={"timeout": None})
    tuning = {"strategy": section, "exit_policy": unlimited, "random_seed": seed}
    return job.model_copy(update={"tuning": job.tuning.model_copy(update=tuning)})


def wrong_decisions(job: Job, decided: Sequence[Trial]) -> list[Trial]:
    """Those of the early decisions that a full evaluation of the plan does not confirm."""
    with Store.open(job.resolve(job.tuning.workspace)) as store, opened(job, store) as session:
        wrong = []
        for trial in decided:
            exact = Proposal(trial.plan, None, LatencyEffort.NONE, "checked", exact=True)
            full = session.trial(exact)
            assert full.full, f"{full.failure}"
            if full.met != trial.met:
                wrong.append(trial)
        return wrong


def bound(wrong: int, decisions: int) -> float:
    """Upper confidence bound of the share of wrong decisions."""
    from scipy.stats import binomtest

    return float(binomtest(wrong, decisions, alternative="less").proportion_ci(_BOUND).high) if decisions else 1.0


def run(name: str, strategy: str, seed: int) -> dict[str, Cell]:
    """One line of the table."""
    with tempfile.TemporaryDirectory() as workspace:
        job = job_of(name, strategy, seed, Path(workspace))
        outcome = run_job(job, SilentListener()).outcome
        every = outcome.description.samples[Split.TUNE]
        count = Count.of(outcome.trials, every)
        decided = [t for t in outcome.trials if t.decided]
        wrong = wrong_decisions(job, decided)
        full = [t for t in outcome.trials if t.full and not t.plan.is_baseline]
    best = outcome.best
    return {
        "job": name,
        "strategy": strategy,
        "seed": seed,
        "plans": count.plans,
        "only screened": count.screened,
        "in full": len({t.plan.digest for t in full}),
        "samples": count.scored,
        "full evaluations": count.plans * every,
        "times fewer": count.saving,
        "without screenings": count.saving_of_trials,
        "decided early": len(decided),
        "median samples": sorted(t.samples for t in decided)[len(decided) // 2] if decided else None,
        "wrong": len(wrong),
        "bound": bound(len(wrong), len(decided)),
        "latency / fp32": best.speed if best is not None else None,
        "loss": best.scores[0].loss.value if best is not None else None,
    }


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description="Samples of whole tuning runs.")
    parser.add_argument("jobs", nargs="*", default=JOBS, metavar="JOB", help="model@limit; all by default")
    parser.add_argument("--strategies", nargs="+", default=["auto", "basic"])
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    rows: list[dict[str, Cell]] = []
    for name in given.jobs:
        for strategy in given.strategies:
            for seed in range(given.seeds):
                rows.append(run(name, strategy, seed))
                print(rows[-1], flush=True)
    print_table("Samples of whole tuning runs", rows)
    print(f"\n{write_results('early_stops', rows, threads=1)}")


if __name__ == "__main__":
    main()
