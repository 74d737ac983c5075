"""`gpuopt train`: optimizers side by side on a small network."""
