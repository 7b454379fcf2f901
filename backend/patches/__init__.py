"""Pixels and patches on the CPU: blending warped keys, gradient-domain compositing, guided patch synthesis.

Arrays follow the conventions of :mod:`backend.motion`; numpy, OpenCV and numba only, never torch.
"""
