"""Processes that exit while their queues are busy: no abort, no hang, no output."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

SIZE = 512
SETUP = f"""
import asyncio, sys, time
import numpy as np
from furiosa_models import runtime
from furiosa_models.runtime.sync import create_queue
x = np.zeros(({SIZE}, {SIZE}), np.float32)
model = sys.argv[1]
"""
BUSY = """
submitter, receiver = create_queue(model, device=sys.argv[2])
for i in range(30):
    submitter.submit(x, i)
receiver.recv()
"""
INDENTED = BUSY.replace("\n", "\n    ")
ENDS = {
    "the script's end": BUSY,
    "a forgotten queue": f"def main():{INDENTED}\nmain()",
    "a closed submitter": f"{BUSY}\nsubmitter.close()",
    "full results": BUSY.replace("device=", "output_queue_size=1, device="),
    "sys.exit": f"{BUSY}\nsys.exit(0)",
    "idle workers": f"{BUSY}\nfor _ in range(29): receiver.recv()",
    "many queues": f"queues = []\nfor _ in range(3):{INDENTED}\n"
    "    queues.append((submitter, receiver))",
    "asyncio": """
kept = []
async def main():
    submitter, receiver = await runtime.create_queue(model, device=sys.argv[2])
    kept.append((submitter, receiver))
    for i in range(30):
        await submitter.submit(x, i)
    await receiver.recv()
asyncio.run(main())
""",
    "asyncio, with somebody waiting": """
async def main():
    submitter, receiver = await runtime.create_queue(model, device=sys.argv[2], worker_num=1)
    async def receive():
        async for _ in receiver:
            pass
    task = asyncio.create_task(receive())
    for i in range(30):
        await submitter.submit(x, i)
    await asyncio.sleep(0.2)
asyncio.run(main())
""",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose inference takes some tens of milliseconds."""
    names = ["x", *(f"t{i}" for i in range(16))]
    nodes = [helper.make_node("MatMul", [a, "w"], [b]) for a, b in itertools.pairwise(names)]
    weights = helper.make_tensor(
        "w", TensorProto.FLOAT, [SIZE, SIZE], np.eye(SIZE, dtype=np.float32).ravel()
    )
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [SIZE, SIZE])
        for name in ("x", names[-1])
    ]
    graph = helper.make_graph(nodes, "products", infos[:1], infos[1:], [weights])
    path = tmp_path_factory.mktemp("exit") / "model.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def process(code: str, model: Path, device: str = "cpu") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SETUP + code, str(model), device],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_to_end(code: str, model: Path, device: str = "cpu") -> tuple[int, str, str]:
    """Run a process; return its exit code, output and errors."""
    done = process(code, model, device)
    try:
        out, err = done.communicate(timeout=60)
    finally:
        done.kill()
        done.communicate()
    return done.returncode, out, err


@pytest.mark.parametrize("end", ENDS)
def test_process_exits_cleanly_with_a_busy_queue(model: Path, end: str) -> None:
    for _ in range(2):
        assert run_to_end(ENDS[end], model) == (0, "", "")


def test_process_exits_cleanly_with_openvino(model: Path) -> None:
    assert run_to_end(ENDS["the script's end"], model, "openvino") == (0, "", "")


def test_exception_is_the_last_output_of_the_process(model: Path) -> None:
    code, _, err = run_to_end(f"{BUSY}\nraise ValueError('a reason of its own')", model)
    assert code == 1
    assert err.endswith("ValueError: a reason of its own\n")


@pytest.mark.skipif(os.name == "nt", reason="no such signal")
def test_control_c_ends_a_process_with_a_busy_queue(model: Path) -> None:
    # Background jobs ignore SIGINT, and child processes inherit this.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    done = process(f"{heed}\n{BUSY}\nprint('busy', flush=True)\ntime.sleep(60)", model)
    assert done.stdout is not None
    assert done.stdout.readline() == "busy\n"
    done.send_signal(signal.SIGINT)
    try:
        _, err = done.communicate(timeout=60)
    finally:
        done.kill()
    assert done.returncode == -signal.SIGINT
    assert err.endswith("KeyboardInterrupt\n")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_forked_process_does_not_close_the_queue_of_its_parent(model: Path) -> None:
    code = f"""{BUSY}
import atexit, os, warnings
warnings.simplefilter("ignore")
child = os.fork()
if child == 0:  # ONNX Runtime itself does not survive a fork: its session cannot be freed there
    atexit._run_exitfuncs()
    os._exit(7)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), len([receiver.recv() for _ in range(29)]))
"""
    assert run_to_end(code, model) == (0, "7 29\n", "")
