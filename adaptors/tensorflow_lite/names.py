"""Names of tensors: unique, as ops are called after them, and short where a converter made them."""

from __future__ import annotations

from collections import Counter

from autoq.adaptors.tensorflow_lite.graph import ModelT


def unique_names(model: ModelT) -> bool:
    """Give every tensor of the first subgraph a name of its own; whether one changed."""
    taken: set[bytes] = set()
    changed = False
    for index, tensor in enumerate(model.subgraphs[0].tensors):
        name = wanted = tensor.name or f"tensor{index}".encode()
        number = 1
        while name in taken:
            number += 1
            name = wanted + f"#{number}".encode()
        taken.add(name)
        changed |= name != tensor.name
        tensor.name = name
    return changed


def short_names(model: ModelT, outputs: dict[int, str]) -> None:
    """Call tensors after the first of the nodes a converter fused into them, outputs after their signature.

    ``relu/Relu;conv/BiasAdd;conv/Conv2D1`` becomes ``relu/Relu`` where no other tensor would be called so.

    Args:
        model: A model fresh from the converter.
        outputs: Name of each output by its tensor.
    """
    subgraph = model.subgraphs[0]
    made = {int(index) for op in subgraph.operators for index in op.outputs}
    names = [tensor.name.decode(errors="replace") for tensor in subgraph.tensors]
    short = {index: outputs.get(index) or names[index].partition(";")[0] for index in made}
    count = Counter(short.values())
    # Constants keep their long names: nobody asks for them, and they share the first part with what reads them.
    for index in made:
        if count[short[index]] == 1 or index in outputs:
            subgraph.tensors[index].name = short[index].encode()
    given = {short[index] for index in made}
    for index, tensor in enumerate(subgraph.tensors):
        if index not in made and names[index] in given:
            tensor.name = f"{names[index]};constant".encode()
