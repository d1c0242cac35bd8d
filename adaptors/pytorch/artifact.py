"""Saved models: files that run without the user's code, and what autoq knows of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from autoq.adaptors.pytorch.candidate import CompilableCandidate, CompiledCandidate, TorchCandidate
from autoq.adaptors.pytorch.compile import compile_program, export
from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.flat import Flat
from autoq.adaptors.pytorch.floats import float_candidate
from autoq.adaptors.pytorch.guard import guarded, quiet
from autoq.adaptors.pytorch.model import load
from autoq.adaptors.pytorch.native import Native
from autoq.adaptors.pytorch.package import PACKAGE, PROGRAM, Package, Scratch, load_package
from autoq.adaptors.pytorch.program import load_program, save_program
from autoq.adaptors.pytorch.script import scripted, takes_other_sizes, traced
from autoq.adaptors.pytorch.signature import BATCH, Signature, spec_from_json, spec_to_json
from autoq.adaptors.pytorch.state import plain_state
from autoq.adaptors.pytorch.structure import Structure
from autoq.adaptors.pytorch.usability import compiler
from autoq.core.adaptor import Artifact, ModelSource, RunOptions
from autoq.core.batch import TensorSpec
from autoq.core.errors import ModelError, StoreError, TrialError
from autoq.core.plan import FP32_PLAN, Plan

SCRIPT = "model.torchscript.pt"
WEIGHTS = "state_dict.safetensors"
DESCRIPTION = "autoq.json"
TUNING = "tuning.json"

_FORMAT = 2


def save(candidate: TorchCandidate, folder: Path, framework: str) -> Artifact:
    """Write a candidate into an existing, empty folder, in the form in which it is deployed.

    A compiled candidate is saved as its AOTInductor package and the exported program it was made of; any other as
    TorchScript and a state dict, or as an exported program when it cannot be traced faithfully. ``tuning.json`` (ops,
    precisions, scales, zero points) and ``autoq.json`` (what is needed to load it) stand beside them.

    Raises:
        StoreError: It cannot be written.
        TrialError: The model has no form on disk that gives the same outputs.
    """
    if isinstance(candidate, CompilableCandidate):
        candidate = candidate.compiled()
    try:
        with guarded(candidate.options.threads):
            if isinstance(candidate, CompiledCandidate):
                files, form = _save_package(candidate, folder)
            else:
                files, form = _save_module(candidate, folder)
        held = candidate.native if isinstance(candidate.native, Native) else candidate.model
        assert held is not None
        description = {
            "format": _FORMAT,
            "framework": framework,
            "torch": torch.__version__,
            "processor": torch.backends.cpu.get_cpu_capability(),
            "signature": candidate.signature.to_json(),
            "outputs": [spec_to_json(s) for s in candidate.outputs],
            "returns": held.returns,
            "plan": candidate.plan.to_json(),
            "realized": candidate.realized.to_json(),
            "notes": list(candidate.notes),
            **form,
        }
        _write_json(folder / DESCRIPTION, description)
        _write_json(folder / TUNING, tuning_record(candidate))
    except OSError as error:
        raise StoreError(f"the model cannot be written: {error.strerror or error}", where=str(folder)) from error
    return Artifact(folder, (*files, TUNING, DESCRIPTION))


def tuning_record(candidate: TorchCandidate) -> dict[str, Any]:
    """What a plan came to, framework-neutral: per op its precision, scales and zero points."""
    ops: dict[str, Any] = {op: {"precision": p.to_json()} for op, p in candidate.realized.precisions.items()}
    for op, known in candidate.record.items():
        ops.setdefault(op, {}).update(known)
    return {"recipes": [r.to_json() for r in candidate.realized.recipes], "ops": ops}


def load_artifact(path: Path, options: RunOptions) -> TorchCandidate:
    """Load what `save` wrote, which needs none of the user's code, or an exported program of the user's.

    Raises:
        ModelError: It is not a saved model, damaged, or does not run here.
    """
    if path.is_file():
        return _load_own(path, options)
    description = _description(path)
    try:
        found = _Found(
            path,
            Signature.from_json(description["signature"]),
            tuple(spec_from_json(s) for s in description["outputs"]),
            description["returns"],
            options,
            description,
        )
        realized, plan = Plan.from_json(description["realized"]), Plan.from_json(description["plan"])
        loader = _LOADERS[description["form"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"the description of the saved model cannot be read: {error}", where=str(path / DESCRIPTION)
        ) from error
    with guarded(options.threads):
        run, inside, notes, package = loader(found)
    record = _read_json(path / TUNING).get("ops", {}) if (path / TUNING).is_file() else {}
    common: dict[str, Any] = {
        "run": _by_name(run, found.signature, found.outputs),
        "signature": found.signature,
        "outputs": found.outputs,
        "plan": plan,
        "realized": realized,
        "native": Native(run, found.signature, found.returns, threads=options.threads, model=inside),
        "size_bytes": sum(f.stat().st_size for f in path.iterdir() if f.name in (SCRIPT, PACKAGE)) or 1,
        "options": options,
        "record": record,
        "notes": (*description.get("notes", ()), *notes),
    }
    return CompiledCandidate(**common, package=package) if package is not None else TorchCandidate(**common)


def _load_own(path: Path, options: RunOptions) -> TorchCandidate:
    if path.suffix != ".pt2":
        raise ModelError(
            "this file does not say which inputs it takes",
            where=str(path),
            hint="give the folder of a saved model, or a .pt2 of torch.export",
        )
    return float_candidate(load(ModelSource(path)), FP32_PLAN, options)


# -- saving ----------------------------------------------------------------------------------------------------------


def _save_package(candidate: CompiledCandidate, folder: Path) -> tuple[tuple[str, ...], dict[str, Any]]:
    package = candidate.package
    shutil.copyfile(package.path, folder / PACKAGE)
    files = [PACKAGE]
    if package.program is not None:
        shutil.copyfile(package.program, folder / PROGRAM)
        files.append(PROGRAM)
    return tuple(files), {
        "form": "package",
        "threads": package.threads,
        "signature": replace(candidate.signature, inputs=package.inputs).to_json(),
    }


def _save_module(candidate: TorchCandidate, folder: Path) -> tuple[tuple[str, ...], dict[str, Any]]:
    model = candidate.model
    if model is None:
        raise StoreError("a loaded model is saved already", hint="copy its folder")
    args, kwargs = model.example
    tensors = (*args, *kwargs.values())
    flat = Flat(candidate.native, candidate.signature)
    save_file(plain_state(candidate.native), folder / WEIGHTS)
    reasons: list[TrialError] = []
    for form, make in _SCRIPTS if not model.execution.reads_values else reversed(_SCRIPTS):
        try:
            script = make(flat, tensors)
        except TrialError as error:
            reasons.append(error)
            continue
        with quiet():
            torch.jit.save(script, folder / SCRIPT)
        known: dict[str, Any] = {"form": form}
        if form == "trace" and not takes_other_sizes(flat, script, tensors):
            known["signature"] = _of_this_size(candidate.signature, tensors).to_json()
        if form == "trace" and model.execution.reads_values:
            known["notes"] = [*candidate.notes, f"{_ONE_WAY} ({reasons[0].message})"]
        return (SCRIPT, WEIGHTS), known
    try:
        program, inputs, _ = export(candidate.native, model)
        save_program(program, folder / PROGRAM)
    except Exception as error:
        told = "; ".join(reason.message for reason in reasons)
        raise TrialError(
            f"the model cannot be saved so that it gives the same outputs: {told}; torch.export: {first_line(error)}",
            hint=reasons[0].hint,
        ) from error
    return (PROGRAM, WEIGHTS), {
        "form": "program",
        "signature": replace(candidate.signature, inputs=inputs).to_json(),
    }


def _of_this_size(signature: Signature, example: tuple[Tensor, ...]) -> Signature:
    sizes = [(spec, tensor.shape[1:]) for spec, tensor in zip(signature.inputs, example, strict=True)]
    specs = tuple(TensorSpec(spec.name, spec.dtype, (BATCH, *shape)) for spec, shape in sizes)
    return replace(signature, inputs=specs)


_ONE_WAY = (
    "saved as a trace, which agrees on batches of other sizes and values; where its code chooses by values of tensors, "
    "the way is that of the calibration data"
)

# A trace carries every kind of code, but one way through it; scripting carries control flow.
_SCRIPTS = (("trace", traced), ("script", scripted))


# -- loading ---------------------------------------------------------------------------------------------------------

_Run = Callable[..., Any]


@dataclass(frozen=True)
class _Found:
    path: Path
    signature: Signature
    outputs: tuple[TensorSpec, ...]
    returns: Structure
    options: RunOptions
    description: Mapping[str, Any]


_Loaded = tuple[_Run, nn.Module | None, tuple[str, ...], Package | None]


def _load_trace(found: _Found) -> _Loaded:
    script = _read_script(found)
    return script, script, (), None


def _load_script(found: _Found) -> _Loaded:
    script = _read_script(found)
    return Flat(script, found.signature), script, (), None


def _read_script(found: _Found) -> torch.jit.ScriptModule:
    file = found.path / SCRIPT
    try:
        with quiet():
            script = torch.jit.load(file, map_location="cpu")
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(f"the TorchScript file cannot be read: {first_line(error)}", where=str(file)) from error
    return script


def _load_program(found: _Found) -> _Loaded:
    module = load_program(found.path / PROGRAM).module()
    return module, module, (), None


def _load_package(found: _Found) -> _Loaded:
    description = found.description
    inputs = found.signature.inputs
    program, here = found.path / PROGRAM, torch.backends.cpu.get_cpu_capability()
    # Machine code for other instructions does not raise: it ends the process.
    if here == description["processor"] and torch.__version__ == description["torch"]:
        package = load_package(found.path / PACKAGE, inputs, int(description["threads"]))
        return package, None, (), package
    made = f"{description['processor']}, torch {description['torch']}"
    if not program.is_file():
        raise ModelError(
            f"the model was compiled for {made}, and this is {here}, torch {torch.__version__}",
            where=str(found.path),
            hint="tune again on this machine",
        )
    loaded = load_program(program)
    if compiler() is None:
        module = loaded.module()
        return module, module, (f"runs uncompiled: it was compiled for {made}, and there is no compiler here",), None
    scratch = Scratch()
    threads = found.options.threads or int(description["threads"])
    compile_program(loaded, scratch.folder / PACKAGE, threads)
    package = load_package(scratch.folder / PACKAGE, inputs, threads, scratch=scratch)
    return package, None, (f"compiled again: it was compiled for {made}",), package


_LOADERS: Mapping[str, Callable[[_Found], _Loaded]] = {
    "trace": _load_trace,
    "script": _load_script,
    "program": _load_program,
    "package": _load_package,
}


def _by_name(run: _Run, signature: Signature, outputs: tuple[TensorSpec, ...]) -> _Run:
    names = [spec.name for spec in outputs]

    def call(*args: Tensor, **kwargs: Tensor) -> dict[str, Tensor]:
        tensors = (*args, *(kwargs[name] for name in signature.names[signature.positional :]))
        return dict(zip(names, run(*tensors), strict=True))

    return call


def _description(path: Path) -> dict[str, Any]:
    if not (path / DESCRIPTION).is_file():
        held = ", ".join(sorted(f.name for f in path.iterdir())[:6]) if path.is_dir() else "it is no folder"
        raise ModelError(f"there is no saved PyTorch model here: {held or 'the folder is empty'}", where=str(path))
    description = _read_json(path / DESCRIPTION)
    if description.get("format") != _FORMAT:
        raise ModelError(
            f"the model was saved in format {description.get('format')}, and this version reads {_FORMAT}",
            where=str(path / DESCRIPTION),
        )
    return description


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"the file cannot be read: {error}", where=str(path)) from error
    if not isinstance(data, dict):
        raise ModelError("the file holds no JSON object", where=str(path))
    return data


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1), encoding="utf-8")
