"""How consistent a stylized shot is, how much of its detail is left, and how the project's own bench is kept.

Every number is taken along the shot's exact correspondences, so that what counts as change is change of the picture,
not of an estimated flow. ``metrics`` measures along surfaces, ``appearance`` single frames, ``verdict`` weighs both
against an independent frame-by-frame run, ``report`` does that for a job folder, ``bench`` prints the project's own
numbers.

A *run* is a function from a frame number to its picture, ``(H, W, C)`` float32 in [0, 1].
"""
