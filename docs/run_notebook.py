"""Run docs/notebook.ipynb from its first cell to its last, and keep what the cells give.

    python docs/run_notebook.py

The cells are plain Python, so that this needs no Jupyter. They get a store of their own.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib
from matplotlib import pyplot as plt

FILE = Path(__file__).with_name("notebook.ipynb")
DPI = 80


def main() -> None:
    """Run the notebook and write it with its outputs."""
    notebook = json.loads(FILE.read_text(encoding="utf-8"))
    os.chdir(FILE.parent)
    with TemporaryDirectory() as scratch:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{scratch}/mlflow.db"
        run_cells(notebook["cells"])
    FILE.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def run_cells(cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Run the cells of code in one namespace, put their outputs into them, and return it."""
    matplotlib.use("agg")
    names: dict[str, Any] = {"__name__": "__main__"}
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    for number, cell in enumerate(code, 1):
        cell |= {"execution_count": number, "outputs": outputs_of(cell, names, number)}
    return names


def outputs_of(cell: dict[str, Any], names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """Run a cell; return what it printed, the value of its last expression, and its pictures."""
    tree = ast.parse("".join(cell["source"]), f"cell {number}")
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    value = None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"cell {number}", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)
    found: list[dict[str, Any]] = []
    if printed.getvalue():
        found.append({"output_type": "stream", "name": "stdout", "text": lines(printed.getvalue())})
    if value is not None:
        data = {"text/plain": lines(repr(value))}
        if hasattr(value, "_repr_html_"):
            data["text/html"] = lines(value._repr_html_())
        found.append(
            {
                "output_type": "execute_result",
                "execution_count": number,
                "metadata": {},
                "data": data,
            }
        )
    for figure in map(plt.figure, plt.get_fignums()):
        png = io.BytesIO()
        figure.savefig(png, dpi=DPI, metadata={"Software": None})
        data = {"image/png": base64.b64encode(png.getvalue()).decode()}
        found.append({"output_type": "display_data", "metadata": {}, "data": data})
    plt.close("all")
    return found


def lines(text: str) -> list[str]:
    """Return a text as a notebook keeps it."""
    return text.splitlines(keepends=True)


if __name__ == "__main__":
    main()
