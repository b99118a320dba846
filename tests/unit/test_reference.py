"""The generated reference is current, and the list of errors is complete: nothing missing, nothing left over."""

import ast
import random
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import yaml
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

from holdfast.api.crd import KINDS, object_schema
from holdfast.api.crd_schema import walk
from holdfast.api.reasons import Reason, RefusalReason
from holdfast.api.reference import main, reference
from holdfast.controller.queue import WorkQueue
from holdfast.controller.upstream import UpstreamWatch
from holdfast.metrics import Metrics

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs/reference"
CHART = ROOT / "charts/holdfast"


def listed(title: str) -> list[str]:
    """The first cells of the table under a heading of the list of errors."""
    section = (DOCS / "errors.md").read_text().split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    assert all(len(row) == 3 and all(row) for row in rows), "a cause or a cure is missing"
    return [row[0].strip("`") for row in rows]


def rules() -> Iterator[str]:
    for kind in KINDS:
        for _, node in walk(object_schema(kind)):
            yield from (rule["message"] for rule in node.get("x-kubernetes-validations", []))


def guards() -> Iterator[str]:
    for file in (CHART / "templates/guards").iterdir():
        for block in re.findall(r"^      message: (?:>-\n(?:        .*\n)+|.*\n)", file.read_text(), re.MULTILINE):
            yield yaml.safe_load(block)["message"]


def chart() -> Iterator[str]:
    yield from re.findall(r'(?:required|fail) "([^"]+)"', (CHART / "templates/_helpers.tpl").read_text())


def command_line() -> Iterator[str]:
    for file in (ROOT / "operator/holdfast/cli").rglob("*.py"):
        tree = ast.parse(file.read_text())
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            for said in refused(function):
                if said.strip("…"):  # what another part of the program says is listed there
                    yield said.replace("\n", " ")


def refused(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """What a function of the command line refuses with, also when it was put into a variable before."""
    texts: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            texts.setdefault(node.targets[0].id, []).append(node.value)
    for node in ast.walk(function):
        match node:
            case ast.Call(func=ast.Name(id="CommandError") | ast.Attribute(attr="BadParameter"), args=[ast.Name(id=name), *_]):
                yield from (template(said) for said in texts.get(name, []))
            case ast.Call(func=ast.Name(id="CommandError") | ast.Attribute(attr="BadParameter"), args=[said, *_]):
                assert not isinstance(said, ast.Call) or isinstance(said.func, ast.Name), f"cannot be read: {ast.unparse(said)}"
                yield template(said)


def start() -> Iterator[str]:
    """What the operator ends with when it cannot start."""
    package = ROOT / "operator/holdfast"
    for file in (
        package / "settings.py",
        package / "main.py",
        package / "controller/resync.py",
        package / "cluster/connection.py",
    ):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Return(value=ast.JoinedStr() as said):
                    yield template(said)
                case ast.Raise(exc=ast.Call(func=ast.Name(id="Rejected" | "ValueError"), args=[said, *_])):
                    yield template(said)
                case _:
                    continue


def template(node: ast.expr) -> str:
    """The text of an expression, with … for what is put into it."""
    match node:
        case ast.Constant(value=str() as said):
            return said
        case ast.JoinedStr():
            return "".join(template(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
        case ast.BinOp(op=ast.Add()):
            return template(node.left) + template(node.right)
        case _:
            return "…"


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("Refused fields", list(rules())),
        ("Refused requests", list(guards())),
        ("Reasons", list(Reason)),
        ("Refused decisions", list(RefusalReason)),
        ("The command line", list(command_line())),
        ("Helm", list(chart())),
        ("The operator's start", list(start())),
    ],
)
def test_every_message_is_listed_with_cause_and_cure(title: str, said: list[str]) -> None:
    assert len(said) > 5
    assert sorted(listed(title)) == sorted({str(message) for message in said})


def test_every_metric_is_listed_with_its_labels() -> None:
    metrics = Metrics()
    metrics.watch_queue(WorkQueue(clock=lambda: 0.0, rng=random.Random(0)))  # noqa: S311 - spreads delays, hides nothing
    metrics.watch_upstream(cast("UpstreamWatch", SimpleNamespace(repositories=lambda: 0, overdue=lambda: 0.0)))
    said = set()
    for collector in metrics.registry._collector_to_names:
        if isinstance(collector, MetricWrapperBase):
            suffix = "_total" if isinstance(collector, Counter) else ""
            labels = ",".join(collector._labelnames)
            said.add(f"{collector._name}{suffix}" + (f"{{{labels}}}" if labels else ""))
    page = (DOCS / "metrics.md").read_text()
    listed = re.findall(r"^\| `(holdfast_[^`]+)` \|", page, re.MULTILINE)
    assert len(said) > 15
    assert sorted(listed) == sorted(said)
    assert set(re.findall(r"holdfast_[a-z_]+", page)) <= {name.partition("{")[0] for name in said}


def test_the_reference_of_the_api_is_the_generated_one(tmp_path: Path) -> None:
    main(["--write", str(tmp_path / "api.md")])
    assert (tmp_path / "api.md").read_text() == reference()
    assert (DOCS / "api.md").read_text() == reference(), "run: python -m holdfast.api.reference --write docs/reference/api.md"


def test_the_reference_prints(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    assert capsys.readouterr().out == reference()


def test_the_reference_marks_what_is_required() -> None:
    assert "| `spec.model.source.huggingFace.commit` * |" in reference()
    assert "| `spec.model.engine.image` * |" in reference()
    assert "| `spec.model.engine.args` |" in reference()
