"""Steps between a model's raw outputs and what a metric takes."""

from autoq.evaluation.postprocess.base import Postprocess
from autoq.evaluation.postprocess.factory import make_postprocess, step_names

__all__ = ["Postprocess", "make_postprocess", "step_names"]
