"""The notebook whose functions the model calls, in a real kernel: as it stands, with a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ipykernel", reason="ipykernel is not installed: no kernel to run cells in")

import nbformat
from kernels import Cell, Kernel

from tests.transport.openai_server import running_openai

NOTEBOOK = Path(__file__).parent.parent.parent / "examples" / "notebook_tools.ipynb"


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    with Kernel(tmp_path) as kernel:
        yield kernel
        assert "Traceback" not in kernel.log


@pytest.fixture
def notebook() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def run(kernel: Kernel, notebook: Any, **instead: str) -> dict[str, Cell]:
    """Run the cells, some with something else in them, by their ids."""
    cells = {cell.id: cell.source for cell in notebook.cells if cell.cell_type == "code"}
    assert instead.keys() <= cells.keys()
    return {name: kernel.run(code) for name, code in {**cells, **instead}.items()}


def shown(cell: Cell) -> str:
    """What a cell shows as Markdown."""
    (data,) = cell.data
    return str(data["text/markdown"])


def test_it_is_clean(notebook: Any) -> None:
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [(cell.outputs, cell.execution_count) for cell in code] == [([], None)] * len(code)
    assert sum(cell.source.count("\n") + 1 for cell in notebook.cells) <= 45  # one screen


def test_it_runs_as_it_stands(kernel: Kernel, notebook: Any) -> None:
    cells = run(kernel, notebook)
    assert "weather gave -3.5 °C in Oslo." in shown(cells["ask"])
    assert "Tool **weather** (output-available)" in shown(cells["ask"])
    assert "weather gave 21.0 °C in Oslo." in shown(cells["again"])
    assert "mean gave 19.5." in shown(cells["more"])
    assert [cell.out for cell in cells.values()] == [""] * len(cells)
    assert kernel.value("[tool.name for tool in chat.tools]") == ["weather", "mean"]
    calls = kernel.value(
        "[[call.input, call.output] for m in chat.messages for call in m.tool_parts]"
    )
    assert calls == [
        [{"city": "Oslo"}, "-3.5 °C in Oslo"],
        [{"city": "Oslo"}, "21.0 °C in Oslo"],
        [{"cities": ["Oslo", "Zürich"]}, 19.5],
    ]


def test_a_model_that_is_named_calls_it(kernel: Kernel, notebook: Any) -> None:
    # The scripted model calls the weather of Zürich where it is asked for "one tool".
    asks = next(cell.source for cell in notebook.cells if cell.id == "ask")
    with running_openai(key=None) as (server, base_url):
        cells = run(
            kernel,
            notebook,
            model=f'model, base_url = "llama3.2", {base_url!r}',
            ask=f'question = "one tool"\n{asks}',
        )
        kernel.run("chat.close()")
    assert "I am told: 18.0 °C in Zürich" in shown(cells["ask"])
    told = server.bodies[0]["tools"][0]["function"]
    assert (told["name"], told["description"]) == (
        "weather",
        "The temperature that was measured in a city.",
    )
    assert server.bodies[0]["model"] == "llama3.2"
