"""A pretrained image model, made to work on many frames at once.

Conventions, here and in all methods built on this package:

* images are ``(N, 3, H, W)`` in [-1, 1], display-referred sRGB; latents ``(N, C, h, w)`` are in the network's own
  scale (unit variance or near it), ``h = H / factor``; both are float32 outside the networks;
* every sampler's state is ``x = A x0 + S eps``: x0 the clean latent, eps unit Gaussian noise, A and S numbers that
  belong to the step;
* a step is an index into the run's own schedule, counted from 0; ranges of steps are written as *progress*,
  ``1 - t / T`` (0 pure noise, 1 clean), never as indices, so that they mean the same at 4 steps and at 50;
* no weights are ever unpickled, nothing is ever downloaded, and no diffusers pipeline is ever called.
"""
