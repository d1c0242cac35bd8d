"""A text classifier with a recurrent layer (Hochreiter and Schmidhuber 1997)."""

from __future__ import annotations

from torch import Tensor, nn


class LstmClassifier(nn.Module):
    """Token ids ``[n, length]`` to class scores; the states of both directions are averaged over the tokens."""

    def __init__(self, vocabulary: int, width: int, hidden: int, num_classes: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width, padding_idx=0)
        self.dropout = nn.Dropout(0.4)
        self.lstm = nn.LSTM(width, hidden, batch_first=True, bidirectional=True)
        self.hidden = nn.Linear(2 * hidden, hidden)
        self.relu = nn.ReLU()
        self.output = nn.Linear(hidden, num_classes)

    def forward(self, input_ids: Tensor) -> Tensor:
        states, _ = self.lstm(self.dropout(self.words(input_ids)))
        # Padding has id 0 and stands at the end; its states do not count.
        mask = (input_ids != 0).to(states.dtype).unsqueeze(-1)
        mean = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0)
        return self.output(self.dropout(self.relu(self.hidden(mean))))


def lstm(vocabulary: int = 8000, width: int = 128, hidden: int = 128, num_classes: int = 2) -> LstmClassifier:
    """In evaluation mode, with random weights."""
    return LstmClassifier(vocabulary, width, hidden, num_classes).eval()
