"""What adaptors say of a model."""

from __future__ import annotations

from types import SimpleNamespace

from autoq.core.adaptor import notes_of


def test_notes_of_a_model_are_told():
    assert notes_of(SimpleNamespace(notes=("convolutions in NCHW stay float32",))) == (
        "convolutions in NCHW stay float32",
    )


def test_notes_by_op_belong_to_the_table():
    assert notes_of(SimpleNamespace(notes={"conv": "grouped"})) == ()
    assert notes_of(object()) == ()
