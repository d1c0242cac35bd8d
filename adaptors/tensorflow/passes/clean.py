"""Nodes that change nothing at inference go: identities, control inputs, what no output needs."""

from __future__ import annotations

from autoq.adaptors.tensorflow.graph import Graph, data_inputs, node_name
from autoq.adaptors.tensorflow.passes.rewrite import Rewrite, pruned

_SAME = frozenset({"Identity", "Snapshot", "StopGradient", "PreventGradient", "IdentityN", "CheckNumerics"})


def clean(graph: Graph) -> Graph:
    """The graph without identities and control inputs.

    A control input orders effects on variables and messages to the user; a frozen graph has no variables, and a check
    it makes (``Assert``) goes with it. A default that is not fed becomes its value.
    """
    graph = pruned(_uncontrolled(graph))
    rewrite = Rewrite(graph)
    fetched, fed = set(graph.outputs), {node_name(name) for name in graph.inputs}
    same: dict[str, str] = {}
    for node in graph.nodes:
        defaulted = node.op == "PlaceholderWithDefault" and node.name not in fed
        if node.op not in _SAME and not defaulted:
            continue
        for i, source in enumerate(data_inputs(node)):
            # A fetched tensor keeps the node that bears its name.
            if f"{node.name}:{i}" not in fetched:
                same[f"{node.name}:{i}"] = same.get(source, source)
    if same:
        rewrite.redirect(same)
    return rewrite.finish()


def _uncontrolled(graph: Graph) -> Graph:
    controlled = [node.name for node in graph.proto.node if any(name.startswith("^") for name in node.input)]
    rewrite = Rewrite(graph)
    for name in controlled:
        node = rewrite.node(name)
        node.input[:] = [i for i in node.input if not i.startswith("^")]
    return rewrite.finish()
