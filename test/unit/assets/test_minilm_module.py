from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from examples.onnxrt import minilm_model  # noqa: E402

_SIZES = minilm_model.Sizes(
    hidden=16, layers=2, heads=4, intermediate=32, vocabulary=50, positions=12, types=2, epsilon=1e-12
)


@pytest.fixture(scope="module")
def model() -> minilm_model.MiniLM:
    torch.manual_seed(0)
    return minilm_model.MiniLM(_SIZES).eval()


def test_padding_does_not_change_the_tokens_before_it(model: minilm_model.MiniLM) -> None:
    tokens = torch.tensor([[1, 2, 3]])
    padded = torch.tensor([[1, 2, 3, 0, 0]])
    with torch.no_grad():
        short = model(tokens, torch.ones_like(tokens))
        long = model(padded, (padded > 0).long())
    assert torch.allclose(short, long[:, :3], atol=1e-5)


def test_hidden_states_have_the_hidden_size(model: minilm_model.MiniLM) -> None:
    tokens = torch.ones(3, 5, dtype=torch.int64)
    with torch.no_grad():
        assert model(tokens, tokens).shape == (3, 5, 16)


def test_the_activation_is_gelu() -> None:
    x = torch.linspace(-5, 5, 101)
    assert torch.allclose(minilm_model._gelu(x), torch.nn.functional.gelu(x), atol=1e-6)
