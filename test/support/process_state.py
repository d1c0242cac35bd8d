"""What of a process and of a model must be the same after autoq has worked with it."""

from __future__ import annotations

import hashlib
import random
import warnings
from typing import Any

import numpy as np
import torch
from torch import nn
from torch._inductor import config


def process_state() -> dict[str, Any]:
    """Everything global that PyTorch code may change."""
    return {
        "torch rng": torch.get_rng_state().numpy().tobytes(),
        "numpy rng": np.random.get_state()[1].tobytes(),
        "python rng": random.getstate(),
        "engine": torch.backends.quantized.engine,
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "filters": list(warnings.filters),
        "inductor": config.save_config_portable(),
    }


def model_state(module: nn.Module) -> dict[str, Any]:
    """Everything of a module: weights bit by bit, the very objects, modes, hooks, attributes."""
    modules = list(module.modules())
    return {
        "weights": {
            name: hashlib.sha256(tensor.detach().numpy().tobytes()).hexdigest()
            for name, tensor in module.state_dict().items()
        },
        "parameters": [id(p) for p in module.parameters()],
        "modules": [id(m) for m in modules],
        "modes": [m.training for m in modules],
        "gradients": [p.requires_grad for p in module.parameters()],
        "types": [type(m) for m in modules],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules],
        "attributes": [sorted(vars(m)) for m in modules],
    }
