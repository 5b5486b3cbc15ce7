"""MindSpore: models, losses, training. The only room that imports mindspore."""

import os
import shutil

# Without the compiled kernels DeepSpeech2 has convolutions of oneDNN's, a reference one, 40 times slower, under AVX-512. Must be set before the first import of mindspore.
if os.environ.get("ASRLIB_KERNELS") == "0" or shutil.which(os.environ.get("CXX", "g++")) is None:
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
# The compiled kernels' threads meet at every frame: asleep rather than spinning, they leave the cores to MindSpore's own threads and to other processes.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("GLOG_v", "3")  # errors only
