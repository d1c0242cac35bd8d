"""Where the packages lie: strategies, adaptors and yaml_templates stand at the top and are installed inside autoq."""

from setuptools import find_packages, setup

MOUNTED = ("strategies", "adaptors", "yaml_templates")

setup(
    packages=[
        *find_packages(include=["autoq", "autoq.*"], exclude=[f"autoq.{m}*" for m in MOUNTED]),
        *(f"autoq.{p}" for p in find_packages(include=[q for m in MOUNTED for q in (m, f"{m}.*")])),
    ],
    package_dir={"autoq": "autoq", **{f"autoq.{m}": m for m in MOUNTED}},
    package_data={
        "autoq": ["py.typed"],
        "autoq.report": ["*.html", "*.css", "templates/*"],
        "autoq.store": ["migrations/*", "migrations/versions/*", "*.ini"],
        "autoq.yaml_templates": ["*.yaml"],
        "autoq.adaptors.onnxrt": ["capability.yaml"],
        "autoq.adaptors.openvino": ["capability.yaml"],
        "autoq.adaptors.tensorflow": ["capability.yaml"],
        "autoq.adaptors.tensorflow_lite": ["capability.yaml"],
        "autoq.adaptors.pytorch_fx": ["capability.yaml"],
        "autoq.adaptors.pytorch_eager": ["capability.yaml"],
        "autoq.adaptors.pytorch_pt2e": ["capability.yaml"],
    },
)
