"""Jupyter kernels that tests drive, each a process of its own."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty
from typing import Any

import zmq
from ipykernel.kernelspec import write_kernel_spec
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.utils import ensure_event_loop

LIMIT = 30.0  # seconds; whoever waits longer waits for something that does not come


class Cell:
    """A cell that was sent to a kernel, and what has come of it.

    Attributes:
        out: what was printed meanwhile.
        error: the name of the exception that ended it.
        data: what it showed, newest last: the data by MIME type.
        updates: what was shown anew in place of something shown before.
        done: whether it is over.
    """

    def __init__(self, kernel: Kernel, message_id: str) -> None:
        self.out = ""
        self.error: str | None = None
        self.data: list[dict[str, Any]] = []
        self.updates: list[dict[str, Any]] = []
        self.done = False
        self._kernel = kernel
        self._id = message_id
        self._traceback = ""

    def __str__(self) -> str:
        return f"{self.out}\n{self.error}\n{self._traceback}"

    def until(self, reached: Callable[[], object]) -> Cell:
        """Read what comes until something is true."""
        end = time.monotonic() + LIMIT
        while not reached():
            assert not self.done, f"the cell ended\n{self}"
            message = self._kernel.next_message(end - time.monotonic())
            assert message is not None, f"not within {LIMIT} s\n{self}"
            self._take(message)
        return self

    def printed(self, text: str) -> Cell:
        """Wait until something has been printed."""
        return self.until(lambda: text in self.out)

    def ended(self, error: str | None = None) -> Cell:
        """Wait until it is over, and see that it ended as it should."""
        end = time.monotonic() + LIMIT
        while not self.done:
            message = self._kernel.next_message(end - time.monotonic())
            assert message is not None, f"not within {LIMIT} s\n{self}"
            self._take(message)
        assert self.error == error, str(self)
        return self

    def _take(self, message: dict[str, Any]) -> None:
        if message["parent_header"].get("msg_id") != self._id:
            return  # of another cell, or of the kernel itself
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            assert content["name"] == "stdout", content["text"]
            self.out += content["text"]
        elif kind == "error":
            self.error = content["ename"]
            self._traceback = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(content["traceback"]))
        elif kind in ("execute_result", "display_data"):
            self.data.append(content["data"])
        elif kind == "update_display_data":
            self.updates.append(content["data"])
        elif kind == "status":
            self.done = content["execution_state"] == "idle"


class Kernel:
    """A kernel of this Python, in a process; a context manager.

    Args:
        folder: where it may write.
    """

    def __init__(self, folder: Path) -> None:
        write_kernel_spec(str(folder / "kernels" / "here"))
        self._env = {
            **os.environ,
            "IPYTHONDIR": str(folder / "ipython"),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        }
        self._folder = folder
        self._log = (folder / "log").open("w+b")  # each process that is started gets it
        self._context = zmq.Context()
        self._manager = KernelManager(
            kernel_name="here",
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(folder / "kernels")]),
            connection_file=str(folder / "connection.json"),
            context=self._context,
        )

    def __enter__(self) -> Kernel:
        written = {"stdout": self._log, "stderr": self._log}
        self._manager.start_kernel(env=self._env, cwd=str(self._folder), **written)
        self._client = self._manager.blocking_client()
        # Its heartbeat runs on a thread whose loop nobody closes.
        self._client.start_channels(hb=False)
        self._client.wait_for_ready(timeout=LIMIT)
        return self

    def __exit__(self, *_: object) -> None:
        if self._manager.has_kernel:
            self._manager.shutdown_kernel(now=True)
        self._client.stop_channels()
        self._context.destroy(linger=0)
        self._log.close()
        ensure_event_loop().close()  # jupyter_client keeps it for the next kernel

    @property
    def log(self) -> str:
        """What the process has written that belongs to no cell."""
        return (self._folder / "log").read_text(encoding="utf-8")

    def next_message(self, timeout: float) -> dict[str, Any] | None:
        """The next message that goes to all who look at the kernel; None: there was none."""
        try:
            message: dict[str, Any] = self._client.get_iopub_msg(timeout=max(timeout, 0.0))
        except Empty:
            return None
        return message

    def start(self, code: str) -> Cell:
        """Send a cell."""
        return Cell(self, self._client.execute(code))

    def run(self, code: str) -> Cell:
        """Run a cell that does not fail."""
        return self.start(code).ended()

    def value(self, expression: str) -> Any:
        """The value of an expression, as JSON brings it."""
        return json.loads(self.run(f"import json; print(json.dumps({expression}))").out)

    def interrupt(self) -> None:
        """What the stop button does."""
        self._manager.interrupt_kernel()

    def restart(self) -> None:
        """What the restart button does, up to the new process."""
        self._manager.restart_kernel(now=False)

    def wait_for_ready(self) -> None:
        """Wait until a kernel that was restarted runs cells."""
        self._client.wait_for_ready(timeout=LIMIT)

    def shut_down(self) -> None:
        """What closing the notebook does."""
        self._manager.shutdown_kernel(now=False)
