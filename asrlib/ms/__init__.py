"""MindSpore: models, losses, training. The only package that imports mindspore."""

import os
import shutil

# Without the compiled kernels DeepSpeech2 uses oneDNN's convolutions, which under AVX-512 are 40 times slower (a reference implementation).
# Must be set before the first import of mindspore.
if os.environ.get("ASRLIB_KERNELS") == "0" or shutil.which(os.environ.get("CXX", "g++")) is None:
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
# The threads of the compiled kernels wait for each other at every frame. If they sleep instead of spinning, MindSpore's own threads and other
# processes can use the cores.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("GLOG_v", "3")  # errors only
