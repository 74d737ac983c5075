"""Measuring: gpuopt beside its peers and beside the machine's own limits (`gpuopt bench`)."""
