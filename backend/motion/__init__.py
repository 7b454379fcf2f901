"""Where does a surface point go? Correspondence between any two frames of a shot.

One convention holds everywhere. Arrays are row-major, row 0 at the top, y down; pixel centres are at integers. A flow
is ``(H, W, 2)`` float32, (x right, y down) in pixels, and *backward*: what frame i shows at p is found in frame j at
p + flow, so that ``warp(image_of_j, flow)`` looks like frame i. Images are float32 ``(H, W, 3)`` in [0, 1],
display-referred sRGB unless the name says linear.
"""
