"""How Warp compiles the kernels."""

import os
import sys
import tempfile
from functools import cache
from threading import Lock

import torch
import warp as wp

MODULE = "renderers.kernels"
"""The Warp module of all kernels: compiled at once they are ready sooner than file after file."""

# Runs of pixels that see one triangle are short: vectorized loops are slower here, and compile longer. Products and
# sums may be fused, as on CUDA.
wp.set_module_options(
    {
        "enable_backward": False,
        "cpu_compiler_flags": "-march=native -fno-vectorize -fno-slp-vectorize -ffp-contract=fast",
    },
    MODULE,
)


def load(device: torch.device) -> None:
    """Compile the kernels for a device, or take them from Warp's cache: once, whichever threads ask."""
    with _loading:
        _load(device)


_loading = Lock()


@cache
def _load(device: torch.device) -> None:
    wp.config.log_level = max(wp.config.log_level, wp.LOG_ERROR)
    _start()
    wp.load_module(MODULE, device=str(device))


def _start() -> None:
    """Initialize Warp. It writes to the process's stderr, past its own log level, that there is no CUDA driver; that
    line is left out, all others are passed on."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            wp.init()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            said.seek(0)
            for line in said:
                if b"Could not find or load the NVIDIA CUDA driver" not in line:
                    os.write(2, line)
