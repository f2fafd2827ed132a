"""Warp kernels, one source for CPU and CUDA: written in Warp's language, which only looks like Python."""
