"""Paths of optimizers on three surfaces of two parameters: what `gpuopt surfaces` shows."""
